"""Intensities and voxel sizes brought to what a run was trained with."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from labels.spacing import Spacing
from models.scarce_memory import check_resampled

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


def normalise_channels(
    image: NDArray[Any], percentiles: tuple[float, float]
) -> NDArray[np.float32]:
    """Map the percentiles of each channel of an image (C, Z, Y, X) to 0 and 1."""
    return np.stack(
        [normalise(channel, *intensity_range(channel, percentiles)) for channel in image]
    )


def same_spacing(a: Spacing, b: Spacing) -> bool:
    """Tell whether two voxel sizes are the same within `SAME_SPACING`."""
    return all(abs(x / y - 1) < SAME_SPACING for x, y in zip(a, b, strict=True))


def resized_shape(
    shape: tuple[int, ...], spacing_um: Spacing, wanted_um: Spacing
) -> tuple[int, int, int]:
    """Return the shape (Z, Y, X) of the same field of view at another voxel size.

    Raises
    ------
    ImageError
        One that can only be a slip; see `check_resampled`.
    """
    z, y, x = (
        max(1, round(n * have / want))
        for n, have, want in zip(shape, spacing_um, wanted_um, strict=True)
    )
    check_resampled(shape, (z, y, x))
    return z, y, x


def resize(array: NDArray[Any], shape: tuple[int, int, int], *, linear: bool) -> NDArray[Any]:
    """Resample (Z, Y, X) to `shape` over the same field of view, linearly or by the nearest voxel.

    Linearly, an axis that becomes coarser is averaged over the new voxel.
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
    if not linear:
        # Voxel centres, so that the field of view keeps its borders.
        at = np.clip((np.arange(size) + 0.5) * old / size - 0.5, 0, old - 1)
        nearest: NDArray[Any] = np.take(array, np.rint(at).astype(np.intp), axis=axis)
        return nearest
    lines = np.moveaxis(array, axis, -1)
    mixed = np.asarray(lines, np.float32) @ _weights(old, size).T
    return np.ascontiguousarray(np.moveaxis(mixed, -1, axis))


def _weights(old: int, size: int) -> NDArray[np.float32]:
    """Return the share (size, old) of each old voxel in each new one: triangles, as wide as new."""
    step = old / size
    at = (np.arange(size) + 0.5) * step - 0.5
    # Going down, every old voxel has to count, or noise would be sampled and not averaged.
    reach = max(1.0, step)
    at = np.clip(at, 0, old - 1) if reach == 1.0 else at
    share = np.maximum(1 - np.abs(np.arange(old) - at[:, None]) / reach, 0)
    return np.asarray(share / share.sum(axis=1, keepdims=True), np.float32)
