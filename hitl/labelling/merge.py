"""How a model's labels join those that people have verified, with ids that live on."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

import cc3d
import fastremap
import numpy as np
from numpy.typing import NDArray

from annotations.objects import ObjectTable, Status
from labels.overlaps import Contingency, count_overlaps

MOSTLY = 0.5
"""A new object is kept only when at least this share of it is free, in one piece."""

SAME_IOU = 0.5
"""From this IoU on, an old proposal and a new one are the same object and share the id."""

Labels = NDArray[np.uint32]
Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class _Matches:
    """Rows of new objects that go on under the id of an old one.

    Parameters
    ----------
    anchored : mapping of int to int
        New object to the id of an old proposal that holds verified voxels.
    replaced : mapping of int to int
        New object to the id of an old proposal that holds none.
    """

    anchored: Mapping[int, int]
    replaced: Mapping[int, int]


def merge_proposal(
    labels: Labels,
    verified: NDArray[np.uint8],
    objects: ObjectTable,
    proposed: Labels,
    confidence: Mapping[int, float],
    origin: str,
    round_number: int,
) -> tuple[Labels, ObjectTable]:
    """Fill what nobody has verified with a model's objects; ids of the same objects live on.

    - No verified voxel changes, whether object or background, and no voxel or row of an object
      that people accepted or corrected, even where nobody verified it.
    - A new object loses the voxels that it would take from these. It is dropped when less than
      half of it is left in one piece (26-connected); smaller pieces that were cut off go.
    - Earlier proposals are replaced. One whose IoU with a new object is at least 0.5 hands its
      id to it (best pairs first, each once); other new objects get ids above every id ever
      given in the field.
    - An earlier proposal with verified voxels keeps these and its id. Where a new object is the
      same (IoU of at least 0.5, both uncut), the rest of it takes that one's shape, in pieces
      that hold a verified voxel; otherwise it stays as it is.
    - The row of a proposal that keeps voxels, origin and confidence is not touched. Proposing
      the same labels twice changes nothing the second time.

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
    """
    # Numbers 1, 2, … index tables of the new objects, however large their ids.
    numbered, numbers = fastremap.renumber(proposed, in_place=False)
    fresh = np.ascontiguousarray(numbered, dtype=np.uint32)
    old_ids = {new: old for old, new in numbers.items() if new}
    seen = verified > 0
    anchored = np.intersect1d(_proposals(objects), fastremap.unique(labels[seen]))
    going_on = _same(count_overlaps(labels, fresh), anchored) if anchored.size else {}
    left_alone = np.setdiff1d(anchored, list(going_on.values()))
    fixed = np.union1d(_judged(objects), left_alone)
    taken = seen | np.isin(labels, fixed)
    _cut(fresh, labels, seen, taken, going_on)
    loose = np.setdiff1d(_proposals(objects), anchored)
    replaced = _same(count_overlaps(labels, fresh), loose, without=going_on)
    matches = _Matches(going_on, replaced)
    ids = _ids(fresh, objects, matches, len(old_ids))
    merged = ids[fresh]
    np.copyto(merged, labels, where=taken)
    rated = {
        int(ids[int(new)]): confidence.get(int(old), np.nan)
        for new, old in old_ids.items()
        if ids[int(new)]
    }
    differs = merged != labels
    changed = np.union1d(fastremap.unique(labels[differs]), fastremap.unique(merged[differs]))
    return merged, _book(objects, rated, changed, anchored, origin, round_number)


def _proposals(objects: ObjectTable) -> Labels:
    return np.asarray(objects.id[objects.status == Status.PROPOSED])


def _judged(objects: ObjectTable) -> Labels:
    return np.asarray(objects.id[np.isin(objects.status, [Status.ACCEPTED, Status.CORRECTED])])


def _same(table: Contingency, candidates: Labels, without: Collection[int] = ()) -> dict[int, int]:
    """Pair old objects among `candidates` with new ones, best IoU first; new number to old id."""
    old, new = table.truth.ids[table.i], table.pred.ids[table.j]
    usable = np.flatnonzero((table.iou >= SAME_IOU) & np.isin(old, candidates))
    order = usable[np.lexsort((new[usable], old[usable], -table.iou[usable]))]
    pairs: dict[int, int] = {}
    paired: set[int] = set()
    for pair in order.tolist():
        i, j = int(old[pair]), int(new[pair])
        # At an IoU of exactly a half an object may have two equal partners.
        if j not in pairs and j not in without and i not in paired:
            pairs[j] = i
            paired.add(i)
    return pairs


def _cut(
    fresh: Labels, labels: Labels, seen: Mask, taken: Mask, going_on: Mapping[int, int]
) -> None:
    """Take from the new objects what is not theirs, and drop those of which too little is left."""
    sizes = np.bincount(fresh.ravel())
    lost = np.bincount(fresh[taken], minlength=sizes.size)
    boxes = cc3d.statistics(fresh)["bounding_boxes"]
    for new in np.flatnonzero(lost).tolist():
        if new == 0:
            continue
        # One voxel more: a piece may touch what it continues just outside its own box.
        box = tuple(slice(max(0, part.start - 1), part.stop + 1) for part in boxes[new])
        inside = fresh[box]
        free = (inside == new) & ~taken[box]
        held = (labels[box] == going_on[new]) & seen[box] if new in going_on else None
        kept = _kept_pieces(free, held, MOSTLY * sizes[new])
        inside[(inside == new) & ~kept] = 0
    fresh[taken] = 0


def _kept_pieces(free: Mask, held: Mask | None, least: float) -> Mask:
    """Choose among the pieces of an object that was cut.

    Parameters
    ----------
    free : ndarray of bool, shape (dz, dy, dx)
        What the object may have.
    held : ndarray of bool, shape (dz, dy, dx), optional
        Verified voxels of the proposal that it continues; pieces that touch none go.
    least : float
        Voxels that the largest piece needs to stay.
    """
    pieces = cc3d.connected_components(free if held is None else free | held, connectivity=26)
    if held is not None:
        touching = np.setdiff1d(pieces[held], [0])
        return free & np.isin(pieces, touching)
    sizes = np.bincount(pieces.ravel())
    sizes[0] = 0
    largest = int(np.argmax(sizes))
    if sizes[largest] < max(least, 1):
        return np.zeros_like(free)
    return np.asarray(pieces == largest, np.bool_)


def _ids(fresh: Labels, objects: ObjectTable, matches: _Matches, n: int) -> Labels:
    """Return the id of each number in `fresh`, 0 for those that are gone."""
    ids = np.zeros(n + 1, np.uint32)
    left = fastremap.unique(fresh)
    known = {**matches.replaced, **matches.anchored}
    following = objects.highest_id
    for new in left[left > 0].tolist():
        if new in known:
            ids[new] = known[new]
        else:
            following += 1
            ids[new] = following
    # All of it may lie on its verified voxels; it goes on all the same.
    for new, old in matches.anchored.items():
        ids[new] = old
    return ids


def _book(
    objects: ObjectTable,
    rated: Mapping[int, float],
    changed: Labels,
    anchored: Labels,
    origin: str,
    round_number: int,
) -> ObjectTable:
    """Return the rows after the proposal."""
    old = {int(i): row for row, i in enumerate(objects.id)}
    touched = set(changed.tolist())
    names = objects.origins

    def same(i: int) -> bool:
        row = old[i]
        return (
            i not in touched
            and names[objects.origin[row]] == origin
            and np.array_equal(objects.confidence[row], np.float32(rated[i]), equal_nan=True)
        )

    gone = np.setdiff1d(_proposals(objects), [*rated, *anchored.tolist()])
    written = [i for i in rated if i not in old or not same(i)]
    rows = ObjectTable.make(
        written,
        status=Status.PROPOSED,
        origin=origin,
        confidence={i: rated[i] for i in written},
        round=round_number,
    )
    return objects.select(~np.isin(objects.id, gone)).updated(rows)
