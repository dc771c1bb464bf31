"""Scoring models against hand-made labels: every metric, per field and averaged, with pictures."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from annotations.fields import LabelsInfo
from annotations.store import AnnotationStore
from hitl.evaluation.ceiling import ceiling, read_agreements
from hitl.evaluation.metrics.averages import average
from hitl.evaluation.metrics.resampling import Difference, Interval, bootstrap
from hitl.evaluation.metrics.scores import Scores
from hitl.evaluation.options import ScoreOptions
from hitl.evaluation.paired import ItemPairs, compare_models, pair_items
from hitl.evaluation.pictures import save_comparison
from hitl.evaluation.requests import EvaluateRequest
from hitl.evaluation.scoring import score_labels
from hitl.prediction.predict import BOOTSTRAP, Predictor, cached_prediction
from hitl.project.errors import NothingToDoError
from hitl.project.folder import Project, next_numbered, now, write_json
from hitl.project.plain import plain
from hitl.project.reporter import Reporter
from hitl.project.runs import read_card

Means = dict[str, float | None]
Labels = dict[str, dict[str, NDArray[np.uint32]]]
"""By field, then by model."""


@dataclass(frozen=True)
class ModelScores:
    """One model's scores on several fields.

    Parameters
    ----------
    mean : dict of str to (float or None)
        Over the fields of each group, then over groups; keys as in `Scores.flat`.
    intervals : dict of str to Interval
        By metric, of the mean.
    groups : dict of str to dict
        Means over the fields of each group.
    channels : dict of str to dict
        Means over the fields of each channel that was segmented, by its name.
    fields : dict of str to Scores
    """

    mean: Means
    intervals: dict[str, Interval]
    groups: dict[str, Means]
    channels: dict[str, Means]
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
class _Truth:
    """A field that a person has labelled everywhere."""

    info: LabelsInfo
    labels: NDArray[np.uint32]


def evaluate(project: Project, request: EvaluateRequest, reporter: Reporter) -> Evaluated:
    """Score models on every labelled field of a split.

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
    truths = _truths(project.store(), request.split, request.round)
    # A damaged file is better met before the models run.
    people = ceiling(read_agreements(project))
    names = request.models or (BOOTSTRAP, *(folder.name for folder in project.finished_runs()))
    scores: dict[str, dict[str, Scores]] = {}
    predictions: Labels = {truth.info.address: {} for truth in truths}
    for model in dict.fromkeys(names):
        predictor = Predictor(project, model, reporter)
        _warn_of_leakage(project, model, truths, reporter)
        scores[predictor.name] = _scores_of(
            project, predictor, truths, request.options, predictions, reporter
        )
    folder = next_numbered(project.folder / "evaluations")
    folder.mkdir()
    done = Evaluated(
        split=request.split,
        round=request.round,
        options=request.options,
        models={model: _model_scores(found, truths) for model, found in scores.items()},
        comparisons=_compared(scores, predictions, truths),
        ceiling=people,
        file=folder / "scores.json",
        pictures=_draw(project, truths, scores, predictions, folder),
    )
    write_json(done.file, {"made": now(), **plain(done)})
    return done


def _scores_of(
    project: Project,
    predictor: Predictor,
    truths: Sequence[_Truth],
    options: ScoreOptions,
    predictions: Labels,
    reporter: Reporter,
) -> dict[str, Scores]:
    """Score one model on every field, and keep what it predicted."""
    found = {}
    for number, truth in enumerate(truths):
        name = truth.info.address
        reporter.progress(number, len(truths), f"{predictor.name}: {name}")
        labels, _ = cached_prediction(project, project.store(), predictor, name)
        predictions[name][predictor.name] = labels
        found[name] = score_labels(
            truth.labels,
            labels,
            spacing_um=truth.info.spacing_um,
            options=options,
            edge_width_px=project.config.evaluation.edge_width_px,
        )
        # Say why the main metrics of a field are not defined.
        for key in ("evaluation_score", "f1"):
            if key in found[name].reasons:
                reporter.note(f"{name}: {key} is not defined: {found[name].reasons[key]}")
    return found


def _model_scores(found: dict[str, Scores], truths: Sequence[_Truth]) -> ModelScores:
    groups = _grouped(found, truths, lambda info: info.group)
    means = average(groups)
    return ModelScores(
        mean=means.mean,
        intervals=bootstrap({name: [s.items for s in part] for name, part in groups.items()}),
        groups=means.groups,
        channels=average(_grouped(found, truths, lambda info: info.channels[info.channel])).groups,
        fields=found,
    )


def _grouped(
    found: Mapping[str, Any], truths: Sequence[_Truth], key: Callable[[LabelsInfo], str]
) -> dict[str, list[Any]]:
    """Collect what was found of each field by what the fields have in common."""
    groups: dict[str, list[Any]] = {}
    for truth in truths:
        groups.setdefault(key(truth.info), []).append(found[truth.info.address])
    return groups


def _truths(store: AnnotationStore, split: str, round_number: int | None) -> list[_Truth]:
    """Read the fields of a split that a person has labelled everywhere."""
    found = [info for info in store.all_labels(round=round_number) if info.split == split]
    if not found:
        raise NothingToDoError(
            f"there is no field of split {split}; "
            f"add one with `hitl add PROJECT IMAGE --split {split} --labels FILE`"
        )
    views = [(info, store.labels(info.address, round=round_number)) for info in found]
    truths = [
        _Truth(info, np.asarray(view.labels[...], dtype=np.uint32))
        for info, view in views
        if view.verified_voxels == int(np.prod(info.zyx))
    ]
    if not truths:
        raise NothingToDoError(
            f"no field of split {split} is labelled by hand everywhere: there is no truth to "
            "score against; add one with `hitl add PROJECT IMAGE --labels FILE`"
        )
    return truths


def _warn_of_leakage(
    project: Project, model: str, truths: Sequence[_Truth], reporter: Reporter
) -> None:
    if model not in {folder.name for folder in project.finished_runs()}:
        return
    sources = {s["source_sha256"] for s in read_card(project.run(model))["trained_on"]}
    for truth in truths:
        if truth.info.source_sha256 in sources:
            reporter.note(
                f"{model} was trained on {truth.info.address}: its score there flatters it"
            )


def _compared(
    scores: dict[str, dict[str, Scores]], predictions: Labels, truths: Sequence[_Truth]
) -> tuple[Comparison, ...]:
    """Compare every other model with the first, object by object."""
    first, *others = scores
    compared = []
    for other in others:
        pairs: dict[str, ItemPairs] = {
            name: pair_items(
                scores[first][name].items, scores[other][name].items, images[first], images[other]
            )
            for name, images in predictions.items()
        }
        groups = _grouped(pairs, truths, lambda info: info.group)
        compared.append(Comparison(first, other, compare_models(groups)))
    return tuple(compared)


def _draw(
    project: Project,
    truths: Sequence[_Truth],
    scores: dict[str, dict[str, Scores]],
    predictions: Labels,
    folder: Path,
) -> tuple[Path, ...]:
    if not project.config.evaluation.picture:
        return ()
    pictures = []
    for truth in truths:
        name = truth.info.address
        pictures.append(folder / f"{name}.png")
        save_comparison(
            pictures[-1],
            project.store().labels(name).read_channel(),
            truth.labels,
            predictions[name],
            truth.info.spacing_um,
            {
                model: f"F1 {found[name].at_half.f1 or 0:.2f} at IoU 0.5"
                for model, found in scores.items()
            },
        )
    return tuple(pictures)
