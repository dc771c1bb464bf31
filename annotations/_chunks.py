"""Read and write arrays chunk by chunk: bounded memory, and only what differs is written."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import zarr
from numpy.typing import NDArray

from annotations._storage import Location, translated
from annotations.errors import LabelError
from annotations.planes import Planes
from annotations.volume import SlabSource

Region = tuple[slice, slice, slice]
"""Part of a field, (z, y, x)."""

Reader = Callable[[Region], NDArray[Any]]
"""Returns the voxels of a region."""

_WRITERS = 4
"""Chunks that are compressed and written at the same time."""

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")


Voxels = NDArray[Any] | Planes | SlabSource
"""A whole field's worth of labels, (Z, Y, X) or planes (T·Z, Y, X), in memory or not."""


def read_slab(source: Voxels, z_start: int, z_stop: int) -> NDArray[Any]:
    """Return the voxels [z_start, z_stop) of any source, shape (dz, Y, X)."""
    if isinstance(source, SlabSource):
        return np.asarray(source.read(z_start, z_stop))
    return np.asarray(source[z_start:z_stop])


def z_slabs(z_start: int, z_stop: int, chunk: int) -> Iterator[tuple[int, int]]:
    """Yield the parts of [z_start, z_stop) between chunk borders."""
    while z_start < z_stop:
        end = min(z_stop, (z_start // chunk + 1) * chunk)
        yield z_start, end
        z_start = end


def slabs(array: Planes) -> Iterator[Region]:
    """Yield the regions of an array that are one chunk deep, from the first slice on."""
    _, y, x = whole(array.shape)
    for z_start, z_stop in z_slabs(0, array.shape[0], array.chunks[0]):
        yield slice(z_start, z_stop), y, x


def as_labels(block: NDArray[Any], what: str) -> NDArray[np.uint32]:
    """Return labels as uint32.

    Raises
    ------
    LabelError
        Not integers, negative, or too large.
    """
    if block.dtype == np.uint32:
        return block
    if block.dtype.kind not in "iub":
        raise LabelError(
            f"{what}: expected labels of whole numbers, got {block.dtype}; "
            "give instance ids, not an image or a probability"
        )
    if block.size and (block.min() < 0 or block.max() > np.iinfo(np.uint32).max):
        raise LabelError(
            f"{what}: expected label ids from 0 to 4294967295, got {block.min()} to {block.max()}"
        )
    return block.astype(np.uint32)


def label_slab(labels: Voxels, z_start: int, z_stop: int, name: str) -> NDArray[np.uint32]:
    """Return the slices [z_start, z_stop) of a field's labels.

    Raises
    ------
    LabelError
        Not labels, or a source that gives a slab of another shape.
    """
    block = as_labels(read_slab(labels, z_start, z_stop), f"field {name!r}")
    expected = (z_stop - z_start, *labels.shape[1:])
    if block.shape != expected:
        raise LabelError(f"field {name!r}: expected a slab of shape {expected}, got {block.shape}")
    return block


def together(work: Callable[[_Item], _Result], items: Iterable[_Item]) -> list[_Result]:
    """Do several at the same time; when this returns or raises, nothing goes on."""
    with ThreadPoolExecutor(_WRITERS) as pool:
        futures = [pool.submit(work, item) for item in items]
        done, waiting = wait(futures, return_when="FIRST_EXCEPTION")
        for future in waiting:
            future.cancel()
    # The failure itself first: what was cancelled for it would only say so.
    for future in done:
        future.result()
    return [future.result() for future in futures]


def tile_slab(
    array: Planes | zarr.Array[Any], values: NDArray[Any], start: tuple[int, ...]
) -> Iterator[tuple[tuple[slice, ...], tuple[slice, ...]]]:
    """Yield (selection in `array`, selection in `values`) for each chunk that `values` meets.

    Parameters
    ----------
    array : zarr array
    values : ndarray
        As many dimensions as `array`.
    start : tuple of int
        Where `values` begins in `array`.
    """
    axes = []
    for begin, size, chunk in zip(start, values.shape, array.chunks, strict=True):
        axes.append(
            [
                (slice(a, b), slice(a - begin, b - begin))
                for a, b in z_slabs(begin, begin + size, chunk)
            ]
        )
    for index in np.ndindex(*(len(a) for a in axes)):
        picked = [axis[i] for axis, i in zip(axes, index, strict=True)]
        yield tuple(p[0] for p in picked), tuple(p[1] for p in picked)


def write_slab(array: zarr.Array[Any], values: NDArray[Any], start: tuple[int, ...]) -> None:
    """Write `values` with its first voxel at `start`.

    One call per chunk: when a disk is full, Zarr's own many-chunk write would return while its
    other tasks go on writing and failing.
    """

    def put(tile: tuple[tuple[slice, ...], tuple[slice, ...]]) -> None:
        array[tile[0]] = values[tile[1]]

    together(put, tile_slab(array, values, start))


@dataclass(frozen=True)
class Change:
    """A slab before and after, as a guard sees it.

    Parameters
    ----------
    place : (slice, slice, slice)
        Where in the array.
    before, after : ndarray, shape (dz, dy, dx)
    differs : ndarray of bool, shape (dz, dy, dx)
    """

    place: Region
    before: NDArray[Any]
    after: NDArray[Any]
    differs: NDArray[np.bool_]


Guard = Callable[[Change], None]
"""Sees every change before it is written, maybe from several threads; raises to refuse it."""


def allow(_: Change) -> None:
    """Let every change pass, as a guard."""


def rewrite_patches(
    array: Planes,
    patches: Iterable[tuple[Region, NDArray[Any]]],
    put: Callable[[NDArray[Any], NDArray[Any]], object],
    guard: Guard,
    location: Location,
    known: Reader | None = None,
) -> int:
    """Put values into parts of an array, each chunk once; equal ones are not written.

    Parameters
    ----------
    array : Planes
    patches : iterable of (region, values)
        They may overlap; the last one comes last.
    put : callable
        Puts values into a part of a chunk, in place.
    guard : Guard
    location : Location
    known : callable, optional
        As for `rewrite_chunks`.

    Returns
    -------
    int
        Voxels that differed.

    Raises
    ------
    StoreError
        The storage failed.
    """
    parts: dict[tuple[int, ...], list[tuple[tuple[slice, ...], NDArray[Any]]]] = {}
    for region, values in patches:
        for there, here in tile_slab(array, values, tuple(part.start for part in region)):
            parts.setdefault(chunk_index(array, there), []).append((there, values[here]))

    def renew(place: Region, before: NDArray[Any]) -> NDArray[Any]:
        after = before.copy()
        for there, values in parts[chunk_index(array, place)]:
            put(after[within(there, place)], values)
        return after

    chunks = [chunk_place(array, index) for index in sorted(parts)]
    return rewrite_chunks(array, chunks, renew, guard, location, known)


def rewrite_chunks(
    array: Planes,
    chunks: Iterable[Region],
    renew: Callable[[Region, NDArray[Any]], NDArray[Any]],
    guard: Guard,
    location: Location,
    known: Reader | None = None,
) -> int:
    """Put new values into whole chunks, several at the same time; equal ones are not written.

    Parameters
    ----------
    array : Planes
    chunks : iterable of (slice, slice, slice)
        Each once, as `chunks_meeting` returns them.
    renew : callable
        From a chunk's place and its values to the new values. Called from several threads.
    guard : Guard
    location : Location
    known : callable, optional
        Returns what the array holds in a place, for who has it already; it is read otherwise.

    Returns
    -------
    int
        Voxels that differed.

    Raises
    ------
    StoreError
        The storage failed.
    """

    def work(place: Region) -> int:
        with translated("read", location):
            before = known(place) if known else array[place]
        after = renew(place, before)
        differs = before != after
        guard(Change(place, before, after, differs))
        count = int(np.count_nonzero(differs))
        if count:
            with translated("write to", location):
                array[place] = after
        return count

    return sum(together(work, chunks))


def chunks_meeting(array: Planes, regions: Iterable[Region]) -> list[Region]:
    """Return the places of the chunks that any of the regions meets, each once, in order."""
    return [chunk_place(array, index) for index in sorted(cells_meeting(regions, array.chunks))]


def chunk_place(array: Planes, index: tuple[int, ...]) -> Region:
    """Return the voxels of a chunk, cut at the array's border."""
    return cell_place(index, array.chunks, array.shape)


def cells_meeting(regions: Iterable[Region], size: tuple[int, ...]) -> set[tuple[int, int, int]]:
    """Return the indices of the cells of a grid, each of a size (z, y, x), that regions meet."""
    places = [cells_of(region, size) for region in regions]
    if not places:
        return set()
    low = [min(place[axis].start for place in places) for axis in range(3)]
    high = [max(place[axis].stop for place in places) for axis in range(3)]
    # Marked in an array: boxes of scattered objects meet the same cells again and again.
    met = np.zeros([max(b - a, 0) for a, b in zip(low, high, strict=True)], np.bool_)
    for place in places:
        met[tuple(slice(p.start - a, p.stop - a) for p, a in zip(place, low, strict=True))] = True
    return {(z, y, x) for z, y, x in (np.argwhere(met) + low).tolist()}


def cells_of(region: Region, size: tuple[int, ...]) -> Region:
    """Return the range of cells of a grid, each of a size (z, y, x), that a region meets."""
    z, y, x = (slice(p.start // n, -(-p.stop // n)) for p, n in zip(region, size, strict=True))
    return z, y, x


def cell_place(index: tuple[int, ...], size: tuple[int, ...], shape: tuple[int, ...]) -> Region:
    """Return the voxels of a cell of a grid, cut at the border of a field."""
    z, y, x = (
        slice(i * n, min((i + 1) * n, end)) for i, n, end in zip(index, size, shape, strict=True)
    )
    return z, y, x


def chunk_index(array: Planes, place: tuple[slice, ...]) -> tuple[int, ...]:
    """Return the index of the chunk that a place begins in."""
    return tuple(part.start // chunk for part, chunk in zip(place, array.chunks, strict=True))


def within(inner: tuple[slice, ...], outer: tuple[slice, ...]) -> tuple[slice, ...]:
    """Return a place as positions in a block that begins where `outer` does."""
    return tuple(
        slice(i.start - o.start, i.stop - o.start) for i, o in zip(inner, outer, strict=True)
    )


def overlap(a: Region, b: Region) -> Region | None:
    """Return the voxels that two regions share, None for none."""
    z, y, x = (slice(max(p.start, q.start), min(p.stop, q.stop)) for p, q in zip(a, b, strict=True))
    return (z, y, x) if all(p.start < p.stop for p in (z, y, x)) else None


def whole(shape: tuple[int, ...]) -> Region:
    """Return the region that is the whole field, from its shape (Z, Y, X)."""
    return slice(0, shape[0]), slice(0, shape[1]), slice(0, shape[2])


def explicit(region: Region, shape: tuple[int, ...], what: str) -> Region:
    """Return a region with its ends filled in.

    Raises
    ------
    LabelError
        Not three slices of step 1 inside the field.
    """
    if len(region) != 3 or any(s.step not in (None, 1) for s in region):
        raise LabelError(f"{what}: expected a region of three slices of step 1, got {region}")
    ends = []
    for part, size in zip(region, shape, strict=True):
        start = 0 if part.start is None else part.start
        stop = size if part.stop is None else part.stop
        if not 0 <= start < stop <= size:
            raise LabelError(
                f"{what}: expected a region inside the field of shape {shape}, got {region}; "
                "use voxel positions from 0 on"
            )
        ends.append(slice(int(start), int(stop)))
    return ends[0], ends[1], ends[2]
