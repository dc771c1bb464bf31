"""Joins the edits of a person with what others committed since the labels were handed out."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np

from annotations._chunks import Region, Voxels, explicit, overlap
from annotations.edits._overlaps import WORKERS, blocks_of, check_pair, rows_of
from annotations.edits._reading import Ids, read_region
from annotations.edits.compare import compare_labels
from annotations.edits.partial import compare_regions
from annotations.edits.records import Edit, Edits, relabelled
from annotations.edits.sources import ByBox, StableLabels
from annotations.errors import ConflictError
from annotations.objects import ObjectTable
from labels.overlaps import box_around, boxes_of, count_pairs

Reason = Literal["object", "voxels", "accepted", "checked"]
"""Both changed an object, or gave the same voxels to one; one accepted, or checked the region
of, what the other changed."""


@dataclass(frozen=True, kw_only=True)
class Conflict:
    """One place where the work of two people does not go together.

    Parameters
    ----------
    reason : {"object", "voxels", "accepted", "checked"}
    objects : tuple of int
        Their ids in the store, ascending: as they are now, or were when the labels were handed out.
    box : (slice, slice, slice)
        Around them; z, y, x.
    """

    reason: Reason
    objects: tuple[int, ...]
    box: Region


class MergeConflictError(ConflictError):
    """Edits that others' edits meet; `conflicts` says where.

    Parameters
    ----------
    name : str
        Whose labels they are, for the message.
    conflicts : tuple of Conflict
    """

    def __init__(self, name: str, conflicts: tuple[Conflict, ...]) -> None:
        self.conflicts = conflicts
        ids = sorted({i for conflict in conflicts for i in conflict.objects})
        shown = ", ".join(map(str, ids[:8])) + (f" and {len(ids) - 8} more" if ids[8:] else "")
        low = min(conflict.box[0].start for conflict in conflicts)
        high = max(conflict.box[0].stop for conflict in conflicts) - 1
        super().__init__(
            f"{name}: expected edits where nobody else made any, got {len(conflicts)} on top of "
            f"changes committed since (objects {shown}; z {low} to {high}); nothing was written: "
            "export the labels as they are now, redo these edits in them, and import again"
        )


@dataclass(frozen=True, eq=False)
class Merged:
    """What a round may write.

    Parameters
    ----------
    labels : MergedLabels or StableLabels
        Source of slabs, shape (Z, Y, X), with stable ids; it reads the three images when asked.
    edits : Edits
        From `theirs` to `labels`. Outside the boxes of its changes the two are equal.
    accepted : tuple of int
        Ids in `labels` of the accepted objects.
    """

    labels: MergedLabels | StableLabels
    edits: Edits
    accepted: tuple[int, ...]


@dataclass(frozen=True, eq=False)
class MergedLabels(ByBox):
    """Their labels with my edits in them; read box by box.

    Parameters
    ----------
    base, mine, theirs : ndarray, zarr array or source of slabs, shape (Z, Y, X)
    edits : Edits
        From `base` to `mine`.
    ids : ndarray of uint32
        Id in the store now of each of `edits.after.ids`.
    shared : tuple of Edit
        Changes of mine that they made just so.
    """

    base: Voxels
    mine: Voxels
    theirs: Voxels
    edits: Edits
    ids: Ids
    shared: tuple[Edit, ...]

    @property
    def shape(self) -> tuple[int, ...]:
        """(Z, Y, X)."""
        return tuple(self.theirs.shape)

    @cached_property
    def _shared_ids(self) -> tuple[list[int], list[int]]:
        """Ids in `base` and in `mine` of what both changed just so."""
        return (
            [i for change in self.shared for i in change.before],
            [i for change in self.shared for i in change.after],
        )

    def read_region(self, region: Region) -> Ids:
        """Return labels of the region's shape; its ends must be given."""
        base, mine = read_region(self.base, region), read_region(self.mine, region)
        changed = self.edits.apply_stable_ids(mine) != base
        if self.shared:
            before, after = self._shared_ids
            changed &= ~(np.isin(base, before) | np.isin(mine, after))
        ids = relabelled(mine, self.edits.after.ids, self.ids, keep_unknown=False)
        return np.where(changed, ids, read_region(self.theirs, region))


def merge_edits(
    base: Voxels,
    mine: Voxels,
    theirs: Voxels,
    *,
    objects: ObjectTable,
    name: str = "labels",
    accepted: Collection[int] = (),
    checked: Iterable[Region] = (),
) -> Merged:
    """Put one person's edits into labels that others have changed meanwhile.

    Edits of different objects and voxels both land. What both did in just the same way landed
    already. Anything else that meets is a conflict, and no labels are made.

    Parameters
    ----------
    base : ndarray, zarr array or source of slabs, integers, shape (Z, Y, X)
        The labels that were handed out.
    mine : as `base`
        What came back; ids may be any.
    theirs : as `base`
        The store's labels now. Give the same object as `base` when they are those.
    objects : ObjectTable
        Rows of `theirs`.
    name : str
        The field's, for messages.
    accepted : collection of int
        Ids in `mine` of unchanged objects that the person says are right.
    checked : iterable of (slice, slice, slice)
        Regions in which the person says that everything is right as in `mine`.

    Returns
    -------
    Merged

    Raises
    ------
    MergeConflictError
        A `ConflictError`: both changed an object, or gave the same voxels to one; or they changed
        what the person accepted or checked.
    LabelError
        Shapes that differ, not labels, an accepted id that `mine` lacks, or a region outside.
    """
    ours = compare_labels(base, mine, objects=objects, ids_stayed=None)
    regions = [explicit(region, ours.shape, "checked region") for region in checked]
    rows_of(ours.after, accepted)
    if theirs is base:
        kept = tuple(sorted(set(ours.stable_id(accepted))))
        return Merged(StableLabels(mine, ours), ours.with_stable_ids(), kept)
    check_pair(base, theirs)
    sides = _Sides(base, mine, theirs, ours, compare_labels(base, theirs))
    conflicts = tuple(_conflicts(sides, accepted, regions))
    if conflicts:
        raise MergeConflictError(name, conflicts)
    labels = MergedLabels(base, mine, theirs, ours, sides.ids_now, sides.shared[0])
    kept = tuple(sorted(set(sides.ids_now[rows_of(ours.after, accepted)].tolist())))
    boxes = [change.box for change in sides.my_changes]
    boxes += [box_around(ours.after.boxes[row][None]) for row in rows_of(ours.after, accepted)]
    edits = compare_regions(theirs, labels, boxes, objects=objects, follow=kept, ids_stayed=True)
    return Merged(labels, edits, kept)


@dataclass(frozen=True, eq=False)
class _Sides:
    """Three images and the edits between the first and each of the others."""

    base: Voxels
    mine: Voxels
    theirs: Voxels
    ours: Edits
    others: Edits

    @cached_property
    def exact(self) -> dict[int, int]:
        """Id in `theirs` of each object of `mine` that has just the same voxels there."""
        return dict(compare_labels(self.theirs, self.mine).unchanged)

    @cached_property
    def shared(self) -> tuple[tuple[Edit, ...], tuple[Edit, ...]]:
        """Changes that both made in just the same way: as mine, as theirs."""
        theirs = {(c.before, c.after): c for c in self.others.changes}
        pairs = []
        for change in self.ours.changes if theirs else ():
            after = tuple(sorted(self.exact.get(i, 0) for i in change.after))
            if (change.before, after) in theirs:
                pairs.append((change, theirs[change.before, after]))
        return tuple(m for m, _ in pairs), tuple(t for _, t in pairs)

    @cached_property
    def my_changes(self) -> tuple[Edit, ...]:
        return _without(self.ours.changes, self.shared[0])

    @cached_property
    def their_changes(self) -> tuple[Edit, ...]:
        return _without(self.others.changes, self.shared[1])

    @cached_property
    def ids_now(self) -> Ids:
        """Id in the store now of each object of mine; 0 for what they changed and I did not."""
        now = {before: after for after, before in self.others.unchanged.items()}
        same = {i: self.exact[i] for change in self.shared[0] for i in change.after}
        known = set(self.ours.before.ids.tolist())
        ids = [
            same.get(mine, now.get(stable, 0) if stable in known else stable)
            for mine, stable in self.ours.stable.items()
        ]
        return np.array(ids, np.uint32)


def _without(changes: tuple[Edit, ...], dropped: tuple[Edit, ...]) -> tuple[Edit, ...]:
    keys = {(c.before, c.after) for c in dropped}
    return tuple(c for c in changes if (c.before, c.after) not in keys)


def _conflicts(
    sides: _Sides, accepted: Collection[int], checked: list[Region]
) -> Iterator[Conflict]:
    theirs_of = {i: change for change in sides.their_changes for i in change.before}
    claimed = _claimed_by_both(sides)
    for number, change in enumerate(sides.my_changes):
        both = tuple(i for i in change.before if i in theirs_of)
        if both:
            yield Conflict(reason="object", objects=both, box=change.box)
        elif number in claimed:
            yield claimed[number]
    unchanged = sides.ours.unchanged
    for mine in sorted(set(accepted)):
        before = unchanged.get(mine, 0)
        if before in theirs_of:
            box = theirs_of[before].box
            yield Conflict(reason="accepted", objects=(before,), box=box)
    for region in checked:
        yield from _changed_inside(sides, region)


def _claimed_by_both(sides: _Sides) -> dict[int, Conflict]:
    """Voxels of the background that I and they gave to objects, by the number of my change."""
    if not any(c.gained for c in sides.my_changes) or not any(
        c.gained for c in sides.their_changes
    ):
        return {}

    def read(region: Region) -> tuple[Ids, Ids]:
        base, mine = read_region(sides.base, region), read_region(sides.mine, region)
        theirs = read_region(sides.theirs, region)
        mine = np.where((base == 0) & (theirs != 0), mine, np.uint32(0))
        return mine, np.where(mine != 0, theirs, np.uint32(0))

    mine_of = {i: number for number, c in enumerate(sides.my_changes) for i in c.after}
    pairs = count_pairs(
        read, blocks_of(sides.base, sides.theirs), sides.ours.shape, workers=WORKERS
    )
    found: dict[int, list[int]] = {}
    for row, mine in enumerate(pairs[0][:, 0].tolist()):
        if mine in mine_of:
            found.setdefault(mine_of[mine], []).append(row)
    return {
        number: Conflict(
            reason="voxels",
            objects=tuple(np.unique(pairs[0][rows, 1]).tolist()),
            box=box_around(boxes_of(pairs[1][rows])),
        )
        for number, rows in found.items()
    }


def _changed_inside(sides: _Sides, region: Region) -> Iterator[Conflict]:
    """Voxels in a region of mine that belong, or did, to objects that they changed."""
    if not sides.their_changes:
        return

    def read(part: Region) -> tuple[Ids, Ids]:
        return read_region(sides.base, part), read_region(sides.theirs, part)

    before_of = {i: number for number, c in enumerate(sides.their_changes) for i in c.before}
    after_of = {i: number for number, c in enumerate(sides.their_changes) for i in c.after}
    parts = (overlap(block, region) for block in blocks_of(sides.base, sides.theirs))
    pairs = count_pairs(
        read, [part for part in parts if part is not None], sides.ours.shape, workers=WORKERS
    )
    found: dict[int, list[int]] = {}
    for row, (old, new) in enumerate(pairs[0].tolist()):
        for number in {before_of.get(old, -1), after_of.get(new, -1)} - {-1}:
            found.setdefault(number, []).append(row)
    for number, rows in sorted(found.items()):
        change = sides.their_changes[number]
        box = box_around(boxes_of(pairs[1][rows]))
        yield Conflict(reason="checked", objects=change.before or change.after, box=box)
