"""Two label images, from memory or from zarr, read block by block."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from labels.arrays import ArrayLike
from labels.errors import LabelImageError
from labels.numbers import number_of

MEMORY_BLOCK_BYTES = 8 << 20
STORE_BLOCK_BYTES = 32 << 20
MAX_WORKERS = 4

Region = tuple[slice, slice, slice]
"""Part of a label image, (z, y, x)."""
T = TypeVar("T")
LabelImage = ArrayLike
"""Integers of shape (Z, Y, X) or (Y, X), 0 for background."""


def check_pair(truth: LabelImage, pred: LabelImage) -> None:
    """Refuse two images that cannot be compared voxel by voxel.

    Raises
    ------
    LabelImageError
        Shapes differ, not 2D or 3D, or not integers.
    """
    for name, image in (("truth", truth), ("prediction", pred)):
        dtype = np.dtype(image.dtype)
        if not np.issubdtype(dtype, np.integer):
            raise LabelImageError(
                f"expected integer labels in the {name}, got {dtype}: "
                "give one whole number per object, 0 for background"
            )
    if tuple(truth.shape) != tuple(pred.shape):
        raise LabelImageError(
            f"expected a prediction of the truth's shape {tuple(truth.shape)}, got "
            f"{tuple(pred.shape)}: compare label images of the same stack"
        )
    if len(truth.shape) not in (2, 3):
        raise LabelImageError(
            f"expected labels with axes ZYX or YX, got {number_of(len(truth.shape), 'dimension')}: "
            "compare one channel of one stack at a time"
        )
    if 0 in truth.shape:
        raise LabelImageError(
            f"expected labels with voxels in them, got shape {tuple(truth.shape)}"
        )


def shape_zyx(image: LabelImage) -> tuple[int, int, int]:
    """Shape with a leading 1 where the image is 2D."""
    z, y, x = (1,) * (3 - len(image.shape)) + tuple(image.shape)
    return z, y, x


def common_dtype(*images: LabelImage) -> np.dtype[Any]:
    """Unsigned dtype that one compiled kernel serves: 64 bit only where an image needs it."""
    wide = any(np.dtype(image.dtype).itemsize == 8 for image in images)
    return np.dtype(np.uint64 if wide else np.uint32)


def largest_id(image: LabelImage, dtype: np.dtype[Any]) -> int:
    """Largest value that `read` gives for a valid id; above it lie the negative ones."""
    signed = np.dtype(image.dtype).kind == "i"
    return int(np.iinfo(np.int64).max if dtype.itemsize == 8 else 2 ** (31 if signed else 32) - 1)


def plan(*images: LabelImage) -> list[Region]:
    """Parts of whole rows that together cover the images, aligned to chunks where they have any."""
    z, y, x = shape_zyx(images[0])
    chunks = next((c for c in map(_chunks, images) if c), None)
    step_z, step_y = 1, 1
    limit = MEMORY_BLOCK_BYTES
    if chunks:
        step_z, step_y = (1, *chunks)[-3:-1]
        limit = STORE_BLOCK_BYTES
    row = x * max(np.dtype(i.dtype).itemsize for i in images)
    if step_z * y * row <= limit:
        step_z *= max(1, limit // max(1, step_z * y * row))
        step_y = y
    else:
        step_y *= max(1, limit // max(1, step_z * step_y * row))
    return [
        (slice(a, min(a + step_z, z)), slice(b, min(b + step_y, y)), slice(0, x))
        for a in range(0, z, max(1, step_z))
        for b in range(0, y, max(1, step_y))
    ]


def _chunks(image: LabelImage) -> tuple[int, ...] | None:
    """Chunk shape of a zarr array; other arrays have none, or (dask) write it otherwise."""
    chunks = getattr(image, "chunks", None)
    return chunks if chunks and all(isinstance(c, int) for c in chunks) else None


def read(image: LabelImage, region: Region, dtype: np.dtype[Any]) -> NDArray[Any]:
    """One part as a C-contiguous 3D array of `dtype`; no copy where it is one already."""
    part = np.asarray(image[region] if len(image.shape) == 3 else image[region[1:]][None])
    signed = np.dtype(f"i{dtype.itemsize}") if part.dtype.kind == "i" else dtype
    return np.ascontiguousarray(part.astype(signed, copy=False)).view(dtype)


def available_processors() -> int:
    """Return how many processors this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def over_regions(
    regions: list[Region], work: Callable[[Iterator[Region]], T], workers: int | None
) -> list[T]:
    """Give each of a few threads its share of the regions; kernels release the GIL."""
    count = max(1, min(workers or min(available_processors(), MAX_WORKERS), len(regions)))
    shares = [iter(regions[i::count]) for i in range(count)]
    if count == 1:
        return [work(shares[0])]
    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(work, shares))
