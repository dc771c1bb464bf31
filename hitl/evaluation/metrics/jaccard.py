"""The aggregated Jaccard index, in the three forms that are in use."""

from __future__ import annotations

import numpy as np

from hitl.evaluation.metrics.assignment import best_assignment
from labels.overlaps import Contingency, Ints, first_of_each


def aji(table: Contingency) -> float | None:
    """Return the aggregated Jaccard index (Kumar et al., IEEE Trans. Med. Imaging 36(7), 2017).

    Each truth object is joined with the predicted object of greatest IoU (equal ones: the
    smallest id), which several may share; the voxels of predicted objects that none was joined
    with are added to the union, and so are those of truth objects that overlap nothing (as in
    HoVer-Net's code; the published algorithm would join them with an arbitrary object).

    Returns
    -------
    float or None
        None where neither image holds an object.
    """
    return _aggregated(table, first_of_each(table.i, -table.iou, table.j))


def aji_plus(table: Contingency) -> float | None:
    """Return AJI with each object used once: AJI+ (Graham et al., HoVer-Net, MedIA 2019).

    Objects are paired one to one so that the sum of IoU is greatest.

    Returns
    -------
    float or None
        None where neither image holds an object.
    """
    return _aggregated(table, best_assignment(table.i, table.j, table.iou))


def aji_cellpose(table: Contingency) -> float | None:
    """Return `cellpose.metrics.aggregated_jaccard_index`: matched over all foreground voxels.

    Objects are paired as for AP at IoU 0.5, pairs of less IoU included; the union is that of
    the two foregrounds.

    Returns
    -------
    float or None
        None where neither image holds an object.
    """
    union = table.truth.sizes.sum() + table.pred.sizes.sum() - table.count.sum()
    if union == 0:
        return None
    smaller = max(1, min(table.n_truth, table.n_pred))
    gain = (table.iou >= 0.5) + table.iou / (2 * smaller)
    pairs = best_assignment(table.i, table.j, np.asarray(gain, np.float64))
    return float(table.count[pairs].sum() / union)


def _aggregated(table: Contingency, pairs: Ints) -> float | None:
    i, j, shared = table.i[pairs], table.j[pairs], table.count[pairs]
    union = np.sum(table.truth.sizes[i] + table.pred.sizes[j] - shared)
    union += np.sum(np.delete(table.truth.sizes, i)) + np.sum(np.delete(table.pred.sizes, j))
    return float(shared.sum() / union) if union else None
