"""Whether a TIFF file is whole: tifffile reads what is left of a cut one and only logs it."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from pathlib import Path

from tifffile import TIFF, TiffFile, TiffFileError, TiffFormat

from annotations.errors import FormatError

_PRIVATE = 32768
_TRUNCATED = "copy or export it again from the original"


def open_whole(path: Path) -> TiffFile:
    """Open a TIFF whose pages follow each other to the last one.

    Parameters
    ----------
    path : Path

    Raises
    ------
    FormatError
        Not a TIFF, a page beyond the end of the file, or pages in a circle.
    """
    try:
        tif = TiffFile(path)
    except TiffFileError as exc:
        raise FormatError(
            f"{path}: is not a TIFF image, or truncated ({exc}); open it with the program that "
            "wrote it and save it as TIFF again"
        ) from exc
    try:
        _check_chain(path, tif)
    except BaseException:
        tif.close()
        raise
    return tif


def _check_chain(path: Path, tif: TiffFile) -> None:
    """Follow the offsets from page to page to the end of the file."""
    handle, tiff, seen = tif.filehandle, tif.tiff, set[int]()
    try:
        offset = tif.pages.first.offset
    except IndexError as exc:
        raise FormatError(f"{path}: is truncated: it holds no page; {_TRUNCATED}") from exc
    while offset:
        if offset in seen:
            raise FormatError(f"{path}: is corrupt (its pages form a circle); {_TRUNCATED}")
        seen.add(offset)
        values_end = 0
        try:
            handle.seek(min(offset, handle.size))
            (count,) = struct.unpack(tiff.tagnoformat, handle.read(tiff.tagnosize))
            tags = handle.read(count * tiff.tagsize)
            (offset,) = struct.unpack(tiff.offsetformat, handle.read(tiff.offsetsize))
            values_end = _values_end(tags, tiff)
        except struct.error:
            values_end = handle.size + 1
        if values_end > handle.size:
            raise FormatError(
                f"{path}: is truncated: page {len(seen) - 1} lies beyond the end of the file "
                f"({handle.size} bytes); {_TRUNCATED}"
            )


def _values_end(tags: bytes, tiff: TiffFormat) -> int:
    """Where the values of a page's tags end, of those that TIFF itself defines."""
    size_format = tiff.offsetformat
    layout = struct.Struct(f"{size_format[0]}HH{2 * size_format[1]}")
    ends = [0]
    for tag, kind, count, value in layout.iter_unpack(tags):
        size = count * struct.calcsize(TIFF.DATA_FORMATS.get(kind, "1s"))
        # Private tags are often damaged in files that are otherwise whole.
        if tag < _PRIVATE and size > tiff.offsetsize:
            ends.append(value + size)
    return max(ends)


def check_data_extent(
    path: Path,
    page: int,
    offsets: Sequence[int],
    byte_counts: Sequence[int],
    file_size: int,
    raw_bytes: int | None,
) -> None:
    """Compare where one page says that its voxels are with what the file holds.

    Parameters
    ----------
    path : Path
    page : int
        Index, for the message.
    offsets, byte_counts : sequence of int
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
