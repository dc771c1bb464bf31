"""Which chunks a session has changed, and what they held before: what a draft and a round write."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import product
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from hitl.review.session.boxes import Box, overlap
from hitl.review.session.undo import Plane, pack, unpack

_Voxel = TypeVar("_Voxel", np.uint32, np.uint8)

_PACKERS = 2
"""Chunks that are compressed at the same time."""

ChunkIndex = tuple[int, int, int]
"""Position of a chunk in the grid, (z, y, x)."""


Planes = tuple[NDArray[np.uint32], NDArray[np.uint8]]
"""Labels and verified voxels of one chunk."""


@dataclass(frozen=True)
class ChunkData:
    """One chunk's labels and verified voxels, each from `pack`."""

    labels: bytes
    verified: bytes

    @classmethod
    def of(cls, labels: NDArray[np.uint32], verified: NDArray[np.uint8]) -> ChunkData:
        """Pack a chunk."""
        return cls(pack(labels), pack(verified))

    def unpacked(self, shape: tuple[int, ...]) -> Planes:
        """Return what `of` was given; its shape is known elsewhere."""
        return unpack(self.labels, np.uint32, shape), unpack(self.verified, np.uint8, shape)


class ChangedChunks:
    """Keeps each chunk as it was before its first change.

    Parameters
    ----------
    labels : ndarray of uint32, shape (Z, Y, X)
    verified : ndarray of uint8, shape (Z, Y, X)
        Both are edited in place; `keep` is called before.
    chunks : (int, int, int)
        The store's.
    """

    def __init__(
        self,
        labels: NDArray[np.uint32],
        verified: NDArray[np.uint8],
        chunks: tuple[int, int, int],
    ) -> None:
        self._labels = labels
        self._verified = verified
        self._chunks = chunks
        self._base: dict[ChunkIndex, ChunkData] = {}
        self._packed: dict[ChunkIndex, ChunkData] = {}

    def keep(self, box: Box) -> None:
        """Keep what a box, which is about to change, holds now."""
        for index in self.meeting(box):
            self._packed.pop(index, None)
            if index not in self._base:
                self._base[index] = self._read(index)

    def box(self, index: ChunkIndex) -> Box:
        """Return the voxels of a chunk, cut at the field's border."""
        z, y, x = (
            slice(i * chunk, min((i + 1) * chunk, size))
            for i, chunk, size in zip(index, self._chunks, self._labels.shape, strict=True)
        )
        return z, y, x

    def base(self, index: ChunkIndex) -> ChunkData:
        """Return a touched chunk as it was at the start."""
        return self._base[index]

    def base_labels(self, box: Box) -> NDArray[np.uint32]:
        """Return the labels of a box as they were at the start."""
        return self._at_start(box, "labels", self._labels)

    def base_verified(self, box: Box) -> NDArray[np.uint8]:
        """Return the verified voxels of a box as they were at the start."""
        return self._at_start(box, "verified", self._verified)

    def _at_start(self, box: Box, plane: Plane, now: NDArray[_Voxel]) -> NDArray[_Voxel]:
        found = now[box].copy()
        for index in self.meeting(box):
            if index not in self._base:
                continue
            chunk = self.box(index)
            data = unpack(getattr(self._base[index], plane), found.dtype, now[chunk].shape)
            there, here = overlap(box, chunk)
            found[there] = data[here]
        return found

    def changed(self) -> dict[ChunkIndex, ChunkData]:
        """Return the chunks that differ from the start now (undo can have brought some back)."""
        missing = [index for index in self._base if index not in self._packed]
        with ThreadPoolExecutor(_PACKERS) as pool:
            self._packed.update(zip(missing, pool.map(self._read, missing), strict=True))
        return {
            index: data for index, data in sorted(self._packed.items()) if data != self._base[index]
        }

    def changed_labels(self) -> list[Box]:
        """Return the boxes of the chunks whose labels differ from the start now."""
        found = self.changed().items()
        return [self.box(i) for i, data in found if data.labels != self._base[i].labels]

    def _read(self, index: ChunkIndex) -> ChunkData:
        box = self.box(index)
        return ChunkData.of(self._labels[box], self._verified[box])

    def meeting(self, box: Box) -> Iterator[ChunkIndex]:
        """Return the chunks that a box meets."""
        z, y, x = (
            range(part.start // chunk, -(-part.stop // chunk))
            for part, chunk in zip(box, self._chunks, strict=True)
        )
        return product(z, y, x)
