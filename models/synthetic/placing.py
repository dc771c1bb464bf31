"""Where nuclei lie: a ball, sheets, clusters or anywhere, as close together as was asked for."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

Arrangement = Literal["scattered", "ball", "sheet", "clusters"]
Points = NDArray[np.float64]

_ROUNDS = 24


def place(
    rng: np.random.Generator,
    extent_um: Points,
    radii_um: Points,
    arrangement: Arrangement,
    clearance: float,
) -> tuple[Points, NDArray[np.intp]]:
    """Find centres for nuclei one after the other (random sequential addition).

    Parameters
    ----------
    rng : numpy Generator
    extent_um : ndarray, shape (3,)
        Of the stack; centres may lie a little outside, as nuclei are cut by the border.
    radii_um : ndarray, shape (N,)
    arrangement : {'scattered', 'ball', 'sheet', 'clusters'}
    clearance : float
        Centres are at least this times the sum of the radii apart; below 1 nuclei press each
        other flat.

    Returns
    -------
    centres : ndarray, shape (M, 3)
        (z, y, x) in µm; M ≤ N, as there may be no more room.
    which : ndarray of int, shape (M,)
        The radius of each.
    """
    region = _Region(rng, extent_um, float(np.median(radii_um)), len(radii_um), arrangement)
    centres = np.empty((0, 3))
    which = np.empty(0, np.intp)
    waiting = np.arange(len(radii_um))
    for _ in range(_ROUNDS):
        if len(waiting) == 0:
            break
        spots = region.draw(rng, len(waiting))
        free = _free(
            np.concatenate([centres, spots]),
            radii_um[np.concatenate([which, waiting])],
            len(centres),
            clearance,
        )
        centres = np.concatenate([centres, spots[free]])
        which = np.concatenate([which, waiting[free]])
        waiting = waiting[~free]
    return centres, which


def _free(points: Points, radii: Points, settled: int, clearance: float) -> NDArray[np.bool_]:
    """Tell which points after the first `settled` are far enough from all before them."""
    from scipy.spatial import cKDTree

    pairs = cKDTree(points).query_pairs(2 * clearance * float(radii.max()), output_type="ndarray")
    first, second = pairs.min(axis=1), pairs.max(axis=1)
    apart = np.linalg.norm(points[first] - points[second], axis=1)
    clash = apart < clearance * (radii[first] + radii[second])
    free = np.ones(len(points), np.bool_)
    free[second[clash]] = False
    return free[settled:]


class _Region:
    """Where centres may be drawn."""

    def __init__(
        self,
        rng: np.random.Generator,
        extent: Points,
        radius: float,
        count: int,
        arrangement: Arrangement,
    ) -> None:
        self.arrangement = arrangement
        self.extent = extent
        self.radius = radius
        self.middle = extent * rng.uniform(0.4, 0.6, 3)
        self.semi_axes = extent * rng.uniform(0.38, 0.75)
        normal = rng.normal(size=3) * (1.5, 1, 1)
        self.normal = normal / np.linalg.norm(normal)
        self.wave = rng.normal(size=(2, 3)) / (8 * radius)
        self.phase = rng.uniform(0, 2 * np.pi, 2)
        self.height = radius * rng.uniform(0, 3)
        self.period = radius * rng.uniform(6, 16)
        self.thickness = radius * rng.uniform(0.2, 1.5)
        self.hearts = rng.uniform(0.05, 0.95, (max(1, round(count / 12)), 3)) * extent
        self.spread = radius * rng.uniform(2.0, 3.5)

    def draw(self, rng: np.random.Generator, count: int) -> Points:
        """Draw `count` centres (z, y, x) in µm."""
        if self.arrangement == "clusters":
            hearts = self.hearts[rng.integers(0, len(self.hearts), count)]
            return np.asarray(hearts + rng.normal(0, self.spread, (count, 3)))
        margin = np.minimum(0.6 * self.radius, 0.25 * self.extent)
        if self.arrangement == "scattered":
            return rng.uniform(-margin, self.extent + margin, (count, 3))
        if self.arrangement == "ball":
            ball = rng.normal(size=(count, 3))
            ball *= rng.random((count, 1)) ** (1 / 3) / np.linalg.norm(ball, axis=1, keepdims=True)
            return np.asarray(self.middle + ball * self.semi_axes)
        spots = rng.uniform(-margin, self.extent + margin, (count, 3))
        away = (spots - self.middle) @ self.normal
        waves = self.height * np.sin(spots @ self.wave.T + self.phase).sum(axis=1)
        layer = np.round((away - waves) / self.period) * self.period
        # Moved onto the nearest layer, with some play.
        target = layer + waves + rng.uniform(-0.5, 0.5, count) * self.thickness
        return np.asarray(spots + (target - away)[:, None] * self.normal)
