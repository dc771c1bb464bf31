"""How well people agree with each other, and with themselves: the ceiling of any model's score."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from dataclasses import field as default
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from annotations.fields import LabelsInfo
from hitl.evaluation.ceiling import FOLDER
from hitl.evaluation.metrics.all_metrics import score
from hitl.evaluation.metrics.cases import Case
from hitl.evaluation.metrics.resampling import Interval, bootstrap
from hitl.evaluation.metrics.scores import Scores
from hitl.evaluation.options import ScoreOptions
from hitl.evaluation.requests import AgreementRequest
from hitl.evaluation.score_files import note_what_is_missing, read_label_pair
from hitl.postprocess.masks import edge_class
from hitl.project.errors import NothingToDoError, ProjectError
from hitl.project.folder import Project, next_numbered, now
from hitl.project.plain import plain
from hitl.project.records import write_record
from hitl.project.reporter import Reporter
from labels.numbers import number_of
from labels.spacing import Spacing

Kind = Literal["annotators", "self"]

KEYS = (
    "evaluation_score",
    "full",
    "sub",
    "f1",
    "ap",
    "pq",
    "mean_ap_50_95",
    "seg",
    "aji",
    "aji_plus",
    "boundary.f1",
    "centroids.f1",
    "overlapping.f1",
)
"""What is told of agreement, as in `Scores.flat`."""


@dataclass(frozen=True)
class Rater:
    """One of the two opinions.

    Parameters
    ----------
    name : str
        Who.
    source : str
        File name, or the round.
    objects : int
    """

    name: str
    source: str
    objects: int = 0


@dataclass(frozen=True)
class Agreement:
    """How far two label images of one field agree, neither being the truth.

    Parameters
    ----------
    kind : {'annotators', 'self'}
        Two people, or one person at two times.
    field : str
    first, second : Rater
    values : dict of str to (float or None)
        Keys as in `Scores.flat`, each the mean of both directions (first as truth, second as
        truth), which only differ for the evaluation score, full, sub, SEG and AJI; and
        ``thresholds.<t>.f1`` and ``.ap``, ``voxels.<class>.f1`` and ``.iou``.
    intervals : dict of str to Interval
        From resampling the objects: the mean of both directions' ends.
    errors : dict of str to int
        What became of the first's objects in the second's labels.
    cases : tuple of Case
        The same as a list of places; "truth" is the first.
    spacing_um : (float, float, float) or None
    options : ScoreOptions
    reasons : dict of str to str
        Why a value is None.
    file : Path or None
        Where it was kept, in a project.
    """

    kind: Kind
    field: str
    first: Rater
    second: Rater
    values: dict[str, float | None]
    intervals: dict[str, Interval]
    errors: dict[str, int]
    cases: tuple[Case, ...]
    spacing_um: Spacing | None
    options: ScoreOptions
    reasons: dict[str, str] = default(default_factory=dict)
    file: Path | None = None


def agree(
    first: NDArray[np.integer[Any]],
    second: NDArray[np.integer[Any]],
    *,
    kind: Kind,
    field: str,
    raters: tuple[Rater, Rater],
    spacing_um: Spacing | None = None,
    options: ScoreOptions | None = None,
    classes: bool = True,
) -> tuple[Agreement, Scores]:
    """Compare two label images of which neither is the truth.

    Parameters
    ----------
    first, second : ndarray of integers, shape (Z, Y, X)
    kind : {'annotators', 'self'}
    field : str
    raters : (Rater, Rater)
    spacing_um : (float, float, float), optional
        Voxel size (z, y, x) in µm.
    options : ScoreOptions, optional
    classes : bool
        Compare the voxels of each class too.

    Returns
    -------
    Agreement, Scores
        The scores take the first for the truth.

    Raises
    ------
    MetricError
        As `hitl.evaluation.metrics.all_metrics.score`.
    """
    a, b = (edge_class(labels) if classes else None for labels in (first, second))
    forward = score(
        first, second, spacing_um=spacing_um, options=options, truth_classes=a, pred_classes=b
    )
    backward = score(
        second, first, spacing_um=spacing_um, options=options, truth_classes=b, pred_classes=a
    )
    ends = [bootstrap({"": {"": [found.items]}}) for found in (forward, backward)]
    values = _both_ways(forward.flat(), backward.flat())
    reasons = {**backward.reasons, **forward.reasons}
    agreement = Agreement(
        kind=kind,
        field=field,
        first=Rater(raters[0].name, raters[0].source, forward.n_truth),
        second=Rater(raters[1].name, raters[1].source, forward.n_pred),
        values=values,
        intervals={key: _middle(ends[0][key], ends[1][key]) for key in ends[0] if key in values},
        errors=forward.errors,
        cases=forward.cases,
        spacing_um=spacing_um,
        options=forward.options,
        reasons={
            key: reasons.get(key) or reasons[key.split(".")[0]]
            for key, value in values.items()
            if value is None
        },
    )
    return agreement, forward


def agreement(request: AgreementRequest, reporter: Reporter) -> Agreement:
    """Compare two label files, or two rounds of a project's field; kept in a project.

    Raises
    ------
    FormatError
        A file that cannot be read as labels.
    MetricError
        Label images of different shapes, or no spacing for an option in µm.
    ProjectError
        A project without a field, or the reverse, or labels of another shape than the field.
    NothingToDoError
        Nothing is verified in both rounds.
    """
    project = None if request.project is None else Project.open(request.project)
    if request.rounds and project is not None and request.field is not None:
        found = agree_rounds(
            project, request.field, request.rounds, reporter, options=request.options
        )
    else:
        found = _agree_files(request, project, reporter)
    if project is None:
        return found
    file = next_numbered(project.folder / FOLDER, ".json")
    kept = replace(found, file=file)
    write_record(file, {"made": now(), **plain(kept)})
    return kept


def _agree_files(
    request: AgreementRequest, project: Project | None, reporter: Reporter
) -> Agreement:
    field, spacing_um, shape = request.field, request.spacing_um, None
    if (project is None) != (field is None):
        raise ProjectError("--project and --field: expected both or neither, got one")
    if project is not None and field is not None:
        info = project.store().labels(field).info
        _refuse_series(info)
        spacing_um, shape = spacing_um or info.spacing_um, info.zyx
    first, second = Path(request.first), Path(request.second)
    pair = read_label_pair(first, second, request.axes, spacing_um, reporter)
    if shape is not None and pair.first.shape != shape:
        raise ProjectError(
            f"{first}: expected labels of {field}'s shape {shape}, got {pair.first.shape}"
        )
    who = request.names or (first.name, second.name)
    found, forward = agree(
        pair.first,
        pair.second,
        kind="self" if request.same_person else "annotators",
        field=field or first.stem,
        raters=(Rater(who[0], first.name), Rater(who[1], second.name)),
        spacing_um=pair.spacing_um,
        options=request.options,
    )
    note_what_is_missing(forward, reporter)
    return found


def _refuse_series(info: LabelsInfo) -> None:
    if info.times > 1:
        raise ProjectError(
            f"{info.address}: expected labels of one time point, got {info.times}; compare two "
            "label files of one of them"
        )


def agree_rounds(
    project: Project,
    field: str,
    rounds: tuple[int, int],
    reporter: Reporter,
    *,
    options: ScoreOptions | None = None,
) -> Agreement:
    """Compare a field's labels in two rounds, where both are verified.

    Objects of which no more than half is verified in both rounds do not count.

    Parameters
    ----------
    project : Project
    field : str
    rounds : (int, int)
    reporter : Reporter
    options : ScoreOptions, optional

    Raises
    ------
    UnknownRoundError, UnknownFieldError
    NothingToDoError
        Nothing is verified in both rounds.
    ProjectError
        Labels of several time points.
    """
    store = project.store()
    views = [store.labels(field, round=number) for number in rounds]
    _refuse_series(views[0].info)
    verified = np.logical_and(*(np.asarray(view.verified[...]) > 0 for view in views))
    if not verified.any():
        raise NothingToDoError(
            f"nothing of {field} is verified both in round {rounds[0]} and in round {rounds[1]}; "
            "`hitl log` lists the rounds"
        )
    labels = [_within(np.asarray(view.labels[...], np.uint32), verified) for view in views]
    authors = {entry.round: entry.author for entry in store.rounds()}
    who = [Rater(authors.get(number) or "unknown", f"round {number}") for number in rounds]
    found, forward = agree(
        labels[0],
        labels[1],
        kind="self" if who[0].name == who[1].name else "annotators",
        field=field,
        raters=(who[0], who[1]),
        spacing_um=views[0].info.spacing_um,
        options=options,
        classes=bool(verified.all()),
    )
    note_what_is_missing(forward, reporter)
    equal = int(np.count_nonzero(forward.at_half.iou == 1))
    if equal:
        reporter.note(
            f"{equal} of {number_of(forward.n_truth, 'object')} {'is' if equal == 1 else 'are'} "
            "the same to the voxel: where the later "
            "round was drawn upon the earlier one, this is no second opinion"
        )
    return found


def _both_ways(
    forward: Mapping[str, float | None], backward: Mapping[str, float | None]
) -> dict[str, float | None]:
    keys = [key for key in forward if _is_symmetric(key)]
    both = {key: (forward[key], backward.get(key)) for key in keys}
    values = {key: None if a is None or b is None else (a + b) / 2 for key, (a, b) in both.items()}
    return {**dict.fromkeys(KEYS), **values}


def _is_symmetric(key: str) -> bool:
    if key in KEYS:
        return True
    return key.startswith(("thresholds.", "voxels.")) and key.endswith((".f1", ".ap", ".iou"))


def _middle(a: Interval, b: Interval) -> Interval:
    if a.low is None or a.high is None or b.low is None or b.high is None:
        return Interval(None, None)
    return Interval((a.low + b.low) / 2, (a.high + b.high) / 2)


def _within(labels: NDArray[np.uint32], verified: NDArray[np.bool_]) -> NDArray[np.uint32]:
    """Labels of the objects that are mostly verified, cut to what is."""
    if verified.all():
        return labels
    ids, inverse = np.unique(labels, return_inverse=True)
    inverse = inverse.ravel()
    inside = np.bincount(inverse, weights=verified.ravel(), minlength=len(ids))
    wanted = np.where(2 * inside > np.bincount(inverse), ids, 0).astype(np.uint32)
    kept = wanted[inverse].reshape(labels.shape)
    return np.where(verified, kept, np.uint32(0))
