"""What happened to an object from round to round, and the way back to an earlier round."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np

from annotations._chunks import Region
from annotations._reader import StoreReader
from annotations.differences import (
    LabelsDiff,
    changed_regions,
    diff_labels,
    every_chunk,
    newest_first,
    row_of,
    status_of,
)
from annotations.errors import LabelError, StoreError
from annotations.fields import VERIFIED, LabelsView, unknown_field
from annotations.objects import ObjectTable
from annotations.rounds import LogEntry, RoundInfo
from annotations.store import AnnotationStore
from annotations.transaction import RoundTransaction

_READERS = 2
"""Chunks that are read at the same time."""


@dataclass(frozen=True, kw_only=True)
class BlameEntry:
    """One commit that changed an object.

    Parameters
    ----------
    entry : LogEntry
        Who, when, what kind, with which model.
    what : tuple of str
        Of "added", "deleted", "reshaped", "status: proposed to accepted", "confidence",
        "origin".
    status : str or None
        After it; None where the object has no row.
    confidence : float or None
    gained, lost : int
        Voxels.
    """

    entry: LogEntry
    what: tuple[str, ...]
    status: str | None
    confidence: float | None
    gained: int
    lost: int


@dataclass(frozen=True, kw_only=True)
class RolledBack:
    """A round that brought an earlier one back.

    Parameters
    ----------
    round, to : int
        Its number, and the round that it equals.
    undone : tuple of int
        Rounds that it takes back; they stay in the history.
    fields : tuple of LabelsDiff
        What changed by it.
    left_alone : tuple of str
        Fields that were added since, or made anew from another image.
    gone : tuple of str
        Fields of that round that have been removed since, or made anew from another image; they
        do not come back.
    """

    round: int
    to: int
    undone: tuple[int, ...]
    fields: tuple[LabelsDiff, ...]
    left_alone: tuple[str, ...]
    gone: tuple[str, ...]


def blame(store: StoreReader, field: str, object_id: int) -> tuple[BlameEntry, ...]:
    """Return every commit that changed an object's voxels or row, oldest first.

    Raises
    ------
    UnknownFieldError
        No commit has that field.
    LabelError
        No commit has that object.
    """
    entries = [entry for entry in reversed(store.log()) if field in entry.fields]
    if not entries:
        raise unknown_field(field, [info.name for info in store.all_labels()])
    found = []
    before: LogEntry | None = None
    for entry in entries if object_id > 0 else ():
        change = _blame_entry(store, field, object_id, before, entry)
        if change is not None:
            found.append(change)
        before = entry
    if not found:
        raise LabelError(
            f"field {field!r}: expected the id of an object that some round had, got {object_id}; "
            "look ids up in the labels or the queue"
        )
    return tuple(found)


def roll_back(
    store: AnnotationStore, number: int, *, author: str, message: str | None = None
) -> RolledBack:
    """Commit a round whose labels, verified voxels and objects are those of an earlier one.

    History stays as it is, and ids that were given since are not given again.

    Raises
    ------
    UnknownRoundError
    StoreError
        It is the last round, or the store is read-only, locked or cannot be written.
    """
    snapshot = store.round_snapshot(number)
    then = {info.name: (info.zyx, info.source_sha256) for info in store.all_labels(round=number)}
    about = RoundInfo(
        kind="rollback",
        message=message or f"back to round {number}",
        author=author,
        config={"to": number},
    )
    with store.begin_round(about) as round_:
        if number == round_.number - 1:
            raise StoreError(
                f"round {number} is the last one: there is nothing to take back; `hitl log` lists "
                "the rounds before it"
            )
        now = {info.name: (info.zyx, info.source_sha256) for info in store.all_labels()}
        order = newest_first(store)
        found = []
        for name in (name for name in then if then[name] == now.get(name)):
            change = diff_labels(store, name, order[0], snapshot, order=order)
            _restore(store, round_, name, snapshot, order[0])
            round_.count(name, change.counts())
            found.append(change)
    same = {change.field for change in found}
    return RolledBack(
        round=round_.number,
        to=number,
        undone=tuple(range(number + 1, round_.number)),
        fields=tuple(found),
        left_alone=tuple(name for name in now if name not in same),
        gone=tuple(name for name in then if name not in same),
    )


def _restore(
    store: AnnotationStore, round_: RoundTransaction, name: str, snapshot: str, head: str
) -> None:
    """Write what an earlier commit had, chunk by chunk where anything was written since."""
    view = store.labels_at(name, snapshot)
    assert view is not None, "the caller chose fields that both commits have"
    round_.set_objects(name, view.objects)
    for place in changed_regions(store, name, view, snapshot, head):
        round_.write_labels(name, place, np.asarray(view.labels[place]))
    for place in changed_regions(store, name, view, snapshot, head, VERIFIED):
        round_.write_verified(name, place, np.asarray(view.verified[place]))


def provenance_steps(store: StoreReader, field: str, round: int | None = None) -> dict[str, Any]:
    """Return the attribute `provenance:steps`: the commits that made a field, oldest first.

    It is made from the history and not kept beside it; exports put it on their group. Each step
    has `name` (kind of the commit), `description`, `when` (ISO 8601), `by`, and where they apply
    `round`, `model`, `weights_sha256`, `counts`, `minutes`.

    Raises
    ------
    UnknownFieldError, UnknownRoundError
    """
    store.labels(field, round=round)
    last = None if round is None else store.round_snapshot(round)
    steps = []
    for entry in reversed(store.log()):
        if field in entry.fields:
            steps.append(_step(entry, field))
        if entry.snapshot == last:
            break
    return {"provenance:steps": steps}


def _step(entry: LogEntry, field: str) -> dict[str, Any]:
    counts = entry.counts.get(field)
    step = {
        "name": entry.kind,
        "description": entry.message,
        "when": entry.when.isoformat(),
        "by": entry.author,
        "round": entry.round,
        "model": entry.model.name if entry.model else None,
        "weights_sha256": entry.model.weights_sha256 if entry.model else None,
        "counts": {k: v for k, v in vars(counts).items() if v} if counts else None,
        "minutes": entry.minutes,
    }
    return {key: value for key, value in step.items() if value is not None}


def _blame_entry(
    store: StoreReader, field: str, object_id: int, before: LogEntry | None, entry: LogEntry
) -> BlameEntry | None:
    """Return what a commit did to an object, None where nothing."""
    old = store.labels_at(field, before.snapshot) if before is not None else None
    new = store.labels_at(field, entry.snapshot)
    regions: list[Region] | None = None
    if before is not None and old is not None and new is not None:
        regions = changed_regions(store, field, new, before.snapshot, entry.snapshot)
    gained, lost = _voxels(old, new, object_id, regions)
    tables = tuple(view.objects if view is not None else ObjectTable.empty() for view in (old, new))
    what = _what(tables[0], tables[1], object_id, bool(gained or lost))
    if not what:
        return None
    row = row_of(tables[1], object_id)
    rated = np.nan if row is None else float(tables[1].confidence[row])
    return BlameEntry(
        entry=entry,
        what=tuple(what),
        status=status_of(tables[1], object_id),
        confidence=None if np.isnan(rated) else rated,
        gained=gained,
        lost=lost,
    )


def _voxels(
    old: LabelsView | None, new: LabelsView | None, object_id: int, regions: list[Region] | None
) -> tuple[int, int]:
    """Voxels that an object gained and lost; all of a field that came or went."""
    # Labels without a row for the object cannot hold it, and need not be read.
    holders = [view if _held(view, object_id) else None for view in (old, new)]
    some = holders[1] or holders[0]
    if some is None:
        return 0, 0

    def work(place: Region) -> tuple[int, int]:
        had, has = (
            np.asarray(view.labels[place]) == object_id if view is not None else np.False_
            for view in holders
        )
        return int(np.count_nonzero(has & ~had)), int(np.count_nonzero(had & ~has))

    with ThreadPoolExecutor(_READERS) as pool:
        found = list(pool.map(work, regions if regions is not None else every_chunk(some)))
    return sum(gained for gained, _ in found), sum(lost for _, lost in found)


def _held(view: LabelsView | None, object_id: int) -> bool:
    return view is not None and row_of(view.objects, object_id) is not None


def _what(old: ObjectTable, new: ObjectTable, i: int, moved: bool) -> list[str]:
    names = [status_of(old, i), status_of(new, i)]
    was, is_ = (name not in (None, "rejected") for name in names)
    what = []
    if is_ and not was:
        what.append("added")
    elif was and not is_:
        what.append("deleted")
    elif moved:
        what.append("reshaped")
    if None not in names and names[0] != names[1]:
        what.append(f"status: {names[0]} to {names[1]}")
    a, b = row_of(old, i), row_of(new, i)
    if a is not None and b is not None:
        if not np.array_equal(old.confidence[a], new.confidence[b], equal_nan=True):
            what.append("confidence")
        if old.origins[old.origin[a]] != new.origins[new.origin[b]]:
            what.append("origin")
    return what
