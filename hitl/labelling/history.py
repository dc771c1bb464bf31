"""Verbs on a project's history: diff, blame, rollback, gc."""

from __future__ import annotations

import getpass
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import timedelta
from typing import Any

from annotations.differences import ObjectChange, RoundDiff, StackDiff, diff_rounds
from annotations.history import BlameEntry, RolledBack, blame, roll_back
from annotations.status import Garbage
from hitl.cli.tables import plain_table
from hitl.project.errors import NothingToDoError
from hitl.project.folder import Project
from hitl.training.samples import last_round

KINDS = ("added", "deleted", "split", "merged", "reshaped", "accepted")

MOST_ROWS = 200
"""Changes that a table lists; `--json` has all of them."""


@dataclass(frozen=True)
class Difference:
    """What differs between two rounds."""

    found: RoundDiff

    def to_dict(self) -> dict[str, Any]:
        """Return what `--json` prints."""
        return {
            "a": self.found.a,
            "b": self.found.b,
            "stacks": [_stack_dict(stack) for stack in self.found.stacks],
            "added_stacks": list(self.found.added),
            "removed_stacks": list(self.found.removed),
        }

    def table(self) -> Any:
        """Return what is printed for people."""
        from rich.console import Group

        changes = [(stack.stack, change) for stack in self.found.stacks for change in stack.changes]
        listed = plain_table(
            ("stack", "change", "before", "after", "gained", "lost", "where (z, y, x)", "status"),
            [_change_row(stack, change) for stack, change in changes[:MOST_ROWS]],
            right=("gained", "lost"),
        )
        rest = len(changes) - MOST_ROWS
        more = [f"and {rest} more changes: --json has all of them"] if rest > 0 else []
        return Group(_count_table(self.found.stacks, self.sentence()), listed, *more)

    def sentence(self) -> str:
        """Return what differs in one line."""
        total = sum(len(stack.changes) for stack in self.found.stacks)
        parts = [
            f"round {self.found.a} to {self.found.b}: {total} changes in "
            f"{len(self.found.stacks)} stacks"
        ]
        for names, what in ((self.found.added, "added"), (self.found.removed, "removed")):
            if names:
                parts.append(f"{what}: {', '.join(names)}")
        return "; ".join(parts)


@dataclass(frozen=True)
class Blamed:
    """One object's history, oldest first."""

    stack: str
    object_id: int
    entries: tuple[BlameEntry, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return what `--json` prints."""
        return {
            "stack": self.stack,
            "object": self.object_id,
            "changes": [_blame_dict(found) for found in self.entries],
        }

    def table(self) -> Any:
        """Return what is printed for people."""
        return plain_table(
            ("round", "when (UTC)", "kind", "by", "what", "gained", "lost", "status"),
            [
                (
                    "" if found.entry.round is None else str(found.entry.round),
                    f"{found.entry.when:%Y-%m-%d %H:%M:%S}",
                    found.entry.kind,
                    _by(found),
                    ", ".join(found.what),
                    str(found.gained),
                    str(found.lost),
                    found.status or "",
                )
                for found in self.entries
            ],
            title=f"object {self.object_id} of {self.stack}",
            right=("gained", "lost"),
        )


@dataclass(frozen=True)
class Rollback:
    """A round that brought an earlier one back."""

    done: RolledBack

    def to_dict(self) -> dict[str, Any]:
        """Return what `--json` prints."""
        return {
            "round": self.done.round,
            "to": self.done.to,
            "undone": list(self.done.undone),
            "stacks": {s.stack: asdict(s.counts()) for s in self.done.stacks},
            "left_alone": list(self.done.left_alone),
            "gone": list(self.done.gone),
        }

    def table(self) -> Any:
        """Return what is printed for people."""
        return _count_table(self.done.stacks, self.sentence())

    def sentence(self) -> str:
        """Return what was undone in one line."""
        undone = ", ".join(map(str, self.done.undone))
        parts = [
            f"round {self.done.round} equals round {self.done.to}; it takes back round {undone}, "
            "which stays in the log"
        ]
        if self.done.left_alone:
            parts.append(f"added since and left alone: {', '.join(self.done.left_alone)}")
        if self.done.gone:
            parts.append(f"removed since and not brought back: {', '.join(self.done.gone)}")
        return "; ".join(parts)


@dataclass(frozen=True)
class Collected:
    """What no round refers to."""

    found: Garbage

    def to_dict(self) -> dict[str, Any]:
        """Return what `--json` prints."""
        return asdict(self.found)

    def sentence(self) -> str:
        """Return what is printed for people."""
        done = "freed" if self.found.removed else "would free"
        return (
            f"{done} {self.found.bytes / 1e6:.1f} MB ({self.found.chunks} chunks, "
            f"{self.found.manifests} manifests, {self.found.snapshots} snapshots); every round "
            "is kept"
        )


def diff(project: Project, a: int, b: int) -> Difference:
    """Compare two rounds object by object; either may be the later one.

    Raises
    ------
    UnknownRoundError
    """
    return Difference(diff_rounds(project.store(), a, b))


def blame_object(project: Project, stack: str, object_id: int) -> Blamed:
    """Return every round that changed an object, by whom and with which model.

    Raises
    ------
    UnknownStackError
    LabelError
        No round had that object.
    """
    return Blamed(stack, object_id, blame(project.store(), stack, object_id))


def rollback(project: Project, number: int, *, by: str | None = None) -> Rollback:
    """Commit a round that equals an earlier one; the history is kept.

    Parameters
    ----------
    project : Project
    number : int
        The round to go back to.
    by : str, optional
        Who; the name of the account when not given.

    Raises
    ------
    UnknownRoundError
    NothingToDoError
        It is the last round.
    """
    store = project.store(read_only=False)
    if number == last_round(store) and number >= 0:
        raise NothingToDoError(
            f"round {number} is the last one: there is nothing to take back; `hitl log` lists the "
            "rounds before it"
        )
    return Rollback(roll_back(store, number, author=by or getpass.getuser()))


def gc(
    project: Project, *, older_than_days: float | None = None, dry_run: bool = False
) -> Collected:
    """Remove what killed writers left behind; what any round refers to is never touched.

    Parameters
    ----------
    project : Project
    older_than_days : float, optional
        Leave younger files alone; see `AnnotationStore.collect_garbage` for what holds without.
    dry_run : bool
        Only count.

    Raises
    ------
    StoreError
        Somebody is writing, or the age is negative (on object storage: below an hour).
    """
    age = None if older_than_days is None else timedelta(days=older_than_days)
    return Collected(project.store(read_only=False).collect_garbage(age, dry_run=dry_run))


def _stack_dict(stack: StackDiff) -> dict[str, Any]:
    return {
        "stack": stack.stack,
        "counts": asdict(stack.counts()),
        "voxels": stack.voxels,
        "verified_voxels": stack.verified_voxels,
        "changes": [
            {
                "kind": change.kind,
                "before": list(change.before),
                "after": list(change.after),
                "gained": change.gained,
                "lost": change.lost,
                "box": change.box and [list(ends) for ends in change.box],
                "statuses": {str(i): list(found) for i, found in change.statuses.items()},
            }
            for change in stack.changes
        ],
    }


def _change_row(stack: str, change: ObjectChange) -> tuple[str, ...]:
    statuses = [
        f"{before or 'none'} to {after or 'none'}"
        for before, after in change.statuses.values()
        if before != after
    ]
    return (
        stack,
        change.kind,
        ", ".join(map(str, change.before)),
        ", ".join(map(str, change.after)),
        str(change.gained),
        str(change.lost),
        ", ".join(f"{low}–{high - 1}" for low, high in change.box) if change.box else "",
        ", ".join(dict.fromkeys(statuses)),
    )


def _count_table(stacks: Sequence[StackDiff], title: str) -> Any:
    rows = []
    for stack in stacks:
        counts = asdict(stack.counts())
        figures = (*(str(counts[kind]) for kind in KINDS), f"{stack.verified_voxels:+d}")
        rows.append((stack.stack, *figures))
    columns = (*KINDS, "verified voxels")
    return plain_table(("stack", *columns), rows, title=title, right=columns)


def _blame_dict(found: BlameEntry) -> dict[str, Any]:
    entry = found.entry
    return {
        "round": entry.round,
        "when": entry.when.isoformat(),
        "kind": entry.kind,
        "by": entry.author,
        "model": entry.model.name if entry.model else None,
        "weights_sha256": entry.model.weights_sha256 if entry.model else None,
        "message": entry.message,
        "what": list(found.what),
        "status": found.status,
        "confidence": found.confidence,
        "gained": found.gained,
        "lost": found.lost,
    }


def _by(found: BlameEntry) -> str:
    model = found.entry.model
    if model is not None and model.weights_sha256:
        return f"{found.entry.author} (weights {model.weights_sha256[:12]})"
    return found.entry.author or ""
