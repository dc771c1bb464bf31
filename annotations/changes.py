"""What became of each object between two states of its labels.

Ids are stable across rounds, so an id is the same object before and after.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from dataclasses import field as default
from typing import Literal, get_args

import numpy as np

from annotations._graph import components
from annotations.objects import ObjectTable, Status, origin_differs, rating_differs
from annotations.rounds import EditCounts
from labels.overlaps import Contingency, Ints, Pairs, from_pairs

MAJORITY = 0.5
"""Two objects belong together when they share more than this part of either's voxels."""

ChangeKind = Literal[
    "added", "deleted", "split", "merged", "reshaped", "regrouped", "verdict", "rated"
]
"""By how many objects there are before and after, see `kind_of`. A verdict is a change of status
without one of voxels; rated is what has another confidence or origin, and else is as it was."""

CHANGE_KINDS: tuple[str, ...] = get_args(ChangeKind)


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
        Around the voxels that differ: first and last + 1 of z (planes of a series), y, x; None for
        a verdict.
    statuses : mapping of int to (str or None, str or None)
        Status before and after of each id; None where it has no row.
    voxels : mapping of int to (int, int)
        Voxels that each id gained and lost.
    links : mapping of int to int
        Of an id that came, the one that had most of its voxels; of one that went, the one that has
        most of them. An id of which no other had, or has, more than half is not in it.
    """

    kind: ChangeKind
    before: tuple[int, ...]
    after: tuple[int, ...]
    gained: int = 0
    lost: int = 0
    box: tuple[tuple[int, int], ...] | None = None
    statuses: Mapping[int, tuple[str | None, str | None]]
    voxels: Mapping[int, tuple[int, int]] = default(default_factory=dict)
    links: Mapping[int, int] = default(default_factory=dict)


def kind_of(n_before: int, n_after: int) -> ChangeKind:
    """Return what became of so many objects that hang together and are so many now."""
    match n_before, n_after:
        case 0, _:
            return "added"
        case _, 0:
            return "deleted"
        case 1, 1:
            return "reshaped"
        case 1, _:
            return "split"
        case _, 1:
            return "merged"
    return "regrouped"


def counts_of(changes: Iterable[ObjectChange]) -> EditCounts:
    """Count changes by kind; one that regroups is a split and a merge."""
    kinds: Counter[str] = Counter()
    accepted = 0
    for change in changes:
        kinds[change.kind] += 1
        accepted += list(change.statuses.values()).count(("proposed", "accepted"))
    both = kinds["regrouped"]
    return EditCounts(
        added=kinds["added"],
        deleted=kinds["deleted"],
        split=kinds["split"] + both,
        merged=kinds["merged"] + both,
        reshaped=kinds["reshaped"],
        accepted=accepted,
    )


def moved(shape: tuple[int, int, int], pairs: Pairs) -> Contingency:
    """Keep of the counted pairs of ids before and after those of voxels that differ."""
    keys, stats = pairs
    differ = keys[:, 0] != keys[:, 1]
    return from_pairs(shape, (keys[differ], stats[differ]))


def object_changes(
    found: Contingency, old: ObjectTable, new: ObjectTable
) -> tuple[ObjectChange, ...]:
    """Say what became of each object, ordered by the lowest id of each change.

    Parameters
    ----------
    found : Contingency
        Voxels that differ, by id before and after, as `moved` returns them.
    old, new : ObjectTable
        Rows before and after.
    """
    changes = _changes(found, old, new)
    touched = {i for change in changes for i in (*change.before, *change.after)}
    changes.extend(_of_rows(old, new, touched))
    return tuple(sorted(changes, key=lambda change: min(change.before + change.after)))


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
    source = np.isin(other, came) & (found.count > MAJORITY * found.pred.sizes[found.j])
    heir = np.isin(one, went) & (found.count > MAJORITY * found.truth.sizes[found.i])
    ends = (np.searchsorted(changed, side[source | heir]) for side in (one, other))
    group = components(changed.size, *ends)
    links = dict(zip(other[source].tolist(), one[source].tolist(), strict=True))
    links |= dict(zip(one[heir].tolist(), other[heir].tolist(), strict=True))
    tables = _Tables(found, old, new, frozenset(came.tolist()), frozenset(went.tolist()), links)
    return [
        tables.change(ids.tolist(), *row)
        for ids, row in zip(_members(changed, group), _measured(found, changed, group), strict=True)
    ]


class _Tables:
    """What a change is told from, looked up by id and not searched for each."""

    def __init__(
        self,
        found: Contingency,
        old: ObjectTable,
        new: ObjectTable,
        came: frozenset[int],
        went: frozenset[int],
        links: Mapping[int, int],
    ) -> None:
        self._came, self._went, self._links = came, went, links
        sides = found.pred, found.truth
        self._gained, self._lost = (
            dict(zip(side.ids.tolist(), side.sizes.tolist(), strict=True)) for side in sides
        )
        self._status = _statuses_of(old), _statuses_of(new)

    def change(self, ids: list[int], gained: int, lost: int, box: Ints) -> ObjectChange:
        before = tuple(i for i in ids if i not in self._came)
        after = tuple(i for i in ids if i not in self._went)
        return ObjectChange(
            kind=kind_of(len(before), len(after)),
            before=before,
            after=after,
            gained=gained,
            lost=lost,
            box=tuple((low, high) for low, high in box.tolist()),
            statuses={i: (self._status[0].get(i), self._status[1].get(i)) for i in ids},
            voxels={i: (self._gained.get(i, 0), self._lost.get(i, 0)) for i in ids},
            links={i: self._links[i] for i in ids if i in self._links},
        )


def _statuses_of(table: ObjectTable) -> dict[int, str]:
    names = [status.name.lower() for status in Status]
    codes = zip(table.id.tolist(), table.status.tolist(), strict=True)
    return {i: names[code] for i, code in codes}


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


def _of_rows(old: ObjectTable, new: ObjectTable, touched: set[int]) -> Iterable[ObjectChange]:
    """Objects of which only the row differs: status, or confidence or origin."""
    common, i, j = np.intersect1d(old.id, new.id, assume_unique=True, return_indices=True)
    judged = old.status[i] != new.status[j]
    differs = judged | rating_differs(old, new, i, j) | origin_differs(old, new, i, j)
    before, after = _statuses_of(old), _statuses_of(new)
    return [
        ObjectChange(
            kind="verdict" if verdict else "rated",
            before=(n,),
            after=(n,),
            statuses={n: (before[n], after[n])},
        )
        for n, verdict in zip(common[differs].tolist(), judged[differs].tolist(), strict=True)
        if n not in touched
    ]
