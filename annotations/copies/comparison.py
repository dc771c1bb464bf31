"""The proof: two volumes, laid on each other, show the same finest detail, noise included."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from annotations.copies.describer import unit
from annotations.copies.placement import Placement, Points
from labels.arrays import ArrayLike
from labels.gaussian import Floats, filtered, kernel

WINDOWS = 8
"""Places that are compared."""

_AT_FIRST, _HOPELESS = 3, 0.5
"""Places after which most of what is no copy is known, and what is kept of detail then."""

ALL_KEPT = 0.975
"""Of the finest detail; a second image of what did not move, with noise of its own, keeps less."""

_LEAST_KEPT, _LEAST_ALIKE, _LEAST_COARSE = 0.8, 0.05, 0.8

_SMALL_ERROR, _LARGEST_ERROR, _AGREEING = 0.03, 0.12, 14
"""Where much noise was added to a small image, as many landmarks must fit."""

_SIDES, _FLAT_SIDE, _LEAST_SIDE = (8, 40, 40), 56, 8
_REACH = 5
"""Voxels around a window in which its counterpart is looked for."""

_FINEST, _COARSEST = (0.0, 0.6), (2.5, 5.0)
"""Blurs, in voxels, between which detail lies."""

_STEPS, _SETTLED = 6, 0.02


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
        least = max(_LEAST_KEPT, ALL_KEPT - 2 * self.error)
        sure = self.error < _SMALL_ERROR or self.placement.agreeing >= _AGREEING
        known = sure and self.alike > _LEAST_ALIKE and self.error < _LARGEST_ERROR
        return known and self.coarse > _LEAST_COARSE and self.kept >= least


@dataclass(frozen=True)
class _Window:
    """A part of a volume and what is around its counterpart in the other one, smoothed too.

    Parameters
    ----------
    start, their_start : ndarray of int, shape (3,)
    mine, theirs, smooth, their_smooth : ndarray of float32
    contrast : float
        Half the range of the window's intensities.
    slopes : ndarray, shape (6, voxels)
        How `smooth` changes with a shift along each axis, and with a change of size.
    """

    start: NDArray[np.intp]
    their_start: NDArray[np.intp]
    mine: Floats
    theirs: Floats
    smooth: Floats
    their_smooth: Floats
    contrast: float
    slopes: Points


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
    starts, sides = _starts(placement, mine.shape, theirs.shape, places)
    their_depth = theirs.shape[0] > 1
    free = np.array([their_depth, True, True, their_depth and mine.shape[0] > 1, True, True])
    middle = (starts + sides / 2).mean(axis=0) if len(starts) else np.zeros(3)
    windows: list[_Window] = []
    result = None
    for few in (starts[:_AT_FIRST], starts[_AT_FIRST:]):
        cut = [_window(mine, theirs, placement, start, sides, middle, flatness) for start in few]
        windows += [window for window in cut if window is not None]
        if windows:
            placement = _aligned(placement, windows, middle, free)
            result = _compared(placement, windows, flatness)
            if result.kept < _HOPELESS:
                return result
    if result is None or result.same:
        return result
    # Some programs resample by taking the nearest voxel.
    placement = _aligned(placement, windows, middle, free, between=False)
    return _compared(placement, windows, flatness, between=False)


def _starts(
    placement: Placement, shape: tuple[int, ...], other: tuple[int, ...], places: Points
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return where windows begin, far from each other, and their sides."""
    box = placement.box(shape, other)
    low, high = (np.array([getattr(p, end) for p in box]) for end in ("start", "stop"))
    # Rescaling leaves its own marks at the border.
    rim = np.where(high - low > (6, 24, 24), (1, 2, 2), 0)
    low, high = low + rim, high - rim
    wanted = _SIDES if high[0] - low[0] > 1 else (1, _FLAT_SIDE, _FLAT_SIDE)
    sides = np.minimum(wanted, high - low)
    if sides[0] < 1 or min(sides[1:]) < _LEAST_SIDE:
        return np.zeros((0, 3), np.intp), sides
    inside = places[((places >= low) & (places < high)).all(axis=1)]
    centres = inside if len(inside) else (low + high)[None] / 2
    starts = np.unique(np.clip(np.rint(centres - sides / 2), low, high - sides), axis=0)
    chosen, apart = [0], np.full(len(starts), np.inf)
    while len(chosen) < WINDOWS:
        apart = np.minimum(apart, np.abs((starts - starts[chosen[-1]]) / sides).max(axis=1))
        if apart.max() < 0.25:
            break
        chosen.append(int(np.argmax(apart)))
    return starts[chosen].astype(np.intp), sides


def _window(
    mine: ArrayLike,
    theirs: ArrayLike,
    placement: Placement,
    start: NDArray[np.intp],
    sides: NDArray[np.intp],
    middle: Points,
    flatness: float,
) -> _Window | None:
    """Read a window and its counterpart; None where one of them is constant."""
    seen = np.asarray(mine[_region(start, start + sides)])
    own, contrast = unit(seen), float(seen.max()) / 2 - float(seen.min()) / 2
    ends = placement.there(np.stack([start, start + sides - 1]).astype(np.float64))
    reach = _REACH * np.maximum(1, np.abs(placement.scale))
    low = np.maximum(np.floor(ends.min(axis=0) - reach), 0).astype(np.intp)
    high = np.minimum(np.ceil(ends.max(axis=0) + reach) + 1, theirs.shape).astype(np.intp)
    if (high <= low).any():
        return None
    other = unit(np.asarray(theirs[_region(low, high)]))
    if not (own.any() and other.any()):
        return None
    smooth = _blur(own, 1.0, flatness)
    steps = [np.gradient(smooth, axis=k) if sides[k] > 1 else 0 * smooth for k in range(3)]
    along = [
        np.expand_dims(np.arange(sides[k]) + start[k] - middle[k], [n for n in range(3) if n != k])
        for k in range(3)
    ]
    grown = [step * away for step, away in zip(steps, along, strict=True)]
    slopes = np.stack([each.ravel() for each in (*steps, *grown)]).astype(np.float64)
    slopes -= slopes.mean(axis=1, keepdims=True)
    slopes /= max(float(np.linalg.norm(smooth - smooth.mean())), 1e-9)
    wide = abs(placement.scale[1])
    return _Window(start, low, own, other, smooth, _blur(other, wide, flatness), contrast, slopes)


def _region(low: NDArray[np.intp], high: NDArray[np.intp]) -> tuple[slice, ...]:
    return tuple(slice(int(a), int(b)) for a, b in zip(low, high, strict=True))


def _blur(volume: Floats, sigma: float, flatness: float) -> Floats:
    along_z, along_yx = (
        kernel(s, reach=3.0, least=least)
        for s, least in ((sigma / max(flatness, 0.5), 0.3), (sigma, 0.2))
    )
    return filtered(np.ascontiguousarray(volume), along_z, along_yx, along_yx)


def _resampled(
    voxels: Floats, window: _Window, placement: Placement, between: bool = True
) -> Floats:
    """Return what lies on the voxels of a window: between the other's voxels or the nearest."""
    out = voxels
    moves = zip(placement.axes, placement.scale, placement.shift, strict=True)
    for there, (here, scale, shift) in enumerate(moves):
        own = window.start[here] + np.arange(window.mine.shape[here])
        last = voxels.shape[there] - 1
        place = np.clip(scale * own + shift - window.their_start[there], 0, last)
        place = place if between else np.rint(place)
        low = np.minimum(place.astype(np.intp), max(last - 1, 0))
        others = [n for n in range(3) if n != there]
        share = np.expand_dims((place - low).astype(np.float32), others)
        out = (
            out.take(low, there) * (1 - share) + out.take(np.minimum(low + 1, last), there) * share
        )
    return np.asarray(out.transpose(np.argsort(placement.axes)))


def _aligned(
    placement: Placement,
    windows: Sequence[_Window],
    middle: Points,
    free: NDArray[np.bool_],
    between: bool = True,
) -> Placement:
    """Move and resize until windows fit (inverse compositional, Baker & Matthews, IJCV 2004)."""
    best, best_score = placement, -np.inf
    for _ in range(_STEPS):
        curve, pull, score = 1e-9 * np.eye(free.sum()), np.zeros(free.sum()), 0.0
        for window in windows:
            own, other = (
                _normalised(each)
                for each in (
                    window.smooth,
                    _resampled(window.their_smooth, window, placement, between),
                )
            )
            fit = float(own @ other)
            off = other - own
            # What only one of them shows, such as a rim of zeros, must not pull.
            off = np.clip(off, *np.multiply(np.median(np.abs(off)) + 1e-9, (-4, 4)))
            weight = max(fit, 0.0) ** 2 / (1.002 - min(fit, 1.0) ** 2)
            slopes = window.slopes[free]
            curve += weight * (slopes @ slopes.T)
            pull += weight * (slopes @ off)
            score += fit
        if score > best_score:
            best, best_score = placement, score
        step = np.zeros(6)
        step[free] = np.linalg.solve(curve + 1e-3 * np.diag(np.diag(curve)), pull)
        shift, growth = np.clip(step[:3], -1, 1), np.clip(step[3:], -0.03, 0.03)
        placement = _moved(placement, shift, growth, middle)
        if max(np.abs(shift).max(), np.abs(growth * windows[0].mine.shape).max()) < _SETTLED:
            return placement
    return best


def _normalised(voxels: Floats) -> Points:
    flat = voxels.ravel().astype(np.float64)
    flat -= flat.mean()
    return np.asarray(flat / max(float(np.linalg.norm(flat)), 1e-12))


def _moved(placement: Placement, shift: Points, growth: Points, middle: Points) -> Placement:
    axes = list(placement.axes)
    scale = np.asarray(placement.scale)
    back = growth[axes] * middle[axes] - shift[axes]
    z, y, x = (scale * (1 - growth[axes])).tolist()
    dz, dy, dx = (np.asarray(placement.shift) + scale * back).tolist()
    return replace(placement, scale=(z, y, x), shift=(dz, dy, dx))


def _compared(
    placement: Placement, windows: Sequence[_Window], flatness: float, between: bool = True
) -> Comparison:
    """Measure what two volumes have in common, bright windows weighing more than dark ones."""
    sums = np.zeros((2, 3))
    fourth = np.zeros(2)
    brightest = max(window.contrast for window in windows)
    for window in windows:
        other = _resampled(window.theirs, window, placement, between)
        pair = (window.mine, _in_units_of(window.mine, other, flatness))
        scale = (window.contrast / brightest) ** 2
        for row, band in zip(sums, (_COARSEST, _FINEST), strict=True):
            a, b = (_detail(each, *band, flatness) for each in pair)
            row += scale * np.array([np.sum(a * a), np.sum(b * b), np.sum(a * b)])
        fourth += scale**2 * np.array([np.sum(a**4), np.sum(b**4)])
    if not (sums > 0).all():
        return Comparison(placement, 0.0, 0.0, 0.0, np.inf)
    own, other_sum, both = sums.T
    coarse, alike = both / np.sqrt(own * other_sum)
    # In the direction in which noise was added, nothing of the original's detail is missing.
    kept = max(float((both[1] / each[1]) / (both[0] / each[0])) for each in (own, other_sum))
    # A few bright spots are no more evidence than as many voxels.
    count = float(np.min(sums[1, :2] ** 2 / fourth))
    error = np.sqrt(max(1 - alike**2, 0) / count) / alike
    return Comparison(placement, float(alike), float(coarse), kept, float(error))


def _in_units_of(mine: Floats, other: Floats, flatness: float) -> Floats:
    """Undo a gain, offset or gamma: a cubic that takes the one's coarse detail to the other's."""
    coarse = [_blur(each, 1.6, flatness).ravel()[::3].astype(np.float64) for each in (mine, other)]
    powers = np.stack([coarse[1] ** n for n in range(4)], axis=1)
    a, b, c, d = np.linalg.lstsq(powers, coarse[0], rcond=None)[0]
    known = np.clip(other, coarse[1].min(), coarse[1].max()).astype(np.float64)
    slope = np.maximum(b + 2 * c * known + 3 * d * known**2, 0)
    curve = a + b * known + c * known**2 + d * known**3
    return np.asarray(curve + slope * (other - known), np.float32)


def _detail(voxels: Floats, narrow: float, wide: float, flatness: float) -> Floats:
    fine = _blur(voxels, narrow, flatness) if narrow else voxels
    detail = fine - _blur(voxels, wide, flatness)
    if min(detail.shape[1:]) > 12:
        detail = detail[:, 2:-2, 2:-2]
    return np.asarray(detail - detail.mean())
