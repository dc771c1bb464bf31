"""Move and resize a volume until it lies on another one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from annotations.copies.placement import Placement, Points
from annotations.copies.window import Window, cut_window, detail_of, resampled, window_starts
from labels.arrays import ArrayLike
from labels.gaussian import Floats

_SURVEYED = 3
"""Windows in which slices are looked for."""

_DEPTH, _OTHER_STEPS = 32, np.geomspace(0.5, 2.0, 41)
"""Slices up and down in which a slice is looked for, and steps over the one expected."""

_STEPS, _SETTLED = 6, 0.02


def layered(mine: ArrayLike, theirs: ArrayLike, placement: Placement, places: Points) -> Placement:
    """Find which slices lie on which: every step and both directions are tried."""
    starts, sides = window_starts(placement, mine.shape, theirs.shape, places, all_slices=True)
    cut = [
        cut_window(mine, theirs, placement, start, sides, np.zeros(3), _DEPTH)
        for start in starts[:_SURVEYED]
    ]
    windows = [window for window in cut if window is not None]
    if not windows:
        return placement
    middle = mine.shape[0] / 2 - 0.5
    steps = np.multiply.outer((1, -1), abs(placement.scale[0]) * _OTHER_STEPS).ravel()
    span = np.arange(-_DEPTH, _DEPTH + 0.5, 0.5) * max(1, abs(placement.scale[0]))
    at = placement.scale[0] * middle + placement.shift[0] + span
    total = np.zeros((len(steps), len(at)))
    for window in windows:
        other = resampled(window.their_smooth, window, placement, in_depth=False)
        rows = [
            np.stack([_normalised(plane) for plane in detail_of(each, 0.0, 2.5, np.inf)])
            for each in (window.smooth, other)
        ]
        alike = np.pad(rows[0] @ rows[1].T, ((0, 0), (1, 1)))
        for z, row in enumerate(alike, window.start[0]):
            there = np.add.outer(steps * (z - middle), at - window.their_start[0] + 1)
            total += np.interp(there, np.arange(len(row)), row)
    step, place = np.unravel_index(np.argmax(total), total.shape)
    scale = float(steps[step])
    shift = float(at[place]) - scale * middle
    return replace(
        placement, scale=(scale, *placement.scale[1:]), shift=(shift, *placement.shift[1:])
    )


def aligned(
    placement: Placement,
    windows: Sequence[Window],
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
                    resampled(window.their_smooth, window, placement, between),
                )
            )
            # Rows as short as these are slower in a threaded BLAS, by far on a busy machine.
            fit = float(np.einsum("v,v", own, other))
            off = other - own
            # What only one of them shows, such as a rim of zeros, must not pull.
            off = np.clip(off, *np.multiply(np.median(np.abs(off)) + 1e-9, (-4, 4)))
            weight = max(fit, 0.0) ** 2 / (1.002 - min(fit, 1.0) ** 2)
            slopes = window.slopes[free]
            curve += weight * np.einsum("iv,jv->ij", slopes, slopes)
            pull += weight * np.einsum("iv,v->i", slopes, off)
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
    return np.asarray(flat / max(float(np.einsum("v,v", flat, flat)) ** 0.5, 1e-12))


def _moved(placement: Placement, shift: Points, growth: Points, middle: Points) -> Placement:
    axes = list(placement.axes)
    scale = np.asarray(placement.scale)
    back = growth[axes] * middle[axes] - shift[axes]
    z, y, x = (scale * (1 - growth[axes])).tolist()
    dz, dy, dx = (np.asarray(placement.shift) + scale * back).tolist()
    return replace(placement, scale=(z, y, x), shift=(dz, dy, dx))
