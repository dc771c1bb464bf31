"""Bringing a draft onto labels that have moved on since it was begun, voxel by voxel."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from annotations.objects import ObjectTable
from hitl.review.errors import DraftConflictError
from hitl.review.session.changed_chunks import ChunkIndex

Planes = tuple[NDArray[np.uint32], NDArray[np.uint8]]
"""Labels and verified voxels of one chunk."""


@dataclass(frozen=True)
class Renumbering:
    """Ids that a draft gave out and that somebody else may have given out since.

    Parameters
    ----------
    above : int
        Ids above this one are the draft's own.
    by : int
        What is added to them.
    """

    above: int
    by: int

    def id(self, object_id: int) -> int:
        """Return the id that an object of the draft has now."""
        return object_id + self.by if object_id > self.above else object_id

    def labels(self, labels: NDArray[np.uint32]) -> NDArray[np.uint32]:
        """Return labels of the draft with the ids that they have now."""
        return np.where(labels > self.above, labels + np.uint32(self.by), labels)


def merge_chunks(
    base: Mapping[ChunkIndex, Planes],
    mine: Mapping[ChunkIndex, Planes],
    theirs: Mapping[ChunkIndex, Planes],
    whose: str,
) -> Iterator[tuple[ChunkIndex, NDArray[np.uint32], NDArray[np.uint8]]]:
    """Yield each chunk with the changes of both sides.

    Raises
    ------
    DraftConflictError
        Both changed the label of a voxel, and not to the same; or one checked what the other
        changed.
    """
    merged, conflicts, first = [], 0, None
    for index, (labels, verified) in mine.items():
        changed, checked = labels != base[index][0], verified > base[index][1]
        moved = theirs[index][0] != base[index][0]
        clash = (changed | checked) & moved & (labels != theirs[index][0])
        conflicts += int(np.count_nonzero(clash))
        first = first or (index if clash.any() else None)
        together = np.where(changed, labels, theirs[index][0])
        seen = np.where(verified != base[index][1], verified, theirs[index][1])
        merged.append((index, together, seen))
    if conflicts:
        raise DraftConflictError(
            f"{whose}: somebody else has changed {conflicts} of its voxels in the store since "
            f"it was begun (first in block {first})"
        )
    yield from merged


def check_rows(rounds: Mapping[int, int], objects: ObjectTable, whose: str) -> None:
    """Refuse a draft about objects that somebody else has changed since.

    Parameters
    ----------
    rounds : mapping of int to int
        By id of each object that the draft is about: the round that last changed it.
    objects : ObjectTable
        As the store has them now.
    whose : str

    Raises
    ------
    DraftConflictError
    """
    current = dict(zip(objects.id.tolist(), objects.round.tolist(), strict=True))
    moved = sorted(i for i, last in rounds.items() if current.get(i) != last)
    if moved:
        listed = ", ".join(map(str, moved[:5])) + (", …" if len(moved) > 5 else "")
        raise DraftConflictError(
            f"{whose}: somebody else has changed {len(moved)} of its objects in the store since it "
            f"was begun ({listed})"
        )
