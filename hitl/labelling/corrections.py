"""A person's corrections become part of a round, whichever tool they were made in."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from annotations.edits.records import Edits
from annotations.edits.sources import StableLabels
from annotations.edits.table import updated_objects
from annotations.merging import MergedLabels
from annotations.objects import ObjectTable
from annotations.rounds import EditCounts
from annotations.transaction import RoundTransaction
from annotations.views import LabelsView

Region = tuple[slice, slice, slice]
"""Part of a field, (z, y, x)."""


@dataclass(frozen=True, kw_only=True)
class Corrections:
    """What a person did to the labels of a class in a field.

    Parameters
    ----------
    field : str
        Their address.
    objects : ObjectTable
        Rows of the labels before.
    edits : Edits
        From the labels before to those after.
    labels : MergedLabels or StableLabels
        Those after, with stable ids.
    accepted : collection of int
        Ids of `edits` that the person says are right.
    annotator : str
    time : int, optional
        The time point that the person worked on; all of them when not given.
    """

    field: str
    objects: ObjectTable
    edits: Edits
    labels: MergedLabels | StableLabels
    accepted: Collection[int]
    annotator: str
    time: int | None = None

    def write(
        self,
        round_: RoundTransaction,
        verified: Iterable[tuple[Region, NDArray[np.uint8]]],
        *,
        labels_now: Callable[[Region], NDArray[Any]] | None = None,
        verified_now: Callable[[Region], NDArray[Any]] | None = None,
    ) -> tuple[EditCounts, int]:
        """Write labels, objects and verified voxels, each chunk once.

        Parameters
        ----------
        round_ : RoundTransaction
        verified : iterable of (region, mask)
            Voxels to be marked as verified.
        labels_now, verified_now : callable, optional
            Return what the store has in a region, for who has read it already.

        Returns
        -------
        counts : EditCounts
        gained : int
            Voxels that are verified now and were not.
        """
        rows, counts = updated_objects(
            self.objects,
            self.edits,
            annotator=self.annotator,
            round=round_.number,
            accepted=self.accepted,
            elsewhere=elsewhere(round_.labels(self.field), self.edits, self.time),
        )
        gained = round_.verify(self.field, verified, verified_now, time=self.time)
        # Whole objects: a stable id can be another one than the tool's.
        boxes = [change.box for change in self.edits.changes]
        round_.copy_labels(self.field, self.labels, boxes, labels_now, time=self.time)
        round_.set_objects(self.field, rows)
        return counts, gained


def elsewhere(labels: LabelsView, edits: Edits, time: int | None) -> set[int]:
    """Return the ids that are gone from the time point worked on, but not from the others.

    Parameters
    ----------
    labels : LabelsView
        Of all time points.
    edits : Edits
    time : int, optional
        The time point worked on; all of them when not given.
    """
    gone = {i for change in edits.changes for i in change.before}
    gone -= {i for change in edits.changes for i in change.stable}
    if time is None or not gone:
        return set()
    others = [view.labels[...] for view in labels.time_points() if view.time != time]
    return {int(i) for found in others for i in np.intersect1d(found, list(gone))}


def counted(counts: EditCounts) -> str:
    """Return what was done to objects, for people; empty when nothing was.

    >>> counted(EditCounts(added=2, merged=1))
    '2 added, 1 merged'
    """
    return ", ".join(f"{count} {kind}" for kind, count in asdict(counts).items() if count)
