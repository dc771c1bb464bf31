"""Label images that the benchmarks measure on."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

Labels = NDArray[np.uint32]
Size = tuple[int, int, int]

SHAPE = (160, 1024, 1024)
GRID = (10, 20, 25)


def synthetic_labels(shape: Size = SHAPE, grid: Size = GRID, seed: int = 0) -> Labels:
    """Draw one ellipsoid per cell of a grid, its centre moved at random; neighbours may overlap.

    Parameters
    ----------
    shape, grid : (int, int, int)
        Voxels and number of objects along z, y, x.
    seed : int

    Returns
    -------
    ndarray of uint32, shape (Z, Y, X)
    """
    rng = np.random.default_rng(seed)
    pitch = np.array(shape) / grid
    radii = np.maximum((pitch * [0.4, 0.43, 0.53]).astype(int), 1)
    z, y, x = (np.arange(-r, r + 1).reshape(-1, *(1,) * (2 - k)) for k, r in enumerate(radii))
    ball = (z / radii[0]) ** 2 + (y / radii[1]) ** 2 + (x / radii[2]) ** 2 <= 1
    labels = np.zeros(shape, np.uint32)
    for label, cell in enumerate(np.ndindex(*grid), start=1):
        centre = (np.array(cell) + 0.5) * pitch + rng.normal(0, 0.06, 3) * pitch
        low = np.clip(centre.astype(int) - radii, 0, np.array(shape) - 2 * radii - 1)
        box = tuple(slice(a, a + 2 * r + 1) for a, r in zip(low, radii, strict=True))
        labels[box][ball] = label
    return labels


def ellipsoid(
    shape: Size, centre: NDArray[Any], radii: NDArray[Any], margin: int = 0
) -> tuple[tuple[slice, ...], NDArray[np.float64]]:
    """Return the box of an ellipsoid in a volume, and its distances from the centre in radii.

    Parameters
    ----------
    shape : (int, int, int)
    centre, radii : ndarray, shape (3,)
        In voxels along z, y, x.
    margin : int
        Voxels by which the box is wider on each side.
    """
    low = np.maximum(np.floor(centre - radii - margin), 0).astype(int)
    high = np.minimum(np.ceil(centre + radii + margin) + 1, shape).astype(int)
    box = tuple(slice(a, b) for a, b in zip(low, high, strict=True))
    axes = zip(np.ogrid[box], centre, radii, strict=True)
    return box, np.sqrt(sum(((grid - c) / r) ** 2 for grid, c, r in axes))


@contextmanager
def in_zarr(*arrays: NDArray[Any], chunk: Size = (16, 128, 128)) -> Iterator[list[Any]]:
    """Give zarr arrays of the same values, in a folder that is gone afterwards."""
    import zarr

    with tempfile.TemporaryDirectory() as folder:
        yield [
            zarr.create_array(
                Path(folder) / str(number), data=array, chunks=clipped(chunk, array.shape)
            )
            for number, array in enumerate(arrays)
        ]


def clipped(chunk: ArrayLike, shape: ArrayLike) -> tuple[int, ...]:
    """Return a chunk that is no larger than the array."""
    return tuple(np.minimum(chunk, shape).tolist())
