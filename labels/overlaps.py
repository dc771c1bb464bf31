"""One pass over two label images gives which objects share voxels, how many, and where."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from labels import blocks
from labels.blocks import LabelImage, Region
from labels.errors import LabelImageError

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
Rows = NDArray[np.int64] | NDArray[np.bool_]

Ids = NDArray[np.uint64]
Pairs = tuple[Ids, Ints]
"""Pairs of ids, shape (P, 2), each once, and their statistics, shape (P, `kernels.COLUMNS`)."""


@dataclass(frozen=True, eq=False)
class Objects:
    """The N objects of one label image; background (id 0) is none.

    Parameters
    ----------
    ids : ndarray of int64, shape (N,)
        Ascending.
    sizes : ndarray of int64, shape (N,)
        Voxels.
    boxes : ndarray of int64, shape (N, 3, 2)
        First and last + 1 of z, y, x.
    centroids : ndarray of float64, shape (N, 3)
        Mean z, y, x in voxels.
    first : ndarray of int64, shape (N,)
        Raster index of the first voxel; it orders objects whatever their ids.
    """

    ids: Ints
    sizes: Ints
    boxes: Ints
    centroids: Floats
    first: Ints

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, rows: Rows) -> Objects:
        """Return some of the objects."""
        return Objects(*(getattr(self, field.name)[rows] for field in fields(self)))


@dataclass(frozen=True, eq=False)
class Contingency:
    """How the objects of two label images overlap.

    Parameters
    ----------
    shape : (int, int, int)
        (Z, Y, X) of both images; Z is 1 for 2D images.
    truth, pred : Objects
        Of the first and the second image, named after what is compared most often.
    i, j : ndarray of int64, shape (P,)
        Rows in `truth` and `pred` of the pairs that share voxels, ascending.
    count, first : ndarray of int64, shape (P,)
        Voxels that each pair shares, and the raster index of the first one.
    """

    shape: tuple[int, int, int]
    truth: Objects
    pred: Objects
    i: Ints
    j: Ints
    count: Ints
    first: Ints

    @property
    def n_truth(self) -> int:
        """Objects in the truth."""
        return len(self.truth)

    @property
    def n_pred(self) -> int:
        """Objects in the prediction."""
        return len(self.pred)

    @cached_property
    def iou(self) -> Floats:
        """Intersection over union of each pair, in double precision."""
        union = self.truth.sizes[self.i] + self.pred.sizes[self.j] - self.count
        return np.asarray(self.count / union, np.float64)

    @cached_property
    def best_pair(self) -> Ints:
        """Per truth object: index of the pair with most shared voxels, -1 where nothing overlaps.

        Of several with equally many, the one with the smallest predicted id.
        """
        best = np.full(self.n_truth, -1, np.int64)
        first = first_of_each(self.i, -self.count, self.j)
        best[self.i[first]] = first
        return best

    def select(self, truth: NDArray[np.bool_], pred: NDArray[np.bool_]) -> Contingency:
        """Return the table of some of the objects, given as a mask of each image's."""
        pairs = truth[self.i] & pred[self.j]
        new_i, new_j = np.cumsum(truth) - 1, np.cumsum(pred) - 1
        return Contingency(
            shape=self.shape,
            truth=self.truth[truth],
            pred=self.pred[pred],
            i=new_i[self.i[pairs]],
            j=new_j[self.j[pairs]],
            count=self.count[pairs],
            first=self.first[pairs],
        )


def count_overlaps(
    truth: LabelImage, pred: LabelImage, *, workers: int | None = None
) -> Contingency:
    """Count the runs of equal (truth, predicted) pairs of two label images in one pass.

    Memory beyond the images: the table, and for images that are not C-contiguous 32- or 64-bit
    arrays in memory (other dtypes, zarr) one block of each per worker (at most 32 MiB, or one
    row of chunks).

    Parameters
    ----------
    truth, pred : ndarray, memmap or zarr array, shape (Z, Y, X) or (Y, X), integers
        0 is background; ids may be sparse, and as large as the dtype allows (below 2**63).
    workers : int, optional
        Threads; by default as many as there are processors, at most 4.

    Returns
    -------
    Contingency

    Raises
    ------
    LabelImageError
        Shapes differ, not 2D or 3D, not integers, or negative ids.
    """
    blocks.check_pair(truth, pred)
    dtype = blocks.common_dtype(truth, pred)
    shape = blocks.shape_zyx(truth)

    def read(region: Region) -> tuple[NDArray[Any], NDArray[Any]]:
        return blocks.read(truth, region, dtype), blocks.read(pred, region, dtype)

    keys, stats = count_pairs(read, blocks.plan(truth, pred), shape, workers=workers)
    for column, (name, image) in enumerate((("truth", truth), ("prediction", pred))):
        if keys[:, column].max(initial=0) > blocks.largest_id(image, dtype):
            raise LabelImageError(
                f"expected ids of at least 0 and below 2**63 in the {name}, got a negative or "
                "larger one: set voxels that belong to no object to 0"
            )
    return from_pairs(shape, (keys, stats))


def count_pairs(
    read: Callable[[Region], tuple[NDArray[Any], NDArray[Any]]],
    regions: Iterable[Region],
    shape: tuple[int, int, int],
    *,
    workers: int | None = None,
) -> Pairs:
    """Count the pairs of ids in parts of two images that share no voxel.

    Parameters
    ----------
    read : callable
        Returns both images in a region, C-contiguous, of one dtype: uint32 or uint64.
    regions : iterable of (slice, slice, slice)
    shape : (int, int, int)
        (Z, Y, X) of the images.
    workers : int, optional
        Threads; by default as many as there are processors, at most 4.
    """

    def work(share: Iterator[Region]) -> Pairs:
        from labels import kernels

        keys, stats, used = kernels.new_table()
        for region in share:
            one, other = read(region)
            origin = tuple(part.start for part in region)
            count_runs = kernels.count_runs(one.dtype)
            keys, stats, used = count_runs(one, other, origin, shape[1:], keys, stats, used)
        filled = stats[:, kernels.COUNT] > 0
        return keys[filled], stats[filled]

    return merge_pairs(blocks.over_regions(list(regions), work, workers))


def merge_pairs(parts: Sequence[Pairs]) -> Pairs:
    """Join tables of pairs; rows of equal keys become one, ordered by key."""
    keys = np.concatenate([part[0] for part in parts])
    stats = np.concatenate([part[1] for part in parts])
    order = np.lexsort((keys[:, 1], keys[:, 0]))
    keys, stats = keys[order], stats[order]
    if not len(keys):
        return keys, stats
    first = np.flatnonzero(np.r_[True, np.any(keys[1:] != keys[:-1], axis=1)])
    return keys[first], _reduced(stats, first)


def from_pairs(shape: tuple[int, int, int], pairs: Pairs) -> Contingency:
    """Return the objects and their overlaps that a table of pairs tells of."""
    from labels import kernels as k

    keys, stats = pairs[0].astype(np.int64), pairs[1]
    truth, pred = _objects(keys[:, 0], stats), _objects(keys[:, 1], stats)
    both = (keys[:, 0] != 0) & (keys[:, 1] != 0)
    return Contingency(
        shape=shape,
        truth=truth,
        pred=pred,
        i=np.searchsorted(truth.ids, keys[both, 0]).astype(np.int64),
        j=np.searchsorted(pred.ids, keys[both, 1]).astype(np.int64),
        count=stats[both, k.COUNT],
        first=stats[both, k.FIRST],
    )


def first_of_each(groups: Ints, *keys: NDArray[Any]) -> Ints:
    """Return per group (0 or more), ascending, the row with the least keys, earlier keys first."""
    order = np.lexsort((*reversed(keys), groups))
    return order[np.flatnonzero(np.diff(groups[order], prepend=-1))]


def box_around(boxes: Ints) -> Region:
    """Return the box around boxes (N, 3, 2), which are at least one."""
    low, high = boxes[:, :, 0].min(axis=0), boxes[:, :, 1].max(axis=0)
    z, y, x = (slice(int(a), int(b)) for a, b in zip(low, high, strict=True))
    return z, y, x


def boxes_of(stats: Ints) -> Ints:
    """Return the boxes (N, 3, 2), first and last + 1, of rows of statistics of pairs."""
    from labels import kernels as k

    return np.asarray(stats[:, k.Z0 : k.X1 + 1].reshape(-1, 3, 2) + np.array([0, 1]), np.int64)


def _reduced(stats: Ints, first: Ints) -> Ints:
    """Statistics of groups of rows, each starting at one of `first`."""
    from labels import kernels as k

    out = np.add.reduceat(stats, first, axis=0)
    lower, upper = [k.FIRST, k.Z0, k.Y0, k.X0], [k.Z1, k.Y1, k.X1]
    out[:, lower] = np.minimum.reduceat(stats[:, lower], first, axis=0)
    out[:, upper] = np.maximum.reduceat(stats[:, upper], first, axis=0)
    return np.asarray(out, np.int64)


def _objects(ids: Ints, stats: Ints) -> Objects:
    """Return the objects of one image, from the pairs they are in."""
    from labels import kernels as k

    named = np.flatnonzero(ids)
    order = named[np.argsort(ids[named], kind="stable")]
    start = np.flatnonzero(np.diff(ids[order], prepend=-1))
    rows = _reduced(stats[order], start) if start.size else stats[:0]
    sizes = rows[:, k.COUNT]
    return Objects(
        ids=ids[order][start],
        sizes=sizes,
        boxes=boxes_of(rows),
        centroids=rows[:, k.SUM_Z :] / sizes[:, None],
        first=rows[:, k.FIRST],
    )
