"""Which objects of labels before and after share voxels, read in parts that suit the chunks."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from annotations._chunks import Region, Voxels, z_slabs
from annotations.edits._reading import read_region
from annotations.errors import LabelError
from annotations.planes import Planes
from annotations.volume import SlabSource
from labels import overlaps
from labels.overlaps import Ints, Objects, Pairs

BLOCK_BYTES = 1 << 25
"""Most that is read of one image at a time, unless one slice (or one row of chunks) is more."""

WORKERS = 2
"""Blocks that are read and counted at the same time."""


def rows_of(objects: Objects, ids: Iterable[int]) -> Ints:
    """Return the row of each id.

    Raises
    ------
    LabelError
        An id that no voxel has.
    """
    wanted = np.asarray(list(ids), np.int64)
    known = np.isin(wanted, objects.ids)
    if not known.all():
        raise LabelError(
            f"labels: expected ids of objects in them, got {wanted[~known][:5].tolist()}; "
            "give ids as the compared labels have them"
        )
    return np.searchsorted(objects.ids, wanted).astype(np.int64)


def check_pair(before: Voxels, after: Voxels) -> tuple[int, int, int]:
    """Return the common shape (Z, Y, X).

    Raises
    ------
    LabelError
        Not two 3D images of one shape.
    """
    one, other = tuple(before.shape), tuple(after.shape)
    if len(one) != 3 or one != other or 0 in one:
        raise LabelError(
            f"labels: expected two images of one shape (Z, Y, X), got {one} before and {other} "
            "after; give both from the same field"
        )
    return one


def blocks_of(before: Voxels, after: Voxels) -> Iterator[Region]:
    """Yield parts of a field that suit the chunks of both images and fit in memory."""
    z_size, y_size, x_size = check_pair(before, after)
    chunked = [s.chunks for s in (before, after) if isinstance(s, Planes)]
    depth = max((c[0] for c in chunked), default=1)
    rows = max((c[1] for c in chunked), default=y_size)
    if len(chunked) < 2 and any(isinstance(s, SlabSource) for s in (before, after)):
        rows = y_size
    fit = BLOCK_BYTES // (4 * x_size)
    if not chunked:
        depth = max(1, min(fit // y_size, -(-z_size // (2 * WORKERS))))
    rows = min(y_size, rows * max(1, fit // (depth * rows)))
    for z, z_stop in z_slabs(0, z_size, depth):
        for y, y_stop in z_slabs(0, y_size, rows):
            yield slice(z, z_stop), slice(y, y_stop), slice(0, x_size)


def count_pairs(before: Voxels, after: Voxels, regions: Iterable[Region]) -> Pairs:
    """Count the pairs of ids before and after in parts of a field that share no voxel.

    Memory: the tables of pairs, and a block of each image per worker.

    Raises
    ------
    LabelError
        Shapes that differ, or not labels.
    """

    def read(region: Region) -> tuple[NDArray[Any], NDArray[Any]]:
        old = read_region(before, region)
        return old, old if after is before else read_region(after, region)

    return overlaps.count_pairs(read, regions, check_pair(before, after), workers=WORKERS)
