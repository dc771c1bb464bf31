"""Undo and redo: each operation keeps the boxes that it changed, compressed, before and after."""

from __future__ import annotations

import zlib
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from annotations.objects import Status

Box = tuple[slice, slice, slice]
"""Part of a stack, (z, y, x), with explicit ends."""

Plane = Literal["labels", "verified"]
"""Which array an operation changes."""

Kind = Literal[
    "accepted", "deleted", "merged", "split", "added", "painted", "interpolated", "checked"
]
"""What a person can do."""

MEMORY_BYTES = 256 * 2**20
"""Compressed boxes kept for undo; the oldest operations go first."""

_FAST = 1


def pack(block: NDArray[Any]) -> bytes:
    """Return a block's voxels, compressed."""
    return zlib.compress(np.ascontiguousarray(block).tobytes(), _FAST)


def unpack(data: bytes, dtype: np.dtype[Any], shape: tuple[int, ...]) -> NDArray[Any]:
    """Return what `pack` was given; its dtype and shape are known elsewhere."""
    return np.frombuffer(zlib.decompress(data), dtype).reshape(shape)


def box_shape(box: Box) -> tuple[int, int, int]:
    """Return the shape of a box."""
    z, y, x = (part.stop - part.start for part in box)
    return z, y, x


@dataclass(frozen=True)
class Patch:
    """One changed box of one array.

    Parameters
    ----------
    plane : {"labels", "verified"}
    box : (slice, slice, slice)
    before, after : bytes
        From `pack`.
    """

    plane: Plane
    box: Box
    before: bytes
    after: bytes

    @classmethod
    def between(
        cls, plane: Plane, box: Box, before: NDArray[Any], after: NDArray[Any]
    ) -> Patch | None:
        """Return the patch of what differs, cut to the voxels that do; None when nothing does."""
        tight = bounds(before != after)
        if tight is None:
            return None
        place = shifted(tight, tuple(part.start for part in box))
        return cls(plane, place, pack(before[tight]), pack(after[tight].astype(before.dtype)))

    def apply(self, array: NDArray[Any], *, undo: bool) -> None:
        """Put the box into the array as it was after, or before, the operation."""
        data = self.before if undo else self.after
        array[self.box] = unpack(data, array.dtype, box_shape(self.box))


@dataclass(frozen=True, kw_only=True)
class Operation:
    """One thing that a person did.

    Parameters
    ----------
    kind : str
    text : str
        For the status line.
    ids : tuple of int
        Objects that it was about.
    patches : tuple of Patch
    verdicts_before, verdicts_after : mapping of int to Status or None
        What the person had said of each object; None for nothing.
    """

    kind: Kind
    text: str
    ids: tuple[int, ...] = ()
    patches: tuple[Patch, ...] = ()
    verdicts_before: Mapping[int, Status | None] = field(default_factory=dict)
    verdicts_after: Mapping[int, Status | None] = field(default_factory=dict)

    @property
    def nbytes(self) -> int:
        """Compressed size of the boxes."""
        return sum(len(patch.before) + len(patch.after) for patch in self.patches)

    def extent(self, plane: Plane) -> Box | None:
        """Return the box around what it changed of an array; None when it changed nothing."""
        whole: Box | None = None
        for patch in self.patches:
            if patch.plane == plane:
                whole = patch.box if whole is None else union(whole, patch.box)
        return whole


class UndoHistory:
    """Operations that can be undone and redone, within a bound of memory.

    Parameters
    ----------
    memory_bytes : int
        Compressed boxes to keep. The newest operation is always kept.
    """

    def __init__(self, memory_bytes: int = MEMORY_BYTES) -> None:
        self._memory_bytes = memory_bytes
        self._done: deque[Operation] = deque()
        self._undone: list[Operation] = []
        self._nbytes = 0

    def push(self, operation: Operation) -> None:
        """Add what was just done; what was undone before is gone."""
        self._nbytes -= sum(gone.nbytes for gone in self._undone)
        self._undone.clear()
        self._done.append(operation)
        self._nbytes += operation.nbytes
        while self._nbytes > self._memory_bytes and len(self._done) > 1:
            self._nbytes -= self._done.popleft().nbytes

    def undo(self) -> Operation | None:
        """Move the last operation to the undone ones and return it."""
        if not self._done:
            return None
        self._undone.append(self._done.pop())
        return self._undone[-1]

    def redo(self) -> Operation | None:
        """Move the last undone operation back and return it."""
        if not self._undone:
            return None
        self._done.append(self._undone.pop())
        return self._done[-1]

    @property
    def nbytes(self) -> int:
        """Compressed size of all boxes held."""
        return self._nbytes

    def __len__(self) -> int:
        return len(self._done)


def bounds(mask: NDArray[np.bool_]) -> Box | None:
    """Return the smallest box around True, or None."""
    spans = []
    for axis in range(3):
        others = tuple(other for other in range(3) if other != axis)
        hit = np.flatnonzero(mask.any(axis=others))
        if not hit.size:
            return None
        spans.append(slice(int(hit[0]), int(hit[-1]) + 1))
    return spans[0], spans[1], spans[2]


def shifted(box: Box, offset: tuple[int, ...]) -> Box:
    """Return a box moved by (z, y, x) voxels."""
    z, y, x = (slice(part.start + by, part.stop + by) for part, by in zip(box, offset, strict=True))
    return z, y, x


def union(a: Box, b: Box) -> Box:
    """Return the smallest box around both."""
    z, y, x = (slice(min(p.start, q.start), max(p.stop, q.stop)) for p, q in zip(a, b, strict=True))
    return z, y, x
