"""What became of objects, told from plain sets of voxels."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np

from annotations.objects import Status
from annotations.views import LabelsView

Row = tuple[str, str, float | None]
"""Status, origin, confidence."""


@dataclass(frozen=True)
class State:
    """Voxels and row of each object, as one round has them."""

    voxels: dict[int, frozenset[int]]
    rows: dict[int, Row]
    verified: int

    @property
    def statuses(self) -> dict[str, int]:
        found = Counter(status for status, _, _ in self.rows.values())
        return {status.name.lower(): found[status.name.lower()] for status in Status}


NOTHING = State({}, {}, 0)


def state_of(view: LabelsView) -> State:
    labels = np.asarray(view.labels[...]).ravel()
    ids = [int(i) for i in np.unique(labels) if i]
    table = view.objects.to_arrays()
    sure = [None if np.isnan(c) else float(c) for c in table["confidence"]]
    names = [Status(int(code)).name.lower() for code in table["status"]]
    rows = zip(names, map(str, table["origin"]), sure, strict=True)
    return State(
        {i: frozenset(np.flatnonzero(labels == i).tolist()) for i in ids},
        dict(zip(map(int, table["id"]), rows, strict=True)),
        int(np.count_nonzero(view.verified[...])),
    )


@dataclass(frozen=True)
class Change:
    """Objects that hang together, and which of them share most of their voxels."""

    kind: str
    before: tuple[int, ...]
    after: tuple[int, ...]
    gained: int
    lost: int
    statuses: dict[int, tuple[str | None, str | None]]
    voxels: dict[int, tuple[int, int]]
    pairs: frozenset[tuple[int, int]]

    @property
    def ids(self) -> set[int]:
        return {*self.before, *self.after}

    def as_told(self) -> dict[str, Any]:
        """As `diff --json` has it, but for where it is."""
        return {
            "kind": self.kind,
            "before": list(self.before),
            "after": list(self.after),
            "gained": self.gained,
            "lost": self.lost,
            "statuses": {str(i): list(both) for i, both in self.statuses.items()},
            "voxels": {str(i): list(both) for i, both in self.voxels.items()},
        }


def changes(old: State, new: State) -> list[Change]:
    """Return what became of each object, ordered by the lowest id."""
    differ = {i for i in {*old.voxels, *new.voxels} if old.voxels.get(i) != new.voxels.get(i)}
    came = {i for i in differ if i not in old.voxels}
    went = {i for i in differ if i not in new.voxels}
    pairs = {
        (a, b)
        for a, b in product(differ - came, differ - went)
        if a != b
        and (
            (b in came and 2 * len(old.voxels[a] & new.voxels[b]) > len(new.voxels[b]))
            or (a in went and 2 * len(old.voxels[a] & new.voxels[b]) > len(old.voxels[a]))
        )
    }
    found = [_change(old, new, ids, pairs) for ids in _joined(differ, pairs)]
    for i in {*old.rows, *new.rows} - differ:
        if i in old.rows and i in new.rows and old.rows[i] != new.rows[i]:
            kind = "verdict" if old.rows[i][0] != new.rows[i][0] else "rated"
            both = {i: (old.rows[i][0], new.rows[i][0])}
            found.append(Change(kind, (i,), (i,), 0, 0, both, {}, frozenset()))
    return sorted(found, key=lambda change: min(change.ids))


def _joined(ids: set[int], pairs: set[tuple[int, int]]) -> list[set[int]]:
    groups = [{i} for i in ids]
    for a, b in pairs:
        one = next(g for g in groups if a in g)
        other = next(g for g in groups if b in g)
        if one is not other:
            groups.remove(other)
            one |= other
    return groups


def _change(old: State, new: State, ids: set[int], pairs: set[tuple[int, int]]) -> Change:
    before = tuple(sorted(i for i in ids if i in old.voxels))
    after = tuple(sorted(i for i in ids if i in new.voxels))
    had = frozenset().union(*(old.voxels[i] for i in before))
    has = frozenset().union(*(new.voxels[i] for i in after))
    names = {(0, 1): "added", (1, 0): "deleted", (1, 1): "reshaped"}
    several = {(False, True): "split", (True, False): "merged", (True, True): "regrouped"}
    kind = names.get((len(before), len(after))) or several[len(before) > 1, len(after) > 1]
    nothing: frozenset[int] = frozenset()
    sides = {i: (old.voxels.get(i, nothing), new.voxels.get(i, nothing)) for i in sorted(ids)}
    rows = (old.rows, new.rows)
    return Change(
        kind,
        before,
        after,
        len(has - had),
        len(had - has),
        {i: (_status(rows[0], i), _status(rows[1], i)) for i in sorted(ids)},
        {i: (len(b - a), len(a - b)) for i, (a, b) in sides.items()},
        frozenset((a, b) for a, b in pairs if a in ids),
    )


def _status(rows: dict[int, Row], i: int) -> str | None:
    return rows[i][0] if i in rows else None


def mirrored(change: Change) -> Change:
    """The same, seen from the later round."""
    kinds = {"added": "deleted", "deleted": "added", "split": "merged", "merged": "split"}
    return Change(
        kinds.get(change.kind, change.kind),
        change.after,
        change.before,
        change.lost,
        change.gained,
        {i: (b, a) for i, (a, b) in change.statuses.items()},
        {i: (b, a) for i, (a, b) in change.voxels.items()},
        frozenset((b, a) for a, b in change.pairs),
    )


def counts(found: list[Change]) -> dict[str, int]:
    """Return how many objects were added, deleted, … and accepted."""
    kinds = Counter(change.kind for change in found)
    both = kinds["regrouped"]
    verdicts = [pair for change in found for pair in change.statuses.values()]
    return {
        "added": kinds["added"],
        "deleted": kinds["deleted"],
        "split": kinds["split"] + both,
        "merged": kinds["merged"] + both,
        "reshaped": kinds["reshaped"],
        "accepted": verdicts.count(("proposed", "accepted")),
    }


def words(change: Change, one: int, old: State, new: State) -> list[str]:
    """Return what `blame` must say of one object of a change."""
    parts = sorted(b for a, b in change.pairs if a == one)
    sources = sorted(a for a, b in change.pairs if b == one)
    was, is_ = one in change.before, one in change.after
    listed = ", ".join(map(str, parts if was and not is_ else sources))
    said: list[str] = []
    if not was:
        verb = "split" if len(sources) == 1 else "merged"
        verb = "reshaped" if change.kind == "reshaped" else verb
        said += [f"{verb} from {listed}"] * bool(sources) + ["added"]
    elif not is_:
        verb = "merged" if len(parts) == 1 else "split"
        verb = "reshaped" if change.kind == "reshaped" else verb
        said += [f"{verb} into {listed}"] * bool(parts) + ["deleted"]
    elif change.kind not in ("verdict", "rated"):
        said += [f"split into {', '.join(map(str, parts))}"] * bool(parts)
        said += [f"merged with {', '.join(map(str, sources))}"] * bool(sources)
        said += ["reshaped"] * (not parts and not sources)
    return said + _of_row(old.rows.get(one), new.rows.get(one))


def _of_row(old: Row | None, new: Row | None) -> list[str]:
    if old is None or new is None:
        return []
    said = [f"status: {old[0]} to {new[0]}"] * (old[0] != new[0])
    return said + ["confidence"] * (old[2] != new[2]) + ["origin"] * (old[1] != new[1])
