"""Where a store keeps the landmarks of all volumes, and which copies were found among them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray

from annotations.codecs import label_codec, with_checksum
from annotations.copies.landmark import CAPACITY, LANDMARK
from annotations.copies.placement import Placement
from annotations.layout import child_array, create_table

COPIES = "copies_2"
"""Group of the store: per volume its landmarks and whose it is, per pair of fields what was found.
Numbered anew when landmarks become others, which those of before are not alike.
A store that an earlier version made has none until a field is added."""

_LANDMARKS, _VOLUMES, _FOUND, _NAMES = "landmarks", "volumes", "found", "names"
_VOLUMES_OF_CHUNK, _NAMES_OF_CHUNK, _BLOCK = 16, 256, 1024
_LONGEST_NAME = 100
_NOBODY = -1

_VOLUME_COLUMNS = ("field", "time", "channel", "landmarks")
_FOUND_COLUMNS = (
    "mine", "my_time", "my_channel", "theirs", "their_time", "their_channel",
    "axis_z", "axis_y", "axis_x", "scale_z", "scale_y", "scale_x", "shift_z", "shift_y", "shift_x",
    "agreeing",
)  # fmt: skip


@dataclass(frozen=True)
class Described:
    """A volume, one channel at one time point, by its landmarks.

    Parameters
    ----------
    time, channel : int
    landmarks : ndarray of `LANDMARK`
    """

    time: int
    channel: int
    landmarks: NDArray[np.void]


@dataclass(frozen=True)
class Found:
    """A volume of a field that holds voxels of a volume of another field.

    Parameters
    ----------
    mine, theirs : (int, int, int)
        Number of the field, time point and channel; `theirs` was there first.
    placement : Placement
        Where mine lies in theirs.
    """

    mine: tuple[int, int, int]
    theirs: tuple[int, int, int]
    placement: Placement


class Catalogue:
    """Landmarks and what was found, in a group that `opened` or `in_memory` gives."""

    def __init__(self, group: zarr.Group) -> None:
        self._group = group
        self.volumes: NDArray[np.intp] = _rows(group, _VOLUMES).astype(np.intp)
        """Number of the field, time point, channel and number of landmarks of each volume."""
        rows = np.ascontiguousarray(_rows(group, _NAMES)).view(f"S{_LONGEST_NAME}")
        self.names: list[str] = [name.decode() for name in rows.ravel().tolist()]
        """Of the fields by their numbers, empty for those that are not there any more."""

    @classmethod
    def opened(cls, root: zarr.Group) -> Catalogue:
        """Return that of a store that is written to, made when it has none yet."""
        found = root.get(COPIES)
        return cls(found if isinstance(found, zarr.Group) else _create(root.create_group(COPIES)))

    @classmethod
    def stored(cls, root: zarr.Group) -> Catalogue | None:
        """Return that of a store that is only read; None when it has none."""
        found = root.get(COPIES)
        return cls(found) if isinstance(found, zarr.Group) else None

    @classmethod
    def in_memory(cls, root: zarr.Group) -> Catalogue:
        """Return a copy of a store's, to which fields can be added for this process only."""
        made = _create(zarr.create_group(zarr.storage.MemoryStore()))
        stored = root.get(COPIES)
        if isinstance(stored, zarr.Group):
            for name in (_LANDMARKS, _VOLUMES, _FOUND, _NAMES):
                _append(child_array(made, name), _rows(stored, name))
        return cls(made)

    def add(self, number: int, name: str, volumes: Sequence[Described]) -> None:
        """Add a field."""
        rows = np.zeros((len(volumes), CAPACITY, LANDMARK.itemsize), np.uint8)
        for row, each in zip(rows, volumes, strict=True):
            marks = each.landmarks.view(np.uint8).reshape(-1, LANDMARK.itemsize)
            row[: len(marks)] = marks
        about = np.array([(number, v.time, v.channel, len(v.landmarks)) for v in volumes], np.intp)
        about = about.reshape(-1, len(_VOLUME_COLUMNS))
        _append(child_array(self._group, _LANDMARKS), rows)
        _append(child_array(self._group, _VOLUMES), about)
        self.volumes = np.concatenate([self.volumes, about])
        self._name(number, name)

    def forget(self, number: int) -> None:
        """Take a field out: nothing is looked for among its volumes any more."""
        if number < len(self.names):
            self._name(number, "")
        gone = np.flatnonzero(self.volumes[:, 0] == number)
        if len(gone):
            self.volumes[gone, 0] = _NOBODY
            child_array(self._group, _VOLUMES)[gone.min() : gone.max() + 1] = self.volumes[
                gone.min() : gone.max() + 1
            ]

    def skip_to(self, made: int) -> None:
        """Let the next field be the one of a number."""
        if len(self.names) < made:
            self._name(made - 1, "")

    def _name(self, number: int, name: str) -> None:
        array = child_array(self._group, _NAMES)
        missing = number + 1 - len(self.names)
        if missing > 0:
            array.resize((number + 1, _LONGEST_NAME))
            self.names += [""] * missing
        self.names[number] = name
        array[number] = np.frombuffer(name.encode().ljust(_LONGEST_NAME, b"\0"), np.uint8)

    def blocks(self, wanted: NDArray[np.bool_]) -> Iterator[tuple[Any, Any]]:
        """Yield landmarks of some volumes, so many at a time that they fit in memory.

        Parameters
        ----------
        wanted : ndarray of bool
            Which volumes.

        Yields
        ------
        landmarks : ndarray of `LANDMARK`, shape (N,)
        volumes : ndarray of int, shape (N,)
            Row of the volume of each.
        """
        for first in range(0, len(wanted), _BLOCK):
            chosen = first + np.flatnonzero(wanted[first : first + _BLOCK])
            if not len(chosen):
                continue
            block = self._read(slice(first, first + _BLOCK))[chosen - first]
            there = np.arange(CAPACITY) < self.volumes[chosen, 3:]
            yield block[there], np.broadcast_to(chosen[:, None], there.shape)[there]

    def landmarks(self, row: int) -> NDArray[np.void]:
        """Return the landmarks of a volume."""
        return self._read(slice(row, row + 1))[0, : self.volumes[row, 3]]

    def _read(self, rows: slice) -> NDArray[np.void]:
        block = np.ascontiguousarray(child_array(self._group, _LANDMARKS)[rows])
        return block.view(LANDMARK)[:, :, 0]

    def record(self, found: Iterable[Found]) -> None:
        """Keep what was found."""
        rows = [
            (*f.mine, *f.theirs, *f.placement.axes, *f.placement.scale, *f.placement.shift,
             f.placement.agreeing)
            for f in found
        ]  # fmt: skip
        if rows:
            _append(child_array(self._group, _FOUND), np.array(rows, np.float64))

    def found(self) -> list[Found]:
        """Return all that was found."""
        return [_found_in(row) for row in _rows(self._group, _FOUND).tolist()]


def _found_in(row: list[float]) -> Found:
    a, b, c, d, e, f, az, ay, ax = (int(value) for value in row[:9])
    sz, sy, sx, tz, ty, tx, agreeing = row[9:]
    placement = Placement((az, ay, ax), (sz, sy, sx), (tz, ty, tx), int(agreeing))
    return Found((a, b, c), (d, e, f), placement)


def _rows(group: zarr.Group, name: str) -> NDArray[Any]:
    return np.asarray(child_array(group, name)[...])


def _append(array: zarr.Array[Any], rows: NDArray[Any]) -> None:
    if len(rows):
        start = array.shape[0]
        array.resize((start + len(rows), *array.shape[1:]))
        array[start:] = rows


def _create(group: zarr.Group) -> zarr.Group:
    group.create_array(
        _LANDMARKS,
        shape=(0, CAPACITY, LANDMARK.itemsize),
        chunks=(_VOLUMES_OF_CHUNK, CAPACITY, LANDMARK.itemsize),
        dtype=np.uint8,
        compressors=with_checksum(label_codec()),
        fill_value=0,
    )
    group.create_array(
        _NAMES,
        shape=(0, _LONGEST_NAME),
        chunks=(_NAMES_OF_CHUNK, _LONGEST_NAME),
        dtype=np.uint8,
        compressors=with_checksum(label_codec()),
        fill_value=0,
    )
    create_table(group, _VOLUMES, _VOLUME_COLUMNS)
    create_table(group, _FOUND, _FOUND_COLUMNS)
    return group
