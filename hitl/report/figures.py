"""The report's charts, from its figures."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from markupsafe import Markup

from hitl.project.ranking import Scored
from hitl.report import charts
from hitl.report.charts import Mark, Reference, Series
from hitl.report.hand_work import Point
from hitl.report.inputs import Curves, Inputs
from hitl.report.nuclei import Sizes
from labels.numbers import number_of

ERROR_KINDS = ("matched", "shifted", "split", "merged", "missed", "spurious")
STATUSES = ("proposed", "accepted", "corrected")
_NOT_CURVES = ("epoch", "seconds", "lr", "learning_rate")
MOST_DRAWN = 1e15
"""Of a loss; what is beyond, and NaN, has diverged."""

_CEILINGS = {"annotators": "two people", "self": "one person, twice"}


def ceiling_lines(inputs: Inputs, metric: str) -> list[Reference]:
    """Return the levels at which people agree in a metric."""
    lines = []
    for kind, found in inputs.ceiling.items():
        value = found["mean"].get(metric)
        if value is not None:
            name = f"{_CEILINGS.get(kind, kind)}: {value:.3f}"
            tip = (
                f"{name}; {number_of(found['pairs'], 'comparison')} on {', '.join(found['fields'])}"
            )
            lines.append(Reference(name, value, tip))
    return lines


def score_chart(inputs: Inputs, metric: str, name: str) -> Markup | None:
    """Draw one metric of every comparable model with its interval, and the human ceiling."""
    rows = []
    for one in inputs.scored:
        value = one.found["mean"].get(metric)
        if value is None or not one.comparable:
            continue
        span = one.found.get("intervals", {}).get(metric) or {}
        low, high = span.get("low"), span.get("high")
        between = "" if low is None or high is None else f", 95 % interval {low:.3f} to {high:.3f}"
        tip = f"{one.model}: {name} {value:.3f}{between}"
        rows.append((one.model, Mark(0, value, low, high, tip)))
    if not rows:
        return None
    references = ceiling_lines(inputs, metric)
    return charts.dot_chart(rows, title=f"{name} by model", x_label=name, references=references)


def progress_chart(points: Sequence[Point], inputs: Inputs, against: str) -> Markup | None:
    """Draw the score of runs against rounds, objects settled or minutes."""
    labels = {
        "round": "round of the labels that the run learned from",
        "objects": "objects settled by hand before the run",
        "minutes": "minutes of hand work before the run",
    }
    found: dict[str, list[Mark]] = {}
    for point in points:
        if point.score is None:
            continue
        x = float(getattr(point.work, against))
        tip = (
            f"{point.run}: evaluation score {point.score:.3f}, labels of round {point.work.round}, "
            f"{number_of(point.work.objects, 'object')}, "
            f"{number_of(round(point.work.minutes), 'minute')}"
        )
        mark = Mark(x, point.score, point.score_low, point.score_high, tip)
        found.setdefault(point.model, []).append(mark)
    if not found:
        return None
    series = [Series(name, tuple(marks), n) for n, (name, marks) in enumerate(found.items())]
    references = ceiling_lines(inputs, "evaluation_score") + untrained(inputs)
    return charts.line_chart(
        series,
        title=f"evaluation score against {labels[against]}",
        x_label=labels[against],
        y_label="evaluation score",
        references=references,
        whole_x=against != "minutes",
    )


def untrained(inputs: Inputs) -> list[Reference]:
    """Return the levels of the models that no run of this project trained."""
    runs = {card["run"] for card in inputs.cards}
    lines = []
    for one in inputs.scored:
        value = one.found["mean"].get("evaluation_score")
        if one.model not in runs and one.comparable and value is not None:
            tip = f"{one.model}, without training: {value:.3f}"
            lines.append(Reference(f"{one.model}: {value:.3f}", value, tip))
    return lines


def overlap_chart(scored: Sequence[Scored]) -> Markup | None:
    """Draw AP over the IoU that a match needs, one line per model."""
    series = []
    for number, one in enumerate(scored):
        marks = []
        for key, value in one.found["mean"].items():
            if key.startswith("thresholds.") and key.endswith(".ap") and value is not None:
                at = float(key.removeprefix("thresholds.").removesuffix(".ap"))
                marks.append(Mark(at, value, tip=f"{one.model}: AP {value:.3f} at IoU {at:g}"))
        if marks and one.comparable:
            marks.sort(key=lambda mark: mark.x)
            series.append(Series(one.model, tuple(marks), number))
    if not series:
        return None
    return charts.line_chart(
        series, title="AP over IoU threshold", x_label="IoU that a match needs", y_label="AP"
    )


def error_counts(evaluation: Mapping[str, Any]) -> dict[str, dict[str, dict[str, int]]]:
    """Return objects by model, field and outcome: `ERROR_KINDS`."""
    return {
        model: {
            field: {kind: int(scores["errors"].get(kind, 0)) for kind in ERROR_KINDS}
            for field, scores in found["fields"].items()
        }
        for model, found in evaluation["models"].items()
    }


def added_up(fields: Mapping[str, Mapping[str, int]]) -> dict[str, int]:
    """Return the counts of all fields together."""
    return {kind: sum(found[kind] for found in fields.values()) for kind in ERROR_KINDS}


def error_chart(counts: Mapping[str, Mapping[str, Mapping[str, int]]]) -> Markup:
    """Draw what became of the objects, one bar per model."""
    rows = [
        (model, [float(n) for n in added_up(fields).values()]) for model, fields in counts.items()
    ]
    return charts.stacked_bars(
        rows, ERROR_KINDS, title="outcome of objects by model", x_label="objects"
    )


def status_chart(rows: Mapping[str, Mapping[str, int]]) -> Markup | None:
    """Draw the objects of each field by what people said of them."""
    if not any(any(found.values()) for found in rows.values()):
        return None
    bars = [(name, [float(found.get(s, 0)) for s in STATUSES]) for name, found in rows.items()]
    return charts.stacked_bars(
        bars, STATUSES, title="objects of each field by status", x_label="objects"
    )


def size_charts(found: Mapping[str, Sizes], title: str, things: str) -> dict[str, Markup]:
    """Draw a histogram of volumes for each class."""
    return {
        name: charts.histogram(
            each.edges_um3,
            each.counts,
            title=title if len(found) == 1 else f"{title}: {name}",
            x_label="volume, µm³ (log scale)",
            y_label=things,
        )
        for name, each in found.items()
    }


def training_charts(curves: Curves) -> list[Markup]:
    """Draw a run's losses, and its validation scores."""
    columns = list(dict.fromkeys(key for row in curves for key in row if key not in _NOT_CURVES))
    losses = [key for key in columns if "loss" in key]
    others = [key for key in columns if key not in losses]
    drawn = []
    for keys, name, span in ((losses, "loss", None), (others, "validation score", (0.0, 1.0))):
        series = []
        for number, key in enumerate(keys):
            marks = tuple(
                Mark(row["epoch"], row[key], tip=f"{key} {row[key]:.4g} in epoch {row['epoch']:g}")
                for row in _thinned(curves)
                if abs(row.get(key, math.nan)) < MOST_DRAWN
            )
            if marks:
                series.append(Series(key, marks, number, dots=False))
        if series:
            chart = charts.line_chart(
                series,
                title=f"{name} by epoch",
                x_label="epoch",
                y_label=name,
                y_range=span if all(m.y <= 1 for s in series for m in s.marks) else None,
                whole_x=True,
                height=240,
            )
            drawn.append(chart)
    return drawn


def _thinned(curves: Curves, most: int = 200) -> Curves:
    """Take every n-th row: a chart is no wider than some hundred points."""
    step = max(1, len(curves) // most)
    return [row for n, row in enumerate(curves) if n % step == 0 or n == len(curves) - 1]
