"""Smooth random fields and Gaussian filters in µm, fast enough to be drawn by the hundred."""

from __future__ import annotations

import math

import cv2
import numpy as np

from labels.gaussian import Floats, filtered, kernel
from labels.spacing import Spacing

_SPLINE_POWER = 151 / 315  # Mean over positions of the summed squared cubic B-spline weights.


def smooth_noise(
    rng: np.random.Generator, shape: tuple[int, ...], spacing_um: Spacing, length_um: float
) -> Floats:
    """Draw a random field of mean 0 and standard deviation 1 that varies over `length_um`.

    White noise on a coarse grid, joined by cubic B-splines.

    Parameters
    ----------
    rng : numpy Generator
    shape : (int, int, int)
    spacing_um : (float, float, float)
        Voxel size (z, y, x) in µm.
    length_um : float
        Distance of the grid's knots; an axis whose voxels are larger gets white noise.

    Returns
    -------
    ndarray of float32, shape (Z, Y, X)
    """
    steps = [max(length_um / step, 1.0) for step in spacing_um]
    knots = tuple(
        size if step == 1 else math.ceil(size / step) + 4
        for size, step in zip(shape, steps, strict=True)
    )
    field = rng.standard_normal(knots, dtype=np.float32)
    starts = rng.random(3)
    for axis in (2, 1, 0):
        if steps[axis] > 1:
            field = _refine(field, axis, shape[axis], steps[axis], starts[axis])
            field /= np.float32(math.sqrt(_SPLINE_POWER))
    return field


def _refine(field: Floats, axis: int, size: int, step: float, start: float) -> Floats:
    """Interpolate one axis to `size` voxels, `step` voxels to a knot."""
    position = start + np.arange(size) / step
    knot = np.floor(position).astype(np.intp)
    t = position - knot
    weights = ((1 - t) ** 3, 3 * t**3 - 6 * t**2 + 4, -3 * t**3 + 3 * t**2 + 3 * t + 1, t**3)
    along = [1, 1, 1]
    along[axis] = size
    out: Floats | None = None
    for offset, weight in enumerate(weights):
        term = np.take(field, knot + offset, axis=axis)
        term *= (weight / 6).astype(np.float32).reshape(along)
        out = term if out is None else np.add(out, term, out=out)
    assert out is not None
    return out


def blur(volume: Floats, sigma_um: Spacing, spacing_um: Spacing) -> Floats:
    """Smooth with a Gaussian of its own width along each axis.

    Parameters
    ----------
    volume : ndarray of float32, shape (Z, Y, X)
    sigma_um, spacing_um : (float, float, float)
        Along z, y, x in µm.

    Returns
    -------
    ndarray of float32, shape (Z, Y, X)
    """
    sigmas = (sigma / step for sigma, step in zip(sigma_um, spacing_um, strict=True))
    return filtered(volume, *(kernel(sigma, reach=3.0, least=0.2) for sigma in sigmas))


def wide_blur(volume: Floats, sigma_um: Spacing, spacing_um: Spacing) -> Floats:
    """Smooth as `blur` does, on a coarser grid: for widths of many voxels, where nobody can tell.

    Parameters
    ----------
    volume : ndarray of float32, shape (Z, Y, X)
    sigma_um, spacing_um : (float, float, float)
        Along z, y, x in µm.

    Returns
    -------
    ndarray of float32, shape (Z, Y, X)
    """
    factors = [max(1, int(s / (1.5 * d))) for s, d in zip(sigma_um, spacing_um, strict=True)]
    depth, height, width = volume.shape
    small_yx = (max(1, width // factors[2]), max(1, height // factors[1]))
    slabs = np.arange(0, depth, factors[0])
    planes = np.add.reduceat(volume, slabs, axis=0)
    planes /= np.diff(np.append(slabs, depth)).astype(np.float32)[:, None, None]
    small = np.stack([_resize(plane, small_yx, cv2.INTER_AREA) for plane in planes])
    steps = (
        spacing_um[0] * factors[0],
        spacing_um[1] * height / small_yx[1],
        spacing_um[2] * width / small_yx[0],
    )
    small = blur(small, sigma_um, steps)
    planes = np.stack([_resize(plane, (width, height), cv2.INTER_LINEAR) for plane in small])
    if len(planes) == depth:
        return planes
    place = np.clip((np.arange(depth) + 0.5) / factors[0] - 0.5, 0, len(planes) - 1)
    low = np.minimum(place.astype(np.intp), max(len(planes) - 2, 0))
    share = (place - low).astype(np.float32)[:, None, None]
    out = planes[low] * (1 - share)
    out += planes[np.minimum(low + 1, len(planes) - 1)] * share
    return np.asarray(out, np.float32)


def _resize(plane: Floats, size_xy: tuple[int, int], how: int) -> Floats:
    resized = cv2.resize(np.ascontiguousarray(plane), size_xy, interpolation=how)
    return np.asarray(resized, np.float32).reshape(size_xy[1], size_xy[0])
