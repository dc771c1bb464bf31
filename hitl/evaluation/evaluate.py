"""Scoring models against hand-made labels: every metric, per field and averaged, with pictures."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from annotations.copies.copy import Copy
from annotations.fields import LabelsInfo
from annotations.store import AnnotationStore
from annotations.views import LabelsView
from hitl.evaluation.ceiling import ceiling, read_agreements
from hitl.evaluation.metrics.averages import average
from hitl.evaluation.metrics.resampling import Difference, Interval, bootstrap
from hitl.evaluation.metrics.scores import Scores
from hitl.evaluation.options import ScoreOptions
from hitl.evaluation.paired import ItemPairs, compare_models, pair_items
from hitl.evaluation.pictures import save_comparison
from hitl.evaluation.requests import EvaluateRequest
from hitl.evaluation.scoring import score_labels
from hitl.prediction.predict import cached_prediction, prediction_file, read_prediction
from hitl.prediction.predictor import BOOTSTRAP, Predictor
from hitl.preprocess.grey import one_channel
from hitl.project.addresses import chosen_labels
from hitl.project.copies import known_copies, note_copies_of
from hitl.project.errors import NothingToDoError
from hitl.project.folder import Project, next_numbered, now
from hitl.project.plain import plain
from hitl.project.records import write_record
from hitl.project.reporter import Reporter

Means = dict[str, float | None]
T = TypeVar("T")
Pairs = dict[str, dict[str, ItemPairs]]
"""Per model, against the first, what they give each field and time point."""


@dataclass(frozen=True)
class ModelScores:
    """One model's scores on several fields.

    Parameters
    ----------
    mean : dict of str to (float or None)
        Over the fields of each class, then over classes; keys as in `Scores.flat`.
    intervals : dict of str to Interval
        By metric, of the mean.
    classes : dict of str to dict
        Means over the fields of each class.
    fields : dict of str to Scores
        By address, with the time point where there are several.
    """

    mean: Means
    intervals: dict[str, Interval]
    classes: dict[str, Means]
    fields: dict[str, Scores]


@dataclass(frozen=True)
class Comparison:
    """Two models on the same objects.

    Parameters
    ----------
    first, second : str
    metrics : dict of str to Difference
        Second minus first.
    """

    first: str
    second: str
    metrics: dict[str, Difference]


@dataclass(frozen=True)
class Evaluated:
    """The scores of several models on the same fields.

    Parameters
    ----------
    split : str
    round : int or None
        The round whose labels are the truth; None for the last commit.
    options : ScoreOptions
    models : dict of str to ModelScores
    comparisons : tuple of Comparison
        Every other model against the first.
    ceiling : mapping of str to mapping
        How well people agree with each other; see `hitl.evaluation.ceiling.ceiling`.
    file : Path
        JSON file with everything.
    pictures : tuple of Path
    """

    split: str
    round: int | None
    options: ScoreOptions
    models: dict[str, ModelScores]
    comparisons: tuple[Comparison, ...]
    ceiling: dict[str, dict[str, Any]]
    file: Path
    pictures: tuple[Path, ...]


@dataclass(frozen=True)
class Truth:
    """One time point of labels that a person has made everywhere."""

    view: LabelsView

    @property
    def labels(self) -> NDArray[np.uint32]:
        """Read when asked for: only one field is held at a time."""
        return np.asarray(self.view.labels[...], dtype=np.uint32)

    @property
    def name(self) -> str:
        """What people read."""
        return self.view.name

    @property
    def info(self) -> LabelsInfo:
        """What is known of the labels."""
        return self.view.info


def evaluate(project: Project, request: EvaluateRequest, reporter: Reporter) -> Evaluated:
    """Score models on all labels of a split that people have made everywhere.

    Parameters
    ----------
    project : Project
    request : EvaluateRequest
    reporter : Reporter

    Raises
    ------
    NothingToDoError
        No field of that split has a person's labels.
    ProjectError
        Unknown run.
    """
    truths = find_truths(project.store(), request, reporter)
    # A damaged file is better met before the models run.
    people = ceiling(read_agreements(project))
    scores: dict[str, dict[str, Scores]] = {}
    work = _work(project, request, truths, reporter)
    while work:
        # Let go of when it is scored: one model's weights are held at a time.
        predictor, own = work.popleft()
        scores[predictor.name] = _scores_of(project, predictor, own, request.options, reporter)
    folder = next_numbered(project.folder / "evaluations")
    folder.mkdir()
    pairs, pictures = _beside_each_other(project, truths, scores, folder)
    done = Evaluated(
        split=request.split,
        round=request.round,
        options=request.options,
        models={model: _model_scores(found, truths) for model, found in scores.items()},
        comparisons=_compared(pairs, truths, next(iter(scores))),
        ceiling=people,
        file=folder / "scores.json",
        pictures=pictures,
    )
    write_record(done.file, {"made": now(), **plain(done)})
    return done


def _work(
    project: Project, request: EvaluateRequest, truths: Sequence[Truth], reporter: Reporter
) -> deque[tuple[Predictor, list[Truth]]]:
    """Return the models, none of them loaded, and what each is scored on; refuse what cannot be."""
    names = request.models or (BOOTSTRAP, *(folder.name for folder in project.finished_runs()))
    found: deque[tuple[Predictor, list[Truth]]] = deque()
    for model in dict.fromkeys(names):
        predictor = Predictor(project, model, reporter)
        own = _of_its_classes(predictor, truths)
        if own:
            predictor.check(truth.info for truth in own)
            found.append((predictor, own))
    if not found:
        raise NothingToDoError(
            f"no model takes a class of split {request.split}: there is nothing to score"
        )
    if any(predictor.card for predictor, _ in found):
        copies = known_copies(project.store(), reporter)
        for predictor, own in found:
            _warn_of_leakage(predictor, own, copies, reporter)
    return found


def _of_its_classes(predictor: Predictor, truths: Sequence[Truth]) -> list[Truth]:
    """Return the labels that a model takes; notes say why it is not scored on the others."""
    own = {info.key for info in predictor.own([truth.info for truth in truths])}
    return [truth for truth in truths if truth.info.key in own]


def _scores_of(
    project: Project,
    predictor: Predictor,
    truths: Sequence[Truth],
    options: ScoreOptions,
    reporter: Reporter,
) -> dict[str, Scores]:
    """Score one model on all labels; what it predicts stays in its file."""
    found = {}
    for number, truth in enumerate(truths):
        reporter.progress(number, len(truths), f"{predictor.name}: {truth.name}")
        found[truth.name] = score_labels(
            truth.labels,
            cached_prediction(project, predictor, truth.view),
            spacing_um=truth.info.spacing_um,
            options=options,
            edge_width_px=project.config.evaluation.edge_width_px,
        )
        # Say why the main metrics of a field are not defined.
        for key in ("evaluation_score", "f1"):
            if key in found[truth.name].reasons:
                reason = found[truth.name].reasons[key]
                reporter.note(f"{truth.name}: {key} is not defined: {reason}")
    return found


def _model_scores(found: dict[str, Scores], truths: Sequence[Truth]) -> ModelScores:
    means = average(_by_field(found, truths))
    items = {name: scores.items for name, scores in found.items()}
    return ModelScores(
        mean=means.mean,
        intervals=bootstrap(_by_field(items, truths)),
        classes=means.classes,
        fields=found,
    )


def _by_field(found: Mapping[str, T], truths: Sequence[Truth]) -> dict[str, dict[str, list[T]]]:
    """Sort what was found of each time point by field and class."""
    fields: dict[str, dict[str, list[T]]] = {}
    for truth in truths:
        if truth.name in found:
            classes = fields.setdefault(truth.info.field.name, {})
            classes.setdefault(truth.info.class_name, []).append(found[truth.name])
    return fields


def find_truths(
    store: AnnotationStore, request: EvaluateRequest, reporter: Reporter
) -> list[Truth]:
    """Return the labels of a split that a person has made everywhere.

    Raises
    ------
    NothingToDoError
        There are none.
    """
    split = request.split
    every = [
        info
        for info in chosen_labels(store, (), request.classes, request.round)
        if info.split == split
    ]
    if not every:
        raise NothingToDoError(
            f"there is no field of split {split}; "
            f"add one with `hitl add PROJECT IMAGE --split {split} --labels FILE`"
        )
    views = [store.labels(info.key, round=request.round) for info in every]
    whole = [view for view in views if view.verified_voxels == view.info.voxels]
    if not whole:
        raise NothingToDoError(
            f"no field of split {split} is labelled by hand everywhere: there is no truth to "
            "score against; add one with `hitl add PROJECT IMAGE --labels FILE`"
        )
    left = [view.info.address for view in views if view not in whole]
    if left:
        reporter.note(f"not labelled by hand everywhere, so left out: {', '.join(left)}")
    return [Truth(view) for labels in whole for view in labels.time_points()]


def _warn_of_leakage(
    predictor: Predictor, truths: Sequence[Truth], copies: Sequence[Copy], reporter: Reporter
) -> None:
    if predictor.card is None:
        return
    learned = predictor.card["trained_on"]
    sources = {source["source_sha256"] for source in learned} - {None}
    seen = {truth.info.address for truth in truths if truth.info.source_sha256 in sources}
    for address in sorted(seen):
        reporter.note(f"{predictor.name} was trained on {address}: its score there flatters it")
    fields = {source["field"] for source in learned}
    scored = {truth.info.field.name for truth in truths if truth.info.address not in seen}
    note_copies_of(predictor.name, fields, scored, copies, reporter)


def _beside_each_other(
    project: Project, truths: Sequence[Truth], scores: dict[str, dict[str, Scores]], folder: Path
) -> tuple[Pairs, tuple[Path, ...]]:
    """Pair the objects of every other model with the first's, and draw all, field by field."""
    first, *others = scores
    pairs: Pairs = {other: {} for other in others}
    pictures = []
    drawn = project.config.evaluation.picture
    for truth in truths if others or drawn else ():
        name = truth.name
        images = {
            model: read_prediction(prediction_file(project, model, truth.info), truth.view)
            for model, found in scores.items()
            if name in found
        }
        for other in others:
            if first in images and other in images:
                a, b = (scores[model][name].items for model in (first, other))
                pairs[other][name] = pair_items(a, b, images[first], images[other])
        if drawn and images:
            told = {
                model: f"F1 {scores[model][name].at_half.f1 or 0:.2f} at IoU 0.5"
                for model in images
            }
            pictures.append(_draw(truth, images, told, folder))
    return pairs, tuple(pictures)


def _compared(pairs: Pairs, truths: Sequence[Truth], first: str) -> tuple[Comparison, ...]:
    """Compare every other model with the first, object by object, where both were scored."""
    return tuple(
        Comparison(first, other, compare_models(_by_field(found, truths)))
        for other, found in pairs.items()
        if found
    )


def _draw(
    truth: Truth, images: dict[str, NDArray[np.uint32]], told: dict[str, str], folder: Path
) -> Path:
    """Draw what models gave for one field and time point beside the truth."""
    file = folder / f"{truth.view.file_name}.png"
    save_comparison(
        file,
        one_channel(truth.view.read_image()),
        truth.labels,
        images,
        truth.info.spacing_um,
        told,
    )
    return file
