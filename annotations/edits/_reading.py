"""Reads boxes of label images, whatever holds them."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from functools import partial
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from annotations._chunks import (
    Region,
    Voxels,
    as_labels,
    cell_place,
    cells_meeting,
    overlap,
    within,
)
from annotations.planes import Planes
from annotations.volume import SlabSource

Ids = NDArray[np.uint32]

CACHE_BYTES = 1 << 26
"""Decoded chunks of one source that are kept while neighbouring boxes are read."""


@runtime_checkable
class RegionSource(SlabSource, Protocol):
    """A source of slabs that can read a box without the slabs around it."""

    def read_region(self, region: Region) -> Ids:
        """Return labels of the region's shape."""
        ...


def read_region(source: Voxels, region: Region) -> Ids:
    """Return a part of a label image, uint32 and C-contiguous, shape (dz, dy, dx).

    Raises
    ------
    LabelError
        Not labels.
    """
    return region_reader(source)(region)


def region_reader(source: Voxels) -> Callable[[Region], Ids]:
    """Return a function that reads boxes as `read_region`, and asks once what the source is."""
    if isinstance(source, RegionSource):
        read: Callable[[Region], Any] = source.read_region
    elif isinstance(source, SlabSource):
        read = partial(_read_slab, source)
    else:
        read = source.__getitem__
    return lambda region: np.ascontiguousarray(as_labels(np.asarray(read(region)), "labels"))


def _read_slab(source: SlabSource, region: Region) -> NDArray[Any]:
    z, y, x = region
    return source.read(z.start, z.stop)[:, y, x]


def box_reader(source: Voxels, chunks: tuple[int, int, int] | None) -> Callable[[Region], Ids]:
    """Return a function that reads boxes; what is not in memory is read, and kept, by chunks.

    Parameters
    ----------
    source : ndarray, Planes or source of slabs, shape (Z, Y, X)
    chunks : (int, int, int), optional
        What is read at once of (z, y, x). None reads each box on its own.
    """
    if chunks is None or not isinstance(source, Planes | RegionSource):
        return region_reader(source)
    size, shape = chunks, tuple(source.shape)
    read_block, blocks = region_reader(source), OrderedDict[tuple[int, ...], Ids]()
    room = max(1, CACHE_BYTES // (4 * int(np.prod(size))))

    def block(index: tuple[int, ...]) -> Ids:
        if index not in blocks:
            blocks[index] = read_block(cell_place(index, size, shape))
            if len(blocks) > room:
                blocks.popitem(last=False)
        blocks.move_to_end(index)
        return blocks[index]

    def read(region: Region) -> Ids:
        cells = cells_meeting([region], size)
        out = np.empty([part.stop - part.start for part in region], np.uint32)
        for index in sorted(cells):
            place = cell_place(index, size, shape)
            common = overlap(region, place)
            if common is not None:
                out[within(common, region)] = block(index)[within(common, place)]
        return out

    return read
