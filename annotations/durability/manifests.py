"""Which chunk files a commit refers to, out of Icechunk's manifest files.

Icechunk's interface gives the positions of an array's chunks but not their files. A manifest is a
FlatBuffer behind a header (https://icechunk.io/en/stable/spec/): tables ``Manifest``,
``ArrayManifest`` and ``ChunkRef``, whose fields are numbered in their schema's order.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass, field
from struct import Struct

from numcodecs.zstd import Zstd

_MAGIC = b"ICE\xf0\x9f\xa7\x8aCHUNK"
_HEADER_BYTES = 39
_MANIFEST_KIND, _ZSTD = 2, 1

_ARRAYS, _NODE, _REFS = 1, 0, 1
_INDEX, _LENGTH, _CHUNK = 0, 3, 4

_CROCKFORD = bytes.maketrans(
    b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567", b"0123456789ABCDEFGHJKMNPQRSTVWXYZ"
)

_u2, _i4 = Struct("<H").unpack_from, Struct("<i").unpack_from
_u4, _u8 = Struct("<I").unpack_from, Struct("<Q").unpack_from


@dataclass(frozen=True, eq=False)
class ArrayChunks:
    """The chunks of one array that lie in files of their own; small ones lie in the manifest.

    Parameters
    ----------
    node : str
        Icechunk's id of the array.
    sizes : mapping of bytes to int
        Bytes in each file, by the id of its chunk; `file_name` makes a file's name of an id.
    """

    node: str
    sizes: dict[bytes, int] = field(default_factory=dict)
    _tables: dict[bytes, int] = field(default_factory=dict)
    _buffer: bytes = b""

    def index(self, chunk: bytes) -> tuple[int, ...]:
        """Return a chunk's position in the array's grid."""
        table = self._tables[chunk]
        start = _follow(self._buffer, _place(self._buffer, table, _INDEX))
        (axes,) = _u4(self._buffer, start)
        return tuple(_u4(self._buffer, start + 4 * (axis + 1))[0] for axis in range(axes))


def file_name(identity: bytes) -> str:
    """Return an id as Icechunk names its file: in Crockford's base 32.

    >>> file_name(bytes(12))
    '00000000000000000000'
    """
    return base64.b32encode(identity).rstrip(b"=").translate(_CROCKFORD).decode()


def read_manifest(data: bytes) -> list[ArrayChunks]:
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
    buffer: bytes = Zstd().decode(data[_HEADER_BYTES:])
    return [_array(buffer, table) for table in _tables_in(buffer, _follow(buffer, 0), _ARRAYS)]


def _array(buffer: bytes, table: int) -> ArrayChunks:
    node = _place(buffer, table, _NODE)
    found = ArrayChunks(file_name(buffer[node : node + 8]), _buffer=buffer)
    layouts: dict[int, tuple[int, int]] = {}
    for ref in _tables_in(buffer, table, _REFS):
        # Most references have one of few layouts.
        layout = ref - _i4(buffer, ref)[0]
        if layout not in layouts:
            layouts[layout] = _offset(buffer, layout, _CHUNK), _offset(buffer, layout, _LENGTH)
        chunk, length = layouts[layout]
        if chunk:
            identity = buffer[ref + chunk : ref + chunk + 12]
            found.sizes[identity] = _u8(buffer, ref + length)[0] if length else 0
            found._tables[identity] = ref
    return found


def _tables_in(buffer: bytes, table: int, number: int) -> list[int]:
    """Return where the tables of a table's vector begin; none where it has no such vector."""
    place = _place(buffer, table, number)
    if place == table:
        return []
    start = _follow(buffer, place)
    (count,) = _u4(buffer, start)
    offsets = Struct(f"<{count}I").unpack_from(buffer, start + 4)
    return [start + 4 * (i + 1) + offset for i, offset in enumerate(offsets)]


def _place(buffer: bytes, table: int, number: int) -> int:
    """Return where a field of a table lies; the table's own place when it has none."""
    return table + _offset(buffer, table - int(_i4(buffer, table)[0]), number)


def _offset(buffer: bytes, layout: int, number: int) -> int:
    """Return a field's offset in tables of a layout, 0 for none."""
    (size,) = _u2(buffer, layout)
    return int(_u2(buffer, layout + 4 + 2 * number)[0]) if size > 4 + 2 * number else 0


def _follow(buffer: bytes, place: int) -> int:
    return place + int(_u4(buffer, place)[0])
