"""Voxel metrics of each class; an accuracy over all classes would only tell of the background."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hitl.project.errors import MetricError
from labels.blocks import LabelImage
from labels.overlaps import count_overlaps

CLASS_NAMES = ("background", "edge", "nucleus")


@dataclass(frozen=True)
class ClassScores:
    """Voxel metrics of one class.

    The ratios are None where neither image holds the class; otherwise 0 where no voxel agrees.

    Parameters
    ----------
    tp, fp, fn : int
        Voxels of the class in both images, in the prediction only, in the truth only.
    """

    tp: int
    fp: int
    fn: int

    def _share(self, value: int, of: int) -> float | None:
        if self.tp + self.fp + self.fn == 0:
            return None
        return value / of if of else 0.0

    @property
    def precision(self) -> float | None:
        """TP / (TP + FP)."""
        return self._share(self.tp, self.tp + self.fp)

    @property
    def recall(self) -> float | None:
        """TP / (TP + FN)."""
        return self._share(self.tp, self.tp + self.fn)

    @property
    def f1(self) -> float | None:
        """2 TP / (2 TP + FP + FN), the Dice coefficient."""
        return self._share(2 * self.tp, 2 * self.tp + self.fp + self.fn)

    @property
    def iou(self) -> float | None:
        """TP / (TP + FP + FN)."""
        return self._share(self.tp, self.tp + self.fp + self.fn)

    def to_dict(self) -> dict[str, float | int | None]:
        """Return counts and ratios as plain numbers."""
        return {
            "precision": self.precision,
            "recall": self.recall,
            "f1": self.f1,
            "iou": self.iou,
            "truth_voxels": self.tp + self.fn,
            "pred_voxels": self.tp + self.fp,
        }


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
