"""What happened to an object from round to round, and the way back to an earlier round."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from annotations._edit_rows import COLUMN, read_edits
from annotations._reader import StoreReader
from annotations.changes import CHANGE_KINDS
from annotations.differences import LabelsDiff, changed_regions, diff_labels, same_image
from annotations.errors import LabelError, StoreError, UnknownFieldError
from annotations.names import split_address
from annotations.objects import NO_ROUND, Status
from annotations.rounds import LogEntry, RoundInfo
from annotations.store import AnnotationStore
from annotations.transaction import RoundTransaction
from annotations.views import LabelsView


@dataclass(frozen=True, kw_only=True)
class BlameEntry:
    """One commit that changed an object.

    Parameters
    ----------
    entry : LogEntry
        Who, when, what kind, with which model.
    what : tuple of str
        As `diff` has it: "added", "deleted", "reshaped", "split into 5, 6", "split from 4",
        "merged with 4", "merged into 3", "status: proposed to accepted", "confidence", "origin".
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
    """A round that brought an earlier one back, or would.

    Parameters
    ----------
    round, to : int
        Its number, and the round that it equals.
    undone : tuple of int
        Rounds that it takes back; they stay in the history.
    fields : tuple of LabelsDiff
        What changed by it.
    left_alone : tuple of str
        Labels that were added since, or made anew from another image.
    gone : tuple of str
        Labels of that round that have been removed since, or made anew from another image; they
        do not come back.
    dry_run : bool
        Nothing was written.
    """

    round: int
    to: int
    undone: tuple[int, ...]
    fields: tuple[LabelsDiff, ...]
    left_alone: tuple[str, ...]
    gone: tuple[str, ...]
    dry_run: bool = False


def blame(store: StoreReader, address: str, object_id: int) -> tuple[BlameEntry, ...]:
    """Return every commit that changed an object's voxels or row, oldest first.

    Only what the rounds noted beside the labels is read, and the log. Of a field that was removed,
    its removal comes last.

    Raises
    ------
    UnknownFieldError
        No such labels.
    LabelError
        No commit has that object.
    """
    view, removal = _last_state(store, address)
    rows = read_edits(view.group)
    mine = rows[rows[:, COLUMN["id"]] == object_id]
    if object_id < 1 or not len(mine):
        raise LabelError(
            f"field {address!r}: expected the id of an object that some round had, got "
            f"{object_id}; look ids up in the labels or the queue"
        )
    entries = _entries_by_round(store, view.info.key)
    found = [_blamed(entries[int(row[COLUMN["round"]])], row, rows) for row in mine]
    voxels = sum(entry.gained - entry.lost for entry in found)
    if removal is not None and voxels:
        gone = BlameEntry(
            entry=removal, what=("deleted",), status=None, confidence=None, gained=0, lost=voxels
        )
        found.append(gone)
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
    about = RoundInfo(
        kind="rollback",
        message=message or f"back to round {number}",
        author=author,
        config={"to": number},
    )
    with store.begin_round(about) as round_:
        head = store.head()
        plan = _way_back(store, number, round_.number, head)
        for change in plan.fields:
            _restore(store, round_, change.field, snapshot, head)
    return plan


def plan_roll_back(store: StoreReader, number: int) -> RolledBack:
    """Tell what `roll_back` would do; nothing is written.

    Raises
    ------
    UnknownRoundError
    StoreError
        It is the last round.
    """
    plan = _way_back(store, number, store.last_round() + 1, store.head())
    return replace(plan, dry_run=True)


def _way_back(store: StoreReader, number: int, following: int, head: str) -> RolledBack:
    """Compare the last commit with an earlier round, which the round `following` is to equal."""
    snapshot = store.round_snapshot(number)
    if number == following - 1:
        raise StoreError(
            f"round {number} is the last one: there is nothing to take back; `hitl log` lists "
            "the rounds before it"
        )
    then = {info.key: info for info in store.all_labels(round=number)}
    now = {info.key: info for info in store.all_labels()}
    written = store.changes_between(snapshot, head)
    same = [key for key in then if key in now and same_image(then[key], now[key])]
    return RolledBack(
        round=following,
        to=number,
        undone=tuple(range(number + 1, following)),
        fields=tuple(
            diff_labels(store, key, head, snapshot, older=snapshot, newer=head)
            for key in same
            if written.touches(now[key])
        ),
        left_alone=tuple(info.address for key, info in now.items() if key not in same),
        gone=tuple(info.address for key, info in then.items() if key not in same),
    )


def _restore(
    store: AnnotationStore, round_: RoundTransaction, key: str, snapshot: str, head: str
) -> None:
    """Write what an earlier commit had, chunk by chunk where anything was written since."""
    view = store.labels_at(key, snapshot)
    assert view is not None, "the caller chose labels that both commits have"
    round_.set_objects(key, view.objects)
    round_.copy_labels(key, view.labels, changed_regions(store, view.labels, snapshot, head))
    for place in changed_regions(store, view.verified, snapshot, head):
        round_.write_verified(key, place, view.verified[place])


def provenance_steps(store: StoreReader, address: str, round: int | None = None) -> dict[str, Any]:
    """Return the attribute `provenance:steps`: the commits that made labels, oldest first.

    It is made from the history and not kept beside it; exports put it on their group. Each step
    has `name` (kind of the commit), `description`, `when` (ISO 8601), `by`, and where they apply
    `round`, `model`, `weights_sha256`, `counts`, `minutes`.

    Raises
    ------
    UnknownFieldError, UnknownRoundError
    """
    key = store.labels(address, round=round).info.key
    last = None if round is None else store.round_snapshot(round)
    steps = []
    for entry in reversed(store.log()):
        if key in entry.labels:
            steps.append(_step(entry, key))
        if entry.snapshot == last:
            break
    return {"provenance:steps": steps}


def _step(entry: LogEntry, key: str) -> dict[str, Any]:
    counts = entry.counts.get(key)
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


def _last_state(store: StoreReader, address: str) -> tuple[LabelsView, LogEntry | None]:
    """Return labels as they are, or were when their field was removed, and that commit."""
    try:
        return store.labels(address), None
    except UnknownFieldError:
        field = split_address(address)[0]
        for last, before in itertools.pairwise(store.log()):
            if field in {split_address(key)[0] for key in last.labels}:
                gone = last.kind == "remove"
                view = store.labels_at(address, before.snapshot) if gone else None
                if view is None:
                    raise
                return view, last
        raise


def _entries_by_round(store: StoreReader, key: str) -> dict[int, LogEntry]:
    """Return the rounds, and as `NO_ROUND` the last commit that added the labels."""
    found: dict[int, LogEntry] = {}
    for entry in store.log():
        if entry.round is not None:
            found[entry.round] = entry
        elif entry.kind == "add" and key in entry.labels:
            found.setdefault(NO_ROUND, entry)
    return found


def _blamed(entry: LogEntry, row: NDArray[np.float64], rows: NDArray[np.float64]) -> BlameEntry:
    rated = float(row[COLUMN["confidence"]])
    return BlameEntry(
        entry=entry,
        what=tuple(_what(row, _pairs(_same_change(row, rows)))),
        status=_status(row[COLUMN["status_after"]]),
        confidence=None if np.isnan(rated) else rated,
        gained=int(row[COLUMN["gained"]]),
        lost=int(row[COLUMN["lost"]]),
    )


def _same_change(row: NDArray[np.float64], rows: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the rows of all objects of the same change."""
    same = [COLUMN["round"], COLUMN["change"]]
    return np.asarray(rows[(rows[:, same] == row[same]).all(axis=1)])


def _pairs(rows: NDArray[np.float64]) -> list[tuple[int, int]]:
    """Return which objects before share most of their voxels with which others after."""
    ids, links = rows[:, COLUMN["id"]].astype(int), rows[:, COLUMN["link"]].astype(int)
    was, is_ = rows[:, COLUMN["before"]] > 0, rows[:, COLUMN["after"]] > 0
    noted = [
        (one, link) if before else (link, one)
        for one, link, before in zip(ids.tolist(), links.tolist(), was.tolist(), strict=True)
        if link
    ]
    every = ((a, b) for a in ids[was].tolist() for b in ids[is_].tolist() if a != b)
    return sorted(set(noted or every))


def _status(code: float) -> str | None:
    return None if code < 0 else Status(int(code)).name.lower()


def _what(row: NDArray[np.float64], pairs: list[tuple[int, int]]) -> list[str]:
    """Say what a round did to an object, in the words of `diff`."""
    one, kind = int(row[COLUMN["id"]]), CHANGE_KINDS[int(row[COLUMN["kind"]])]
    sources = [a for a, b in pairs if b == one]
    parts = [b for a, b in pairs if a == one]
    if not row[COLUMN["before"]]:
        what = [*_told(kind, "split", "merged", "from", sources), "added"]
    elif not row[COLUMN["after"]]:
        what = [*_told(kind, "merged", "split", "into", parts), "deleted"]
    elif parts or sources:
        what = [
            f"{word} {_listed(ids)}"
            for word, ids in (("split into", parts), ("merged with", sources))
            if ids
        ]
    else:
        what = [kind] * (kind not in ("verdict", "rated"))
    statuses = [_status(row[COLUMN[name]]) for name in ("status_before", "status_after")]
    if None not in statuses and statuses[0] != statuses[1]:
        what.append(f"status: {statuses[0]} to {statuses[1]}")
    what += ["confidence"] * bool(row[COLUMN["confidence_changed"]])
    return what + ["origin"] * bool(row[COLUMN["origin_changed"]])


def _told(kind: str, of_one: str, of_several: str, word: str, others: list[int]) -> list[str]:
    """Say where an object came from or went, when it is not there on the other side."""
    verb = kind if kind == "reshaped" else of_one if len(others) == 1 else of_several
    return [f"{verb} {word} {_listed(others)}"] if others else []


def _listed(ids: list[int]) -> str:
    return ", ".join(map(str, ids))
