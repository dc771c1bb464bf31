"""Whether a TIFF file is whole: parsers read what is left of a cut one and say nothing."""

from __future__ import annotations

import os
import struct
from pathlib import Path
from typing import BinaryIO

from annotations.errors import FormatError

_ORDERS = {b"II": "<", b"MM": ">"}
_CLASSIC, _BIG = 42, 43
_PRIVATE = 32768
_TYPE_BYTES = {3: 2, 4: 4, 5: 8, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8, 17: 8, 18: 8}
_TRUNCATED = "copy or export it again from the original"


def check_page_chain(path: Path) -> None:
    """Follow the offsets from page to page to the end of the file.

    Parameters
    ----------
    path : Path

    Raises
    ------
    FormatError
        Not a TIFF, a page beyond the end of the file, or pages in a circle.
    """
    with path.open("rb") as stream:
        order, offset, count_format, next_format, entry = _first_page(path, stream)
        size = path.stat().st_size
        seen: set[int] = set()
        while offset:
            if offset in seen:
                raise FormatError(f"{path}: is corrupt (its pages form a circle); {_TRUNCATED}")
            seen.add(offset)
            entries = _number(stream, offset, order + count_format)
            table = offset + struct.calcsize(count_format)
            after = table + (entries or 0) * entry
            following = _number(stream, after, order + next_format)
            if (
                entries is None
                or following is None
                or _values_end(stream, order, table, after, next_format) > size
            ):
                raise FormatError(
                    f"{path}: is truncated: page {len(seen) - 1} lies beyond the end of the file "
                    f"({size} bytes); {_TRUNCATED}"
                )
            offset = following


def _first_page(path: Path, stream: BinaryIO) -> tuple[str, int, str, str, int]:
    """Byte order, offset of the first page, formats of count and offset, bytes per entry."""
    head = stream.read(16)
    order = _ORDERS.get(head[:2])
    version = struct.unpack(order + "H", head[2:4])[0] if order and len(head) >= 4 else None
    if order is None or version not in (_CLASSIC, _BIG):
        raise FormatError(
            f"{path}: is not a TIFF image (it begins with {head[:4]!r}); open it with the program "
            "that wrote it and save it as TIFF"
        )
    count_format, next_format, entry, at = (
        ("H", "I", 12, 4)
        if version == _CLASSIC
        else (
            "Q",
            "Q",
            20,
            8,
        )
    )
    offset = _number(stream, at, order + next_format)
    if not offset:
        raise FormatError(f"{path}: is truncated: it holds no page; {_TRUNCATED}")
    return order, offset, count_format, next_format, entry


def _number(stream: BinaryIO, offset: int, layout: str) -> int | None:
    """One unsigned integer at `offset`; None beyond the end of the file."""
    if offset >= stream.seek(0, os.SEEK_END):
        return None
    stream.seek(offset)
    data = stream.read(struct.calcsize(layout))
    return int(struct.unpack(layout, data)[0]) if len(data) == struct.calcsize(layout) else None


def _values_end(stream: BinaryIO, order: str, table: int, after: int, next_format: str) -> int:
    """Where the values of a page's tags end, of those that TIFF itself defines."""
    stream.seek(table)
    data = stream.read(after - table)
    layout = struct.Struct(f"{order}HH{next_format}{next_format}")
    ends = [0]
    for tag, kind, count, value in layout.iter_unpack(data):
        size = count * _TYPE_BYTES.get(kind, 1)
        # Private tags are often damaged in files that are otherwise whole.
        if tag < _PRIVATE and size > struct.calcsize(next_format):
            ends.append(value + size)
    return max(ends)


def check_data_extent(
    path: Path,
    page: int,
    offsets: tuple[int, ...],
    byte_counts: tuple[int, ...],
    file_size: int,
    raw_bytes: int | None,
) -> None:
    """Compare where one page says that its voxels are with what the file holds.

    Parameters
    ----------
    path : Path
    page : int
        Index, for the message.
    offsets, byte_counts : tuple of int
        Of the strips or tiles.
    file_size : int
        Bytes.
    raw_bytes : int, optional
        Bytes that an uncompressed page needs; None when compressed.

    Raises
    ------
    FormatError
        Voxels missing.
    """
    if not offsets or len(offsets) != len(byte_counts):
        raise FormatError(f"{path}: is corrupt: page {page} does not say where its voxels are")
    end = max(start + count for start, count in zip(offsets, byte_counts, strict=True))
    if end > file_size:
        raise FormatError(
            f"{path}: is truncated: page {page} ends at byte {end}, the file has {file_size}; "
            f"{_TRUNCATED}"
        )
    # A writer that was stopped leaves zeros here, which would be read as black.
    if 0 in offsets or 0 in byte_counts or (raw_bytes or 0) > sum(byte_counts):
        raise FormatError(f"{path}: is truncated: page {page} lacks voxels; {_TRUNCATED}")
