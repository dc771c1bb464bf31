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
    chunk_index,
    chunk_place,
    tile_slab,
    within,
)
from annotations.planes import Planes
from annotations.volume import SlabSource

Ids = NDArray[np.uint32]

CACHE_BYTES = 1 << 26
"""Decoded chunks of one array that are kept while neighbouring boxes are read."""


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


def box_reader(source: Voxels) -> Callable[[Region], Ids]:
    """Return a function that reads boxes; of the store's it keeps the last decoded chunks."""
    if not isinstance(source, Planes):
        return region_reader(source)
    array, chunks = source, OrderedDict[tuple[int, ...], Ids]()
    room = max(1, CACHE_BYTES // (4 * int(np.prod(array.chunks))))

    def chunk(index: tuple[int, ...]) -> Ids:
        if index not in chunks:
            place = chunk_place(array, index)
            chunks[index] = as_labels(np.asarray(array[place]), "labels")
            if len(chunks) > room:
                chunks.popitem(last=False)
        chunks.move_to_end(index)
        return chunks[index]

    def read(region: Region) -> Ids:
        out = np.empty([part.stop - part.start for part in region], np.uint32)
        for there, here in tile_slab(array, out, tuple(part.start for part in region)):
            index = chunk_index(array, there)
            out[here] = chunk(index)[within(there, chunk_place(array, index))]
        return out

    return read
