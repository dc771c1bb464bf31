"""What went wrong with each object: split, merged, shifted, missed or spurious."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hitl.evaluation.metrics.exclusion import Kept
from hitl.evaluation.metrics.matching import Matching
from labels.overlaps import Contingency

TRUTH_KINDS = ("matched", "split", "merged", "shifted", "missed")
PRED_KINDS = ("matched", "split", "merged", "shifted", "spurious")
PART_OF_WHOLE = 0.1
"""A fragment or a swallowed object counts from this share of the other object's voxels."""
LOCATED_IOU = 0.1
"""An unmatched object with a partner of at least this IoU is shifted, not missed or spurious."""


@dataclass(frozen=True, eq=False)
class Taxonomy:
    """Kind of every object; each has one, the first that fits in this order.

    - merged: a predicted object that swallows at least two truth objects (more than half of
      each lies in it, and each fills at least a tenth of it), and those truth objects.
    - split: a truth object that holds at least two predicted objects (more than half of each
      lies in it, and each fills at least a tenth of it), and those predicted objects.
    - matched: matched at the IoU threshold.
    - shifted: unmatched, yet of IoU ≥ 0.1 with some object: right place, wrong outline.
    - missed (truth), spurious (prediction): the rest.

    A split or merged object may still be a true positive at the threshold, so the number of
    matched kinds is at most TP.

    Parameters
    ----------
    truth_kinds, pred_kinds : ndarray of str
        One of `TRUTH_KINDS`, `PRED_KINDS`, in the order of the contingency's ids.
    merging, splitting : ndarray of int64
        Indices of the contingency's pairs of a merger and what it swallows, and of a split
        object and its fragments.
    """

    truth_kinds: NDArray[np.str_]
    pred_kinds: NDArray[np.str_]
    merging: NDArray[np.int64]
    splitting: NDArray[np.int64]

    def counts(self, kept: Kept | None = None) -> dict[str, int]:
        """Truth objects split, merged, shifted, missed; predicted objects spurious or merging.

        Parameters
        ----------
        kept : Kept, optional
            Objects that count; all when not given.
        """
        truth = self.truth_kinds if kept is None else self.truth_kinds[kept.truth]
        pred = self.pred_kinds if kept is None else self.pred_kinds[kept.pred]
        counts = {kind: int(np.sum(truth == kind)) for kind in TRUTH_KINDS}
        counts["spurious"] = int(np.sum(pred == "spurious"))
        counts["mergers"] = int(np.sum(pred == "merged"))
        counts["fragments"] = int(np.sum(pred == "split"))
        return counts


def classify(table: Contingency, matching: Matching) -> Taxonomy:
    """Give every truth and predicted object its kind; the order of the rules is `Taxonomy`'s."""
    of_truth = table.count / table.truth.sizes[table.i]
    of_pred = table.count / table.pred.sizes[table.j]
    swallowed = (of_truth > 0.5) & (of_pred >= PART_OF_WHOLE)
    fragment = (of_pred > 0.5) & (of_truth >= PART_OF_WHOLE)
    merging = swallowed & (np.bincount(table.j[swallowed], minlength=table.n_pred) > 1)[table.j]
    splitting = fragment & (np.bincount(table.i[fragment], minlength=table.n_truth) > 1)[table.i]
    located = table.iou >= LOCATED_IOU

    truth_kinds = np.full(table.n_truth, "missed", dtype="<U8")
    pred_kinds = np.full(table.n_pred, "spurious", dtype="<U8")
    for kind, i, j in (
        ("shifted", table.i[located], table.j[located]),
        ("matched", matching.truth_index, matching.pred_index),
        ("split", table.i[splitting], table.j[splitting]),
        ("merged", table.i[merging], table.j[merging]),
    ):
        truth_kinds[i] = kind
        pred_kinds[j] = kind
    return Taxonomy(truth_kinds, pred_kinds, np.flatnonzero(merging), np.flatnonzero(splitting))
