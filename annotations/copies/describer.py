"""Points of a volume that are found again in a copy of it, and what surrounds them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from annotations.copies.descriptor import ANGLES, RADII, fingerprints
from annotations.copies.landmark import LANDMARK, MOST
from labels.gaussian import Floats, filtered, kernel
from labels.spacing import Spacing

VOXELS = 1 << 20
"""A volume of more voxels is made coarser first."""

_BLUR, _WIDER = 1.6, 1.6
_LEAST_SIDE, _RIM = 12, 2
_ROUNDING = 2e-6
"""Where a volume is constant its detail is this small and means nothing."""

_PARTS = (1, 4, 4)
"""Into which a volume is cut (z, y, x), so that landmarks lie all over it."""

_AROUND = np.ones((3, 3), np.uint8)


@dataclass(frozen=True)
class Coarseness:
    """How much coarser a volume is: `by` voxels (z, y, x) become one, `octave` doublings of x.

    Parameters
    ----------
    by : (int, int, int)
    octave : int
    flatness : float
        Voxel size along z over that along x.
    """

    by: tuple[int, int, int]
    octave: int
    flatness: float

    @classmethod
    def of(cls, zyx: tuple[int, ...], spacing_um: Spacing) -> Coarseness:
        """Return how coarse a volume of a shape is looked at: at most `VOXELS` are left."""
        found = cls((1, 1, 1), 0, spacing_um[0] / min(spacing_um[1:]))
        while np.prod([n // k for n, k in zip(zyx, found.by, strict=True)]) > VOXELS:
            found = found.next(zyx[0])
        return found

    def next(self, depth: int) -> Coarseness:
        """Return twice as coarse; z only once it is as fine as x."""
        z, y, x = self.by
        step = 2 if self.flatness < 0.7 and depth >= 2 * z else 1
        return Coarseness((z * step, 2 * y, 2 * x), self.octave + 1, self.flatness * step / 2)


class Describer:
    """Finds the landmarks of each channel of one time point, whose slabs it takes one by one.

    Parameters
    ----------
    channels : int
    zyx : (int, int, int)
    spacing_um : (float, float, float)
    dtype : numpy dtype
        Of the slabs.
    """

    def __init__(
        self,
        channels: int,
        zyx: tuple[int, int, int],
        spacing_um: Spacing,
        dtype: np.dtype[Any],
    ) -> None:
        self._coarse = Coarseness.of(zyx, spacing_um)
        self._zyx = zyx
        small = [n // k for n, k in zip(zyx, self._coarse.by, strict=True)]
        self._sums = np.zeros((channels, *small), np.result_type(dtype, np.float32))

    def take(self, block: NDArray[Any], z_start: int) -> None:
        """Take the slices from `z_start` on, shape (C, dz, Y, X)."""
        for sums, slices in zip(self._sums, block, strict=True):
            for z, plane in enumerate(slices, z_start):
                if (at := z // self._coarse.by[0]) < len(sums):
                    sums[at] += self._shrunk(plane)

    def landmarks(self) -> list[NDArray[np.void]]:
        """Return those of each channel, an array of `LANDMARK`."""
        return [_landmarks(sums, self._coarse, self._zyx) for sums in self._sums]

    def _shrunk(self, plane: NDArray[Any]) -> NDArray[Any]:
        _, y, x = self._coarse.by
        if (y, x) == (1, 1):
            return plane
        height, width = self._sums.shape[2:]
        part = plane[: height * y, : width * x].astype(np.result_type(plane, np.float32))
        return np.asarray(cv2.resize(part, (width, height), interpolation=cv2.INTER_AREA))


def unit(voxels: NDArray[Any]) -> Floats:
    """Return voxels as float32 between 0 and 1, whatever their range; zeros where there is none."""
    values = voxels.astype(np.result_type(voxels, np.float32))
    # Half of each: the range of the largest numbers is no number.
    values *= 0.5
    low, high = values.min(), values.max()
    if not (np.isfinite(high - low) and high > low):
        return np.zeros(values.shape, np.float32)
    values -= low
    values /= high - low
    return values.astype(np.float32, copy=False)


def _landmarks(
    voxels: NDArray[Any], coarse: Coarseness, zyx: tuple[int, int, int]
) -> NDArray[np.void]:
    """Return the landmarks of a volume and of what is left of it when it is made coarser."""
    octaves = [(unit(voxels), coarse)]
    while len(octaves) < len(MOST):
        volume, finer = octaves[-1]
        coarse = finer.next(zyx[0])
        volume = _block_means(volume, [b // a for a, b in zip(finer.by, coarse.by, strict=True)])
        octaves.append((volume, coarse))
    found, room = [], 0
    for (volume, coarse), most in reversed(list(zip(octaves, MOST, strict=True))):
        # What a coarse octave does not need is the finer ones'.
        room += most
        if min(volume.shape[1:]) >= _LEAST_SIDE:
            found.append(_of_octave(volume, coarse, zyx, room))
            room -= len(found[-1])
    return np.concatenate(found) if found else np.zeros(0, LANDMARK)


def _block_means(volume: Floats, by: list[int]) -> Floats:
    z, y, x = (n // k * k for n, k in zip(volume.shape, by, strict=True))
    out = volume[:z, :y, :x]
    for axis, step in enumerate(by):
        if step == 2:
            even, odd = (out[(slice(None),) * axis + (slice(n, None, 2),)] for n in (0, 1))
            out = even + odd
    return out / np.float32(np.prod(by))


def _of_octave(
    volume: Floats, coarse: Coarseness, zyx: tuple[int, int, int], most: int
) -> NDArray[np.void]:
    """Return the strongest extrema of a difference of Gaussians (Lowe, IJCV 2004)."""
    flat = coarse.flatness if coarse.octave else np.inf
    blurred = _blur(volume, _BLUR, flat)
    detail = blurred - _blur(blurred, _BLUR * float(np.sqrt(_WIDER**2 - 1)), flat)
    at = _extrema(detail)
    strength = detail[tuple(at.T)]
    kept = _spread(at, strength, detail.shape)[:most]
    at, strength = at[kept], strength[kept]
    exact = at + _vertices(detail, at)
    found = np.zeros(len(at), LANDMARK)
    share = (exact + 0.5) * coarse.by / zyx
    found["place"] = np.clip(np.rint(share * 65535), 0, 65535)
    found["kind"] = 2 * coarse.octave + (strength > 0)
    found["bits"] = fingerprints(_rings(blurred, at[:, 0], exact[:, 1], exact[:, 2]))
    return found


def _blur(volume: Floats, sigma: float, flatness: float) -> Floats:
    along_z, along_yx = (kernel(s, reach=3.0, least=0.3) for s in (sigma / flatness, sigma))
    return filtered(volume, along_z, along_yx, along_yx)


def _extrema(detail: Floats) -> NDArray[np.intp]:
    """Return the voxels (N, 3) that are above or below all around them."""
    inside = (slice(None), slice(_RIM, -_RIM), slice(_RIM, -_RIM))
    here = detail[inside]
    found = []
    for sign, grow in ((1, cv2.dilate), (-1, cv2.erode)):
        tops = np.stack([grow(plane, _AROUND) for plane in detail])
        stands_out = here > _ROUNDING if sign > 0 else here < -_ROUNDING
        stands_out &= here == tops[inside]
        z, y, x = np.nonzero(stands_out)
        y, x = y + _RIM, x + _RIM
        best = np.ones(len(z), np.bool_)
        for other in (np.maximum(z - 1, 0), np.minimum(z + 1, len(tops) - 1)):
            best &= sign * detail[z, y, x] >= sign * tops[other, y, x]
        found.append(np.stack([z, y, x], axis=1)[best])
    return np.concatenate(found)


def _spread(at: NDArray[np.intp], strength: Floats, shape: tuple[int, ...]) -> NDArray[np.intp]:
    """Return the order of points: the strongest of each part of a volume, then the second ones."""
    part = np.ravel_multi_index(tuple((at * _PARTS // shape).T), _PARTS)
    order = np.lexsort((-np.abs(strength), part))
    rank = np.arange(len(order)) - np.searchsorted(part[order], part[order])
    return np.asarray(order[np.lexsort((-np.abs(strength[order]), rank))])


def _vertices(detail: Floats, at: NDArray[np.intp]) -> NDArray[np.float64]:
    """Return how far the top of a parabola along each axis is from each extremum, in voxels."""
    out = np.zeros(at.shape)
    for axis, size in enumerate(detail.shape):
        middle = np.flatnonzero((at[:, axis] > 0) & (at[:, axis] < size - 1))
        step = np.eye(3, dtype=np.intp)[axis]
        before, here, after = (
            detail[tuple((at[middle] + k * step).T)].astype(np.float64) for k in (-1, 0, 1)
        )
        bend = before - 2 * here + after
        top = np.divide(before - after, 2 * bend, out=np.zeros(len(middle)), where=bend != 0)
        out[middle, axis] = np.clip(top, -0.5, 0.5)
    return out


def _rings(
    blurred: Floats, z: NDArray[np.intp], y: NDArray[np.float64], x: NDArray[np.float64]
) -> Floats:
    """Return the intensities on rings around points of a slice, mirrored at the border."""
    angles = np.arange(ANGLES) * (2 * np.pi / ANGLES)
    radii = np.multiply(RADII, _BLUR)[:, None]
    corners = []
    for centre, offset, size in (
        (y, radii * np.sin(angles), blurred.shape[1]),
        (x, radii * np.cos(angles), blurred.shape[2]),
    ):
        place = np.abs(centre[:, None, None] + offset)
        place = np.minimum(place, 2 * (size - 1) - place)
        low = np.minimum(place.astype(np.intp), size - 2)
        corners.append((low, (place - low).astype(np.float32)))
    (y0, v), (x0, u) = corners
    z = z[:, None, None]
    upper = blurred[z, y0, x0] * (1 - u) + blurred[z, y0, x0 + 1] * u
    lower = blurred[z, y0 + 1, x0] * (1 - u) + blurred[z, y0 + 1, x0 + 1] * u
    return np.asarray(upper * (1 - v) + lower * v)
