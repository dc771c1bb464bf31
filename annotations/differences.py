"""What differs between two rounds, object by object.

Ids are stable across rounds, so an id is the same object before and after. All is found from the
chunks that Icechunk says were written in between: nothing else is read.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from annotations._chunks import Region, chunk_place, chunks_meeting, whole
from annotations._graph import components
from annotations._reader import StoreReader
from annotations.edits.compare import MAJORITY
from annotations.edits.records import counts_of, kind_of
from annotations.objects import ObjectTable, Status
from annotations.rounds import EditCounts
from annotations.stacks import LABELS, StackView

ChangeKind = Literal["added", "deleted", "split", "merged", "reshaped", "regrouped", "verdict"]
"""As `annotations.edits.Kind`; a verdict is a change of status alone."""

Ints = NDArray[np.int64]

_READERS = 2
"""Chunks that are read and compared at the same time."""


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
class StackDiff:
    """What differs in one stack.

    Parameters
    ----------
    stack : str
    changes : tuple of ObjectChange
        Ordered by their lowest id.
    voxels : int
        Label voxels that differ.
    verified_voxels : int
        Verified voxels more (or fewer, if negative).
    """

    stack: str
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
    stacks : tuple of StackDiff
        Of the stacks in both that differ.
    added, removed : tuple of str
        Stacks in `b` only, and in `a` only (or of another shape by then: both).
    """

    a: int
    b: int
    stacks: tuple[StackDiff, ...]
    added: tuple[str, ...]
    removed: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class _Moved:
    """Voxels that differ, by id.

    Parameters
    ----------
    one, other : ndarray of uint32, shape (N,)
        Id before and after.
    count : ndarray of int64, shape (N,)
    boxes : ndarray of int64, shape (N, 3, 2)
        First and last + 1 of z, y, x.
    """

    one: NDArray[np.uint32]
    other: NDArray[np.uint32]
    count: Ints
    boxes: Ints

    @classmethod
    def none(cls) -> _Moved:
        ids, count = np.zeros(0, np.uint32), np.zeros(0, np.int64)
        return cls(ids, ids, count, np.zeros((0, 3, 2), np.int64))

    def columns(self) -> tuple[NDArray[Any], ...]:
        return self.one, self.other, self.count, self.boxes

    def joined(self) -> _Moved:
        """Return one row per pair of ids."""
        if not self.count.size:
            return self
        code = self.one.astype(np.uint64) << np.uint64(32) | self.other
        order = np.argsort(code, kind="stable")
        start = np.flatnonzero(np.r_[True, np.diff(code[order]) > 0])
        boxes = self.boxes[order]
        low = np.minimum.reduceat(boxes[:, :, 0], start, axis=0)
        high = np.maximum.reduceat(boxes[:, :, 1], start, axis=0)
        first = order[start]
        return _Moved(
            self.one[first],
            self.other[first],
            np.add.reduceat(self.count[order], start),
            np.stack([low, high], axis=2),
        )


def diff_rounds(store: StoreReader, a: int, b: int) -> RoundDiff:
    """Compare two rounds, stack by stack.

    Raises
    ------
    UnknownRoundError
    """
    ends = store.round_snapshot(a), store.round_snapshot(b)
    order = newest_first(store)
    names_a, names_b = ({i.name: i.zyx for i in store.stacks(round=n)} for n in (a, b))
    both = [name for name in names_a if names_a[name] == names_b.get(name)]
    found = [diff_stack(store, name, *ends, order=order) for name in both]
    return RoundDiff(
        a=a,
        b=b,
        stacks=tuple(d for d in found if d.changes or d.voxels or d.verified_voxels),
        added=tuple(name for name in names_b if name not in both),
        removed=tuple(name for name in names_a if name not in both),
    )


def newest_first(store: StoreReader) -> list[str]:
    """Return the snapshots of all commits."""
    return [entry.snapshot for entry in store.log()]


def diff_stack(store: StoreReader, name: str, a: str, b: str, *, order: Sequence[str]) -> StackDiff:
    """Compare a stack of two snapshots that both have it, in one shape, whichever is older.

    Parameters
    ----------
    store : StoreReader
    name : str
    a, b : str
        Snapshots.
    order : sequence of str
        All snapshots, newest first.
    """
    one, other = store.stack_at(name, a), store.stack_at(name, b)
    assert one is not None and other is not None, "both snapshots have the stack"
    older, newer = (a, b) if order.index(a) >= order.index(b) else (b, a)
    regions = changed_regions(store, name, one, older, newer)
    found = _moved(one, other, regions)
    old, new = one.objects, other.objects
    changes = _changes(found, old, new)
    touched = {i for change in changes for i in (*change.before, *change.after)}
    changes += _verdicts(old, new, touched)
    return StackDiff(
        stack=name,
        changes=tuple(sorted(changes, key=lambda change: min(change.before + change.after))),
        voxels=int(found.count.sum()),
        verified_voxels=other.verified_voxels - one.verified_voxels,
    )


def changed_regions(
    store: StoreReader, name: str, view: StackView, older: str, newer: str, array: str = LABELS
) -> list[Region]:
    """Return the chunks in which an array of a stack may differ between two commits."""
    chunks = store.changed_chunks(name, array, older, newer)
    if chunks is None:
        return every_chunk(view)
    return [chunk_place(view.labels, chunk) for chunk in sorted(chunks)]


def every_chunk(view: StackView) -> list[Region]:
    """Return the regions of all chunks of a stack's labels."""
    return chunks_meeting(view.labels, [whole(view.labels.shape)])


def _moved(one: StackView, other: StackView, regions: Iterable[Region]) -> _Moved:
    """Count the voxels that differ, by id before and after."""

    def work(region: Region) -> _Moved:
        before, after = np.asarray(one.labels[region]), np.asarray(other.labels[region])
        where = np.stack(np.nonzero(before != after), axis=1)
        at = tuple(where.T)
        low = where + np.array([part.start for part in region])
        ones = np.ones(len(where), np.int64)
        return _Moved(before[at], after[at], ones, np.stack([low, low + 1], axis=2)).joined()

    with ThreadPoolExecutor(_READERS) as pool:
        parts = list(pool.map(work, regions))
    if not parts:
        return _Moved.none()
    fields = (np.concatenate(column) for column in zip(*map(_Moved.columns, parts), strict=True))
    return _Moved(*fields).joined()


def _changes(found: _Moved, old: ObjectTable, new: ObjectTable) -> list[ObjectChange]:
    """Join objects that split or merge, and say what each group became.

    A pair of ids joins two objects when one of them came or went and has more than half of its
    voxels in the other. All voxels of such an object differ, so the rest of the stack has no say.
    """
    one, other, shared = found.one.astype(np.int64), found.other.astype(np.int64), found.count
    changed = np.setdiff1d(np.concatenate([one, other]), [0])
    if not changed.size:
        return []
    came = np.setdiff1d(changed, old.live_ids)
    went = np.setdiff1d(changed, new.live_ids)
    both = (one > 0) & (other > 0)
    joins = both & (
        (np.isin(other, came) & (shared > MAJORITY * _totals(other, shared)))
        | (np.isin(one, went) & (shared > MAJORITY * _totals(one, shared)))
    )
    ends = (np.searchsorted(changed, side[joins]) for side in (one, other))
    group = components(changed.size, *ends)
    measured = _measured(changed, group, (one, other), shared, found.boxes)
    members = _members(changed, group)
    return [
        _change(ids, *row, came=came, went=went, tables=(old, new))
        for ids, row in zip(members, measured, strict=True)
    ]


def _measured(
    ids: Ints, group: Ints, pairs: tuple[Ints, Ints], shared: Ints, boxes: Ints
) -> list[tuple[int, int, Ints]]:
    """Voxels gained and lost by each group, and the box around those that differ."""
    n = int(group.max()) + 1
    first, second = (np.where(side > 0, group[np.searchsorted(ids, side)], -1) for side in pairs)
    gained, lost = np.zeros(n, np.int64), np.zeros(n, np.int64)
    low, high = np.full((n, 3), np.iinfo(np.int64).max), np.zeros((n, 3), np.int64)
    moved = first != second
    for side, total in ((second, gained), (first, lost)):
        np.add.at(total, side[moved & (side >= 0)], shared[moved & (side >= 0)])
        np.minimum.at(low, side[side >= 0], boxes[side >= 0, :, 0])
        np.maximum.at(high, side[side >= 0], boxes[side >= 0, :, 1])
    box = np.stack([low, high], axis=2)
    return list(zip(gained.tolist(), lost.tolist(), box, strict=True))


def _totals(ids: Ints, count: Ints) -> Ints:
    """Return for each row the voxels of all rows of its id."""
    names, rows = np.unique(ids, return_inverse=True)
    total = np.zeros(names.size, np.int64)
    np.add.at(total, rows, count)
    return np.asarray(total[rows])


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
