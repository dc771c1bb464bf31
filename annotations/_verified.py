"""Writes to the verified voxels of a stack, with the total that is kept beside them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray

from annotations._chunks import (
    Change,
    Reader,
    Region,
    chunk_place,
    explicit,
    rewrite,
    rewrite_chunks,
    tile_slab,
)
from annotations._guards import as_flags, check_shape
from annotations._storage import Location, translated
from annotations.stacks import VERIFIED_VOXELS

Flags = NDArray[np.uint8]
_ChunkIndex = tuple[int, ...]


def rewrite_verified(
    array: zarr.Array[Any], place: Region, read: Callable[[int, int], Flags], location: Location
) -> int:
    """Put new flags into a region, as `rewrite` does; return how many changed."""
    gained = 0

    def guard(change: Change) -> None:
        nonlocal gained
        gained += int(np.count_nonzero(change.after)) - int(np.count_nonzero(change.before))

    with translated("write to", location):
        changed = rewrite(array, place, read, guard, location)
        _add_to_total(array, gained)
    return changed


def mark_verified(
    array: zarr.Array[Any],
    patches: Iterable[tuple[Region, NDArray[Any]]],
    name: str,
    location: Location,
    known: Reader | None,
) -> int:
    """Set voxels where masks say so, each chunk once; return how many changed.

    Raises
    ------
    LabelError
        A region outside the stack, another shape, or values other than 0 and 1.
    StoreError
        The storage failed.
    """
    parts: dict[_ChunkIndex, list[tuple[tuple[slice, ...], Flags]]] = {}
    for region, mask in patches:
        place = explicit(region, array.shape, f"stack {name!r}")
        flags = as_flags(mask, name)
        check_shape(flags, place, name)
        for there, here in tile_slab(array, flags, tuple(part.start for part in place)):
            parts.setdefault(_index(array, there), []).append((there, flags[here]))

    def renew(place: Region, before: Flags) -> Flags:
        after = before.copy()
        for there, flags in parts[_index(array, place)]:
            inner = tuple(
                slice(t.start - p.start, t.stop - p.start)
                for t, p in zip(there, place, strict=True)
            )
            after[inner] |= flags
        return after

    chunks = [chunk_place(array, index) for index in sorted(parts)]
    with translated("write to", location):
        gained = rewrite_chunks(array, chunks, renew, lambda change: None, location, known)
        _add_to_total(array, gained)
    return gained


def _index(array: zarr.Array[Any], place: tuple[slice, ...]) -> _ChunkIndex:
    return tuple(part.start // chunk for part, chunk in zip(place, array.chunks, strict=True))


def _add_to_total(array: zarr.Array[Any], gained: int) -> None:
    if gained:
        # A total beside the array: counting a large stack's voxels again takes seconds.
        array.attrs[VERIFIED_VOXELS] = int(str(array.attrs[VERIFIED_VOXELS])) + gained
