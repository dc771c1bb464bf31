"""The frame of a chart as SVG: where values lie in the picture, grid lines, ticks and labels."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from markupsafe import escape

Span = tuple[float, float]


@dataclass(frozen=True)
class PlotBox:
    """The plot's place in the picture, and what its sides stand for.

    Parameters
    ----------
    left, top, width, height : float
        In the picture's pixels.
    xs, ys : (float, float)
        Values at the plot's left and right, and at its bottom and top.
    """

    left: float
    top: float
    width: float
    height: float
    xs: Span
    ys: Span

    @property
    def right(self) -> float:
        """Right side in pixels."""
        return self.left + self.width

    @property
    def bottom(self) -> float:
        """Lower side in pixels."""
        return self.top + self.height

    def x(self, value: float) -> float:
        """Return the pixel of a value."""
        low, high = self.xs
        return self.left + self.width * (value - low) / ((high - low) or 1.0)

    def y(self, value: float) -> float:
        """Return the pixel of a value."""
        low, high = self.ys
        return self.bottom - self.height * (value - low) / ((high - low) or 1.0)

    def axes(self, x_label: str, y_label: str, xs: list[float], ys: list[float]) -> str:
        """Return grid, axis and labels as SVG, ticks named by their values."""
        return self.frame(x_label, y_label, named(xs), named(ys))

    def frame(
        self,
        x_label: str,
        y_label: str,
        xs: Iterable[tuple[float, str]],
        ys: Iterable[tuple[float, str]],
    ) -> str:
        """Return grid, axis and labels as SVG; ticks are pairs of value and name."""
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


def span_of(values: Sequence[float], *, zero: bool) -> Span:
    """Return what an axis shows of the values: with a margin, or from 0."""
    low, high = min(values, default=0.0), max(values, default=1.0)
    if zero:
        low = min(low, 0.0)
    if high <= low:
        high = low + 1.0
    margin = 0.04 * (high - low)
    return (low if zero else low - margin, high + margin)


def named(values: Iterable[float]) -> list[tuple[float, str]]:
    """Return each value with its name."""
    return [(value, f"{value:.10g}") for value in values]
