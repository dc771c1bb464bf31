"""The list of what a person looks at: its order, where they are in it, what is done."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol, cast

import numpy as np

from annotations.objects import ObjectTable, Status


class WorklistEntry(Protocol):
    """What the queue says of an object, or of a place where one may be missing."""

    @property
    def id(self) -> int | None:
        """Of the object; None for a place."""

    @property
    def position_zyx(self) -> tuple[int, int, int]:
        """Voxel to look at."""

    @property
    def why(self) -> str:
        """Why a person should look."""

    @property
    def confidence(self) -> float | None:
        """Of the model, in [0, 1]; None or NaN where there is none."""


@dataclass(frozen=True)
class ProposedObject:
    """An object to look at."""

    id: int
    position_zyx: tuple[int, int, int]
    why: str
    confidence: float | None = None


class Worklist:
    """What to look at, where the person is in it, and what has been seen to.

    Parameters
    ----------
    entries : sequence of WorklistEntry
    is_done : callable
        Whether the person has seen to an entry.
    """

    def __init__(
        self, entries: Sequence[WorklistEntry], is_done: Callable[[WorklistEntry], bool]
    ) -> None:
        self.entries = tuple(entries)
        self._is_done = is_done
        self.row = 0

    @property
    def current(self) -> WorklistEntry | None:
        """The entry under the cursor; None when the queue is empty."""
        return self.entries[self.row] if self.entries else None

    @property
    def left(self) -> int:
        """Entries that nobody has seen to yet."""
        return sum(not self._is_done(entry) for entry in self.entries)

    def is_done(self, row: int) -> bool:
        """Whether the entry of a row has been seen to."""
        return self._is_done(self.entries[row])

    def go(self, row: int) -> WorklistEntry | None:
        """Move to a row, or the nearest one that there is, and return its entry."""
        self.row = min(max(row, 0), max(len(self.entries) - 1, 0))
        return self.current

    def next(self) -> WorklistEntry | None:
        """Move to the next entry that nobody has seen to, or just on when there is none."""
        for row in range(self.row + 1, len(self.entries)):
            if not self.is_done(row):
                return self.go(row)
        return self.go(self.row + 1)

    def previous(self) -> WorklistEntry | None:
        """Move one entry back, seen to or not."""
        return self.go(self.row - 1)


class ViewedWorklist(Worklist):
    """A worklist whose entries are done when they have been looked at."""

    def __init__(self, entries: Sequence[WorklistEntry]) -> None:
        self._seen: set[int] = set()
        super().__init__(entries, lambda _entry: False)

    @property
    def left(self) -> int:
        """Entries that nobody has looked at yet."""
        return len(self.entries) - len(self._seen)

    def is_done(self, row: int) -> bool:
        """Whether the entry of a row has been looked at."""
        return row in self._seen

    def go(self, row: int) -> WorklistEntry | None:
        """Move to a row, or the nearest one that there is, and return its entry."""
        current = super().go(row)
        if current is not None:
            self._seen.add(self.row)
        return current


def proposed_objects(
    objects: ObjectTable, centre: Callable[[int], tuple[int, int, int]], ids: Sequence[int]
) -> tuple[ProposedObject, ...]:
    """Return the proposed objects, those of the lowest confidence first.

    Parameters
    ----------
    objects : ObjectTable
    centre : callable
        From an id to a voxel (z, y, x).
    ids : sequence of int
        Objects that have voxels.
    """
    proposed = objects.select((objects.status == Status.PROPOSED) & np.isin(objects.id, ids))
    order = np.argsort(np.nan_to_num(proposed.confidence, nan=2.0), kind="stable")
    return tuple(
        ProposedObject(
            id=int(proposed.id[row]),
            position_zyx=centre(int(proposed.id[row])),
            why="nobody has looked at it yet",
            confidence=_known(cast("float", proposed.confidence[row])),
        )
        for row in order
    )


def _known(confidence: float) -> float | None:
    return None if np.isnan(confidence) else float(confidence)
