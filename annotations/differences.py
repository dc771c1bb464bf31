"""What differs between two rounds, object by object.

Ids are stable across rounds, so an id is the same object before and after. All is found from the
chunks that Icechunk says were written in between: nothing else is read.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np

from annotations._chunks import Region, chunk_place, chunks_meeting, whole
from annotations._graph import components
from annotations._reader import StoreReader
from annotations.edits._overlaps import count_pairs
from annotations.edits.compare import MAJORITY
from annotations.edits.records import counts_of, kind_of
from annotations.fields import LABELS, LabelsView
from annotations.objects import ObjectTable, Status
from annotations.rounds import EditCounts
from labels.overlaps import Contingency, Ints, from_pairs

ChangeKind = Literal["added", "deleted", "split", "merged", "reshaped", "regrouped", "verdict"]
"""As `annotations.edits.Kind`; a verdict is a change of status alone."""


@dataclass(frozen=True, kw_only=True)
class ObjectChange:
    """What became of one object, or of several that a split or merge joins.

    Parameters
    ----------
    kind : str
        One of `ChangeKind`.
    before, after : tuple of int
        Ids before and after, ascending.
    gained, lost : int
        Voxels that the objects after have and those before had not, and the reverse.
    box : ((int, int), (int, int), (int, int)) or None
        Around the voxels that differ: first and last + 1 of z, y, x; None for a verdict.
    statuses : mapping of int to (str or None, str or None)
        Status before and after of each id; None where it has no row.
    """

    kind: ChangeKind
    before: tuple[int, ...]
    after: tuple[int, ...]
    gained: int = 0
    lost: int = 0
    box: tuple[tuple[int, int], ...] | None = None
    statuses: Mapping[int, tuple[str | None, str | None]]


@dataclass(frozen=True, kw_only=True)
class LabelsDiff:
    """What differs in one field.

    Parameters
    ----------
    field : str
    changes : tuple of ObjectChange
        Ordered by their lowest id.
    voxels : int
        Label voxels that differ.
    verified_voxels : int
        Verified voxels more (or fewer, if negative).
    """

    field: str
    changes: tuple[ObjectChange, ...]
    voxels: int
    verified_voxels: int

    def counts(self) -> EditCounts:
        """Count changes by kind; one that regroups is a split and a merge."""
        accepted = sum(
            status == ("proposed", "accepted")
            for change in self.changes
            for status in change.statuses.values()
        )
        return replace(counts_of(change.kind for change in self.changes), accepted=accepted)


@dataclass(frozen=True, kw_only=True)
class RoundDiff:
    """What differs between two rounds.

    Parameters
    ----------
    a, b : int
        From and to; either may be the later one.
    fields : tuple of LabelsDiff
        Of the fields in both that differ.
    added, removed : tuple of str
        Fields in `b` only, and in `a` only (or of another shape by then: both).
    """

    a: int
    b: int
    fields: tuple[LabelsDiff, ...]
    added: tuple[str, ...]
    removed: tuple[str, ...]


def diff_rounds(store: StoreReader, a: int, b: int) -> RoundDiff:
    """Compare two rounds, field by field.

    Raises
    ------
    UnknownRoundError
    """
    ends = store.round_snapshot(a), store.round_snapshot(b)
    order = newest_first(store)
    names_a, names_b = ({i.name: i.zyx for i in store.all_labels(round=n)} for n in (a, b))
    both = [name for name in names_a if names_a[name] == names_b.get(name)]
    found = [diff_labels(store, name, *ends, order=order) for name in both]
    return RoundDiff(
        a=a,
        b=b,
        fields=tuple(d for d in found if d.changes or d.voxels or d.verified_voxels),
        added=tuple(name for name in names_b if name not in both),
        removed=tuple(name for name in names_a if name not in both),
    )


def newest_first(store: StoreReader) -> list[str]:
    """Return the snapshots of all commits."""
    return [entry.snapshot for entry in store.log()]


def diff_labels(
    store: StoreReader, name: str, a: str, b: str, *, order: Sequence[str]
) -> LabelsDiff:
    """Compare a field of two snapshots that both have it, in one shape, whichever is older.

    Parameters
    ----------
    store : StoreReader
    name : str
    a, b : str
        Snapshots.
    order : sequence of str
        All snapshots, newest first.
    """
    one, other = store.labels_at(name, a), store.labels_at(name, b)
    assert one is not None and other is not None, "both snapshots have the field"
    older, newer = (a, b) if order.index(a) >= order.index(b) else (b, a)
    regions = changed_regions(store, name, one, older, newer)
    found = _moved(one, other, regions)
    old, new = one.objects, other.objects
    changes = _changes(found, old, new)
    touched = {i for change in changes for i in (*change.before, *change.after)}
    changes += _verdicts(old, new, touched)
    return LabelsDiff(
        field=name,
        changes=tuple(sorted(changes, key=lambda change: min(change.before + change.after))),
        voxels=int(found.truth.sizes.sum() + found.pred.sizes.sum() - found.count.sum()),
        verified_voxels=other.verified_voxels - one.verified_voxels,
    )


def changed_regions(
    store: StoreReader, name: str, view: LabelsView, older: str, newer: str, array: str = LABELS
) -> list[Region]:
    """Return the chunks in which an array of a field may differ between two commits."""
    chunks = store.changed_chunks(name, array, older, newer)
    if chunks is None:
        return every_chunk(view)
    return [chunk_place(view.labels, chunk) for chunk in sorted(chunks)]


def every_chunk(view: LabelsView) -> list[Region]:
    """Return the regions of all chunks of a field's labels."""
    return chunks_meeting(view.labels, [whole(view.labels.shape)])


def _moved(one: LabelsView, other: LabelsView, regions: Iterable[Region]) -> Contingency:
    """Count the voxels that differ, by id before and after."""
    keys, stats = count_pairs(one.labels, other.labels, regions)
    differ = keys[:, 0] != keys[:, 1]
    return from_pairs(one.info.zyx, (keys[differ], stats[differ]))


def _changes(found: Contingency, old: ObjectTable, new: ObjectTable) -> list[ObjectChange]:
    """Join objects that split or merge, and say what each group became.

    A pair of ids joins two objects when one of them came or went and has more than half of its
    voxels in the other. All voxels of such an object differ, so the rest of the field has no say.
    """
    changed = np.union1d(found.truth.ids, found.pred.ids)
    if not changed.size:
        return []
    came = np.setdiff1d(changed, old.live_ids)
    went = np.setdiff1d(changed, new.live_ids)
    one, other = found.truth.ids[found.i], found.pred.ids[found.j]
    joins = (np.isin(other, came) & (found.count > MAJORITY * found.pred.sizes[found.j])) | (
        np.isin(one, went) & (found.count > MAJORITY * found.truth.sizes[found.i])
    )
    ends = (np.searchsorted(changed, side[joins]) for side in (one, other))
    group = components(changed.size, *ends)
    return [
        _change(ids, *row, came=came, went=went, tables=(old, new))
        for ids, row in zip(_members(changed, group), _measured(found, changed, group), strict=True)
    ]


def _measured(found: Contingency, ids: Ints, group: Ints) -> Iterator[tuple[int, int, Ints]]:
    """Voxels gained and lost by each group, and the box around those that differ."""
    n = int(group.max()) + 1
    before, after = (group[np.searchsorted(ids, side.ids)] for side in (found.truth, found.pred))
    inside = before[found.i] == after[found.j]
    kept = np.bincount(before[found.i[inside]], found.count[inside], n)
    gained = np.bincount(after, found.pred.sizes, n) - kept
    lost = np.bincount(before, found.truth.sizes, n) - kept
    box = np.tile([np.iinfo(np.int64).max, 0], (n, 3, 1))
    for side, boxes in ((before, found.truth.boxes), (after, found.pred.boxes)):
        np.minimum.at(box[:, :, 0], side, boxes[:, :, 0])
        np.maximum.at(box[:, :, 1], side, boxes[:, :, 1])
    return zip(map(int, gained), map(int, lost), box, strict=True)


def _members(ids: Ints, group: Ints) -> list[Ints]:
    order = np.argsort(group, kind="stable")
    borders = np.flatnonzero(np.diff(group[order])) + 1
    return np.split(ids[order], borders)


def _change(
    ids: Ints,
    gained: int,
    lost: int,
    box: Ints,
    *,
    came: Ints,
    went: Ints,
    tables: tuple[ObjectTable, ObjectTable],
) -> ObjectChange:
    before, after = np.setdiff1d(ids, came), np.setdiff1d(ids, went)
    return ObjectChange(
        kind=kind_of(before.size, after.size),
        before=tuple(before.tolist()),
        after=tuple(after.tolist()),
        gained=gained,
        lost=lost,
        box=tuple((low, high) for low, high in box.tolist()),
        statuses=_statuses(ids, *tables),
    )


def _statuses(
    ids: Iterable[Any], old: ObjectTable, new: ObjectTable
) -> dict[int, tuple[str | None, str | None]]:
    return {int(i): (status_of(old, int(i)), status_of(new, int(i))) for i in ids}


def row_of(table: ObjectTable, i: int) -> int | None:
    """Return the row of an id, None where it has none."""
    row = int(np.searchsorted(table.id, i))
    return row if row < len(table) and table.id[row] == i else None


def status_of(table: ObjectTable, i: int) -> str | None:
    """Return the status of an id in words, None where it has no row."""
    row = row_of(table, i)
    return None if row is None else Status(int(table.status[row])).name.lower()


def _verdicts(old: ObjectTable, new: ObjectTable, touched: set[int]) -> list[ObjectChange]:
    """Objects whose status alone differs."""
    common, i, j = np.intersect1d(old.id, new.id, assume_unique=True, return_indices=True)
    ids = [n for n in common[old.status[i] != new.status[j]].tolist() if n not in touched]
    return [
        ObjectChange(kind="verdict", before=(n,), after=(n,), statuses=_statuses([n], old, new))
        for n in ids
    ]
