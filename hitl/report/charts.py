"""Charts as SVG: colours from the page's style, direct labels, and the figure behind each mark.

Every mark carries `data-tip`, which the page shows on hover and focus. Nothing here needs a
script: printed, or read without one, the charts are the same.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from hitl.report.plot import COLOURS, WIDTH, Plot, Span, log_ticks, named, span_of, ticks

LINE = 17
ROW = 26
ROW_NAMES = 150
"""Room for the names of rows."""
NAMES = 132
"""Room for the names of lines."""


@dataclass(frozen=True)
class Mark:
    """A point with its interval.

    Parameters
    ----------
    x, y : float
    low, high : float or None
        Of y.
    tip : str
        What is said of it.
    """

    x: float
    y: float
    low: float | None = None
    high: float | None = None
    tip: str = ""


@dataclass(frozen=True)
class Series:
    """Points that belong together.

    Parameters
    ----------
    name : str
    marks : tuple of Mark
    colour : int
    dots : bool
        Draw each point.
    """

    name: str
    marks: tuple[Mark, ...]
    colour: int = 0
    dots: bool = True


@dataclass(frozen=True)
class Reference:
    """A level to compare with, such as the agreement of people."""

    name: str
    value: float
    tip: str = ""


def line_chart(
    series: Sequence[Series],
    *,
    title: str,
    x_label: str,
    y_label: str,
    y_range: Span | None = (0.0, 1.0),
    references: Sequence[Reference] = (),
    whole_x: bool = False,
    height: int = 300,
) -> Markup:
    """Draw lines, with whiskers where marks have intervals, labelled at their ends.

    Parameters
    ----------
    series : sequence of Series
        At least one mark in all.
    title : str
        For those who cannot see it.
    x_label, y_label : str
    y_range : (float, float), optional
        From the data when not given.
    references : sequence of Reference
        Horizontal lines.
    whole_x : bool
        Ticks at whole numbers only, as for rounds.
    height : int
    """
    marks = [mark for one in series for mark in one.marks]
    xs = span_of([mark.x for mark in marks], zero=True)
    ys = y_range or span_of([mark.y for mark in marks], zero=False)
    plot = Plot(64, 14, WIDTH - NAMES, height - 48, xs, ys)
    plot.axes(x_label, y_label, named(ticks(*xs, whole=whole_x)), named(ticks(*ys)))
    labels = []
    for level in references:
        y = plot.y(level.value)
        plot.line("reference", (plot.left, y), (plot.right, y), level.tip or level.name)
        labels.append((y, level.name, "reference"))
    for number, one in enumerate(series):
        if one.marks:
            _draw_series(plot, one, number)
            labels.append((plot.y(one.marks[-1].y), one.name, f"c{one.colour % COLOURS}"))
    plot.end_labels(labels)
    return plot.svg(title)


def dot_chart(
    rows: Sequence[tuple[str, Mark]],
    *,
    title: str,
    x_label: str,
    references: Sequence[Reference] = (),
) -> Markup:
    """Draw one row per name: a dot from 0 to 1, a whisker over its interval, the value beside.

    Parameters
    ----------
    rows : sequence of (str, Mark)
        Name and a mark whose `y`, `low` and `high` count.
    title, x_label : str
    references : sequence of Reference
        Vertical lines.
    """
    top = 8 + LINE * len(references)
    plot = Plot(ROW_NAMES, top, WIDTH - 64, top + ROW * len(rows), (0.0, 1.0), (0.0, 1.0))
    plot.axes(x_label, "", named(ticks(0.0, 1.0)), [])
    for number, level in enumerate(references):
        x, y = plot.x(level.value), 12 + LINE * number
        left_of = x > plot.left + 0.6 * (plot.right - plot.left)
        plot.line("reference", (x, y - 9), (x, plot.bottom), level.tip or level.name)
        anchor, shift = ("end", -5) if left_of else ("start", 5)
        plot.text("reference", x + shift, y, level.name, anchor)
    for number, (name, mark) in enumerate(rows):
        y, x = top + ROW * number + 15, plot.x(mark.y)
        _draw_row_name(plot, name, y + 4)
        plot.line("grid", (plot.left, y), (plot.right, y))
        if mark.low is not None and mark.high is not None:
            ends = (plot.x(mark.low), y), (plot.x(mark.high), y)
            plot.line(f"whisker c{number % COLOURS}", *ends)
        plot.dot(x, y, number, number, mark.tip)
        plot.text("value", plot.right + 12, y + 4, f"{mark.y:.3f}")
    return plot.svg(title)


def stacked_bars(
    rows: Sequence[tuple[str, Sequence[float]]], kinds: Sequence[str], *, title: str, x_label: str
) -> Markup:
    """Draw one horizontal bar per row, in parts; the number stands in each part that holds it.

    Parameters
    ----------
    rows : sequence of (str, sequence of float)
        Name, and one number per kind.
    kinds : sequence of str
        Also the parts' style classes, as ``k-<kind>``.
    title, x_label : str
    """
    most = max((sum(values) for _, values in rows), default=1.0) or 1.0
    plot = Plot(ROW_NAMES, 36, WIDTH - 24, 36 + ROW * len(rows), (0.0, most), (0.0, 1.0))
    _draw_legend(plot, kinds)
    plot.axes(x_label, "", named(ticks(0.0, most, whole=True)), [])
    for number, (name, values) in enumerate(rows):
        y = 36 + ROW * number
        _draw_row_name(plot, name, y + 17)
        start = 0.0
        for kind, value in zip(kinds, values, strict=True):
            if value <= 0:
                continue
            x, end = plot.x(start), plot.x(start + value)
            tip = f"{name}: {value:g} {kind} ({value / sum(values):.0%})"
            plot.draw("rect", f"k-{kind}", tip=tip, x=x, y=y + 3, width=end - x, height=20)
            if end - x > 9 * len(f"{value:g}") + 6:
                style = f"inside k-{kind}-text"
                plot.text(style, (x + end) / 2, y + 17, f"{value:g}", "middle")
            start += value
    return plot.svg(title)


def histogram(
    edges: Sequence[float],
    series: Mapping[str, Sequence[int]],
    *,
    title: str,
    x_label: str,
    y_label: str,
) -> Markup:
    """Draw counts in bins that are equally wide on a logarithmic axis, as outlined steps.

    Parameters
    ----------
    edges : sequence of float, length n + 1
        Above 0.
    series : mapping of str to sequence of int, length n
        Counts by name.
    title, x_label, y_label : str
    """
    logs = [math.log10(edge) for edge in edges]
    most = max((max(counts, default=0) for counts in series.values()), default=1) or 1
    plot = Plot(64, 14, WIDTH - NAMES, 212, (logs[0], logs[-1]), (0.0, float(most)))
    marks = [(math.log10(v), f"{v:g}") for v in log_ticks(edges[0], edges[-1])]
    plot.axes(x_label, y_label, marks, named(ticks(0.0, float(most), whole=True)))
    at = [plot.x(log) for log in logs]
    labels = []
    for number, (name, counts) in enumerate(series.items()):
        heights = [plot.y(float(count)) for count in counts]
        steps = [(x, y) for k, y in enumerate(heights) for x in at[k : k + 2]]
        ends = (at[0], plot.bottom), (at[-1], plot.bottom)
        plot.lines([ends[0], *steps, ends[1]], number, number)
        for k, (count, y) in enumerate(zip(counts, heights, strict=True)):
            tip = f"{name}: {count} between {edges[k]:.3g} and {edges[k + 1]:.3g}"
            wide = at[k + 1] - at[k]
            plot.draw("rect", "hover", tip=tip, x=at[k], y=y - 3, width=wide, height=7)
        # Beside the plot, at the height of the tallest step.
        labels.append((min(heights), name, f"c{number % COLOURS}"))
    plot.end_labels(labels)
    return plot.svg(title)


def _draw_series(plot: Plot, one: Series, number: int) -> None:
    colour = f"c{one.colour % COLOURS}"
    places = [(plot.x(mark.x), plot.y(mark.y)) for mark in one.marks]
    plot.lines(places, one.colour, number // COLOURS)
    for (x, y), mark in zip(places, one.marks, strict=True):
        if not one.dots:
            plot.draw("circle", "hover", tip=mark.tip, cx=x, cy=y, r=7)
            continue
        if mark.low is not None and mark.high is not None:
            plot.line(f"whisker {colour}", (x, plot.y(mark.low)), (x, plot.y(mark.high)))
        plot.dot(x, y, one.colour, number, mark.tip)


def _draw_legend(plot: Plot, kinds: Sequence[str]) -> None:
    x = 4.0
    for kind in kinds:
        plot.draw("rect", f"k-{kind}", x=x, y=8, width=12, height=12)
        plot.text("", x + 17, 18, kind)
        x += 17 + 7.2 * len(kind) + 16


def _draw_row_name(plot: Plot, name: str, y: float) -> None:
    plot.text("", ROW_NAMES - 8, y, name, "end", most=20)
