"""Scores of one, or of several models or fields, as tables for the terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rich import box
from rich.table import Table

from hitl.evaluation.metrics.resampling import Difference, Interval
from hitl.evaluation.metrics.scores import Scores
from hitl.evaluation.metrics.voxel import CLASS_NAMES

Row = Mapping[str, float | None]
"""Values of a model or field by their key in `Scores.flat`."""
Rows = Mapping[str, Row]
"""By model or field."""

SUMMARY_COLUMNS = {
    "score": "evaluation_score",
    "F1": "f1",
    "prec": "precision",
    "rec": "recall",
    "mAP": "mean_ap_50_95",
    "PQ": "pq",
    "SEG": "seg",
    "AJI": "aji",
    "Dice": "dice",
    "truth": "n_truth",
    "found": "n_pred",
}
METRIC_ROWS = {
    "evaluation score": "evaluation_score",
    "F1 at IoU 0.5": "f1",
    "precision at IoU 0.5": "precision",
    "recall at IoU 0.5": "recall",
    "AP at IoU 0.5": "ap",
    "mean AP, IoU 0.5–0.95": "mean_ap_50_95",
    "PQ at IoU 0.5": "pq",
    "SEG": "seg",
    "AJI": "aji",
    "Dice of pixels": "dice",
    "F1 of boundaries": "boundary.f1",
    "F1 of centroids": "centroids.f1",
    "F1 of overlap-counted objects": "overlapping.f1",
    "objects in the truth": "n_truth",
    "objects found": "n_pred",
    "count error": "count_error",
}
"""What a person sees of one prediction; the rest is behind `--all` and in the JSON."""
INTERVAL_COLUMNS = {"score": "evaluation_score", "F1": "f1", "mAP": "mean_ap_50_95", "AJI": "aji"}
VOXEL_COLUMNS = {"precision": "precision", "recall": "recall", "F1": "f1", "IoU": "iou"}
NAME_WIDTH = 12
MOST_THRESHOLDS = 10
"""With more, a table shows tenths and 0.95 only, to fit a terminal."""
ERROR_COLUMNS = {
    name: f"errors.{name}"
    for name in ("matched", "split", "merged", "shifted", "missed", "spurious")
}


def score_table(rows: Rows, *, title: str = "Scores") -> Table:
    """One row per model or field: evaluation score, F1 … at IoU 0.5, mean AP, PQ, SEG, counts."""
    return _table(rows, SUMMARY_COLUMNS, title)


def metric_table(values: Row, intervals: Mapping[str, Interval], *, title: str = "Scores") -> Table:
    """One row per metric, with its interval where there is one."""
    table = Table(title=title, box=box.SIMPLE_HEAD, title_justify="left", pad_edge=False)
    table.add_column("metric")
    table.add_column("value", justify="right")
    table.add_column("95 %", justify="right")
    for name, key in METRIC_ROWS.items():
        between = intervals.get(key)
        table.add_row(name, _cell(key, values.get(key)), "" if between is None else span(between))
    return table


def interval_table(
    rows: Mapping[str, Mapping[str, Interval]], *, title: str = "95 % intervals"
) -> Table:
    """One row per model: between what the main metrics lie, by resampling fields and objects."""
    table = _empty_table(tuple(INTERVAL_COLUMNS), title)
    for name, row in rows.items():
        table.add_row(name, *(span(row[key]) for key in INTERVAL_COLUMNS.values()))
    return table


def difference_table(differences: Mapping[str, Difference], first: str, second: str) -> Table:
    """One row per metric: both models, the difference with its interval, and its p."""
    title = f"{second} against {first}, on the same objects"
    table = _empty_table(("first", "second", "difference", "95 %", "p"), title)
    for name, found in differences.items():
        sign = "–" if found.difference is None else f"{found.difference:+.3f}"
        between = span(Interval(found.low, found.high), "+.3f")
        p = "–" if found.p is None else f"{found.p:.4f}"
        table.add_row(name, _cell(name, found.first), _cell(name, found.second), sign, between, p)
    return table


def convention_table(scores: Scores, *, title: str = "AP as others count it") -> Table:
    """One row per convention: AP by IoU threshold, and mean AP."""
    shown = [m.threshold for m in scores.matchings if round(10 * m.threshold, 6) % 1 == 0]
    table = _empty_table((*(f"{t:g}" for t in shown), "mAP"), title)
    for found in scores.conventions:
        by_threshold = {m.threshold: m.ap for m in found.matchings}
        cells = [_cell("ap", by_threshold.get(t)) for t in shown]
        table.add_row(found.name, *cells, _cell("ap", found.mean_ap))
    return table


def border_table(rows: Rows, *, title: str = "Objects that touch the border") -> Table:
    """Two rows per model or field: with the objects that touch the border, and without."""
    table = _empty_table(("border", *SUMMARY_COLUMNS), title)
    for name, row in rows.items():
        for kind in ("with", "without"):
            keys = [f"border.{kind}.{key}" for key in SUMMARY_COLUMNS.values()]
            table.add_row(name, kind, *_cells(row, keys))
    return table


def error_table(rows: Rows, *, title: str = "Errors") -> Table:
    """One row per model or field: how many objects are split, merged, shifted, missed, …."""
    return _table(rows, ERROR_COLUMNS, title)


def threshold_table(rows: Rows, *, metric: str = "f1", title: str | None = None) -> Table:
    """One row per model or field, one column per IoU threshold (tenths, where they are many).

    Parameters
    ----------
    rows : mapping of str to mapping
    metric : {"precision", "recall", "f1", "ap", "pq", "sq", "tp", "fp", "fn"}
    title : str, optional
    """
    keys = [key for row in rows.values() for key in row]
    columns = {
        key.removeprefix("thresholds.").removesuffix(f".{metric}"): key
        for key in dict.fromkeys(keys)
        if key.startswith("thresholds.") and key.endswith(f".{metric}")
    }
    if len(columns) > MOST_THRESHOLDS:
        columns = {t: key for t, key in columns.items() if len(t) <= len("0.1") or t == "0.95"}
    return _table(rows, columns, title or f"{metric.upper()} by IoU threshold")


def voxel_table(rows: Rows, *, title: str = "Voxels per class") -> Table:
    """One row per model or field and class: precision, recall, F1 and IoU."""
    table = _empty_table(("class", *VOXEL_COLUMNS), title)
    for name, row in rows.items():
        for kind in CLASS_NAMES:
            keys = [f"voxels.{kind}.{metric}" for metric in VOXEL_COLUMNS.values()]
            table.add_row(name, kind, *_cells(row, keys))
        table.add_section()
    return table


def class_table(classes: Rows, mean: Row, *, title: str = "Mean per class") -> Table:
    """One row per class, and a last one for the mean over classes."""
    table = _table(classes, SUMMARY_COLUMNS, title)
    table.add_section()
    table.add_row("mean", *_cells(mean, list(SUMMARY_COLUMNS.values())))
    return table


def _table(rows: Rows, columns: Mapping[str, str], title: str) -> Table:
    table = _empty_table(tuple(columns), title)
    for name, row in rows.items():
        table.add_row(name, *_cells(row, list(columns.values())))
    return table


def _empty_table(columns: Sequence[str], title: str) -> Table:
    table = Table(title=title, box=box.SIMPLE_HEAD, collapse_padding=True, pad_edge=False)
    table.add_column("", justify="left", overflow="fold", min_width=NAME_WIDTH)
    for name in columns:
        table.add_column(name, justify="right", no_wrap=True)
    return table


def _cells(row: Row, keys: Sequence[str]) -> list[str]:
    return [_cell(key, row.get(key)) for key in keys]


def _cell(key: str, value: float | None) -> str:
    if value is None:
        return "–"
    key = key.removeprefix("border.with.").removeprefix("border.without.")
    if key.startswith(("n_", "errors.")) or key.endswith((".tp", ".fp", ".fn")):
        return f"{round(value, 1):g}"
    if key == "count_error":
        return f"{round(value, 1):+g}"
    return f"{value:.3f}"


def span(between: Interval, pattern: str = ".3f", unknown: str = "–") -> str:
    """Return an interval in words."""
    if between.low is None or between.high is None:
        return unknown
    return f"{between.low:{pattern}} to {between.high:{pattern}}"
