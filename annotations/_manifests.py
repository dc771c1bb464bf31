"""Which chunk files a commit refers to, out of Icechunk's manifest files.

Icechunk's interface gives the positions of an array's chunks but not their files. A manifest is a
FlatBuffer behind a header (https://icechunk.io/en/stable/spec/): tables ``Manifest``,
``ArrayManifest`` and ``ChunkRef``, whose fields are numbered in their schema's order.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
from numcodecs.zstd import Zstd
from numpy.typing import NDArray

_MAGIC = b"ICE\xf0\x9f\xa7\x8aCHUNK"
_HEADER_BYTES = 39
_MANIFEST_KIND, _ZSTD = 2, 1

_ARRAYS, _NODE, _REFS = 1, 0, 1
_INDEX, _LENGTH, _CHUNK = 0, 3, 4

_CROCKFORD = bytes.maketrans(
    b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567", b"0123456789ABCDEFGHJKMNPQRSTVWXYZ"
)

Bytes = NDArray[np.uint8]


@dataclass(frozen=True, eq=False)
class ChunkFiles:
    """The chunks of one array that lie in files of their own; small ones lie in the manifest.

    Parameters
    ----------
    node : str
        Icechunk's id of the array.
    ids : ndarray of S12
        Bytes of the ids; `file_name` makes a file's name of one.
    sizes : ndarray of uint64
        Bytes in each file.
    indices : tuple of ndarray of uint32
        Position of each chunk in the array's grid.
    """

    node: str
    ids: NDArray[np.void]
    sizes: NDArray[np.uint64]
    indices: tuple[NDArray[np.uint32], ...]


def file_name(identity: bytes) -> str:
    """Return an id as Icechunk names its file: in Crockford's base 32.

    >>> file_name(bytes(12))
    '00000000000000000000'
    """
    return base64.b32encode(identity).rstrip(b"=").translate(_CROCKFORD).decode()


def read_manifest(data: bytes) -> list[ChunkFiles]:
    """Return the chunk files that a manifest refers to, array by array.

    Parameters
    ----------
    data : bytes
        The manifest's file, as it was written: its checksum must have been compared.

    Raises
    ------
    ValueError
        It is no manifest, or one of a kind that is not known.
    """
    kind = (data[: len(_MAGIC)], data[37:38], data[38:39])
    if kind != (_MAGIC, bytes([_MANIFEST_KIND]), bytes([_ZSTD])):
        raise ValueError("expected a manifest of Icechunk, compressed with Zstandard")
    buffer = np.frombuffer(Zstd().decode(data[_HEADER_BYTES:]), np.uint8)
    root = _offsets(buffer, np.zeros(1, np.int64))
    arrays = _vector(buffer, _field(buffer, root, _ARRAYS)[0])
    return [_chunk_files(buffer, array) for array in arrays]


def _chunk_files(buffer: Bytes, array: np.int64) -> ChunkFiles:
    table = np.asarray([array])
    node = _gather(buffer, _field(buffer, table, _NODE), 8).tobytes()
    refs = _vector(buffer, _field(buffer, table, _REFS)[0])
    refs = refs[_field(buffer, refs, _CHUNK) > 0]
    lengths = _field(buffer, refs, _LENGTH)
    return ChunkFiles(
        node=file_name(node),
        ids=_gather(buffer, _field(buffer, refs, _CHUNK), 12).view("V12").reshape(-1),
        sizes=np.where(lengths > 0, _numbers(buffer, lengths, "<u8"), 0).astype(np.uint64),
        indices=_indices(buffer, refs),
    )


def _indices(buffer: Bytes, refs: NDArray[np.int64]) -> tuple[NDArray[np.uint32], ...]:
    if not refs.size:
        return ()
    starts = _offsets(buffer, _field(buffer, refs, _INDEX))
    axes = int(_numbers(buffer, starts[:1], "<u4")[0])
    return tuple(_numbers(buffer, starts + 4 * (axis + 1), "<u4") for axis in range(axes))


def _vector(buffer: Bytes, field: np.int64) -> NDArray[np.int64]:
    """Return where the tables of a vector begin; none for a field that is absent."""
    if not field:
        return np.zeros(0, np.int64)
    start = _offsets(buffer, np.asarray([field]))
    count = int(_numbers(buffer, start, "<u4")[0])
    return _offsets(buffer, start[0] + 4 * np.arange(1, count + 1))


def _field(buffer: Bytes, tables: NDArray[np.int64], number: int) -> NDArray[np.int64]:
    """Return where a field of each table lies, 0 where the table has none."""
    vtables = tables - _numbers(buffer, tables, "<i4")
    entry = 4 + 2 * number
    there = _numbers(buffer, vtables, "<u2") > entry
    at = np.where(there, _numbers(buffer, np.where(there, vtables + entry, vtables), "<u2"), 0)
    return cast("NDArray[np.int64]", np.where(at > 0, tables + at, 0))


def _offsets(buffer: Bytes, at: NDArray[np.int64]) -> NDArray[np.int64]:
    """Follow the relative offsets that stand at some places."""
    return cast("NDArray[np.int64]", at + _numbers(buffer, at, "<u4"))


def _numbers(buffer: Bytes, at: NDArray[np.int64], dtype: str) -> NDArray[Any]:
    kind = np.dtype(dtype)
    return _gather(buffer, at, kind.itemsize).view(kind).reshape(-1)


def _gather(buffer: Bytes, at: NDArray[np.int64], size: int) -> Bytes:
    return np.ascontiguousarray(buffer[at[:, None] + np.arange(size)])
