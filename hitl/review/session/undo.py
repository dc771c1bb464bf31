"""Undo and redo: each operation keeps the boxes that it changed, compressed, before and after."""

from __future__ import annotations

import math
import zlib
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import reduce
from typing import Any, Literal

import numpy as np
from numpy.typing import DTypeLike, NDArray

from annotations.objects import Status
from hitl.review.errors import ReviewError
from hitl.review.session.boxes import Box, bounds, box_shape, shifted, union

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


def unpack(data: bytes, dtype: DTypeLike, shape: tuple[int, ...]) -> NDArray[Any]:
    """Return what `pack` was given; its dtype and shape are known elsewhere.

    Raises
    ------
    ValueError, zlib.error
        Of another size, or damaged.
    """
    size = math.prod(shape) * np.dtype(dtype).itemsize
    # One byte more than belongs there is enough to know.
    found = zlib.decompressobj().decompress(data, size + 1)
    if len(found) != size:
        raise ValueError(f"expected {size} bytes, got others")
    return np.frombuffer(found, dtype).reshape(shape)


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
        boxes = [patch.box for patch in self.patches if patch.plane == plane]
        return reduce(union, boxes) if boxes else None


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

    def undo(self) -> Operation:
        """Move the last operation to the undone ones and return it.

        Raises
        ------
        ReviewError
            There is none.
        """
        if not self._done:
            raise ReviewError("there is nothing to undo")
        self._undone.append(self._done.pop())
        return self._undone[-1]

    def redo(self) -> Operation:
        """Move the last undone operation back and return it.

        Raises
        ------
        ReviewError
            There is none.
        """
        if not self._undone:
            raise ReviewError("there is nothing to redo")
        self._done.append(self._undone.pop())
        return self._done[-1]

    @property
    def nbytes(self) -> int:
        """Compressed size of all boxes held."""
        return self._nbytes

    def __len__(self) -> int:
        return len(self._done)
