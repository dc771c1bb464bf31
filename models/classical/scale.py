"""Gaussian scale space in µm: smoothing, blob response, noise, and the size of the nuclei."""

from __future__ import annotations

import math
from functools import reduce
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from labels.gaussian import Floats, filtered, kernel
from labels.spacing import Spacing

DOG_RATIO = 1.26
"""Standard deviations of a difference of Gaussians are this factor below and above its scale."""

AGREE = 1.25
"""Factor within which two estimates of a diameter say the same."""


def _kernel(sigma: float) -> Floats:
    return kernel(sigma, reach=3.5, least=0.15)


def gaussian(volume: Floats, sigma_um: float, spacing_um: Spacing) -> Floats:
    """Smooth with an isotropic Gaussian in µm.

    Parameters
    ----------
    volume : ndarray of float32, shape (Z, Y, X)
    sigma_um : float
    spacing_um : (float, float, float)
        Voxel size (z, y, x) in µm.

    Returns
    -------
    ndarray of float32, shape (Z, Y, X)
    """
    return filtered(volume, *(_kernel(sigma_um / step) for step in spacing_um))


def blob_response(volume: Floats, scale_um: float, spacing_um: Spacing) -> Floats:
    """Return the difference of Gaussians at `scale_um`: positive in bright blobs of that scale."""
    inner = gaussian(volume, scale_um / DOG_RATIO, spacing_um)
    inner -= gaussian(volume, scale_um * DOG_RATIO, spacing_um)
    return inner


def blob_noise(scale_um: float, spacing_um: Spacing, shape: tuple[int, ...]) -> Floats:
    """Return the standard deviation of `blob_response` on white noise of standard deviation 1.

    Exact, also at the borders, where reflection makes noise count twice.

    Parameters
    ----------
    scale_um : float
    spacing_um : (float, float, float)
    shape : (int, int, int)

    Returns
    -------
    ndarray of float32, shape (Z, Y, X)
    """
    inner, outer, cross = [], [], []
    for step, size in zip(spacing_um, shape, strict=True):
        small, large = (
            _as_matrix(_kernel(sigma / step), size)
            for sigma in (scale_um / DOG_RATIO, scale_um * DOG_RATIO)
        )
        inner.append((small * small).sum(axis=1))
        outer.append((large * large).sum(axis=1))
        cross.append((small * large).sum(axis=1))
    variance = reduce(np.multiply.outer, inner)
    variance += reduce(np.multiply.outer, outer)
    variance -= 2 * reduce(np.multiply.outer, cross)
    return np.asarray(np.sqrt(np.maximum(variance, 0)), np.float32)


def _as_matrix(weights: Floats, size: int) -> Floats:
    """Return the square matrix that filters a line of `size` voxels."""
    one = np.ones(1, np.float32)
    eye = np.eye(size, dtype=np.float32)
    matrix = cv2.sepFilter2D(eye, -1, one, weights, borderType=cv2.BORDER_REFLECT)
    return np.asarray(matrix, np.float32).reshape(size, size)


def local_noise(volume: Floats, sigma_um: float, spacing_um: Spacing) -> Floats:
    """Return the standard deviation of the voxel noise around each voxel.

    The residual filter is blind to planes and slopes (Immerkaer, Fast noise variance estimation,
    CVIU 1996), so that nuclei themselves are hardly counted as noise.

    Parameters
    ----------
    volume : ndarray of float32, shape (Z, Y, X)
    sigma_um : float
        Width of the neighbourhood.
    spacing_um : (float, float, float)

    Returns
    -------
    ndarray of float32, shape (Z, Y, X)
    """
    weights = np.array([[1, -2, 1], [-2, 4, -2], [1, -2, 1]], np.float32) / 6
    squares = np.empty_like(volume)
    for z, plane in enumerate(volume):
        residual = cv2.filter2D(plane, -1, weights, borderType=cv2.BORDER_REFLECT)
        np.square(residual, out=squares[z])
    return np.sqrt(np.maximum(gaussian(squares, sigma_um, spacing_um), 0))


def normalise(image: NDArray[Any], power: float) -> Floats:
    """Map the 1st percentile to 0 and the 99.8th to 1, then compress with an exponent.

    Parameters
    ----------
    image : ndarray of integer or float, shape (Z, Y, X)
    power : float
        1 keeps intensities linear; less lifts dim nuclei beside bright ones.

    Returns
    -------
    ndarray of float32, shape (Z, Y, X)
        From 0 to at most 3.
    """
    low, high = (float(v) for v in np.percentile(image, [1, 99.8]))
    if high <= low:
        low, high = float(image.min()), float(image.max())
    out = np.empty(image.shape, np.float32)
    for z, plane in enumerate(image):
        # In double precision, so that a large offset does not eat the small differences.
        out[z] = (plane.astype(np.float64) - low) / (high - low)
    np.clip(out, 0, 3, out=out)
    return out if power == 1 else out**power


def _reduce(volume: Floats, spacing_um: Spacing, target_um: float) -> tuple[Floats, Spacing]:
    """Average blocks of voxels up to about `target_um` wide."""
    steps = [
        min(max(1, int(target_um / step)), max(1, size // 8))
        for step, size in zip(spacing_um, volume.shape, strict=True)
    ]
    if max(steps) == 1:
        return volume, spacing_um
    (nz, fz), (ny, fy), (nx, fx) = (
        (size // f, f) for size, f in zip(volume.shape, steps, strict=True)
    )
    blocks = volume[: nz * fz, : ny * fy, : nx * fx].reshape(nz, fz, ny, fy, nx, fx)
    small = np.ascontiguousarray(blocks.mean(axis=(1, 3, 5), dtype=np.float32))
    return small, (spacing_um[0] * fz, spacing_um[1] * fy, spacing_um[2] * fx)


def _profile(
    volume: Floats, spacing_um: Spacing
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return scales (µm, steps of √2) and the cubic mean of the positive blob response at each."""
    smallest = 0.8 * max(spacing_um[1:])
    extent = min(n * s for n, s in zip(volume.shape[1:], spacing_um[1:], strict=True))
    largest = max(extent / 4.5, 4 * smallest)
    count = int(2 * math.log2(largest / smallest)) + 1
    scales = np.asarray(smallest * math.sqrt(2.0) ** np.arange(count), np.float64)
    strength = np.empty(count, np.float64)
    for k, scale in enumerate(scales):
        small, step = _reduce(volume, spacing_um, scale / 2)
        response = np.maximum(blob_response(small, float(scale), step), 0).astype(np.float64)
        strength[k] = np.cbrt(np.mean(response**3))
    return scales, strength


def estimate_diameter_um(volume: Floats, spacing_um: Spacing) -> float | None:
    """Estimate the diameter of a typical nucleus from the blob response over scales.

    A solid ball of radius r answers most to a Laplacian of Gaussian of σ = r/√3, a disk to r/√2
    (Lindeberg, Feature detection with automatic scale selection, IJCV 1998). The cubic mean over
    voxels follows the bright blobs; the response of noise falls with the scale, so that the
    first rise after it is where structure begins.

    Parameters
    ----------
    volume : ndarray of float32, shape (Z, Y, X)
        As from `normalise`.
    spacing_um : (float, float, float)

    Returns
    -------
    float or None
        Diameter in µm; None when the response falls with the scale all along, as noise does.
    """
    found = _peak(volume, spacing_um)
    return None if found is None else found[0]


def sure_diameter_um(volume: Floats, spacing_um: Spacing) -> float | None:
    """Estimate as `estimate_diameter_um` does, or return None where the image does not tell.

    It tells where the response falls again at larger scales, and both halves of the volume say
    the same as the whole.
    """
    whole = _peak(volume, spacing_um)
    if whole is None or whole[1]:
        return None
    axis = int(np.argmax(volume.shape))
    halves = [_peak(half, spacing_um) for half in np.array_split(volume, 2, axis=axis)]
    agree = all(h is not None and 1 / AGREE < h[0] / whole[0] < AGREE for h in halves)
    return whole[0] if agree else None


def _peak(volume: Floats, spacing_um: Spacing) -> tuple[float, bool] | None:
    """Return the diameter that answers most, and whether it is the largest that was tried."""
    scales, strength = _profile(volume, spacing_um)
    rises = np.flatnonzero(np.diff(strength) > 0)
    if len(rises) == 0:
        return None
    padded = np.append(strength, -np.inf)
    peaks = [
        k
        for k in range(rises[0] + 1, len(strength))
        if padded[k] >= padded[k - 1] and padded[k] >= padded[k + 1]
    ]
    # Whole spheroids answer too, at larger scales: the first strong peak is the nuclei's.
    highest = max(strength[k] for k in peaks)
    best = next(k for k in peaks if strength[k] >= 0.6 * highest)
    offset = 0.0
    if best + 1 < len(strength):
        before, at, after = np.log(strength[best - 1 : best + 2])
        curvature = before - 2 * at + after
        offset = 0.0 if curvature >= 0 else 0.5 * (before - after) / curvature
    dimensions = 3 if volume.shape[0] > 1 else 2
    diameter = float(2 * math.sqrt(dimensions) * scales[best] * math.sqrt(2.0) ** offset)
    return diameter, best + 1 == len(strength)
