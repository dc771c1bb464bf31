"""Coarser resolutions of an image, for looking at it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray

from annotations._chunks import together
from annotations._storage import Location, translated
from annotations.layout import FULL, create_image
from labels.numbers import number_of
from labels.progress import Progress
from labels.spacing import Spacing

SMALL = 512
"""An image of fewer voxels in y and x is not made coarser."""


@dataclass(frozen=True)
class Level:
    """One resolution: shape (Z, Y, X) and voxel size (z, y, x) in µm."""

    zyx: tuple[int, int, int]
    spacing_um: Spacing

    @classmethod
    def of(cls, array: zarr.Array[Any], spacing_um: Spacing) -> Level:
        """Return the level that an array (…, Z, Y, X) is."""
        z, y, x = array.shape[-3:]
        return cls((z, y, x), spacing_um)

    def flat(self, depth_um: float) -> Level:
        """Return the level of a projection over z."""
        return Level((1, *self.zyx[1:]), (depth_um, *self.spacing_um[1:]))


def factors(spacing_um: Spacing, shape: tuple[int, ...]) -> tuple[int, int, int]:
    """Return by how much (z, y, x) are made coarser: z only once it is as fine as y and x."""
    z, y, x = spacing_um
    return (2 if z < 1.5 * min(y, x) and shape[-3] > 1 else 1), 2, 2


def add_levels(
    group: zarr.Group,
    finest: zarr.Array[Any],
    spacing_um: Spacing,
    location: Location,
    progress: Progress,
) -> dict[str, Level]:
    """Write coarser resolutions, each half as wide as the one before, until one is small.

    Returns
    -------
    dict of str to Level
        By the name of each resolution's array, the finest first.
    """
    levels = {FULL: Level.of(finest, spacing_um)}
    array, steps = finest, spacing_um
    while max(array.shape[-2:]) > SMALL:
        by = factors(steps, array.shape)
        z, y, x = (s * n for s, n in zip(steps, by, strict=True))
        steps = (z, y, x)
        shape = (*array.shape[:2], *(-(-n // k) for n, k in zip(array.shape[2:], by, strict=True)))
        with translated("write to", location):
            coarser = create_image(group, len(levels), shape, array.dtype)
        _shrink(array, coarser, by, location, progress)
        levels[str(len(levels))] = Level.of(coarser, steps)
        array = coarser
    return levels


def _shrink(
    fine: zarr.Array[Any],
    coarse: zarr.Array[Any],
    by: tuple[int, int, int],
    location: Location,
    progress: Progress,
) -> None:
    """Fill an array with the means of blocks of a finer one, each chunk once."""
    places = list(_chunks(coarse))

    def work(place: tuple[slice, ...]) -> None:
        source = [
            slice(part.start * k, min(part.stop * k, size))
            for part, k, size in zip(place[2:], by, fine.shape[2:], strict=True)
        ]
        with translated("write to", location):
            block = np.asarray(fine[place[0], place[1], *source])
            coarse[place] = block_means(block[0, 0], by).astype(coarse.dtype)[None, None]

    for start in range(0, len(places), 64):
        progress(
            start, len(places), f"coarser image of {number_of(coarse.shape[-1], 'pixel')} in x"
        )
        together(work, places[start : start + 64])


def _chunks(array: zarr.Array[Any]) -> Iterator[tuple[slice, ...]]:
    counts = [range(-(-n // c)) for n, c in zip(array.shape, array.chunks, strict=True)]
    for index in product(*counts):
        yield tuple(
            slice(i * c, min((i + 1) * c, n))
            for i, c, n in zip(index, array.chunks, array.shape, strict=True)
        )


def block_means(block: NDArray[Any], by: tuple[int, int, int]) -> NDArray[Any]:
    """Return the means of blocks (z, y, x); one that is cut at the border is repeated there.

    Integers are rounded to the nearest.
    """
    missing = [(0, -n % k) for n, k in zip(block.shape, by, strict=True)]
    padded = np.pad(block, missing, mode="edge") if any(m for _, m in missing) else block
    z, y, x = (n // k for n, k in zip(padded.shape, by, strict=True))
    kind = np.float32 if block.dtype.itemsize < 4 else np.float64
    means = padded.reshape(z, by[0], y, by[1], x, by[2]).mean(axis=(1, 3, 5), dtype=kind)
    return np.asarray(np.rint(means) if block.dtype.kind in "iu" else means)
