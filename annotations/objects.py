"""What is known of each object of a field: one row per id, kept as columns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any, Self, cast

import numpy as np
from numpy.typing import ArrayLike, NDArray

from annotations.errors import LabelError

COLUMNS: Mapping[str, np.dtype[Any]] = {
    "id": np.dtype(np.uint32),
    "status": np.dtype(np.uint8),
    "origin": np.dtype(np.uint16),
    "confidence": np.dtype(np.float32),
    "round": np.dtype(np.int32),
}
"""Columns and their types, as on disk."""

NO_ROUND = -1
"""The round of an object that no round has touched yet (labels given with the field)."""


class Status(IntEnum):
    """What people have said of an object; the numbers are those on disk."""

    PROPOSED = 0
    ACCEPTED = 1
    CORRECTED = 2
    REJECTED = 3


@dataclass(frozen=True, eq=False)
class ObjectTable:
    """Rows ordered by id. Build it with `make` or `from_arrays`; arrays are read-only.

    Parameters
    ----------
    id : ndarray of uint32, shape (N,)
        Label values, ascending, unique, never 0.
    status : ndarray of uint8, shape (N,)
        Values of `Status`. A rejected object has no voxels; its row keeps its id from being
        given to another.
    origin : ndarray of uint16, shape (N,)
        Index into `origins`.
    confidence : ndarray of float32, shape (N,)
        In [0, 1]; NaN where there is none.
    round : ndarray of int32, shape (N,)
        The round that last changed the object, `NO_ROUND` before any.
    origins : tuple of str
        ``"person:<who>"`` or ``"model:<which>"``.
    highest_id : int
        The highest id that was ever given in the field, also to objects whose rows are gone; at
        least that of the last row. New objects get ids above it, so that none is given twice.

    Raises
    ------
    LabelError
        A column of another length or type, or a value that is out of range.
    """

    id: NDArray[np.uint32]
    status: NDArray[np.uint8]
    origin: NDArray[np.uint16]
    confidence: NDArray[np.float32]
    round: NDArray[np.int32]
    origins: tuple[str, ...] = field(default=())
    highest_id: int = 0

    def __post_init__(self) -> None:
        lengths = {name: np.shape(getattr(self, name)) for name in COLUMNS}
        if len(set(lengths.values())) != 1 or self.id.ndim != 1:
            raise LabelError(
                f"objects: expected columns of one length, got shapes {lengths}; "
                "give one value per object in each"
            )
        for name, dtype in COLUMNS.items():
            # A copy: a table handed out must not change when its maker goes on working.
            column = _exact(name, getattr(self, name), dtype)
            column.flags.writeable = False
            object.__setattr__(self, name, column)
        self._check_values()
        last = int(self.id[-1]) if self.id.size else 0
        object.__setattr__(self, "highest_id", max(self.highest_id, last))

    def _check_values(self) -> None:
        if self.id.size and self.id[0] == 0:
            raise LabelError("objects: expected ids from 1 on, got 0, which is the background")
        if np.any(self.id[1:] <= self.id[:-1]):
            raise LabelError(
                "objects: expected ascending ids, each once, got some twice or out of order; "
                "use ObjectTable.from_arrays, which sorts, and drop the repeated rows"
            )
        if np.any(self.status > max(Status)):
            raise LabelError(
                f"objects: expected status {[int(s) for s in Status]}, got {self.status.max()}"
            )
        if np.any(self.origin >= len(self.origins)):
            raise LabelError(
                f"objects: expected origins below {len(self.origins)}, got {self.origin.max()}"
            )
        rated = self.confidence[~np.isnan(self.confidence)]
        if np.any((rated < 0) | (rated > 1)):
            raise LabelError(
                "objects: expected confidences in [0, 1] or NaN, got "
                f"{rated.min()} to {rated.max()}"
            )
        if np.any(self.round < NO_ROUND):
            raise LabelError(f"objects: expected rounds from {NO_ROUND} on, got {self.round.min()}")

    @classmethod
    def empty(cls) -> Self:
        """Return a table without rows."""
        return cls.make([], status=Status.PROPOSED, origin="none")

    @classmethod
    def make(
        cls,
        ids: ArrayLike,
        *,
        status: Status | ArrayLike,
        origin: str | Sequence[str],
        confidence: Mapping[int, float] | ArrayLike | None = None,
        round: int | ArrayLike = NO_ROUND,
    ) -> Self:
        """Build a table from ids and one value, or one value per id, for each column.

        Parameters
        ----------
        ids : array of int, shape (N,)
            In any order.
        status, origin, round : scalar or array, shape (N,)
        confidence : mapping of id to float, or array of float, shape (N,), optional
            An id that the mapping lacks has none.

        Raises
        ------
        LabelError
            As the class.
        """
        rows = np.atleast_1d(np.asarray(ids))
        if confidence is None:
            rated: ArrayLike = np.nan
        elif isinstance(confidence, Mapping):
            rated = [confidence.get(int(i), np.nan) for i in rows]
        else:
            rated = confidence
        names = np.broadcast_to(np.asarray(origin, dtype=object), rows.shape)
        return cls.from_arrays(
            {
                "id": rows,
                "status": np.broadcast_to(np.asarray(status), rows.shape),
                "origin": names,
                "confidence": np.broadcast_to(np.asarray(rated, dtype=np.float32), rows.shape),
                "round": np.broadcast_to(np.asarray(round), rows.shape),
            }
        )

    @classmethod
    def from_arrays(cls, columns: Mapping[str, ArrayLike], *, highest_id: int = 0) -> Self:
        """Build a table from columns in any row order, `origin` as names.

        Parameters
        ----------
        columns : mapping of str to array, shape (N,)
            The keys of `COLUMNS`.
        highest_id : int
            The highest id that was ever given, if it is above those in `columns`.

        Raises
        ------
        LabelError
            A column that is missing or unknown, or as the class.
        """
        if set(columns) != set(COLUMNS):
            raise LabelError(
                f"objects: expected columns {sorted(COLUMNS)}, got {sorted(columns)}; "
                "give exactly these"
            )
        arrays = {name: np.asarray(values) for name, values in columns.items()}
        if len({a.shape for a in arrays.values()}) != 1:
            raise LabelError(
                "objects: expected columns of one length, got shapes "
                f"{[a.shape for a in arrays.values()]}; give one value per object in each"
            )
        order = np.argsort(arrays["id"], kind="stable")
        names, codes = np.unique(arrays.pop("origin").astype(str)[order], return_inverse=True)
        sorted_arrays = {
            name: _exact(name, values[order], COLUMNS[name]) for name, values in arrays.items()
        }
        return cls(
            origin=codes.astype(np.uint16),
            origins=tuple(map(str, names)),
            highest_id=highest_id,
            **sorted_arrays,
        )

    def to_arrays(self) -> dict[str, NDArray[Any]]:
        """Return the columns, `origin` as names; what `from_arrays` takes."""
        columns: dict[str, NDArray[Any]] = {name: getattr(self, name) for name in COLUMNS}
        columns["origin"] = np.asarray(self.origins, dtype=object)[self.origin]
        return columns

    def __len__(self) -> int:
        return int(self.id.size)

    @property
    def live_ids(self) -> NDArray[np.uint32]:
        """Ids that may own voxels: those of all objects that are not rejected."""
        return cast("NDArray[np.uint32]", self.id[self.status != Status.REJECTED])

    def select(self, keep: NDArray[np.bool_]) -> ObjectTable:
        """Return the rows where `keep` (bool, shape (N,)) is True."""
        return ObjectTable(
            **{name: getattr(self, name)[keep] for name in COLUMNS},
            origins=self.origins,
            highest_id=self.highest_id,
        )

    def updated(self, rows: ObjectTable) -> ObjectTable:
        """Return this table with `rows` put in, replacing those of the same id."""
        kept = self.select(~np.isin(self.id, rows.id)).to_arrays()
        new = rows.to_arrays()
        return ObjectTable.from_arrays(
            {name: np.concatenate([kept[name], new[name]]) for name in COLUMNS},
            highest_id=max(self.highest_id, rows.highest_id),
        )

    def counts(self) -> dict[str, int]:
        """Return the number of objects of each status, by its name in lower case."""
        found = np.bincount(self.status, minlength=len(Status))
        return {status.name.lower(): int(found[status]) for status in Status}

    def equals(self, other: ObjectTable) -> bool:
        """Whether both say the same of the same objects (NaN equals NaN)."""
        mine, theirs = self.to_arrays(), other.to_arrays()
        return all(
            np.array_equal(mine[name], theirs[name], equal_nan=name == "confidence")
            for name in COLUMNS
        )


def rating_differs(
    old: ObjectTable, new: ObjectTable, i: NDArray[np.intp], j: NDArray[np.intp]
) -> NDArray[np.bool_]:
    """Whether row `i` of one table has another confidence than row `j` of the other."""
    a, b = old.confidence[i], new.confidence[j]
    return np.asarray((a != b) & ~(np.isnan(a) & np.isnan(b)))


def origin_differs(
    old: ObjectTable, new: ObjectTable, i: NDArray[np.intp], j: NDArray[np.intp]
) -> NDArray[np.bool_]:
    """As `rating_differs`, another origin."""
    names = [np.asarray(table.origins, object) for table in (old, new)]
    return np.asarray(names[0][old.origin[i]] != names[1][new.origin[j]], np.bool_)


def _exact(name: str, values: NDArray[Any], dtype: np.dtype[Any]) -> NDArray[Any]:
    """Return a copy as `dtype`; a value that would change (other than by rounding) is refused."""
    if values.size and values.dtype.kind not in "iuf":
        raise LabelError(f"objects: expected numbers in column {name!r}, got {values.dtype}")
    if dtype.kind != "f" and values.size:
        limits = np.iinfo(dtype)
        low, high = values.min(), values.max()
        whole = values.dtype.kind != "f" or bool(np.all(values == np.floor(values)))
        if not (limits.min <= low and high <= limits.max and whole):
            raise LabelError(
                f"objects: expected whole numbers from {limits.min} to {limits.max} in column "
                f"{name!r}, got {low} to {high}"
            )
    return np.array(values, dtype=dtype)
