"""Which objects do not count: those cut by the border, and those too small to argue about."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from labels.overlaps import Contingency, Ints, first_of_each

Bools = NDArray[np.bool_]

OWN_SHARE = 0.1
"""A predicted object belongs to a truth object that holds at least this share of it."""
MATCHABLE_IOU = 0.1
"""Least IoU at which any metric here would match two objects."""


@dataclass(frozen=True, eq=False)
class Kept:
    """Objects that count.

    A truth object is left out when it touches the border (where that is asked) or is smaller than
    the least size. A predicted object is left out when it touches the border or is too small
    itself, or when its own truth object is left out: the one that it shares the most voxels with,
    if that holds at least a tenth of it. So a prediction of a nucleus that is left out is neither
    right nor wrong. Whatever is matched to a truth object that counts always stays: a predicted
    object of IoU ≥ 0.1 with one is never left out, even if it touches the border.

    The idea is that of COCO's "ignore" flag (Lin et al. 2014), made independent of the threshold.

    Parameters
    ----------
    truth, pred : ndarray of bool, shape (n_truth,) and (n_pred,)
    """

    truth: Bools
    pred: Bools

    @property
    def everything(self) -> bool:
        """Whether nothing is left out."""
        return bool(self.truth.all() and self.pred.all())


def keep(table: Contingency, *, drop_border: bool = False, min_voxels: float = 0) -> Kept:
    """Decide which objects count.

    Parameters
    ----------
    table : Contingency
    drop_border : bool
        Leave out what touches a face of the volume; along an axis of one voxel there is none.
    min_voxels : float
        Leave out what is smaller.

    Returns
    -------
    Kept
    """
    unwanted_truth = table.truth.sizes < min_voxels
    unwanted_pred = table.pred.sizes < min_voxels
    if drop_border:
        unwanted_truth |= touches_border(table.truth.boxes, table.shape)
        unwanted_pred |= touches_border(table.pred.boxes, table.shape)
    own = first_of_each(table.j, -table.count, table.i)
    own = own[table.count[own] >= OWN_SHARE * table.pred.sizes[table.j[own]]]
    unwanted_pred[table.j[own]] |= unwanted_truth[table.i[own]]
    matchable = (table.iou >= MATCHABLE_IOU) & ~unwanted_truth[table.i]
    unwanted_pred[table.j[matchable]] = False
    return Kept(truth=~unwanted_truth, pred=~unwanted_pred)


def touches_border(boxes: Ints, shape: tuple[int, int, int]) -> Bools:
    """Which boxes touch a face of the volume.

    Parameters
    ----------
    boxes : ndarray of int64, shape (n, 3, 2)
    shape : (int, int, int)
    """
    size = np.asarray(shape)
    at_face = (boxes[:, :, 0] == 0) | (boxes[:, :, 1] == size)
    return np.asarray((at_face & (size > 1)).any(axis=1))
