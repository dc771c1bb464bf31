"""Where things are in the store: groups, arrays, chunks and compression; see docs/store.md."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar

import numpy as np
import zarr

from annotations.codecs import image_codec, label_codec, with_checksum
from annotations.errors import StoreError
from annotations.objects import COLUMNS

FIELDS, LABELS = "fields", "labels"
FULL = "0"
"""The array of full resolution, of an image and of labels."""
VERIFIED, OBJECTS, EDITS = "verified", "objects", "edits"
VERIFIED_VOXELS, COUNTS = "verified_voxels", "objects_by_status"

CHUNKS = (16, 128, 128)
"""Chunk of (z, y, x), chosen by `scripts/measure_chunks.py`; see docs/store.md."""

_SERIES_DEPTH = 64
_ROWS = 16384

_Node = TypeVar("_Node", zarr.Array[Any], zarr.Group)


def chunk_shape(times: int, zyx: tuple[int, int, int]) -> tuple[int, int, int]:
    """Return the chunk of (z, y, x) for an image or labels.

    Flat chunks are as many voxels wide as deep ones are deep. In a series the depth divides Z, so
    that its planes, time after time, are made of whole chunks.
    """
    depth, height, width = zyx
    z = min(CHUNKS[0], depth)
    if times > 1 and depth % z:
        divisors = [n for n in range(8, _SERIES_DEPTH + 1) if depth % n == 0]
        z = min(divisors, key=lambda n: abs(n - CHUNKS[0]), default=depth)
    side = CHUNKS[1]
    while z * (2 * side) ** 2 <= np.prod(CHUNKS):
        side *= 2
    return z, min(side, height), min(side, width)


def child_array(group: zarr.Group, name: str) -> zarr.Array[Any]:
    """Return an array that must be there; its absence means damage (StoreError)."""
    return _child(group, name, zarr.Array, "an array")


def child_group(group: zarr.Group, name: str) -> zarr.Group:
    """Return a group that must be there; its absence means damage (StoreError)."""
    return _child(group, name, zarr.Group, "a group")


def _child(group: zarr.Group, name: str, kind: type[_Node], what: str) -> _Node:
    found = group.get(name)
    if not isinstance(found, kind):
        raise StoreError(
            f"{group.path or '/'}: expected {what} {name!r}, got none; the store is damaged, "
            "`hitl verify` says what is whole"
        )
    return found


def create_image(
    group: zarr.Group, level: int, shape: tuple[int, ...], dtype: np.dtype[Any]
) -> zarr.Array[Any]:
    """Create one resolution of an image (T, C, Z, Y, X)."""
    times, _, *zyx = shape
    # Zarr keeps the byte order apart from the type.
    native = dtype.newbyteorder("=")
    z, y, x = zyx
    return group.create_array(
        str(level),
        shape=shape,
        chunks=(1, 1, *chunk_shape(times, (z, y, x))),
        dtype=native,
        compressors=with_checksum(image_codec(native)),
        fill_value=0,
        dimension_names=("t", "c", "z", "y", "x"),
    )


def create_labels(group: zarr.Group, times: int, levels: Sequence[tuple[int, int, int]]) -> None:
    """Create the empty labels, verified voxels and objects of a class in a field.

    Parameters
    ----------
    group : zarr group
    times : int
    levels : sequence of (int, int, int)
        Shape (Z, Y, X) of each resolution of the labels, the finest first.
    """
    arrays: dict[str, tuple[tuple[int, int, int], np.dtype[Any]]] = {
        **{str(n): (zyx, np.dtype(np.uint32)) for n, zyx in enumerate(levels)},
        VERIFIED: (levels[0], np.dtype(np.uint8)),
    }
    for name, (zyx, dtype) in arrays.items():
        group.create_array(
            name,
            shape=(times, *zyx),
            chunks=(1, *chunk_shape(times, zyx)),
            dtype=dtype,
            compressors=with_checksum(label_codec()),
            fill_value=0,
            dimension_names=("t", "z", "y", "x"),
        )
    objects = create_table(group, OBJECTS, tuple(COLUMNS))
    objects.attrs.update({"origins": [], "highest_id": 0})


def create_table(group: zarr.Group, name: str, columns: tuple[str, ...]) -> zarr.Array[Any]:
    """Create a table of numbers without rows; an attribute names its columns.

    One array and not one for each column: a commit's cost grows with the arrays of a store.
    """
    return group.create_array(
        name,
        shape=(0, len(columns)),
        chunks=(_ROWS, len(columns)),
        dtype=np.float64,
        compressors=with_checksum(label_codec()),
        fill_value=0,
        attributes={"columns": list(columns)},
    )
