"""What each object adds to the metrics, so that objects can be drawn again at random."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hitl.evaluation.metrics.matching import MEAN_AP_THRESHOLDS, Matching
from hitl.evaluation.metrics.overlap_score import OverlapScores
from labels.overlaps import Contingency, Floats, Ints, first_of_each

METRICS = (
    "evaluation_score",
    "full",
    "sub",
    "seg",
    "precision",
    "recall",
    "f1",
    "ap",
    "pq",
    "mean_ap_50_95",
    "aji",
)
"""Keys of `Scores.flat` that are sums over objects divided by sums over objects."""

# Columns: objects, what the metrics add up, matches at each threshold of mean AP.
N_TRUTH, N_PRED, SCORE, FULL, SUB, SEG, IOU, SHARED, UNION, TP = range(10)
COLUMNS = TP + len(MEAN_AP_THRESHOLDS)


@dataclass(frozen=True, eq=False)
class Items:
    """One row per truth object (with its match at IoU 0.5), one per predicted object without.

    Parameters
    ----------
    truth : ndarray of float64, shape (n_truth, columns)
        In the order of the contingency's ids, so that rows of two models belong together.
    spurious : ndarray of float64, shape (n_unmatched, columns)
        Predicted objects without a match.
    spurious_ids : ndarray of int64, shape (n_unmatched,)
        Their ids.
    """

    truth: Floats
    spurious: Floats
    spurious_ids: Ints

    @property
    def rows(self) -> Floats:
        """All of them, shape (n, columns)."""
        return np.concatenate([self.truth, self.spurious])


def make_items(table: Contingency, matching: Matching, overlap: OverlapScores) -> Items:
    """Divide the metrics of one prediction up among its objects.

    Parameters
    ----------
    table : Contingency
    matching : Matching
        At IoU 0.5; above it, nothing is matched that is not matched there.
    overlap : OverlapScores
        Of the truth objects of `table`.
    """
    truth = np.zeros((table.n_truth, COLUMNS))
    truth[:, N_TRUTH] = 1
    truth[:, SCORE], truth[:, FULL], truth[:, SUB] = overlap.score, overlap.full, overlap.sub
    covers = 2 * table.count > table.truth.sizes[table.i]
    truth[table.i[covers], SEG] = table.iou[covers]
    matched = matching.truth_index
    truth[matched, N_PRED] = 1
    truth[matched, IOU] = matching.iou
    truth[matched, TP:] = matching.iou[:, None] >= np.asarray(MEAN_AP_THRESHOLDS)
    unused = _add_jaccard(table, truth)
    alone = np.setdiff1d(np.arange(table.n_pred), matching.pred_index)
    spurious = np.zeros((len(alone), COLUMNS))
    spurious[:, N_PRED] = 1
    spurious[:, UNION] = np.where(unused[alone], table.pred.sizes[alone], 0)
    return Items(truth, spurious, table.pred.ids[alone])


def _add_jaccard(table: Contingency, truth: Floats) -> NDArray[np.bool_]:
    """Fill in what AJI adds up per truth object; return which predicted objects it left unused."""
    best = first_of_each(table.i, -table.iou, table.j)
    i, j, shared = table.i[best], table.j[best], table.count[best]
    truth[:, UNION] = table.truth.sizes
    truth[i, SHARED] = shared
    truth[i, UNION] += table.pred.sizes[j] - shared
    unused = np.ones(table.n_pred, np.bool_)
    unused[j] = False
    return unused


def metrics_of(sums: Floats) -> Floats:
    """Return the metrics of sums of rows.

    Parameters
    ----------
    sums : ndarray of float64, shape (n, columns)

    Returns
    -------
    ndarray of float64, shape (n, len(METRICS))
        NaN where a metric is not defined, as for a sample without a truth object.
    """
    truth, pred, tp = sums[:, N_TRUTH], sums[:, N_PRED], sums[:, TP]
    both = truth + pred
    every_tp = sums[:, TP:]
    every_ap = _ratio(every_tp, both[:, None] - every_tp)
    columns: Sequence[Floats] = (
        _ratio(sums[:, SCORE], truth),
        _ratio(sums[:, FULL], truth),
        _ratio(sums[:, SUB], truth),
        _ratio(sums[:, SEG], truth),
        _ratio(tp, pred, both),
        _ratio(tp, truth, both),
        _ratio(2 * tp, both),
        _ratio(tp, both - tp),
        _ratio(2 * sums[:, IOU], both),
        every_ap.mean(axis=1),
        _ratio(sums[:, SHARED], sums[:, UNION]),
    )
    return np.stack(columns, axis=1)


def _ratio(value: Floats, of: Floats, defined: Floats | None = None) -> Floats:
    """Return value / of; where that is 0 / 0, 0 if `defined` is above zero, else NaN."""
    out = np.full(value.shape, np.nan)
    if defined is not None:
        out[defined > 0] = 0
    np.divide(value, of, out=out, where=of > 0)
    return out
