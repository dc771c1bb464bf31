"""Parts of a volume and of another one in which they lie, read and resampled."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from annotations.copies.describer import unit
from annotations.copies.placement import Placement, Points
from labels.arrays import ArrayLike
from labels.gaussian import Floats, filtered, kernel

WINDOWS = 8
"""Places that are compared."""

_SIDES, _FLAT_SIDE, _LEAST_SIDE = (8, 40, 40), 56, 8
_REACH = 5
"""Voxels around a window in which its counterpart is looked for."""


@dataclass(frozen=True)
class Window:
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


def window_starts(
    placement: Placement,
    shape: tuple[int, ...],
    other: tuple[int, ...],
    places: Points,
    all_slices: bool = False,
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return where windows begin, far from each other, and their sides."""
    box = placement.box(shape, other)
    if all_slices:
        box = (slice(0, shape[0]), *box[1:])
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


def cut_window(
    mine: ArrayLike,
    theirs: ArrayLike,
    placement: Placement,
    start: NDArray[np.intp],
    sides: NDArray[np.intp],
    middle: Points,
    reach_z: int = _REACH,
) -> Window | None:
    """Read a window and its counterpart; None where one of them is constant."""
    seen = np.asarray(mine[_region(start, start + sides)])
    own, contrast = unit(seen), float(seen.max()) / 2 - float(seen.min()) / 2
    ends = placement.there(np.stack([start, start + sides - 1]).astype(np.float64))
    reach = (reach_z, _REACH, _REACH) * np.maximum(1, np.abs(placement.scale))
    low = np.maximum(np.floor(ends.min(axis=0) - reach), 0).astype(np.intp)
    high = np.minimum(np.ceil(ends.max(axis=0) + reach) + 1, theirs.shape).astype(np.intp)
    if (high <= low).any():
        return None
    other = unit(np.asarray(theirs[_region(low, high)]))
    if not (own.any() and other.any()):
        return None
    smooth = blur(own, 1.0, np.inf)
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
    return Window(start, low, own, other, smooth, blur(other, wide, np.inf), contrast, slopes)


def _region(low: NDArray[np.intp], high: NDArray[np.intp]) -> tuple[slice, ...]:
    return tuple(slice(int(a), int(b)) for a, b in zip(low, high, strict=True))


def blur(volume: Floats, sigma: float, flatness: float) -> Floats:
    """Blur by so many pixels in xy, and by as many micrometres in z."""
    along_z, along_yx = (
        kernel(s, reach=3.0, least=least)
        for s, least in ((sigma / max(flatness, 0.5), 0.3), (sigma, 0.2))
    )
    return filtered(np.ascontiguousarray(volume), along_z, along_yx, along_yx)


def resampled(
    voxels: Floats,
    window: Window,
    placement: Placement,
    between: bool = True,
    in_depth: bool = True,
) -> Floats:
    """Return what lies on the voxels of a window: between the other's voxels or the nearest."""
    out = voxels
    moves = list(enumerate(zip(placement.axes, placement.scale, placement.shift, strict=True)))
    for there, (here, scale, shift) in moves if in_depth else moves[1:]:
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


def detail_of(voxels: Floats, narrow: float, wide: float, flatness: float) -> Floats:
    """Return what lies between two blurs."""
    fine = blur(voxels, narrow, flatness) if narrow else voxels
    detail = inner(fine - blur(voxels, wide, flatness))
    return np.asarray(detail - detail.mean())


def inner(voxels: Floats) -> Floats:
    """Return a window without its rim, where blurs see what is mirrored."""
    return voxels[:, 2:-2, 2:-2] if min(voxels.shape[1:]) > 12 else voxels
