"""Scoring models against hand-made labels: every metric, per stack and averaged, with pictures."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from annotations.stacks import StackInfo
from annotations.store import AnnotationStore
from hitl.evaluation.ceiling import ceiling, read_agreements
from hitl.evaluation.metrics.averages import AverageScores, average
from hitl.evaluation.metrics.options import ScoreOptions
from hitl.evaluation.metrics.resampling import Difference, Interval, bootstrap
from hitl.evaluation.metrics.scores import Scores
from hitl.evaluation.metrics.summary import score
from hitl.evaluation.paired import ItemPairs, compare_models, pair_items
from hitl.evaluation.pictures import save_comparison
from hitl.postprocess import edge_class
from hitl.prediction.predict import BOOTSTRAP, Predictor, cached_prediction
from hitl.project.errors import NothingToDoError, ProjectError
from hitl.project.folder import Project, now, write_json
from hitl.project.reporter import Reporter
from hitl.training.train import read_card

SPLITS = ("train", "val", "test")


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

    def to_dict(self) -> dict[str, Any]:
        """Return plain types for JSON."""
        metrics = {key: found.to_dict() for key, found in self.metrics.items()}
        return {"first": self.first, "second": self.second, "metrics": metrics}


@dataclass(frozen=True)
class Evaluated:
    """The scores of several models on the same stacks.

    Parameters
    ----------
    split : str
    round : int or None
        The round whose labels are the truth; None for the last commit.
    scores : mapping of str to mapping of str to Scores
        By model, then by stack.
    averages : mapping of str to AverageScores
        By model: over the stacks of each group, then over groups.
    channels : mapping of str to mapping of str to mapping
        By model, then by the name of the channel that was segmented: means over its stacks.
    intervals : mapping of str to mapping of str to Interval
        By model, then by metric, of the mean over groups.
    comparisons : tuple of Comparison
        Every other model against the first.
    ceiling : mapping of str to mapping
        How well people agree with each other; see `hitl.evaluation.ceiling.ceiling`.
    options : ScoreOptions
    file : Path
        JSON file with everything.
    pictures : tuple of Path
    """

    split: str
    round: int | None
    scores: dict[str, dict[str, Scores]]
    averages: dict[str, AverageScores]
    channels: dict[str, dict[str, dict[str, float | None]]]
    intervals: dict[str, dict[str, Interval]]
    comparisons: tuple[Comparison, ...]
    ceiling: dict[str, dict[str, Any]]
    options: ScoreOptions
    file: Path
    pictures: tuple[Path, ...] = field(default=())

    def to_dict(self) -> dict[str, Any]:
        """Return what `--json` prints."""
        return {
            "split": self.split,
            "round": self.round,
            "options": self.options.to_dict(),
            "models": {
                model: {
                    "mean": self.averages[model].mean,
                    "intervals": {k: asdict(v) for k, v in self.intervals[model].items()},
                    "groups": self.averages[model].groups,
                    "channels": self.channels[model],
                    "stacks": {name: found.to_dict() for name, found in stacks.items()},
                }
                for model, stacks in self.scores.items()
            },
            "comparisons": [found.to_dict() for found in self.comparisons],
            "ceiling": self.ceiling,
            "file": str(self.file),
            "pictures": [str(picture) for picture in self.pictures],
        }

    def tables(self, everything: bool = False, compare: bool = False) -> Any:
        """Return what is printed for people: the main scores, or every table."""
        from rich.console import Group

        from hitl.evaluation.metrics import table

        means = dict(self.averages)
        shown = [self.score_table(), table.interval_table(self.intervals)]
        shown += [
            f"people among themselves ({kind}): {_in_words(found)}"
            for kind, found in self.ceiling.items()
        ]
        if compare or everything:
            shown += [
                table.difference_table(found.metrics, found.first, found.second)
                for found in self.comparisons
            ]
        shown.append(table.error_table(means, title="what became of each object"))
        if everything:
            shown += [table.threshold_table(means, metric=name) for name in ("f1", "ap")]
            shown += [table.voxel_table(means, title="voxels of each class")]
            shown += [table.border_table(means)]
            shown += [
                table.group_table(found, title=f"{model}: mean per group")
                for model, found in self.averages.items()
                if len(found.groups) > 1
            ]
        else:
            shown.append("by IoU threshold, class, border and group: --all; two models: --compare")
        return Group(*shown, f"all of it: {self.file}")

    def score_table(self) -> Any:
        """Return the table of the main scores: a row per model and stack, and their means."""
        from hitl.evaluation.metrics.table import score_table

        stacks = [name for found in self.scores.values() for name in found]
        rows: dict[str, Scores | AverageScores] = {}
        if len(set(stacks)) > 1:
            for model, found in self.scores.items():
                rows.update({f"{model}, {name}": scores for name, scores in found.items()})
        for model, mean in self.averages.items():
            rows[model if not rows or len(set(stacks)) == 1 else f"{model}, mean"] = mean
        where = f"{', '.join(dict.fromkeys(stacks))} ({self.split})"
        return score_table(rows, title=f"scores on {where}; F1, precision, recall, PQ at IoU 0.5")


def _in_words(found: dict[str, Any]) -> str:
    mean = found["mean"]
    figures = (("score", "evaluation_score"), ("F1", "f1"), ("AJI", "aji"))
    known = [f"{name} {mean[key]:.3f}" for name, key in figures if mean.get(key) is not None]
    return f"{', '.join(known)} on {', '.join(found['stacks'])}"


def evaluate(
    project: Project,
    models: tuple[str, ...],
    round_number: int | None,
    split: str,
    reporter: Reporter,
    *,
    options: ScoreOptions | None = None,
) -> Evaluated:
    """Score models on every labelled stack of a split.

    Parameters
    ----------
    project : Project
    models : tuple of str
        Runs and segmenters; the bootstrap and every finished run when empty.
    round_number : int, optional
        Take the truth as of this round.
    split : {'train', 'val', 'test'}
    reporter : Reporter
    options : ScoreOptions, optional
        Which objects count, tolerances.

    Raises
    ------
    NothingToDoError
        No stack of that split has a person's labels.
    ProjectError
        Unknown run or split.
    """
    if split not in SPLITS:
        raise ProjectError(f"--split {split}: expected one of {', '.join(SPLITS)}")
    options = options or ScoreOptions()
    store = project.store()
    truths = _truths(store, split, round_number)
    # A damaged file is better met before the models run.
    people = ceiling(read_agreements(project))
    names = models or (BOOTSTRAP, *(folder.name for folder in project.finished_runs()))
    scores: dict[str, dict[str, Scores]] = {}
    predictions: dict[str, dict[str, NDArray[np.uint32]]] = {info.name: {} for info in truths}
    for model in dict.fromkeys(names):
        predictor = Predictor(project, model, reporter)
        _warn_of_leakage(project, model, truths, reporter)
        found = {}
        for number, info in enumerate(truths):
            reporter.progress(number, len(truths), f"{model}: {info.name}")
            labels, _ = cached_prediction(project, store, predictor, info.name)
            predictions[info.name][predictor.name] = labels
            found[info.name] = score_stack(
                store, info, round_number, labels, project, options=options
            )
            _note_what_is_missing(found[info.name], info.name, reporter)
        scores[predictor.name] = found
    folder = _new_folder(project)
    done = Evaluated(
        split=split,
        round=round_number,
        scores=scores,
        averages={model: average(_grouped(found, truths)) for model, found in scores.items()},
        channels={model: _by_channel(found, truths) for model, found in scores.items()},
        intervals={
            model: bootstrap(
                {group: [s.items for s in found] for group, found in _grouped(by, truths).items()}
            )
            for model, by in scores.items()
        },
        comparisons=_compared(scores, predictions, truths),
        ceiling=people,
        options=options,
        file=folder / "scores.json",
        pictures=_draw(project, store, truths, scores, predictions, round_number, folder),
    )
    write_json(done.file, {"made": now(), **done.to_dict()})
    return done


def score_stack(
    store: AnnotationStore,
    info: StackInfo,
    round_number: int | None,
    labels: NDArray[np.uint32],
    project: Project,
    *,
    options: ScoreOptions | None = None,
) -> Scores:
    """Score a label image of one stack against the store's labels."""
    truth = _truth_labels(store, info.name, round_number)
    width = project.config.evaluation.edge_width_px
    return score(
        truth,
        labels,
        spacing_um=info.spacing_um,
        options=options,
        truth_classes=edge_class(truth, width_px=width),
        pred_classes=edge_class(labels, width_px=width),
    )


def _truths(store: AnnotationStore, split: str, round_number: int | None) -> list[StackInfo]:
    """Stacks of a split that a person has labelled everywhere."""
    found = [info for info in store.stacks(round=round_number) if info.split == split]
    if not found:
        raise NothingToDoError(
            f"there is no stack of split {split}; "
            f"add one with `hitl add PROJECT IMAGE --split {split} --labels FILE`"
        )
    complete = []
    for info in found:
        view = store.stack(info.name, round=round_number)
        if view.verified_voxels == int(np.prod(info.zyx)):
            complete.append(info)
    if not complete:
        raise NothingToDoError(
            f"no stack of split {split} is labelled by hand everywhere: there is no truth to "
            "score against; add one with `hitl add PROJECT IMAGE --labels FILE`"
        )
    return complete


def _truth_labels(
    store: AnnotationStore, name: str, round_number: int | None
) -> NDArray[np.uint32]:
    return np.asarray(store.stack(name, round=round_number).labels[...], dtype=np.uint32)


def _warn_of_leakage(
    project: Project, model: str, truths: list[StackInfo], reporter: Reporter
) -> None:
    if model not in {folder.name for folder in project.finished_runs()}:
        return
    sources = {s["source_sha256"] for s in read_card(project.run(model))["trained_on"]}
    for info in truths:
        if info.source_sha256 in sources:
            reporter.note(f"{model} was trained on {info.name}: its score there flatters it")


def _note_what_is_missing(scores: Scores, stack: str, reporter: Reporter) -> None:
    """Say why the main metrics of a stack are not defined."""
    for key in ("evaluation_score", "f1"):
        if key in scores.reasons:
            reporter.note(f"{stack}: {key} is not defined: {scores.reasons[key]}")


def _draw(
    project: Project,
    store: AnnotationStore,
    truths: list[StackInfo],
    scores: dict[str, dict[str, Scores]],
    predictions: dict[str, dict[str, NDArray[np.uint32]]],
    round_number: int | None,
    folder: Path,
) -> tuple[Path, ...]:
    if not project.config.evaluation.picture:
        return ()
    pictures = []
    for info in truths:
        picture = folder / f"{info.name}.png"
        save_comparison(
            picture,
            store.stack(info.name).read_channel(),
            _truth_labels(store, info.name, round_number),
            predictions[info.name],
            info.spacing_um,
            {
                model: f"F1 {found[info.name].at_half.f1 or 0:.2f} at IoU 0.5"
                for model, found in scores.items()
            },
        )
        pictures.append(picture)
    return tuple(pictures)


def _grouped(found: dict[str, Scores], truths: list[StackInfo]) -> dict[str, list[Scores]]:
    groups: dict[str, list[Scores]] = {}
    for info in truths:
        groups.setdefault(info.group, []).append(found[info.name])
    return groups


def _by_channel(
    found: dict[str, Scores], truths: list[StackInfo]
) -> dict[str, dict[str, float | None]]:
    channels: dict[str, list[Scores]] = {}
    for info in truths:
        channels.setdefault(info.channels[info.channel], []).append(found[info.name])
    return average(channels).groups


def _compared(
    scores: dict[str, dict[str, Scores]],
    predictions: dict[str, dict[str, NDArray[np.uint32]]],
    truths: list[StackInfo],
) -> tuple[Comparison, ...]:
    """Compare every other model with the first, object by object."""
    first, *others = scores
    compared = []
    for other in others:
        groups: dict[str, list[ItemPairs]] = {}
        for info in truths:
            images = predictions[info.name]
            pairs = pair_items(
                scores[first][info.name].items,
                scores[other][info.name].items,
                images[first],
                images[other],
            )
            groups.setdefault(info.group, []).append(pairs)
        compared.append(Comparison(first, other, compare_models(groups)))
    return tuple(compared)


def _new_folder(project: Project) -> Path:
    parent = project.folder / "evaluations"
    parent.mkdir(exist_ok=True)
    number = 1 + max((int(p.name) for p in parent.glob("[0-9]*")), default=0)
    folder = parent / f"{number:04d}"
    folder.mkdir()
    return folder
