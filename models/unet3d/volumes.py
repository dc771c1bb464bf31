"""Intensities and voxel sizes brought to what a run was trained with."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.base import Spacing

SAME_SPACING = 0.05
"""Voxel sizes that differ by less than this fraction are taken as the same."""

PERCENTILE_SAMPLES = 4_000_000
CLIP = (-1.0, 4.0)


def intensity_range(image: NDArray[Any], percentiles: tuple[float, float]) -> tuple[float, float]:
    """Return the intensities that become 0 and 1.

    Parameters
    ----------
    image : ndarray, shape (Z, Y, X)
    percentiles : (float, float)
        Low and high percentile of the stack; a large stack is sampled evenly.

    Returns
    -------
    (float, float)
    """
    flat = image.reshape(-1)
    flat = flat[:: max(1, flat.size // PERCENTILE_SAMPLES)]
    low, high = (float(v) for v in np.percentile(flat, percentiles))
    if high <= low:
        low, high = float(image.min()), float(image.max())
    return low, max(high, low + 1e-6)


def normalise(image: NDArray[Any], low: float, high: float) -> NDArray[np.float32]:
    """Map `low` to 0 and `high` to 1; far outliers are clipped."""
    scaled = (image.astype(np.float32) - np.float32(low)) / np.float32(high - low)
    return np.clip(scaled, *CLIP, out=scaled)


def same_spacing(a: Spacing, b: Spacing) -> bool:
    """Tell whether two voxel sizes are the same within `SAME_SPACING`."""
    return all(abs(x / y - 1) < SAME_SPACING for x, y in zip(a, b, strict=True))


def resized_shape(
    shape: tuple[int, ...], spacing_um: Spacing, wanted_um: Spacing
) -> tuple[int, int, int]:
    """Return the shape (Z, Y, X) of the same field of view at another voxel size."""
    z, y, x = (
        max(1, round(n * have / want))
        for n, have, want in zip(shape, spacing_um, wanted_um, strict=True)
    )
    return z, y, x


def resize(array: NDArray[Any], shape: tuple[int, int, int], *, linear: bool) -> NDArray[Any]:
    """Resample (Z, Y, X) to `shape` over the same field of view, linearly or by the nearest voxel.

    Slices are resampled in xy, then along z, so that no whole float copy is needed for labels.
    """
    if array.shape == shape:
        return array
    out = array
    for axis, size in enumerate(shape):
        if out.shape[axis] != size:
            out = _resize_axis(out, axis, size, linear)
    return out


def _resize_axis(array: NDArray[Any], axis: int, size: int, linear: bool) -> NDArray[Any]:
    old = array.shape[axis]
    # Voxel centres, so that the field of view keeps its borders.
    at = np.clip((np.arange(size) + 0.5) * old / size - 0.5, 0, old - 1)
    if not linear:
        nearest: NDArray[Any] = np.take(array, np.rint(at).astype(np.intp), axis=axis)
        return nearest
    below = np.floor(at).astype(np.intp)
    shape = [1, 1, 1]
    shape[axis] = size
    part = (at - below).astype(np.float32).reshape(shape)
    lower = np.take(array, below, axis=axis).astype(np.float32)
    upper = np.take(array, np.minimum(below + 1, old - 1), axis=axis).astype(np.float32)
    mixed: NDArray[Any] = lower + part * (upper - lower)
    return mixed
