"""How a model's labels join those that people have verified."""

from __future__ import annotations

from collections.abc import Mapping

import fastremap
import numpy as np
from numpy.typing import NDArray

from annotations.objects import ObjectTable, Status
from annotations.rounds import EditCounts

MOSTLY = 0.5
"""A proposal of which more than this share lies on verified voxels is one that people have seen."""


def merge_proposal(
    labels: NDArray[np.uint32],
    verified: NDArray[np.uint8],
    objects: ObjectTable,
    proposed: NDArray[np.uint32],
    confidence: Mapping[int, float],
    origin: str,
    round_number: int,
) -> tuple[NDArray[np.uint32], ObjectTable, EditCounts]:
    """Fill what nobody has verified with a model's objects; verified voxels stay as they are.

    Objects that people have accepted or corrected keep id and row. Earlier proposals are replaced.
    A proposed object that lies mostly on verified voxels is dropped, another one loses those
    voxels. New ids follow the highest id that was ever given.

    Parameters
    ----------
    labels, proposed : ndarray of uint32, shape (Z, Y, X)
    verified : ndarray of uint8, shape (Z, Y, X)
    objects : ObjectTable
        Rows of `labels`.
    confidence : mapping of int to float
        By id in `proposed`; NaN or absent where there is none.
    origin : str
        What made the proposal.
    round_number : int
        The round that it becomes.

    Returns
    -------
    labels : ndarray of uint32, shape (Z, Y, X)
    objects : ObjectTable
    counts : EditCounts
    """
    seen = verified > 0
    sizes = np.bincount(proposed.ravel())
    on_verified = np.bincount(proposed[seen], minlength=sizes.size)
    ids = np.flatnonzero(sizes)
    ids = ids[ids > 0]
    kept = ids[on_verified[ids] <= MOSTLY * sizes[ids]]
    first = int(objects.id.max(initial=0)) + 1
    numbering = {int(old): first + row for row, old in enumerate(kept)}
    fresh = fastremap.remap(proposed, {**dict.fromkeys(map(int, ids), 0), **numbering, 0: 0})
    merged = np.where(seen, labels, fresh.astype(np.uint32))
    # A verified object whose voxels lie partly outside the verified region stays whole.
    persons = objects.id[objects.status != Status.PROPOSED]
    whole = ~seen & np.isin(labels, persons[persons > 0])
    merged[whole] = labels[whole]
    left = np.unique(merged)
    new_ids = [new for new in numbering.values() if new in set(left.tolist())]
    by_new = {numbering[int(old)]: confidence.get(int(old), np.nan) for old in kept}
    table = _join(objects, persons, new_ids, by_new, origin, round_number)
    removed = int(np.count_nonzero(objects.status == Status.PROPOSED))
    return merged, table, EditCounts(added=len(new_ids), deleted=removed)


def _join(
    objects: ObjectTable,
    persons: NDArray[np.uint32],
    new_ids: list[int],
    confidence: Mapping[int, float],
    origin: str,
    round_number: int,
) -> ObjectTable:
    new = ObjectTable.make(
        new_ids,
        status=Status.PROPOSED,
        origin=origin,
        confidence={i: confidence[i] for i in new_ids},
        round=round_number,
    )
    kept = np.isin(objects.id, persons)
    old_columns, new_columns = objects.to_arrays(), new.to_arrays()
    return ObjectTable.from_arrays(
        {name: np.concatenate([old_columns[name][kept], new_columns[name]]) for name in old_columns}
    )
