"""Charts as SVG: colours from the page's style, direct labels, and the figure behind each mark.

Every mark carries `data-tip`, which the page shows on hover and focus. Nothing here needs a
script: printed, or read without one, the charts are the same.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from markupsafe import Markup, escape

WIDTH = 560
LINE = 17
ROW_NAMES = 150
"""Room for the names of rows."""
COLOURS = 6
"""Colours c0, c1, … of the style sheet; further series repeat them with other dashes."""
_DASHES = ("", "6 3", "2 3")
Span = tuple[float, float]


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
    xs = _range([mark.x for mark in marks], zero=True)
    ys = y_range or _range([mark.y for mark in marks], zero=False)
    box = _Box(64, 14, WIDTH - 196, height - 62, xs, ys)
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
    box = _Box(
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
    box = _Box(ROW_NAMES, 36, WIDTH - ROW_NAMES - 24, 26 * len(rows), xs, (0.0, 1.0))
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
    box = _Box(64, 14, WIDTH - 196, height - 62, (logs[0], logs[-1]), (0.0, float(most)))
    marks = [(math.log10(v), f"{v:g}") for v in _log_ticks(edges[0], edges[-1])]
    parts = [box.frame(x_label, y_label, marks, _named(ticks(0.0, float(most), whole=True)))]
    labels = []
    for number, (name, counts, colour) in enumerate(series):
        parts.append(_steps(box, logs, edges, name, counts, colour, number))
        # Beside the plot, at the height of the tallest step.
        labels.append((box.y(float(max(counts, default=0))), name, f"c{colour % COLOURS}"))
    parts += _end_labels(labels, box)
    return _svg(parts, WIDTH, height, title)


def ticks(low: float, high: float, *, whole: bool = False, most: int = 6) -> list[float]:
    """Return round numbers from low to high, at most about `most` of them."""
    if high <= low:
        return [low]
    raw = (high - low) / most
    step = 10.0 ** math.floor(math.log10(raw))
    step *= next(m for m in (1, 2, 5, 10) if m * step >= raw * 0.999)
    if whole:
        step = max(1.0, round(step))
    first = math.ceil(low / step - 1e-9)
    return [n * step for n in range(first, math.floor(high / step + 1e-9) + 1)]


@dataclass(frozen=True)
class _Box:
    """The plot's place in the picture, and what its sides stand for."""

    left: float
    top: float
    width: float
    height: float
    xs: Span
    ys: Span

    @property
    def right(self) -> float:
        return self.left + self.width

    @property
    def bottom(self) -> float:
        return self.top + self.height

    def x(self, value: float) -> float:
        low, high = self.xs
        return self.left + self.width * (value - low) / ((high - low) or 1.0)

    def y(self, value: float) -> float:
        low, high = self.ys
        return self.bottom - self.height * (value - low) / ((high - low) or 1.0)

    def axes(self, x_label: str, y_label: str, xs: list[float], ys: list[float]) -> str:
        return self.frame(x_label, y_label, _named(xs), _named(ys))

    def frame(
        self,
        x_label: str,
        y_label: str,
        xs: Iterable[tuple[float, str]],
        ys: Iterable[tuple[float, str]],
    ) -> str:
        parts = []
        for value, name in ys:
            y = self.y(value)
            parts.append(
                f'<line class="grid" x1="{self.left}" x2="{self.right}" y1="{y:.1f}" y2="{y:.1f}"'
                f'/><text x="{self.left - 8}" y="{y + 4:.1f}" text-anchor="end">{name}</text>'
            )
        for value, name in xs:
            x = self.x(value)
            parts.append(
                f'<line class="grid" x1="{x:.1f}" x2="{x:.1f}" y1="{self.top}" y2="{self.bottom}"'
                f'/><text x="{x:.1f}" y="{self.bottom + 17}" text-anchor="middle">{name}</text>'
            )
        middle = self.left + self.width / 2
        parts.append(
            f'<line class="axis" x1="{self.left}" x2="{self.right}" y1="{self.bottom}" '
            f'y2="{self.bottom}"/><text class="label" x="{middle:.1f}" y="{self.bottom + 37}" '
            f'text-anchor="middle">{escape(x_label)}</text>'
        )
        if y_label:
            y = self.top + self.height / 2
            parts.append(
                f'<text class="label" transform="translate(16 {y:.1f}) rotate(-90)" '
                f'text-anchor="middle">{escape(y_label)}</text>'
            )
        return "".join(parts)


def _line(box: _Box, one: Series, number: int) -> str:
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


def _hover_areas(box: _Box, one: Series) -> str:
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


def _dot_row(box: _Box, name: str, mark: Mark, number: int, y: float) -> str:
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
    box: _Box,
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


def _end_labels(labels: list[tuple[float, str, str]], box: _Box) -> list[str]:
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


def _named(values: Iterable[float]) -> list[tuple[float, str]]:
    return [(value, f"{value:.10g}") for value in values]


def _log_ticks(low: float, high: float) -> list[float]:
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    steps = (1,) if len(powers) > 5 else (1, 2, 5)
    values = [m * 10.0**p for p in powers for m in steps]
    return [value for value in values if low <= value <= high]


def _range(values: Sequence[float], *, zero: bool) -> Span:
    low, high = min(values, default=0.0), max(values, default=1.0)
    if zero:
        low = min(low, 0.0)
    if high <= low:
        high = low + 1.0
    margin = 0.04 * (high - low)
    return (low if zero else low - margin, high + margin)


def _svg(parts: Iterable[str], width: float, height: float, title: str) -> Markup:
    drawn = "".join(parts)
    # Everything in `parts` is a number, or was escaped where it was put in.
    return Markup(  # noqa: S704
        f'<svg class="chart" viewBox="0 0 {width:g} {height:g}" role="img" '
        f'aria-label="{escape(title)}">{drawn}</svg>'
    )
