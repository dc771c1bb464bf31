"""One pass over two label images gives which objects share voxels, how many, and where."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice

import numpy as np
import zarr
from numpy.typing import NDArray

from annotations._chunks import Region, SlabSource, Voxels, z_slabs
from annotations.edits._reading import Ids, read_region
from annotations.errors import LabelError

Ints = NDArray[np.int64]

BLOCK_BYTES = 1 << 25
"""Most that is read of one image at a time, unless one slice (or one row of chunks) is more."""

WORKERS = 2
"""Blocks that are read and counted at the same time."""


@dataclass(frozen=True, eq=False)
class Objects:
    """The objects of one label image.

    Parameters
    ----------
    ids : ndarray of uint32, shape (N,)
        Ascending, without the background.
    sizes : ndarray of int64, shape (N,)
        Voxels.
    boxes : ndarray of int64, shape (N, 3, 2)
        First and last + 1 of z, y, x.
    first : ndarray of int64, shape (N,)
        Raster index of the first voxel; it orders objects whatever their ids.
    """

    ids: Ids
    sizes: Ints
    boxes: Ints
    first: Ints

    def index(self, ids: Iterable[int]) -> Ints:
        """Return the row of each id.

        Raises
        ------
        LabelError
            An id that no voxel has.
        """
        wanted = np.asarray(list(ids), np.int64)
        rows = np.searchsorted(self.ids, wanted)
        found = np.zeros(wanted.shape, np.bool_)
        inside = rows < self.ids.size
        found[inside] = self.ids[rows[inside]] == wanted[inside]
        if not found.all():
            raise LabelError(
                f"labels: expected ids of objects in them, got {wanted[~found][:5].tolist()}; "
                "give ids as the compared labels have them"
            )
        return rows.astype(np.int64)

    def region(self, rows: Ints) -> Region:
        """Return the box around the objects in these rows."""
        low, high = self.boxes[rows, :, 0].min(axis=0), self.boxes[rows, :, 1].max(axis=0)
        z, y, x = (slice(int(a), int(b)) for a, b in zip(low, high, strict=True))
        return z, y, x


@dataclass(frozen=True, eq=False)
class Overlaps:
    """Which objects of two label images share voxels.

    Parameters
    ----------
    shape : (int, int, int)
    before, after : Objects
    i, j : ndarray of int64, shape (P,)
        Rows in `before` and `after` of the pairs that share voxels.
    count, first : ndarray of int64, shape (P,)
        Voxels that they share, and the raster index of the first one.
    """

    shape: tuple[int, int, int]
    before: Objects
    after: Objects
    i: Ints
    j: Ints
    count: Ints
    first: Ints


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
            "after; give both from the same stack"
        )
    return one


def blocks_of(before: Voxels, after: Voxels) -> Iterator[Region]:
    """Yield parts of a stack that suit the chunks of both images and fit in memory."""
    z_size, y_size, x_size = check_pair(before, after)
    chunked = [s.chunks for s in (before, after) if isinstance(s, zarr.Array)]
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


def count_overlaps(before: Voxels, after: Voxels, regions: Iterable[Region]) -> Overlaps:
    """Count the voxels that each pair of objects shares, in parts of a stack that share none.

    Memory: the tables of pairs, and a block of each image per worker.

    Raises
    ------
    LabelError
        Shapes that differ, or not labels.
    """
    shape = check_pair(before, after)
    keys, stats = count_pairs(before, after, regions)
    return from_pairs(shape, keys, stats)


def count_pairs(before: Voxels, after: Voxels, regions: Iterable[Region]) -> tuple[Ids, Ints]:
    """Return pairs of ids, shape (P, 2), and their statistics (see `_kernels`), each pair once."""
    waiting = list(regions)

    def work(worker: int) -> tuple[Ids, Ints]:
        return _count(before, after, islice(waiting, worker, None, WORKERS))

    if len(waiting) <= 1:
        parts = [_count(before, after, waiting)]
    else:
        with ThreadPoolExecutor(WORKERS) as pool:
            parts = list(pool.map(work, range(WORKERS)))
    return merged_pairs([p[0] for p in parts], [p[1] for p in parts])


def _count(before: Voxels, after: Voxels, regions: Iterable[Region]) -> tuple[Ids, Ints]:
    from annotations.edits import _kernels

    count_runs = _kernels.count_runs()
    keys, stats, used = _kernels.new_table()
    for region in regions:
        origin = tuple(part.start for part in region)
        old = read_region(before, region)
        new = old if after is before else read_region(after, region)
        keys, stats, used = count_runs(old, new, origin, tuple(before.shape[1:]), keys, stats, used)
    filled = stats[:, _kernels.COUNT] > 0
    return keys[filled], stats[filled]


def merged_pairs(keys: list[Ids], stats: list[Ints]) -> tuple[Ids, Ints]:
    """Join tables of pairs; rows of equal keys become one, ordered by key."""
    every, values = np.concatenate(keys), np.concatenate(stats)
    code = every[:, 0].astype(np.uint64) << np.uint64(32) | every[:, 1]
    order = np.argsort(code, kind="stable")
    if not order.size:
        return every, values
    start = np.flatnonzero(np.diff(code[order], prepend=code[order[0]] + np.uint64(1)))
    return every[order[start]], _reduced(values[order], start)


def _reduced(stats: Ints, start: Ints) -> Ints:
    from annotations.edits import _kernels as k

    out = np.add.reduceat(stats, start, axis=0)
    lower, upper = [k.FIRST, k.Z0, k.Y0, k.X0], [k.Z1, k.Y1, k.X1]
    out[:, lower] = np.minimum.reduceat(stats[:, lower], start, axis=0)
    out[:, upper] = np.maximum.reduceat(stats[:, upper], start, axis=0)
    return np.asarray(out, np.int64)


def from_pairs(shape: tuple[int, int, int], keys: Ids, stats: Ints) -> Overlaps:
    """Return the objects and their overlaps that a table of pairs tells of."""
    from annotations.edits import _kernels as k

    before, after = _objects(keys[:, 0], stats), _objects(keys[:, 1], stats)
    both = (keys[:, 0] != 0) & (keys[:, 1] != 0)
    return Overlaps(
        shape=shape,
        before=before,
        after=after,
        i=np.searchsorted(before.ids, keys[both, 0]).astype(np.int64),
        j=np.searchsorted(after.ids, keys[both, 1]).astype(np.int64),
        count=stats[both, k.COUNT],
        first=stats[both, k.FIRST],
    )


def _objects(ids: Ids, stats: Ints) -> Objects:
    from annotations.edits import _kernels as k

    named = np.flatnonzero(ids)
    order = named[np.argsort(ids[named], kind="stable")]
    ordered = ids[order]
    start = np.flatnonzero(np.r_[True, ordered[1:] != ordered[:-1]][: ordered.size])
    if not start.size:
        none = np.zeros(0, np.int64)
        return Objects(ordered, none, np.zeros((0, 3, 2), np.int64), none)
    rows = _reduced(stats[order], start)
    return Objects(
        ids=ordered[start],
        sizes=rows[:, k.COUNT],
        boxes=rows[:, k.Z0 : k.X1 + 1].reshape(-1, 3, 2) + np.array([0, 1]),
        first=rows[:, k.FIRST],
    )
