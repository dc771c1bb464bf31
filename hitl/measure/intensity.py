"""Intensities of each object in each channel, from its voxels in sorted order."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hitl.measure.columns import STATISTICS
from hitl.measure.shapes import Column, Shapes, unsigned
from hitl.measure.sources import VoxelSource, slabs
from hitl.project.errors import MeasureError
from labels.progress import Progress

PERCENTILES = (5, 25, 50, 75, 95)
GROUP_VOXELS = 1 << 25
"""Voxels of one channel that are held at a time."""
BACKGROUND_VOXELS = 1 << 21
"""Background voxels that the median is taken of, spread evenly over the field."""

COMPUTED = ("sum", "mean", "std", "min", "max", "entropy_bits", "skewness", "kurtosis")


@dataclass(frozen=True, eq=False)
class Intensities:
    """Statistics of one channel.

    Parameters
    ----------
    values : mapping of str to ndarray of float64, shape (N,)
        By statistic: `COMPUTED` and ``p5`` … ``p95``, ``median``.
    background : float or None
        Median of the unlabelled voxels; None where every voxel is labelled.
    constant : int
        Objects whose voxels are all alike.
    """

    values: dict[str, Column]
    background: float | None
    constant: int


def measure_channel(
    source: VoxelSource, shapes: Shapes, index: int, progress: Progress
) -> Intensities:
    """Measure all objects in one channel.

    Objects are taken by groups of at most `GROUP_VOXELS` voxels (or one larger object), each of
    which reads only the slices that it lies in.

    Parameters
    ----------
    source : VoxelSource
    shapes : Shapes
    index : int
        The channel.
    progress : callable

    Raises
    ------
    MeasureError
        NaN or infinite intensities.
    """
    from hitl.measure import _kernels

    shares = np.array(PERCENTILES) / 100
    out = np.zeros((len(shapes), len(COMPUTED) + len(PERCENTILES)))
    name = source.channels[index]
    for rows in _groups(shapes):
        values, starts = _gathered(source, shapes, index, rows, progress)
        if values.dtype.kind == "f" and not np.isfinite(values).all():
            raise MeasureError(
                f"channel {name!r}: expected finite intensities, got NaN or infinite ones; "
                "repair the image first"
            )
        for start, stop in pairwise(starts):
            values[start:stop].sort()
        part = np.empty((len(rows), out.shape[1]))
        _kernels.describe(values, starts, shares, part)
        out[rows] = part
    found = dict(zip((*COMPUTED, *(f"p{p}" for p in PERCENTILES)), out.T, strict=True))
    found["median"] = found.pop("p50")
    constant = int(np.count_nonzero((found["min"] == found["max"]) & (shapes.voxels > 1)))
    return Intensities(found, _background(source, index), constant)


def intensity_columns(
    name: str, found: Intensities, voxels: NDArray[np.int64]
) -> dict[str, Column]:
    """Return the columns of one channel, `name` being its name as it stands in columns."""
    background = np.nan if found.background is None else found.background
    values = {
        **found.values,
        "mean_minus_background": found.values["mean"] - background,
        "sum_minus_background": found.values["sum"] - background * voxels,
    }
    return {f"{name}_{key}": values[key] for key in STATISTICS}


def _groups(shapes: Shapes) -> list[NDArray[np.int64]]:
    """Rows by groups of bounded size; objects of one group lie near each other along z."""
    order = np.argsort(shapes.boxes[:, 0], kind="stable")
    groups, start, held = [], 0, 0
    for place, row in enumerate(order):
        if held and held + shapes.voxels[row] > GROUP_VOXELS:
            groups.append(np.sort(order[start:place]))
            start, held = place, 0
        held += int(shapes.voxels[row])
    if len(order):
        groups.append(np.sort(order[start:]))
    return groups


def _gathered(
    source: VoxelSource,
    shapes: Shapes,
    index: int,
    rows: NDArray[np.int64],
    progress: Progress,
) -> tuple[NDArray[Any], NDArray[np.int64]]:
    """Return the intensities of some objects one after the other, and where each begins."""
    from hitl.measure import _kernels

    starts = np.concatenate([[0], np.cumsum(shapes.voxels[rows])]).astype(np.int64)
    fill = starts[:-1].copy()
    z_low, z_high = shapes.boxes[rows, 0].min(), shapes.boxes[rows, 3].max()
    values: NDArray[Any] | None = None
    for z_start, z_stop in slabs(source.shape):
        if z_stop <= z_low or z_start >= z_high:
            continue
        image = _numbers(source.channel(index, z_start, z_stop))
        if values is None:
            values = np.empty(int(starts[-1]), image.dtype)
        labels = unsigned(source.labels(z_start, z_stop))
        _kernels.gather(labels, image, shapes.ids[rows].astype(labels.dtype), fill, values)
        progress(z_stop, source.shape[0], f"intensities of {source.channels[index]}")
    assert values is not None
    return values, starts


def _numbers(image: NDArray[Any]) -> NDArray[Any]:
    """Return an image of a type that the kernels take: half floats widen, booleans become 0, 1."""
    if image.dtype == np.float16:
        image = image.astype(np.float32)
    elif image.dtype == bool:
        image = image.view(np.uint8)
    return np.ascontiguousarray(image, image.dtype.newbyteorder("="))


def _background(source: VoxelSource, index: int) -> float | None:
    every = max(1, int(np.ceil((np.prod(source.shape) / BACKGROUND_VOXELS) ** (1 / 2))))
    parts = []
    for z_start, z_stop in slabs(source.shape):
        free = source.labels(z_start, z_stop)[:, ::every, ::every] == 0
        parts.append(source.channel(index, z_start, z_stop)[:, ::every, ::every][free])
    values = np.concatenate(parts)
    return float(np.median(values)) if values.size else None
