"""Charts as SVG: colours from the page's style, direct labels, and the figure behind each mark.

Every mark carries `data-tip`, which the page shows on hover and focus. Nothing here needs a
script: printed, or read without one, the charts are the same.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from markupsafe import Markup, escape

from hitl.report.axes import PlotBox, Span, log_ticks, named, span_of, ticks

WIDTH = 560
LINE = 17
ROW_NAMES = 150
"""Room for the names of rows."""
COLOURS = 6
"""Colours c0, c1, … of the style sheet; further series repeat them with other dashes."""
_DASHES = ("", "6 3", "2 3")


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
    box = PlotBox(64, 14, WIDTH - 196, height - 62, xs, ys)
    parts = [box.axes(x_label, y_label, ticks(*xs, whole=whole_x), ticks(*ys))]
    labels = []
    for level in references:
        y = box.y(level.value)
        parts.append(
            f'<line class="reference" x1="{box.left}" x2="{box.right}" y1="{y:.1f}" y2="{y:.1f}"'
            f"{_tip(level.tip or level.name)}/>"
        )
        labels.append((y, level.name, "reference"))
    for number, one in enumerate(series):
        if not one.marks:
            continue
        parts.append(_line(box, one, number))
        last = one.marks[-1]
        labels.append((box.y(last.y), one.name, f"c{one.colour % COLOURS}"))
    parts += _end_labels(labels, box)
    return _svg(parts, WIDTH, height, title)


def dot_chart(
    rows: Sequence[tuple[str, Mark]],
    *,
    title: str,
    x_label: str,
    references: Sequence[Reference] = (),
    x_range: Span = (0.0, 1.0),
) -> Markup:
    """Draw one row per name: a dot at its value, a whisker over its interval, the value beside.

    Parameters
    ----------
    rows : sequence of (str, Mark)
        Name and a mark whose `y`, `low` and `high` count.
    title, x_label : str
    references : sequence of Reference
        Vertical lines.
    x_range : (float, float)
    """
    top = 8 + LINE * len(references)
    height = top + 26 * len(rows) + 46
    box = PlotBox(
        ROW_NAMES, top, WIDTH - ROW_NAMES - 64, height - 46 - top, x_range, (0.0, float(len(rows)))
    )
    parts = [box.axes(x_label, "", ticks(*x_range), [])]
    for number, level in enumerate(references):
        x, y = box.x(level.value), 12 + LINE * number
        side = "end" if x > box.left + 0.6 * (box.right - box.left) else "start"
        shift = -5 if side == "end" else 5
        parts.append(
            f'<line class="reference" x1="{x:.1f}" x2="{x:.1f}" y1="{y - 9}" y2="{box.bottom}"'
            f'{_tip(level.tip or level.name)}/><text class="reference" x="{x + shift:.1f}" '
            f'y="{y}" text-anchor="{side}">{escape(level.name)}</text>'
        )
    for number, (name, mark) in enumerate(rows):
        parts.append(_dot_row(box, name, mark, number, top + 26 * number + 15))
    return _svg(parts, WIDTH, height, title)


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
    height = 26 * len(rows) + 82
    most = max((sum(values) for _, values in rows), default=1.0) or 1.0
    xs = (0.0, most)
    box = PlotBox(ROW_NAMES, 36, WIDTH - ROW_NAMES - 24, 26 * len(rows), xs, (0.0, 1.0))
    parts = [_legend(kinds), box.axes(x_label, "", ticks(*xs, whole=True), [])]
    for number, (name, values) in enumerate(rows):
        y = 36 + 26 * number
        parts.append(_row_name(name, y + 17))
        start = 0.0
        for kind, value in zip(kinds, values, strict=True):
            if value <= 0:
                continue
            x, end = box.x(start), box.x(start + value)
            text = f"{name}: {value:g} {kind} ({value / sum(values):.0%})"
            parts.append(
                f'<rect class="k-{_class(kind)}" x="{x:.1f}" y="{y + 3}" width="{end - x:.1f}" '
                f'height="20"{_tip(text)}/>'
            )
            if end - x > 9 * len(f"{value:g}") + 6:
                parts.append(
                    f'<text class="inside k-{_class(kind)}-text" x="{(x + end) / 2:.1f}" '
                    f'y="{y + 17}" text-anchor="middle">{value:g}</text>'
                )
            start += value
    return _svg(parts, WIDTH, height, title)


def histogram(
    edges: Sequence[float],
    series: Sequence[tuple[str, Sequence[int], int]],
    *,
    title: str,
    x_label: str,
    y_label: str,
    height: int = 260,
) -> Markup:
    """Draw counts in bins that are equally wide on a logarithmic axis, as outlined steps.

    Parameters
    ----------
    edges : sequence of float, length n + 1
        Above 0.
    series : sequence of (str, sequence of int of length n, int)
        Name, counts, colour.
    title, x_label, y_label : str
    height : int
    """
    logs = [math.log10(edge) for edge in edges]
    most = max((max(counts, default=0) for _, counts, _ in series), default=1) or 1
    box = PlotBox(64, 14, WIDTH - 196, height - 62, (logs[0], logs[-1]), (0.0, float(most)))
    marks = [(math.log10(v), f"{v:g}") for v in log_ticks(edges[0], edges[-1])]
    parts = [box.frame(x_label, y_label, marks, named(ticks(0.0, float(most), whole=True)))]
    labels = []
    for number, (name, counts, colour) in enumerate(series):
        parts.append(_steps(box, logs, edges, name, counts, colour, number))
        # Beside the plot, at the height of the tallest step.
        labels.append((box.y(float(max(counts, default=0))), name, f"c{colour % COLOURS}"))
    parts += _end_labels(labels, box)
    return _svg(parts, WIDTH, height, title)


def _line(box: PlotBox, one: Series, number: int) -> str:
    colour = f"c{one.colour % COLOURS}"
    dash = _DASHES[(number // COLOURS) % len(_DASHES)]
    path = " ".join(f"{box.x(m.x):.1f},{box.y(m.y):.1f}" for m in one.marks)
    parts = [f'<polyline class="line {colour}" stroke-dasharray="{dash}" points="{path}"/>']
    if not one.dots:
        parts.append(_hover_areas(box, one))
        return "".join(parts)
    for mark in one.marks:
        x = box.x(mark.x)
        if mark.low is not None and mark.high is not None:
            parts.append(
                f'<line class="whisker {colour}" x1="{x:.1f}" x2="{x:.1f}" '
                f'y1="{box.y(mark.low):.1f}" y2="{box.y(mark.high):.1f}"/>'
            )
        parts.append(_dot(x, box.y(mark.y), colour, number, mark.tip))
    return "".join(parts)


def _hover_areas(box: PlotBox, one: Series) -> str:
    """Invisible discs that carry the tips of a line without dots."""
    return "".join(
        f'<circle class="hover" cx="{box.x(m.x):.1f}" cy="{box.y(m.y):.1f}" r="7"{_tip(m.tip)}/>'
        for m in one.marks
    )


def _dot(x: float, y: float, colour: str, number: int, tip: str) -> str:
    """Disc, square, diamond or triangle, so that series differ without colour too."""
    r = 5.0
    if number % 4 == 0:
        return f'<circle class="dot {colour}" cx="{x:.1f}" cy="{y:.1f}" r="{r}"{_tip(tip)}/>'
    corners = {
        1: ((-r, -r), (r, -r), (r, r), (-r, r)),
        2: ((0, -r - 1.5), (r + 1.5, 0), (0, r + 1.5), (-r - 1.5, 0)),
        3: ((0, -r - 1), (r + 1, r), (-r - 1, r)),
    }[number % 4]
    path = " ".join(f"{x + dx:.1f},{y + dy:.1f}" for dx, dy in corners)
    return f'<polygon class="dot {colour}" points="{path}"{_tip(tip)}/>'


def _dot_row(box: PlotBox, name: str, mark: Mark, number: int, y: float) -> str:
    colour = f"c{number % COLOURS}"
    parts = [
        _row_name(name, y + 4),
        f'<line class="grid" x1="{box.left}" x2="{box.right}" y1="{y}" y2="{y}"/>',
    ]
    if mark.low is not None and mark.high is not None:
        parts.append(
            f'<line class="whisker {colour}" x1="{box.x(mark.low):.1f}" '
            f'x2="{box.x(mark.high):.1f}" y1="{y}" y2="{y}"/>'
        )
    parts.append(_dot(box.x(mark.y), y, colour, number, mark.tip))
    parts.append(f'<text class="value" x="{box.right + 12}" y="{y + 4}">{mark.y:.3f}</text>')
    return "".join(parts)


def _steps(
    box: PlotBox,
    logs: Sequence[float],
    edges: Sequence[float],
    name: str,
    counts: Sequence[int],
    colour: int,
    number: int,
) -> str:
    points = [f"{box.x(logs[0]):.1f},{box.bottom}"]
    hover = []
    for k, count in enumerate(counts):
        a, b, y = box.x(logs[k]), box.x(logs[k + 1]), box.y(float(count))
        points += [f"{a:.1f},{y:.1f}", f"{b:.1f},{y:.1f}"]
        text = f"{name}: {count} between {edges[k]:.3g} and {edges[k + 1]:.3g}"
        hover.append(
            f'<rect class="hover" x="{a:.1f}" y="{y - 3:.1f}" width="{b - a:.1f}" height="7"'
            f"{_tip(text)}/>"
        )
    points.append(f"{box.x(logs[-1]):.1f},{box.bottom}")
    dash = _DASHES[number % len(_DASHES)]
    line = f'<polyline class="line c{colour % COLOURS}" stroke-dasharray="{dash}" '
    return line + f'points="{" ".join(points)}"/>' + "".join(hover)


def _end_labels(labels: list[tuple[float, str, str]], box: PlotBox) -> list[str]:
    """Names beside the ends of lines, moved apart where they would touch."""
    placed: list[float] = []
    parts = []
    for y, name, colour in sorted(labels):
        at = max(y, placed[-1] + 14) if placed else y
        placed.append(at)
        x = box.right + 8
        parts.append(
            f'<line class="line {colour}" x1="{x}" x2="{x + 10}" y1="{at:.1f}" y2="{at:.1f}"/>'
            f'<text x="{x + 14}" y="{at + 4:.1f}">{escape(_short(name, 17))}'
            f"<title>{escape(name)}</title></text>"
        )
    return parts


def _legend(kinds: Sequence[str]) -> str:
    x, parts = 4.0, []
    for kind in kinds:
        parts.append(
            f'<rect class="k-{_class(kind)}" x="{x:.0f}" y="8" width="12" height="12"/>'
            f'<text x="{x + 17:.0f}" y="18">{escape(kind)}</text>'
        )
        x += 17 + 7.2 * len(kind) + 16
    return "".join(parts)


def _row_name(name: str, y: float) -> str:
    short = escape(_short(name, 20))
    full = escape(name)
    return (
        f'<text x="{ROW_NAMES - 8}" y="{y}" text-anchor="end">{short}<title>{full}</title></text>'
    )


def _short(name: str, most: int) -> str:
    return name if len(name) <= most else f"{name[: most - 1]}…"


def _class(kind: str) -> str:
    return "".join(c if c.isalnum() else "-" for c in kind)


def _tip(text: str) -> str:
    return f' data-tip="{escape(text)}"' if text else ""


def _svg(parts: Iterable[str], width: float, height: float, title: str) -> Markup:
    drawn = "".join(parts)
    # Everything in `parts` is a number, or was escaped where it was put in.
    return Markup(  # noqa: S704
        f'<svg class="chart" viewBox="0 0 {width:g} {height:g}" role="img" '
        f'aria-label="{escape(title)}">{drawn}</svg>'
    )
