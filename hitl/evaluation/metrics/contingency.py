"""One pass over two label images gives all that the metrics need: a sparse contingency table."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hitl.evaluation.metrics import _blocks
from hitl.evaluation.metrics._blocks import Block, LabelImage
from hitl.project.errors import MetricError

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Contingency:
    """How the objects of two label images overlap; background (id 0) is no object.

    Parameters
    ----------
    shape : (int, int, int)
        (Z, Y, X) of both images; Z is 1 for 2D images.
    truth_ids, pred_ids : ndarray of int64, shape (n_truth,) and (n_pred,)
        Ids of the objects, ascending.
    truth_sizes, pred_sizes : ndarray of int64
        Voxels of each object.
    truth_boxes, pred_boxes : ndarray of int64, shape (n, 3, 2)
        Bounding boxes: z, y, x and first, last + 1.
    truth_centroids, pred_centroids : ndarray of float64, shape (n, 3)
        Mean z, y, x in voxels.
    i, j : ndarray of int64, shape (n_pairs,)
        Indices into `truth_ids` and `pred_ids` of the pairs that share voxels, ascending.
    count : ndarray of int64, shape (n_pairs,)
        Voxels that each pair shares.
    """

    shape: tuple[int, int, int]
    truth_ids: Ints
    pred_ids: Ints
    truth_sizes: Ints
    pred_sizes: Ints
    truth_boxes: Ints
    pred_boxes: Ints
    truth_centroids: Floats
    pred_centroids: Floats
    i: Ints
    j: Ints
    count: Ints

    @property
    def n_truth(self) -> int:
        """Objects in the truth."""
        return len(self.truth_ids)

    @property
    def n_pred(self) -> int:
        """Objects in the prediction."""
        return len(self.pred_ids)

    @cached_property
    def iou(self) -> Floats:
        """Intersection over union of each pair, in double precision."""
        union = self.truth_sizes[self.i] + self.pred_sizes[self.j] - self.count
        return np.asarray(self.count / union, np.float64)

    @cached_property
    def best_pair(self) -> Ints:
        """Per truth object: index of the pair with most shared voxels, -1 where nothing overlaps.

        Of several with equally many, the one with the smallest predicted id.
        """
        best = np.full(self.n_truth, -1, np.int64)
        order = np.lexsort((self.j, -self.count, self.i))
        rows = self.i[order]
        first = np.flatnonzero(np.diff(rows, prepend=-1))
        best[rows[first]] = order[first]
        return best


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
    MetricError
        Shapes differ, not 2D or 3D, not integers, or negative ids.
    """
    _blocks.check_pair(truth, pred)
    dtype = _blocks.common_dtype(truth, pred)

    def work(blocks: Iterator[Block]) -> tuple[NDArray[np.uint64], Ints, int, int]:
        return _count_blocks(truth, pred, blocks, dtype)

    parts = _blocks.over_blocks(_blocks.plan(truth, pred), work, workers)
    _refuse_negative("truth", max(part[2] for part in parts), _blocks.largest_id(truth, dtype))
    _refuse_negative("prediction", max(part[3] for part in parts), _blocks.largest_id(pred, dtype))
    keys, stats = _merged(
        np.concatenate([part[0] for part in parts]).astype(np.int64),
        np.concatenate([part[1] for part in parts]),
    )
    return _from_table(_blocks.shape_zyx(truth), keys, stats)


def _count_blocks(
    truth: LabelImage, pred: LabelImage, blocks: Iterator[Block], dtype: np.dtype[Any]
) -> tuple[NDArray[np.uint64], Ints, int, int]:
    from hitl.evaluation.metrics import _kernels

    count_runs = _kernels.count_runs(dtype)
    keys, stats, used = _kernels.new_table()
    top_truth = top_pred = 0
    for block in blocks:
        t = _blocks.read(truth, block, dtype)
        p = _blocks.read(pred, block, dtype)
        keys, stats, used, a, b = count_runs(
            t, p, block[0].start, block[1].start, keys, stats, used
        )
        top_truth, top_pred = max(top_truth, int(a)), max(top_pred, int(b))
    filled = stats[:, _kernels.COUNT] > 0
    return keys[filled], stats[filled], top_truth, top_pred


def _refuse_negative(name: str, found: int, largest: int) -> None:
    if found > largest:
        raise MetricError(
            f"expected ids of at least 0 and below 2**63 in the {name}, got a negative or larger "
            "one: set voxels that belong to no object to 0"
        )


def _merged(keys: Ints, stats: Ints) -> tuple[Ints, Ints]:
    """Rows with equal keys become one; the result is sorted by truth id, then predicted id."""
    order = np.lexsort((keys[:, 1], keys[:, 0]))
    keys, stats = keys[order], stats[order]
    if not len(keys):
        return keys, stats
    first = np.flatnonzero(np.r_[True, np.any(keys[1:] != keys[:-1], axis=1)])
    return keys[first], _reduced(stats, first)


def _reduced(stats: Ints, first: Ints) -> Ints:
    """Statistics of groups of rows, each starting at one of `first`."""
    from hitl.evaluation.metrics import _kernels as k

    out = np.add.reduceat(stats, first, axis=0)
    lower, upper = [k.Z0, k.Y0, k.X0], [k.Z1, k.Y1, k.X1]
    out[:, lower] = np.minimum.reduceat(stats[:, lower], first, axis=0)
    out[:, upper] = np.maximum.reduceat(stats[:, upper], first, axis=0)
    return np.asarray(out, np.int64)


def _objects(ids: Ints, stats: Ints) -> tuple[Ints, Ints, Ints, Floats]:
    """Ids, sizes, boxes and centroids of the objects of one image, from the pairs they are in."""
    from hitl.evaluation.metrics import _kernels as k

    keep = np.flatnonzero(ids)
    order = keep[np.argsort(ids[keep], kind="stable")]
    if not len(order):
        return (
            np.zeros(0, np.int64),
            np.zeros(0, np.int64),
            np.zeros((0, 3, 2), np.int64),
            (np.zeros((0, 3))),
        )
    sorted_ids = ids[order]
    first = np.flatnonzero(np.diff(sorted_ids, prepend=-1))
    rows = _reduced(stats[order], first)
    boxes = rows[:, k.Z0 : k.X1 + 1].reshape(-1, 3, 2) + np.array([0, 1])
    sizes = rows[:, k.COUNT]
    return sorted_ids[first], sizes, boxes, rows[:, k.SUM_Z :] / sizes[:, None]


def _from_table(shape: tuple[int, int, int], keys: Ints, stats: Ints) -> Contingency:
    from hitl.evaluation.metrics import _kernels as k

    truth_ids, truth_sizes, truth_boxes, truth_centroids = _objects(keys[:, 0], stats)
    pred_ids, pred_sizes, pred_boxes, pred_centroids = _objects(keys[:, 1], stats)
    both = (keys[:, 0] != 0) & (keys[:, 1] != 0)
    return Contingency(
        shape=shape,
        truth_ids=truth_ids,
        pred_ids=pred_ids,
        truth_sizes=truth_sizes,
        pred_sizes=pred_sizes,
        truth_boxes=truth_boxes,
        pred_boxes=pred_boxes,
        truth_centroids=truth_centroids,
        pred_centroids=pred_centroids,
        i=np.searchsorted(truth_ids, keys[both, 0]).astype(np.int64),
        j=np.searchsorted(pred_ids, keys[both, 1]).astype(np.int64),
        count=stats[both, k.COUNT],
    )
