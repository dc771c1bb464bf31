"""Voxel metrics of each class; an accuracy over all classes would only tell of the background."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hitl.evaluation.metrics.ratios import Ratios, share
from hitl.project.errors import MetricError
from labels.blocks import LabelImage
from labels.overlaps import count_overlaps

CLASS_NAMES = ("background", "edge", "nucleus")


@dataclass(frozen=True)
class ClassScores(Ratios):
    """Voxel metrics of one class.

    The ratios are None where neither image holds the class; otherwise 0 where no voxel agrees.

    Parameters
    ----------
    tp, fp, fn : int
        Voxels of the class in both images, in the prediction only, in the truth only.
    """

    KEYS = ("precision", "recall", "f1", "iou", "truth_voxels", "pred_voxels")

    tp: int
    fp: int
    fn: int

    @property
    def iou(self) -> float | None:
        """TP / (TP + FP + FN)."""
        return share(self, self.tp, self.tp + self.fp + self.fn)

    @property
    def truth_voxels(self) -> int:
        """Voxels of the class in the truth."""
        return self.tp + self.fn

    @property
    def pred_voxels(self) -> int:
        """Voxels of the class in the prediction."""
        return self.tp + self.fp


def confusion(truth: LabelImage, pred: LabelImage) -> NDArray[np.int64]:
    """Count voxels by class.

    Parameters
    ----------
    truth, pred : ndarray, memmap or zarr array, shape (Z, Y, X) or (Y, X), integers
        0 background, 1 edge, 2 nucleus.

    Returns
    -------
    ndarray of int64, shape (3, 3)
        Rows: class in the truth; columns: class in the prediction.

    Raises
    ------
    MetricError
        Shapes differ, not integers, or another class than 0, 1, 2.
    """
    table = count_overlaps(truth, pred)
    for name, ids in (("truth", table.truth.ids), ("prediction", table.pred.ids)):
        if len(ids) and ids[-1] >= len(CLASS_NAMES):
            raise MetricError(
                f"expected classes 0 (background), 1 (edge), 2 (nucleus) in the {name}, got "
                f"{ids[-1]}: instance labels have to be made into classes first"
            )
    counts = np.zeros((3, 3), np.int64)
    counts[table.truth.ids[table.i], table.pred.ids[table.j]] = table.count
    counts[table.truth.ids, 0] = table.truth.sizes - counts[table.truth.ids].sum(axis=1)
    counts[0, table.pred.ids] = table.pred.sizes - counts[:, table.pred.ids].sum(axis=0)
    counts[0, 0] = np.prod(table.shape) - counts.sum()
    return counts


def voxel_scores(truth: LabelImage, pred: LabelImage) -> dict[str, ClassScores]:
    """Voxel metrics of background, edge and nucleus; arguments and errors as `confusion`."""
    counts = confusion(truth, pred)
    return {
        name: ClassScores(
            tp=int(counts[c, c]),
            fp=int(counts[:, c].sum() - counts[c, c]),
            fn=int(counts[c].sum() - counts[c, c]),
        )
        for c, name in enumerate(CLASS_NAMES)
    }
