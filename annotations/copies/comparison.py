"""The proof: two volumes, laid on each other, show the same finest detail, noise included."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from annotations.copies.alignment import aligned, layered
from annotations.copies.placement import Placement, Points
from annotations.copies.window import (
    Window,
    blur,
    cut_window,
    detail_of,
    inner,
    resampled,
    window_starts,
)
from labels.arrays import ArrayLike
from labels.gaussian import Floats, filtered

_AT_FIRST, _HOPELESS = 3, 0.5
"""Places after which most of what is no copy is known, and what is kept of detail then."""

ALL_KEPT = 0.95
"""Of the finest detail; a second image of what did not move, with noise of its own, keeps less."""

_LEAST_KEPT, _LEAST_ALIKE, _LEAST_COARSE = 0.8, 0.05, 0.8

_CLEAR, _CLEAR_KEPT = 0.85, 0.9
"""Correlation that a second image does not reach once either was resampled."""

_SHARPEST = 0.1
"""Share of the voxels of a resampled window that is compared."""

_SMALL_ERROR, _LARGEST_ERROR, _AGREEING = 0.03, 0.12, 14
"""Where much noise was added to a small image, as many landmarks must fit."""

_FINEST, _COARSEST = (0.0, 0.6), (2.5, 5.0)
"""Blurs, in voxels, between which detail lies."""


@dataclass(frozen=True)
class Comparison:
    """What two volumes have in common where one lies on the other.

    Parameters
    ----------
    placement : Placement
        Moved to where they fit best.
    alike, coarse : float
        Correlation of the finest detail, and of coarse detail.
    kept : float
        Share of one's finest detail that is in the other, relative to coarse detail: 1 for a copy
        in any contrast, however much noise was added to it.
    error : float
        Standard error of `kept`.
    """

    placement: Placement
    alike: float
    coarse: float
    kept: float
    error: float

    @property
    def same(self) -> bool:
        """Whether one is a copy of the other, and no second image of the same thing."""
        if self.coarse < _LEAST_COARSE or self.error > _LARGEST_ERROR:
            return False
        if self.clear:
            return self.kept > (ALL_KEPT if self.placement.exact else _CLEAR_KEPT)
        sure = self.error < _SMALL_ERROR or self.placement.agreeing >= _AGREEING
        least = max(_LEAST_KEPT, ALL_KEPT - 2 * self.error) if self.placement.exact else ALL_KEPT
        return sure and self.alike > _LEAST_ALIKE and self.kept >= least

    @property
    def clear(self) -> bool:
        """Whether no noise was added to speak of."""
        return self.alike > _CLEAR


def compare(
    mine: ArrayLike, theirs: ArrayLike, placement: Placement, places: Points, flatness: float
) -> Comparison | None:
    """Compare two volumes in a few windows of the finest resolution.

    Parameters
    ----------
    mine, theirs : array, shape (Z, Y, X)
        Only the windows are read.
    placement : Placement
        Where about `mine` lies in `theirs`.
    places : ndarray, shape (N, 3)
        Voxels of `mine` where there is something to see.
    flatness : float
        Voxel size along z over that along x.

    Returns
    -------
    Comparison or None
        None where one does not lie on the other.
    """
    their_depth = theirs.shape[0] > 1
    exact = placement.exact
    if their_depth and not exact:
        placement = layered(mine, theirs, placement, places)
    starts, sides = window_starts(placement, mine.shape, theirs.shape, places)
    free = np.array([their_depth, True, True, their_depth and mine.shape[0] > 1, True, True])
    middle = (starts + sides / 2).mean(axis=0) if len(starts) else np.zeros(3)
    windows: list[Window] = []
    result = None
    for few in (starts[:_AT_FIRST], starts[_AT_FIRST:]):
        cut = [cut_window(mine, theirs, placement, start, sides, middle) for start in few]
        windows += [window for window in cut if window is not None]
        if windows:
            if not exact:
                placement = aligned(placement, windows, middle, free)
            result = _compared(placement.rounded(mine.shape), windows, flatness)
            if result.kept < _HOPELESS:
                return result
    if result is None or result.same or result.placement.exact:
        return result
    # Some programs resample by taking the nearest voxel.
    placement = aligned(placement, windows, middle, free, between=False)
    return _compared(placement, windows, flatness, between=False)


def _compared(
    placement: Placement, windows: Sequence[Window], flatness: float, between: bool = True
) -> Comparison:
    """Measure what two volumes have in common, bright windows weighing more than dark ones."""
    sums = np.zeros((2, 3))
    fourth = np.zeros(2)
    brightest = max(window.contrast for window in windows)
    for window in windows:
        other = resampled(window.theirs, window, placement, between)
        pair = (window.mine, _in_units_of(window.mine, other, flatness))
        scale = (window.contrast / brightest) ** 2
        coarse_pair = [detail_of(each, *_COARSEST, flatness) for each in pair]
        a, b = _finest(pair, window, placement, flatness)
        for row, (one, two) in zip(sums, (coarse_pair, (a, b)), strict=True):
            row += scale * np.array([np.sum(one * one), np.sum(two * two), np.sum(one * two)])
        fourth += scale**2 * np.array([np.sum(a**4), np.sum(b**4)])
    if not (sums > 0).all():
        return Comparison(placement, 0.0, 0.0, 0.0, np.inf)
    own, other_sum, both = sums.T
    coarse, alike = both / np.sqrt(own * other_sum)
    # Noise that was added to mine takes nothing of it away.
    kept = float((both[1] / other_sum[1]) / (both[0] / other_sum[0]))
    # A few bright spots are no more evidence than as many voxels.
    count = float(np.min(sums[1, :2] ** 2 / fourth))
    error = np.sqrt(max(1 - alike**2, 0) / count) / alike
    return Comparison(placement, float(alike), float(coarse), kept, float(error))


def _in_units_of(mine: Floats, other: Floats, flatness: float) -> Floats:
    """Undo a gain, offset or gamma: a cubic that takes the one's coarse detail to the other's."""
    coarse = [blur(each, 1.6, flatness).ravel()[::3].astype(np.float64) for each in (mine, other)]
    powers = np.stack([coarse[1] ** n for n in range(4)], axis=1)
    a, b, c, d = np.linalg.lstsq(powers, coarse[0], rcond=None)[0]
    known = np.clip(other, coarse[1].min(), coarse[1].max()).astype(np.float64)
    slope = np.maximum(b + 2 * c * known + 3 * d * known**2, 0)
    curve = a + b * known + c * known**2 + d * known**3
    return np.asarray(curve + slope * (other - known), np.float32)


def _finest(
    pair: tuple[Floats, Floats], window: Window, placement: Placement, flatness: float
) -> list[Floats]:
    """Return the detail of both that noise has most of."""
    if placement.exact:
        # Second differences in x and y, of which optics show least (Immerkær, CVIU 1996).
        steps = np.array([1, -2, 1], np.float32)
        return [inner(filtered(each, np.ones(1, np.float32), steps, steps)) for each in pair]
    # Between the other's voxels its noise averages out, and the rest would look like a copy.
    left = np.ones(window.mine.shape, np.float32)
    for here, scale, shift in zip(placement.axes, placement.scale, placement.shift, strict=True):
        part = (scale * (window.start[here] + np.arange(left.shape[here])) + shift) % 1
        others = [n for n in range(3) if n != here]
        left *= np.expand_dims(part**2 + (1 - part) ** 2, others).astype(np.float32)
    left = inner(left)
    kept = left >= np.quantile(left, 1 - _SHARPEST)
    return [detail_of(each, *_FINEST, flatness)[kept] for each in pair]
