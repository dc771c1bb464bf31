"""A plot in an SVG picture: where values lie in it, its axes, and what is drawn so far."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from markupsafe import Markup, escape

Span = tuple[float, float]
Ticks = Iterable[tuple[float, str]]

WIDTH = 560
COLOURS = 6
"""Colours c0, c1, … of the style sheet; further series repeat them with other dashes."""
_DASHES = ("", "6 3", "2 3")
_SHAPES = {
    1: ((-5, -5), (5, -5), (5, 5), (-5, 5)),
    2: ((0, -6.5), (6.5, 0), (0, 6.5), (-6.5, 0)),
    3: ((0, -6), (6, 5), (-6, 5)),
}
"""Square, diamond and triangle, so that series differ without colour too; the rest are discs."""


class Plot:
    """A picture of `WIDTH` pixels, and what the sides of its plot stand for.

    Parameters
    ----------
    left, top, right, bottom : float
        The plot's sides in the picture's pixels.
    xs, ys : (float, float)
        Values at the plot's left and right, and at its bottom and top.
    """

    def __init__(
        self, left: float, top: float, right: float, bottom: float, xs: Span, ys: Span
    ) -> None:
        self.left, self.top, self.right, self.bottom = left, top, right, bottom
        self._xs, self._ys = xs, ys
        self._parts: list[str] = []

    def x(self, value: float) -> float:
        """Return the pixel of a value."""
        low, high = self._xs
        return self.left + (self.right - self.left) * (value - low) / ((high - low) or 1.0)

    def y(self, value: float) -> float:
        """Return the pixel of a value."""
        low, high = self._ys
        return self.bottom - (self.bottom - self.top) * (value - low) / ((high - low) or 1.0)

    def draw(self, tag: str, style: str, *, tip: str = "", **attributes: str | float) -> None:
        """Add an element of a class of the style sheet; `tip` is what is said of it on hover."""
        self._parts.append(f"<{tag}{_written(style, attributes | {'data_tip': tip})}/>")

    def line(
        self, style: str, start: Span, end: Span, tip: str = "", **attributes: str | float
    ) -> None:
        """Add a straight line between two pixels."""
        ends = {"x1": start[0], "y1": start[1], "x2": end[0], "y2": end[1]}
        self.draw("line", style, tip=tip, **ends, **attributes)

    def lines(self, points: Iterable[Span], colour: int, dash: int) -> None:
        """Add lines from pixel to pixel."""
        dashes = _DASHES[dash % len(_DASHES)]
        style = f"line c{colour % COLOURS}"
        self.draw("polyline", style, stroke_dasharray=dashes, points=_points(points))

    def text(
        self,
        style: str,
        x: float,
        y: float,
        text: str,
        anchor: str = "",
        most: int = 99,
        **more: str,
    ) -> None:
        """Add text, shortened to `most` characters; then the whole of it is said on hover."""
        short = text if len(text) <= most else f"{text[: most - 1]}…"
        about = "" if short == text else f"<title>{escape(text)}</title>"
        written = _written(style, {"x": x, "y": y, "text_anchor": anchor, **more})
        self._parts.append(f"<text{written}>{escape(short)}{about}</text>")

    def dot(self, x: float, y: float, colour: int, shape: int, tip: str) -> None:
        """Add a disc, square, diamond or triangle."""
        style = f"dot c{colour % COLOURS}"
        corners = _SHAPES.get(shape % 4)
        if corners is None:
            self.draw("circle", style, tip=tip, cx=x, cy=y, r=5)
        else:
            points = _points((x + dx, y + dy) for dx, dy in corners)
            self.draw("polygon", style, tip=tip, points=points)

    def axes(self, x_label: str, y_label: str, xs: Ticks, ys: Ticks) -> None:
        """Add grid, axis and labels; ticks are pairs of value and name."""
        for value, name in ys:
            y = self.y(value)
            self.line("grid", (self.left, y), (self.right, y))
            self.text("", self.left - 8, y + 4, name, "end")
        for value, name in xs:
            x = self.x(value)
            self.line("grid", (x, self.top), (x, self.bottom))
            self.text("", x, self.bottom + 17, name, "middle")
        self.line("axis", (self.left, self.bottom), (self.right, self.bottom))
        self.text("label", (self.left + self.right) / 2, self.bottom + 37, x_label, "middle")
        turned = f"translate(16 {(self.top + self.bottom) / 2:.1f}) rotate(-90)"
        self.text("label", 0, 0, y_label, "middle", transform=turned)

    def end_labels(self, labels: Sequence[tuple[float, str, str]]) -> None:
        """Add names beside the ends of lines (pixel in y, name, style), apart from each other."""
        at = -math.inf
        for y, name, style in sorted(labels):
            at = max(y, at + 14)
            self.line(f"line {style}", (self.right + 8, at), (self.right + 18, at))
            self.text("", self.right + 22, at + 4, name, most=17)

    def svg(self, title: str) -> Markup:
        """Return the picture; `title` is for those who cannot see it."""
        # Everything in it is a number, or was escaped where it was put in.
        return Markup(  # noqa: S704
            f'<svg class="chart" viewBox="0 0 {WIDTH} {self.bottom + 48:g}" role="img" '
            f'aria-label="{escape(title)}">{"".join(self._parts)}</svg>'
        )


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


def log_ticks(low: float, high: float) -> list[float]:
    """Return 1, 2, 5 times powers of ten from low to high; powers alone over many decades."""
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    steps = (1,) if len(powers) > 5 else (1, 2, 5)
    values = [m * 10.0**p for p in powers for m in steps]
    return [value for value in values if low <= value <= high]


def named(values: Iterable[float]) -> list[tuple[float, str]]:
    """Return each value with its name."""
    return [(value, f"{value:.10g}") for value in values]


def span_of(values: Sequence[float], *, zero: bool) -> Span:
    """Return what an axis shows of the values: with a margin, or from 0."""
    low, high = min(values, default=0.0), max(values, default=1.0)
    if zero:
        low = min(low, 0.0)
    if high <= low:
        high = low + 1.0
    margin = 0.04 * (high - low)
    return (low if zero else low - margin, high + margin)


def _written(style: str, attributes: dict[str, str | float]) -> str:
    """Return attributes as SVG, empty ones left out: numbers rounded, text escaped."""
    return "".join(
        f' {name.replace("_", "-")}="{value:.1f}"'
        if isinstance(value, float)
        else f' {name.replace("_", "-")}="{escape(value)}"'
        for name, value in {"class": style, **attributes}.items()
        if value != ""
    )


def _points(pixels: Iterable[Span]) -> str:
    return " ".join(f"{x:.1f},{y:.1f}" for x, y in pixels)
