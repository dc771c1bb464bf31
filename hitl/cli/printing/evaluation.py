"""What is printed of scores: of a label file, of models, and of people among themselves."""

from __future__ import annotations

from typing import Any

from hitl.cli.demo import Demonstrated
from hitl.cli.printing import scores as tables
from hitl.cli.tables import plain_table
from hitl.evaluation.agreement import KEYS, Agreement
from hitl.evaluation.evaluate import Evaluated
from hitl.evaluation.score_files import Scored
from hitl.project.plain import plain
from labels.numbers import number_of

_UNITS = {"px": "voxels along x", "um": "µm"}


def scored(done: Scored, everything: bool) -> tuple[dict[str, Any], Any]:
    """Tell how one label file compares with another: the main metrics, or all of them."""
    from rich.console import Group

    found, name = done.scores, done.predicted.name
    rows = {name: found.flat()}
    shown: list[Any] = [
        tables.metric_table(rows[name], done.intervals, title=f"{name} against {done.truth.name}"),
        _footnote(done),
        tables.error_table(rows, title="what became of each object"),
    ]
    if everything:
        shown += [
            *(tables.threshold_table(rows, metric=metric) for metric in ("f1", "ap")),
            tables.convention_table(found),
            tables.border_table(rows),
            tables.voxel_table(rows, title="voxels of each class"),
        ]
    else:
        shown.append("by IoU threshold, convention, class and border: --all or --json")
    return {
        "truth": done.truth,
        "predicted": done.predicted,
        **plain(found),
        "intervals": done.intervals,
    }, Group(*shown)


def evaluated(done: Evaluated, everything: bool, compare: bool) -> tuple[Evaluated, Any]:
    """Tell how models score: the main scores, or every table."""
    from rich.console import Group

    means = {model: found.mean for model, found in done.models.items()}
    shown = [
        score_table(done),
        tables.interval_table({model: found.intervals for model, found in done.models.items()}),
        *(
            f"people among themselves ({kind}): {_in_words(found)}"
            for kind, found in done.ceiling.items()
        ),
    ]
    shown += [
        tables.class_table(found.classes, found.mean, title=f"{model}: mean per class")
        for model, found in done.models.items()
        if len(found.classes) > 1
    ]
    if compare or everything:
        shown += [
            tables.difference_table(found.metrics, found.first, found.second)
            for found in done.comparisons
        ]
    shown.append(tables.error_table(means, title="what became of each object"))
    if everything:
        shown += [tables.threshold_table(means, metric=name) for name in ("f1", "ap")]
        shown += [tables.voxel_table(means, title="voxels of each class")]
        shown += [tables.border_table(means)]
    else:
        shown.append("by IoU threshold, voxel class and border: --all; two models: --compare")
    return done, Group(*shown, f"all of it: {done.file}")


def score_table(done: Evaluated) -> Any:
    """Return the table of the main scores: a row per model and field, and their means."""
    fields = dict.fromkeys(name for found in done.models.values() for name in found.fields)
    title = f"scores on {', '.join(fields)} ({done.split}); F1, precision, recall, PQ at IoU 0.5"
    rows: dict[str, tables.Row] = {}
    if len(fields) > 1:
        for model, found in done.models.items():
            rows |= {f"{model}, {name}": part.flat() for name, part in found.fields.items()}
    mean = ", mean" if rows else ""
    rows |= {f"{model}{mean}": found.mean for model, found in done.models.items()}
    return tables.score_table(rows, title=title)


def agreed(found: Agreement) -> tuple[Agreement, Any]:
    """Tell how far two people agree."""
    from rich.console import Group

    rows = []
    for key in KEYS:
        value, between = found.values[key], found.intervals.get(key)
        span = tables.span(between, unknown="") if between else ""
        rows.append((key, "–" if value is None else f"{value:.3f}", span))
    first, second = found.first, found.second
    raters = f"{first.name} ({first.source}), {second.name} ({second.source})"
    table = plain_table(
        ("agreement", "value", "95 %"), rows, title=f"{found.field}: {raters}", right=("value",)
    )
    kept = [] if found.file is None else [f"kept in {found.file}"]
    return found, Group(table, f"{first.objects} and {number_of(second.objects, 'object')}", *kept)


def _in_words(found: dict[str, Any]) -> str:
    mean = found["mean"]
    figures = (("score", "evaluation_score"), ("F1", "f1"), ("AJI", "aji"))
    known = [f"{name} {mean[key]:.3f}" for name, key in figures if mean.get(key) is not None]
    return f"{', '.join(known)} on {', '.join(found['fields'])}"


def _footnote(done: Scored) -> str:
    centroids, boundary = done.scores.centroids, done.scores.boundary
    parts = [f"centroids match within {centroids.within:g} {_UNITS[centroids.unit]}"]
    if boundary is not None:
        parts.append(f"boundaries within {boundary.tolerance_um:.3g} µm")
    left = done.scores.left_out
    if left.truth_ids or left.pred_ids:
        parts.append(
            f"left out: {number_of(len(left.truth_ids), 'object')} of the truth, "
            f"{len(left.pred_ids)} of the prediction"
        )
    return "; ".join(parts)


def demonstrated(done: Demonstrated) -> tuple[dict[str, Any], Any]:
    """Tell what was scored, and where everything is."""
    from rich.console import Group

    folder = done.project.folder
    data = {"project": folder, "report": done.report, **plain(done.evaluated)}
    pictures = "\n".join(f"  {picture}" for picture in done.evaluated.pictures)
    closing = (
        f"pictures of each result beside the truth:\n{pictures}\n"
        f"all of it on one page, to open in a browser: {done.report}\n"
        f"look around: hitl status {folder}; hitl log {folder}"
    )
    return data, Group(score_table(done.evaluated), closing)
