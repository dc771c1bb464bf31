"""Score against the cost of corrections: points, curves, and what a score costs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

LEVELS = (0.5, 0.75, 0.9)
"""Shares of the way from the first F1 to 1 whose cost is reported."""


@dataclass(frozen=True)
class Point:
    """The labels after a correction.

    Parameters
    ----------
    round : int
        0 before any.
    objects, voxels : int
        Objects corrected and voxels changed so far.
    f1 : float
        At IoU 0.5, all fields together.
    score : float
        Mean evaluation score of all true objects.
    """

    round: int
    objects: int
    voxels: int
    f1: float
    score: float


@dataclass(frozen=True)
class Curve:
    """One repeat of one strategy.

    Parameters
    ----------
    strategy : str
    repeat : int
    points : tuple of Point
        The first is before any correction; both costs rise, or stay.
    """

    strategy: str
    repeat: int
    points: tuple[Point, ...]

    def cost_of(self, f1: float, cost: str = "objects") -> int | None:
        """Return the objects (or ``"voxels"``) after which `f1` is reached; None if it never is."""
        for point in self.points:
            if point.f1 >= f1 - 1e-12:
                return int(getattr(point, cost))
        return None


@dataclass(frozen=True)
class LevelCost:
    """What it costs to come a share of the way.

    Parameters
    ----------
    level : float
        Share of the way from the first F1 to 1.
    f1 : float
        The F1 that this is.
    objects, voxels : float or None
        Mean over repeats; None where some repeat ended before.
    spread : float or None
        Standard deviation of `objects` over repeats.
    of_random : float or None
        `objects` over those of random choice, where that was simulated too.
    """

    level: float
    f1: float
    objects: float | None
    voxels: float | None
    spread: float | None
    of_random: float | None


def costs_at_levels(
    curves: dict[str, tuple[Curve, ...]], levels: tuple[float, ...] = LEVELS
) -> dict[str, tuple[LevelCost, ...]]:
    """Return what each strategy needs for each share of the way.

    Parameters
    ----------
    curves : dict of str to tuple of Curve
        By strategy, one for each repeat.
    levels : tuple of float
        In (0, 1].
    """
    start = next(iter(curves.values()))[0].points[0].f1
    random = {level: _mean(curves.get("random", ()), start, level, "objects") for level in levels}
    out: dict[str, tuple[LevelCost, ...]] = {}
    for name, repeats in curves.items():
        rows = []
        for level in levels:
            f1 = start + level * (1 - start)
            objects, base = _mean(repeats, start, level, "objects"), random[level]
            spread = None
            if objects is not None:
                spread = float(np.std([curve.cost_of(f1) or 0 for curve in repeats]))
            ratio = objects / base if objects is not None and base else None
            voxels = _mean(repeats, start, level, "voxels")
            rows.append(LevelCost(level, f1, objects, voxels, spread, ratio))
        out[name] = tuple(rows)
    return out


def mean_curve(repeats: tuple[Curve, ...], value: str, cost: str, grid: Any) -> Any:
    """Return the mean over repeats of `value` ("f1", "score") where each cost in `grid` is spent.

    Between two corrections the value is that after the earlier one.
    """
    lines = []
    for curve in repeats:
        spent = np.array([getattr(p, cost) for p in curve.points])
        values = np.array([getattr(p, value) for p in curve.points])
        lines.append(values[np.searchsorted(spent, grid, side="right") - 1])
    return np.mean(lines, axis=0)


def _mean(repeats: tuple[Curve, ...], start: float, level: float, cost: str) -> float | None:
    found = [curve.cost_of(start + level * (1 - start), cost) for curve in repeats]
    known = [value for value in found if value is not None]
    return float(np.mean(known)) if known and len(known) == len(found) else None
