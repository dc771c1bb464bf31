"""A person who knows the truth: what they change when shown an object, and what it costs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from hitl.project.errors import MetricError
from labels.overlaps import Contingency, count_overlaps
from labels.spacing import Spacing

Ints = NDArray[np.int64]

SEEN_SHARE = 0.1
"""A true object is what was meant when it fills this share of the object, or the object of it."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Case:
    """A field whose truth is known, and the labels that its correction starts from.

    Parameters
    ----------
    name : str
    image : ndarray of integer or float, shape (Z, Y, X)
    spacing_um : (float, float, float)
        Voxel size (z, y, x) in µm.
    truth, labels : ndarray of uint32, shape (Z, Y, X)
    confidence : mapping of int to float
        Of the objects of `labels`.
    others : mapping of str to ndarray of uint32, shape (Z, Y, X)
        Other segmentations, for the queue.

    Raises
    ------
    MetricError
        Arrays of different shapes, or no object in the truth.
    """

    name: str
    image: NDArray[Any]
    spacing_um: Spacing
    truth: NDArray[np.uint32]
    labels: NDArray[np.uint32]
    confidence: Mapping[int, float] = field(default_factory=dict)
    others: Mapping[str, NDArray[np.uint32]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        arrays = (self.image, self.truth, self.labels, *self.others.values())
        if len({a.shape for a in arrays}) != 1 or self.image.ndim != 3:
            raise MetricError(
                f"{self.name}: expected image, truth, labels and other segmentations of one "
                f"(Z, Y, X) shape, got {[a.shape for a in arrays]}"
            )
        if not self.truth.any():
            raise MetricError(f"{self.name}: expected a truth with objects, got none")


@dataclass(frozen=True)
class Target:
    """What the oracle is shown.

    Parameters
    ----------
    case : int
        Which of the simulated fields.
    kind : {"object", "missed", "truth"}
        An object of the labels, one of another segmentation, or a true object that is shown itself.
    label : int
        Its id there.
    source : str
        The other segmentation.
    """

    case: int
    kind: Literal["object", "missed", "truth"]
    label: int
    source: str = ""


@dataclass(frozen=True)
class Correction:
    """What a correction cost.

    Parameters
    ----------
    objects : int
        True objects that were drawn, at least 1: looking costs as much as one.
    voxels : int
        Voxels whose label changed.
    """

    objects: int
    voxels: int


class Bench:
    """One field being corrected.

    A correction looks at the voxels of the target. The true objects concerned are those that lie
    mostly in it, and the one that overlaps it most if either fills a tenth of the other. The
    target, and every object not yet settled that lies mostly in the true objects concerned, make
    way for exactly these: so a split is joined, a merge divided, a spurious object deleted, a
    missed one drawn. What is settled is never touched again.

    Parameters
    ----------
    case : Case

    Attributes
    ----------
    labels : ndarray of uint32, shape (Z, Y, X)
        As corrected so far.
    checked : ndarray of bool, shape (Z, Y, X)
        True where the oracle has drawn or deleted: the labels are the truth there.
    looked : ndarray of bool, shape (Z, Y, X)
        True wherever something was shown.
    settled : set of int
        Ids in `labels` that the oracle has drawn.
    drawn : set of int
        Their ids in the truth.
    confidence : mapping of int to float
        Of the objects that are not settled.
    """

    def __init__(self, case: Case) -> None:
        self.case = case
        self.labels = case.labels.astype(np.uint32, copy=True)
        self.checked = np.zeros(case.truth.shape, np.bool_)
        self.looked = np.zeros(case.truth.shape, np.bool_)
        self.settled: set[int] = set()
        self.drawn: set[int] = set()
        self.confidence: Mapping[int, float] = case.confidence
        self._true_voxels = _voxels_by_label(case.truth)
        self._next_id = int(self.labels.max(initial=0)) + 1

    @property
    def truth_ids(self) -> list[int]:
        """Ids of all true objects, ascending."""
        return sorted(self._true_voxels)

    def replace_labels(self, labels: NDArray[np.uint32], confidence: Mapping[int, float]) -> None:
        """Take new proposals; what is settled must be in them, unchanged."""
        assert np.array_equal(labels[self.checked], self.labels[self.checked])
        self.labels, self.confidence = labels, confidence
        self._next_id = max(self._next_id, int(labels.max(initial=0)) + 1)

    def overlaps(self) -> Contingency:
        """Count overlaps of truth and labels."""
        return count_overlaps(self.case.truth, self.labels, workers=1)

    def open_objects(self) -> list[int]:
        """Ids of the labels that are not settled, ascending."""
        ids = np.unique(self.labels).tolist()
        return [i for i in ids if i > 0 and i not in self.settled]

    def hidden_truth(self) -> list[int]:
        """Return the missed objects that no open object's correction would draw, ascending ids."""
        table = self.overlaps()
        seen = set()
        for column, label in enumerate(table.pred.ids.tolist()):
            if label not in self.settled:
                pairs = table.j == column
                seen |= self._concerned(
                    table.truth.ids[table.i[pairs]],
                    table.count[pairs],
                    int(table.pred.sizes[column]),
                )
        return [i for i in self.truth_ids if i not in self.drawn and i not in seen]

    def correct(self, target: Target) -> Correction | None:
        """Put right what the target shows; None where an earlier correction has done so."""
        region = self._region(target)
        if region is None:
            return None
        ids, counts = np.unique(self.case.truth.ravel()[region], return_counts=True)
        found = ids > 0
        concerned = self._concerned(ids[found].astype(np.int64), counts[found], len(region))
        leaving = self._replaced(concerned)
        if target.kind == "object":
            leaving.add(target.label)
        flat = self.labels.ravel()
        cleared = np.flatnonzero(np.isin(flat, list(leaving)))
        places = np.unique(np.concatenate([cleared, *(self._true_voxels[t] for t in concerned)]))
        before = flat[places]
        self._draw(concerned, leaving, cleared)
        looked_at = flat[region]
        empty = (looked_at == 0) & (self.case.truth.ravel()[region] == 0)
        judged = empty | np.isin(looked_at, list(self.settled))
        self.checked.ravel()[region[judged]] = True
        self.looked.ravel()[region] = True
        return Correction(max(1, len(concerned)), int(np.sum(flat[places] != before)))

    def _region(self, target: Target) -> Ints | None:
        """Return the flat indices of the voxels shown, or None when that is done with."""
        if target.kind == "truth":
            return None if target.label in self.drawn else self._true_voxels[target.label]
        if target.kind == "object":
            if target.label in self.settled:
                return None
            found = np.flatnonzero(self.labels == target.label)
            return found if len(found) else None
        found = np.flatnonzero(self.case.others[target.source] == target.label)
        return None if np.mean((self.looked | self.checked).ravel()[found]) > 0.5 else found

    def _concerned(self, ids: Ints, counts: Ints, size: int) -> set[int]:
        """Return the true objects, not yet drawn, that a region of `size` voxels shows."""
        pairs = [
            (int(count), int(i), len(self._true_voxels[int(i)]))
            for i, count in zip(ids, counts, strict=True)
            if int(i) not in self.drawn
        ]
        concerned = {i for count, i, whole in pairs if 2 * count > whole}
        if pairs:
            count, i, whole = max(pairs, key=lambda p: (p[0], -p[1]))
            if count >= SEEN_SHARE * min(size, whole):
                concerned.add(i)
        return concerned

    def _replaced(self, concerned: set[int]) -> set[int]:
        """Return the open objects that lie mostly in the true objects concerned."""
        if not concerned:
            return set()
        inside = self.labels.ravel()[np.concatenate([self._true_voxels[t] for t in concerned])]
        ids, counts = np.unique(inside, return_counts=True)
        return {
            int(i)
            for i, count in zip(ids, counts, strict=True)
            if i > 0
            and int(i) not in self.settled
            and 2 * int(count) > int(np.count_nonzero(self.labels == i))
        }

    def _draw(self, concerned: set[int], leaving: set[int], cleared: Ints) -> None:
        """Write the true objects; each takes the id of what it replaces where one is free."""
        flat, free = self.labels.ravel(), set(leaving)
        was = {t: flat[self._true_voxels[t]] for t in concerned}
        flat[cleared] = 0
        for t in sorted(concerned, key=lambda t: (-len(was[t]), t)):
            ids, counts = np.unique(was[t][np.isin(was[t], list(free))], return_counts=True)
            if len(ids):
                label = int(ids[counts.argmax()])
                free.discard(label)
            else:
                label, self._next_id = self._next_id, self._next_id + 1
            flat[self._true_voxels[t]] = label
            self.checked.ravel()[self._true_voxels[t]] = True
            self.settled.add(label)
            self.drawn.add(t)


def _voxels_by_label(labels: NDArray[np.uint32]) -> dict[int, Ints]:
    where = np.flatnonzero(labels)
    owner = labels.ravel()[where]
    order = np.argsort(owner, kind="stable")
    ids, first = np.unique(owner[order], return_index=True)
    return dict(zip(ids.tolist(), np.split(where[order], first[1:]), strict=True))
