"""What a model got wrong on hand-labelled fields: every place, its kind, and how wrong it is."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from annotations.store import AnnotationStore
from annotations.views import LabelsView
from hitl.evaluation.results import (
    EvaluatedModel,
    Nucleus,
    ScoredCase,
    find_evaluated,
    read_cases,
    read_scored,
)
from hitl.project.addresses import chosen_labels
from hitl.project.folder import Project
from hitl.project.reporter import Reporter
from hitl.queue.kinds import KINDS

_MOST_IDS = 6
_SMALL, _LARGE = 0.5, 2.0


@dataclass(frozen=True, kw_only=True)
class ErrorEntry:
    """One place where a model is wrong.

    Parameters
    ----------
    field : str
        Address of the labels.
    time : int or None
        Of a series.
    kind : str
        One of `KINDS`.
    truth_ids, pred_ids : tuple of int
        Of the hand-made labels and of the prediction; empty where there is none.
    position_zyx : (int, int, int)
        Voxel nearest to the centroid of the case, inside the field.
    position_um : (float, float, float)
    wrong : float
        How wrong it is, in nuclei: 1 - evaluation score, added up over the nuclei of the place;
        1 for a spurious object.
    iou : float or None
        The lowest, of these nuclei with what overlaps them best; None for a spurious object.
    volume_um3 : float or None
        Of the nuclei; None for a spurious object.
    at_border : bool
        A nucleus of the place is cut by the field's border.
    why : str
        In plain words.
    """

    field: str
    time: int | None
    kind: str
    truth_ids: tuple[int, ...]
    pred_ids: tuple[int, ...]
    position_zyx: tuple[int, int, int]
    position_um: tuple[float, float, float]
    wrong: float
    iou: float | None
    volume_um3: float | None
    at_border: bool
    why: str

    @property
    def id(self) -> int | None:
        """The first of the nuclei, None for a spurious object."""
        return self.truth_ids[0] if self.truth_ids else None

    @property
    def confidence(self) -> float | None:
        """None: an evaluation keeps no confidence."""
        return None


@dataclass(frozen=True)
class ModelErrors:
    """The errors of one model in one evaluation.

    Parameters
    ----------
    found : EvaluatedModel
    listed : tuple of ErrorEntry
        The most wrong first.
    kinds : mapping of str to (int, float)
        Of every kind that occurs, on the same fields: places, and the sum of `wrong` there.
    stale : tuple of str
        `LabelsView.name` of those whose labels or prediction are no longer those that were scored.
    """

    found: EvaluatedModel
    listed: tuple[ErrorEntry, ...]
    kinds: Mapping[str, tuple[int, float]]
    stale: tuple[str, ...]

    @property
    def total(self) -> int:
        """Errors in all, listed or not."""
        return sum(places for places, _ in self.kinds.values())


def list_errors(
    project: Project,
    fields: Sequence[str],
    *,
    reporter: Reporter,
    classes: Sequence[str] = (),
    model: str | None = None,
    evaluation: int | None = None,
    kinds: Collection[str] = (),
    limit: int | None = None,
) -> ModelErrors:
    """List what a model got wrong in an evaluation.

    Parameters
    ----------
    project : Project
    fields : sequence of str
        Only these, each ``FIELD`` or ``FIELD:CLASS``; all that were scored when empty.
    reporter : Reporter
        Told of fields that have changed since they were scored.
    classes : sequence of str
        Only these; all when empty.
    model : str, optional
        When not given the one in use, else the best in score.
    evaluation : int, optional
        Its number; the newest that has the fields and the model when not given.
    kinds : collection of str
        Only these of `KINDS`; all when empty.
    limit : int, optional
        Places to list; all when not given.

    Raises
    ------
    NothingToDoError
        No such evaluation.
    ProjectError
        A damaged file.
    UnknownFieldError
        No such field.
    """
    store = project.store()
    named = chosen_labels(store, fields, classes)
    views = {each.name: each for info in named for each in store.labels(info.key).time_points()}
    among = {info.address for info in named} if fields or classes else None
    found = find_evaluated(project, _addresses(store, fields), model, evaluation, among)
    errors: list[ErrorEntry] = []
    stale = []
    for number, name in enumerate(found.fields):
        reporter.progress(number, len(found.fields), f"errors on {name}")
        if name not in views:
            reporter.note(f"{name} was scored, but is no longer in the project; it is left out")
            continue
        errors += of_view(views[name], found)
        if read_scored(project, found, name) is None:
            stale.append(name)
            reporter.note(
                f"{name}: its labels, or what {found.model} predicted, are no longer those of "
                f"evaluation {found.number}; run `hitl evaluate` again"
            )
    chosen = [m for m in in_order(errors) if not kinds or m.kind in kinds]
    return ModelErrors(found, tuple(chosen[:limit]), _by_kind(errors), tuple(stale))


def _addresses(store: AnnotationStore, names: Sequence[str]) -> list[str]:
    """Return names as evaluations have them: a class is named only where there are several."""
    return [store.labels(name).info.address if ":" in name else name for name in names]


def in_order(errors: Iterable[ErrorEntry]) -> tuple[ErrorEntry, ...]:
    """Sort, the most wrong first; the order is fixed."""
    return tuple(sorted(errors, key=_order))


def _order(error: ErrorEntry) -> tuple[Any, ...]:
    """Most wrong first; many are wrong by just one nucleus: of these the larger come first."""
    place = (error.field, error.time or 0, error.truth_ids, error.pred_ids)
    return (-error.wrong, -(error.volume_um3 or 0.0), *place)


def _by_kind(errors: Sequence[ErrorEntry]) -> dict[str, tuple[int, float]]:
    found = {
        kind: [m.wrong for m in errors if m.kind == kind]
        for kind in KINDS
        if any(m.kind == kind for m in errors)
    }
    counted = {kind: (len(wrong), round(sum(wrong), 4)) for kind, wrong in found.items()}
    return dict(sorted(counted.items(), key=lambda item: -item[1][1]))


def of_view(view: LabelsView, found: EvaluatedModel) -> list[ErrorEntry]:
    """Return what a model got wrong at one time point of labels, in the evaluation's order.

    Raises
    ------
    ProjectError
        The evaluation's file is damaged.
    """
    nuclei, cases = read_cases(found, view.name)
    usual = float(np.median([n.volume_voxels for n in nuclei.values()] or [1]))
    return [_entry(view, case, usual) for case in cases if case.kind != "matched"]


def _entry(view: LabelsView, case: ScoredCase, usual_voxels: float) -> ErrorEntry:
    info = view.info
    z, y, x = (
        min(max(round(at), 0), size - 1)
        for at, size in zip(case.centroid_zyx, info.zyx, strict=True)
    )
    dz, dy, dx = info.spacing_um
    at_border = any(n.at_border for n in case.nuclei)
    reasons = [_words(case), *_unusual(case.nuclei, usual_voxels)]
    return ErrorEntry(
        field=info.address,
        time=view.time if info.times > 1 else None,
        kind=case.kind,
        truth_ids=case.truth_ids,
        pred_ids=case.pred_ids,
        position_zyx=(z, y, x),
        position_um=(z * dz, y * dy, x * dx),
        wrong=case.wrong,
        iou=case.iou,
        volume_um3=case.volume_voxels * float(np.prod(info.spacing_um)) if case.nuclei else None,
        at_border=at_border,
        why="; ".join([*reasons, "at the border"] if at_border else reasons),
    )


def _words(case: ScoredCase) -> str:
    nucleus = case.nuclei[0] if case.nuclei else None
    match case.kind:
        case "merged":
            return f"object {listed_ids(case.pred_ids)} covers {len(case.truth_ids)} nuclei"
        case "split":
            return f"nucleus {listed_ids(case.truth_ids)} is cut into {len(case.pred_ids)} objects"
        case "missed" if nucleus is not None and nucleus.iou > 0:
            return f"object {nucleus.best_id} only grazes the nucleus"
        case "missed":
            return "nothing there"
        case "spurious":
            return "no nucleus there"
    if nucleus is not None and nucleus.kind != "shifted":
        return (
            f"one object too many: nucleus {listed_ids(case.truth_ids)} is {nucleus.kind} already"
        )
    return "the outline does not fit"


def _unusual(nuclei: Sequence[Nucleus], usual_voxels: float) -> list[str]:
    """Say so where a lone nucleus is small or large: often that is why it was not found."""
    if len(nuclei) != 1:
        return []
    times = nuclei[0].volume_voxels / usual_voxels
    if _SMALL < times < _LARGE:
        return []
    return [f"{times:.2g} times the usual volume"]


def listed_ids(ids: Sequence[int]) -> str:
    """Return the first ids as text."""
    more = ", …" if len(ids) > _MOST_IDS else ""
    return ", ".join(map(str, ids[:_MOST_IDS])) + more
