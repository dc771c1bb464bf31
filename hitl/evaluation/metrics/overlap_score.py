"""The evaluation score: Dice of each truth object with the predicted object that overlaps it most.

Two overlaps are mixed: over the whole field (`full`), and within the truth object's bounding box
(`sub`), which forgives what the predicted object does elsewhere, such as joining a neighbour.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from hitl.project.errors import MetricError
from labels import blocks
from labels.blocks import LabelImage, Region
from labels.overlaps import Contingency, Floats, Ints

SUB_WEIGHT = 0.95
FULL_WEIGHT = 1.05


@dataclass(frozen=True, eq=False)
class OverlapScores:
    """Evaluation score of every truth object, in the order of the contingency's `truth_ids`.

    Parameters
    ----------
    pred_ids : ndarray of int64, shape (n_truth,)
        The predicted object that overlaps most (equal overlaps: the smallest id), 0 for none.
    iou : ndarray of float64, shape (n_truth,)
        IoU with it.
    full : ndarray of float64, shape (n_truth,)
        Dice with it.
    sub : ndarray of float64, shape (n_truth,)
        Dice with it within the truth object's bounding box.
    """

    pred_ids: Ints
    iou: Floats
    full: Floats
    sub: Floats

    @property
    def score(self) -> Floats:
        """(0.95 · sub + 1.05 · full) / 2 per truth object."""
        return (SUB_WEIGHT * self.sub + FULL_WEIGHT * self.full) / 2


def overlap_scores(
    table: Contingency, pred: LabelImage, *, workers: int | None = None
) -> OverlapScores:
    """Score every truth object against the predicted object that overlaps it most.

    Only the bounding boxes of truth objects are read again, block by block.

    Parameters
    ----------
    table : Contingency
        Of the truth and `pred`.
    pred : ndarray, memmap or zarr array, shape (Z, Y, X) or (Y, X), integers
        The prediction that `table` was counted from.
    workers : int, optional
        Threads; by default as many as there are processors, at most 4.

    Returns
    -------
    OverlapScores

    Raises
    ------
    MetricError
        `pred` has another shape than the images of `table`.
    """
    if blocks.shape_zyx(pred) != table.shape:
        raise MetricError(
            f"expected the prediction that was counted, of shape {table.shape}, got "
            f"{tuple(pred.shape)}: pass the same array to both steps"
        )
    found = np.flatnonzero(table.best_pair >= 0)
    pair = table.best_pair[found]
    j, shared = table.j[pair], table.count[pair]
    boxes = _intersection(table.truth.boxes[found], table.pred.boxes[j])
    inside = _count(pred, boxes, table.pred.ids[j], workers)

    pred_ids = np.zeros(table.n_truth, np.int64)
    iou, full, sub = np.zeros((3, table.n_truth))
    size = table.truth.sizes[found]
    pred_ids[found] = table.pred.ids[j]
    iou[found] = table.iou[pair]
    full[found] = 2 * shared / (size + table.pred.sizes[j])
    sub[found] = 2 * shared / (size + inside)
    return OverlapScores(pred_ids=pred_ids, iou=iou, full=full, sub=sub)


def _intersection(a: Ints, b: Ints) -> Ints:
    return np.stack([np.maximum(a[..., 0], b[..., 0]), np.minimum(a[..., 1], b[..., 1])], axis=-1)


def _count(pred: LabelImage, boxes: Ints, ids: Ints, workers: int | None) -> Ints:
    """Voxels of ids[n] within boxes[n]."""
    dtype = blocks.common_dtype(pred)

    def work(regions: Iterator[Region]) -> Ints:
        from hitl.evaluation.metrics import _kernels

        counts = np.zeros(len(ids), np.int64)
        wanted = ids.astype(dtype)
        for region in regions:
            z, y, _ = region
            touched = np.flatnonzero(
                (boxes[:, 0, 0] < z.stop)
                & (boxes[:, 0, 1] > z.start)
                & (boxes[:, 1, 0] < y.stop)
                & (boxes[:, 1, 1] > y.start)
            )
            if not len(touched):
                continue
            part = np.zeros(len(touched), np.int64)
            _kernels.count_in_boxes(dtype)(
                blocks.read(pred, region, dtype),
                z.start,
                y.start,
                np.ascontiguousarray(boxes[touched]),
                wanted[touched],
                part,
            )
            counts[touched] += part
        return counts

    return np.asarray(np.sum(blocks.over_regions(blocks.plan(pred), work, workers), axis=0))
