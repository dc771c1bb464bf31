"""Matching of truth and predicted objects at an IoU threshold, and what is counted from it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from hitl.evaluation.metrics.assignment import best_assignment, is_contested
from hitl.evaluation.metrics.ratios import OneToOne, share
from hitl.project.errors import MetricError
from labels.overlaps import Contingency, Floats, Ints

Method = Literal["optimal", "greedy", "coco", "strict"]

MEAN_AP_THRESHOLDS = tuple(round(0.5 + 0.05 * k, 2) for k in range(10))
"""0.5, 0.55, … 0.95, as in COCO's mean AP."""


@dataclass(frozen=True, eq=False)
class Matching(OneToOne):
    """Objects matched one to one at an IoU threshold.

    Where neither image holds an object the ratios are None; otherwise a ratio without a match
    is 0 (also recall where the truth is empty, and precision where the prediction is), as
    `stardist.matching.matching` has it.

    Parameters
    ----------
    threshold : float
        Least IoU of a match.
    n_truth, n_pred : int
        Objects in truth and prediction.
    truth_index, pred_index : ndarray of int64, shape (tp,)
        The matched pairs, as indices into the contingency's ids; ascending truth index.
    iou : ndarray of float64, shape (tp,)
        Their IoU.
    """

    KEYS = ("tp", "fp", "fn", "precision", "recall", "f1", "ap", "pq", "sq", "rq")

    threshold: float
    n_truth: int
    n_pred: int
    truth_index: Ints
    pred_index: Ints
    iou: Floats

    @property
    def ap(self) -> float | None:
        """TP / (TP + FP + FN): "AP" of Cellpose, "accuracy" of StarDist."""
        return share(self, self.tp, self.tp + self.fp + self.fn)

    @property
    def sq(self) -> float | None:
        """Mean IoU of the matches (segmentation quality; StarDist's mean matched score)."""
        return share(self, float(self.iou.sum()), self.tp)

    @property
    def pq(self) -> float | None:
        """Panoptic quality SQ · RQ (Kirillov et al., Panoptic Segmentation, CVPR 2019, eq. 1)."""
        return share(self, 2 * float(self.iou.sum()), self.n_truth + self.n_pred)

    @property
    def rq(self) -> float | None:
        """Recognition quality, the F1."""
        return self.f1


def match(table: Contingency, threshold: float = 0.5, *, method: Method = "optimal") -> Matching:
    """Match objects one to one where their IoU is at least `threshold`.

    Above 0.5 every object has at most one candidate, so that all methods agree there (but for an
    IoU of exactly the threshold); `conventions` has the names of who uses which.

    Parameters
    ----------
    table : Contingency
    threshold : float
        In (0, 1].
    method : {"optimal", "greedy", "coco", "strict"}
        - "optimal" (StarDist, Cellpose): as many matches as possible and, among those, the
          greatest sum of IoU over all assigned pairs, as the Hungarian algorithm finds them.
        - "greedy" (panoptica's naive threshold matching): pairs by descending IoU, each taken if
          both objects are free.
        - "coco" (pycocotools): predicted objects in order of their id, since label images carry
          no confidence, each takes the free truth object that it overlaps best.
        - "strict" (Data Science Bowl 2018): IoU above the threshold, not equal to it.

    Returns
    -------
    Matching

    Raises
    ------
    MetricError
        A threshold outside (0, 1], or below 0.5 with "strict", which assigns nothing.
    """
    if not 0 < threshold <= 1:
        raise MetricError(f"expected an IoU threshold above 0 and at most 1, got {threshold}")
    if method == "strict":
        if threshold < 0.5:
            raise MetricError(f"expected a threshold of at least 0.5 with strict, got {threshold}")
        chosen = np.flatnonzero(table.iou > threshold)
    else:
        chosen = np.flatnonzero(table.iou >= threshold)
        if is_contested(table.i[chosen]) or is_contested(table.j[chosen]):
            chosen = _decided(table, threshold, chosen, method)
    return Matching(
        threshold=float(threshold),
        n_truth=table.n_truth,
        n_pred=table.n_pred,
        truth_index=table.i[chosen],
        pred_index=table.j[chosen],
        iou=table.iou[chosen],
    )


def _decided(table: Contingency, threshold: float, candidates: Ints, method: Method) -> Ints:
    """Which of the candidates are matched, where objects have several."""
    if method == "optimal":
        # All overlapping pairs take part, as in the peers: they settle equal numbers of matches.
        smaller = min(table.n_truth, table.n_pred)
        gain = (table.iou >= threshold) + table.iou / (2 * smaller)
        chosen = best_assignment(table.i, table.j, np.asarray(gain, np.float64))
        return chosen[table.iou[chosen] >= threshold]
    iou = table.iou[candidates]
    if method == "greedy":
        order = np.argsort(-iou, kind="stable")
    else:
        # Of equal truth objects pycocotools takes the last.
        order = np.lexsort((-table.i[candidates], -iou, table.j[candidates]))
    return _first_free(table, candidates[order])


def _first_free(table: Contingency, pairs: Ints) -> Ints:
    taken_truth: set[int] = set()
    taken_pred: set[int] = set()
    chosen = []
    for pair, i, j in zip(pairs, table.i[pairs], table.j[pairs], strict=True):
        if i not in taken_truth and j not in taken_pred:
            taken_truth.add(i)
            taken_pred.add(j)
            chosen.append(pair)
    return np.sort(np.asarray(chosen, np.int64))


def mean_ap(
    table: Contingency,
    thresholds: Sequence[float] = MEAN_AP_THRESHOLDS,
    *,
    method: Method = "optimal",
) -> float | None:
    """Mean over IoU thresholds of TP / (TP + FP + FN); None where neither image has objects."""
    values = [match(table, t, method=method).ap for t in thresholds]
    known = [v for v in values if v is not None]
    return float(np.mean(known)) if known else None


def seg(table: Contingency) -> float | None:
    """SEG of the Cell Tracking Challenge (Maška et al., Bioinformatics 2014).

    Mean over truth objects of the IoU with the predicted object that covers more than half of
    it, 0 where there is none; predicted objects too many cost nothing.

    Returns
    -------
    float or None
        None where the truth holds no object.
    """
    if table.n_truth == 0:
        return None
    covers = 2 * table.count > table.truth.sizes[table.i]
    return float(table.iou[covers].sum() / table.n_truth)
