"""What an open round has written to labels, noted as it is written."""

from __future__ import annotations

import threading

import numpy as np

from annotations._chunks import Change, Region
from annotations._edit_rows import append_changes
from annotations._guards import unknown_ids
from annotations.changes import ObjectChange, moved, object_changes
from annotations.edits._overlaps import count_pairs
from annotations.objects import ObjectTable
from annotations.views import LabelsView
from labels import overlaps
from labels.overlaps import Pairs

_Start = tuple[int, int, int]


class WrittenLabels:
    """What a round wrote to the labels of a class in a field.

    Voxels are compared while both their values are at hand; only a chunk that is written twice is
    read again when the round ends.

    Parameters
    ----------
    before : LabelsView
        As the labels were when the round began.
    """

    def __init__(self, before: LabelsView) -> None:
        self._before = before
        self._objects = before.objects
        self._places: dict[_Start, Region] = {}
        self._pairs: dict[_Start, Pairs] = {}
        self._twice: set[_Start] = set()
        self._lock = threading.Lock()

    def note(self, change: Change, offset: int) -> None:
        """Take notes of a chunk before it is written; may be called from several threads.

        Parameters
        ----------
        change : Change
        offset : int
            First plane of what the place of the change is counted from.
        """
        if not change.differs.any():
            return
        z, y, x = change.place
        place = (slice(z.start + offset, z.stop + offset), y, x)
        start = (place[0].start, y.start, x.start)
        shape = self._before.labels.shape
        pairs = overlaps.count_pairs(
            lambda _: (np.ascontiguousarray(change.before), np.ascontiguousarray(change.after)),
            [place],
            shape,
            workers=1,
        )
        differ = pairs[0][:, 0] != pairs[0][:, 1]
        with self._lock:
            if start in self._pairs:
                self._twice.add(start)
            self._places[start] = place
            self._pairs[start] = (pairs[0][differ], pairs[1][differ])

    @property
    def places(self) -> list[Region]:
        """The chunks that were written."""
        return list(self._places.values())

    def record(
        self, after: LabelsView, objects: ObjectTable, number: int
    ) -> tuple[ObjectChange, ...]:
        """Write beside the labels what the round did to each object, and return it.

        Parameters
        ----------
        after : LabelsView
            As the round leaves them.
        objects : ObjectTable
            Rows of `after`.
        number : int
            The round's.

        Raises
        ------
        LabelError
            A voxel was given an id that has no row, or a rejected one.
        """
        once = [pairs for start, pairs in self._pairs.items() if start not in self._twice]
        twice = [self._places[start] for start in self._twice]
        again = count_pairs(self._before.labels, after.labels, twice)
        found = moved(self._before.labels.shape, overlaps.merge_pairs([*once, again]))
        missing = np.setdiff1d(found.pred.ids, objects.live_ids)
        if missing.size:
            raise unknown_ids(missing, after.info.address)
        changes = object_changes(found, self._objects, objects)
        append_changes(after.group, number, changes, self._objects, objects)
        return changes
