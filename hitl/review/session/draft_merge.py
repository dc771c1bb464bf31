"""Bringing a draft onto labels that have moved on since it was begun, voxel by voxel."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from annotations.objects import ObjectTable
from hitl.review.errors import DraftConflictError
from hitl.review.session.changed_chunks import ChunkIndex, Planes


def renumbered(ids: Any, above: int, by: int) -> Any:
    """Return ids, those above one raised: somebody else may have given them out since.

    Parameters
    ----------
    ids : int or ndarray of uint32
    above : int
        Ids above this one are the draft's own.
    by : int
        What is added to them.
    """
    return np.where(np.asarray(ids) > above, ids + np.uint32(by), ids)


def merge_chunks(
    chunks: Iterable[tuple[ChunkIndex, Planes, Planes, Planes]], whose: str
) -> list[tuple[ChunkIndex, NDArray[np.uint32], NDArray[np.uint8]]]:
    """Return each chunk with the changes of both sides.

    Parameters
    ----------
    chunks : iterable of (position, planes, planes, planes)
        As the draft found it, as it left it, and as the store has it now.
    whose : str

    Raises
    ------
    DraftConflictError
        Both changed the label of a voxel, and not to the same; or one checked what the other
        changed.
    """
    merged, conflicts = [], {}
    for index, base, (labels, verified), theirs in chunks:
        changed, checked = labels != base[0], verified > base[1]
        moved = (theirs[0] != base[0]) & (labels != theirs[0])
        if clash := int(np.count_nonzero((changed | checked) & moved)):
            conflicts[index] = clash
        together = np.where(changed, labels, theirs[0])
        merged.append((index, together, np.where(verified != base[1], verified, theirs[1])))
    if conflicts:
        raise DraftConflictError(
            f"{whose}: somebody else has changed {sum(conflicts.values())} of its voxels in the "
            f"store since it was begun (first in block {next(iter(conflicts))})"
        )
    return merged


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
