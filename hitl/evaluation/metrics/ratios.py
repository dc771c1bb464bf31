"""Precision, recall and what follows from them, whatever is counted."""

from __future__ import annotations

from typing import Any, ClassVar, Protocol

from labels.overlaps import Ints


class Counts(Protocol):
    """What is right, too many and missing."""

    @property
    def tp(self) -> int:
        """In truth and prediction."""
        ...

    @property
    def fp(self) -> int:
        """In the prediction only."""
        ...

    @property
    def fn(self) -> int:
        """In the truth only."""
        ...


class Ratios:
    """Ratios of `Counts`: None where there is nothing to count, otherwise 0 where nothing is right.

    Of the attributes, those in `KEYS` are told in JSON.
    """

    KEYS: ClassVar[tuple[str, ...]]

    @property
    def precision(self: Counts) -> float | None:
        """TP / (TP + FP)."""
        return share(self, self.tp, self.tp + self.fp)

    @property
    def recall(self: Counts) -> float | None:
        """TP / (TP + FN)."""
        return share(self, self.tp, self.tp + self.fn)

    @property
    def f1(self: Counts) -> float | None:
        """2 TP / (2 TP + FP + FN): of voxels the Dice coefficient, of objects panoptic's RQ."""
        return share(self, 2 * self.tp, 2 * self.tp + self.fp + self.fn)

    def to_dict(self) -> dict[str, Any]:
        """Return counts and ratios as plain numbers."""
        return {key: getattr(self, key) for key in self.KEYS}


class OneToOne(Ratios):
    """Ratios of objects that are matched one to one; `truth_index` has one entry per match."""

    n_truth: int
    n_pred: int
    truth_index: Ints

    @property
    def tp(self) -> int:
        """Matched objects."""
        return len(self.truth_index)

    @property
    def fp(self) -> int:
        """Predicted objects without a match."""
        return self.n_pred - self.tp

    @property
    def fn(self) -> int:
        """Truth objects without a match."""
        return self.n_truth - self.tp


def share(counts: Counts, value: float, of: float) -> float | None:
    """Return a ratio: None where there is nothing to count, 0 of nothing."""
    if counts.tp + counts.fp + counts.fn == 0:
        return None
    return float(value / of) if of > 0 else 0.0


def ratios_of_hits(
    truth_hit: int, n_truth: int, pred_hit: int, n_pred: int
) -> dict[str, float | None]:
    """Return precision, recall and their harmonic mean of two sides that are counted apart."""
    if n_truth + n_pred == 0:
        return dict.fromkeys(("precision", "recall", "f1"))
    precision, recall = pred_hit / max(1, n_pred), truth_hit / max(1, n_truth)
    f1 = 2 * precision * recall / (precision + recall) if precision and recall else 0.0
    return {"precision": precision, "recall": recall, "f1": f1}
