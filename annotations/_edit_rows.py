"""What each round did to each object of a class, as rows beside its labels: `blame` reads these."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray

from annotations.changes import CHANGE_KINDS, ObjectChange
from annotations.layout import EDITS, child_array, create_table
from annotations.objects import (
    NO_ROUND,
    ObjectTable,
    Status,
    origin_differs,
    rating_differs,
)

EDIT_COLUMNS = (
    "round", "change", "kind", "id", "before", "after", "gained", "lost",
    "status_before", "status_after", "confidence", "confidence_changed", "origin_changed", "link",
)  # fmt: skip
"""One row per object of a change: the change's number in its round, whether the id was there before
and after, voxels that it gained and lost, -1 for no status, and as `link` its `ObjectChange.links`,
0 for none."""

COLUMN = {name: i for i, name in enumerate(EDIT_COLUMNS)}
"""Where each column is."""

_NONE = -1.0


def rows_of_new(group: zarr.Group, sizes: Mapping[int, int]) -> None:
    """Write the rows of objects that came with a field: no round made them."""
    values: dict[str, Any] = {
        "round": NO_ROUND, "change": np.arange(len(sizes)), "kind": CHANGE_KINDS.index("added"),
        "id": list(sizes), "after": 1, "gained": list(sizes.values()), "status_before": _NONE,
        "status_after": Status.ACCEPTED, "confidence": np.nan,
    }  # fmt: skip
    _append(group, _filled(len(sizes), values))


def _filled(count: int, values: Mapping[str, Any]) -> NDArray[np.float64]:
    """Return rows with some columns filled in, the others 0."""
    rows = np.zeros((count, len(EDIT_COLUMNS)))
    for name, value in values.items():
        rows[:, COLUMN[name]] = value
    return rows


def append_changes(
    group: zarr.Group,
    number: int,
    changes: Iterable[ObjectChange],
    old: ObjectTable,
    new: ObjectTable,
) -> None:
    """Write the rows of a round."""
    rows = [row for i, change in enumerate(changes) for row in _rows(number, i, change)]
    table = np.array(rows, np.float64).reshape(-1, len(EDIT_COLUMNS))
    _describe(table, old, new)
    _append(group, table)


def _rows(number: int, change_number: int, change: ObjectChange) -> Iterable[list[float]]:
    kind = CHANGE_KINDS.index(change.kind)
    for one in sorted({*change.before, *change.after}):
        gained, lost = change.voxels.get(one, (0, 0))
        was, is_ = one in change.before, one in change.after
        about = [number, change_number, kind, one, was, is_, gained, lost]
        yield [*about, _NONE, _NONE, np.nan, 0, 0, change.links.get(one, 0)]


def _describe(table: NDArray[np.float64], old: ObjectTable, new: ObjectTable) -> None:
    """Fill in status, confidence, and whether confidence and origin changed."""
    ids = table[:, COLUMN["id"]]
    for side, name in ((old, "status_before"), (new, "status_after")):
        has, row = _find(side, ids)
        table[:, COLUMN[name]] = _NONE
        table[has, COLUMN[name]] = side.status[row[has]]
    has_old, i = _find(old, ids)
    has_new, j = _find(new, ids)
    table[:, COLUMN["confidence"]] = np.nan
    table[has_new, COLUMN["confidence"]] = new.confidence[j[has_new]]
    both = np.flatnonzero(has_old & has_new)
    rated = rating_differs(old, new, i[both], j[both])
    table[both, COLUMN["confidence_changed"]] = rated
    table[both, COLUMN["origin_changed"]] = origin_differs(old, new, i[both], j[both])


def _find(table: ObjectTable, ids: NDArray[np.float64]) -> tuple[NDArray[np.bool_], Any]:
    """Return which ids have a row, and which row that is."""
    if not len(table):
        return np.zeros(ids.shape, np.bool_), np.zeros(ids.shape, np.int64)
    row = np.minimum(np.searchsorted(table.id, ids), len(table) - 1)
    return np.asarray(table.id[row] == ids), row


def _append(group: zarr.Group, rows: NDArray[np.float64]) -> None:
    if not len(rows):
        return
    # Made with its first rows: a commit's cost grows with the arrays of a store.
    array = (
        child_array(group, EDITS) if EDITS in group else create_table(group, EDITS, EDIT_COLUMNS)
    )
    start, columns = array.shape
    array.resize((start + len(rows), len(EDIT_COLUMNS)))
    array[start:] = rows
    if columns < len(EDIT_COLUMNS):
        array.attrs["columns"] = list(EDIT_COLUMNS)


def read_edits(group: zarr.Group) -> NDArray[np.float64]:
    """Return all rows, shape (N, columns of `EDIT_COLUMNS`), in the order of the rounds."""
    if EDITS not in group:
        return _filled(0, {})
    rows = np.asarray(child_array(group, EDITS)[...])
    # The first stores noted no links.
    return np.pad(rows, ((0, 0), (0, len(EDIT_COLUMNS) - rows.shape[1])))
