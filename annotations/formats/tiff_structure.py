"""Whether a TIFF file is whole: tifffile reads what is left of a cut one and only logs it."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from tifffile import TIFF, FileHandle, TiffFile, TiffFileError

from annotations.errors import FormatError

_PRIVATE = 32768
_SUB_PAGES = 330
_OFFSET_KINDS = {4: "I", 13: "I", 16: "Q", 18: "Q"}
_FEWEST_TAGS = 4
"""Width, length, and where the voxels are and how many."""
_MOST_MIXED = 5000
_MOST_SHARED = 16
"""How many times over pages may name the bytes of their file; those of an image share none."""
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
        # Both would make a list of all planes that are claimed, and follow names out of the folder;
        # what Micro-Manager writes is OME-TIFF or ImageJ's too.
        tif = _Tiff(path, is_mmstack=False, is_ndtiff=False)
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


class _Tiff(TiffFile):  # type: ignore[misc]
    """A TIFF whose pages of several kinds are few: each is compared with all before it."""

    def _series_generic(self) -> Any:
        if len(self.pages) > _MOST_MIXED:
            raise FormatError(
                f"{self.filehandle.path}: expected one image, got {len(self.pages)} pages of "
                "different kinds; save the one to use in a file of its own"
            )
        return super()._series_generic()


def _check_chain(path: Path, tif: TiffFile) -> None:
    """Follow the offsets from page to page, and to the pages below each, to the end of the file."""
    try:
        ahead = [tif.pages.first.offset]
    except IndexError as exc:
        raise FormatError(f"{path}: is truncated: it holds no page; {_TRUNCATED}") from exc
    seen, claimed = set[int](), 0
    while ahead:
        offset = ahead.pop()
        if offset in seen:
            raise FormatError(f"{path}: is corrupt (its pages form a circle); {_TRUNCATED}")
        seen.add(offset)
        try:
            page = _read_page(tif, offset)
        except struct.error as exc:
            raise FormatError(
                f"{path}: is truncated: page {len(seen) - 1} lies beyond the end of the file "
                f"({tif.filehandle.size} bytes); {_TRUNCATED}"
            ) from exc
        claimed += page.value_bytes
        if page.tags < _FEWEST_TAGS or claimed > _MOST_SHARED * tif.filehandle.size:
            raise FormatError(
                f"{path}: is corrupt: page {len(seen) - 1} has {page.tags} tags of "
                f"{page.value_bytes:,} bytes, as no page of an image does; {_TRUNCATED}"
            )
        ahead += page.following


class _Page(NamedTuple):
    tags: int
    value_bytes: int
    following: list[int]


def _read_page(tif: TiffFile, offset: int) -> _Page:
    """Read which pages a page names, and how much its tags hold; struct.error beyond the end."""
    handle, tiff = tif.filehandle, tif.tiff
    (count,) = struct.unpack(tiff.tagnoformat, _read_at(handle, offset, tiff.tagnosize))
    tags = _read_at(handle, offset + tiff.tagnosize, count * tiff.tagsize)
    after = offset + tiff.tagnosize + count * tiff.tagsize
    (following,) = struct.unpack(tiff.offsetformat, _read_at(handle, after, tiff.offsetsize))
    order, wide = tiff.offsetformat[0], tiff.offsetsize
    layout = struct.Struct(f"{order}HH{tiff.offsetformat[1]}{wide}s")
    held, pages = 0, [following]
    for tag, kind, number, value in layout.iter_unpack(tags):
        size = number * struct.calcsize(TIFF.DATA_FORMATS.get(kind, "1s"))
        if size > wide:
            (at,) = struct.unpack(tiff.offsetformat, value)
            if at + size <= handle.size:
                held += size
            elif tag < _PRIVATE:
                # Private tags are often damaged in files that are otherwise whole.
                raise struct.error("values beyond the end")
        if tag == _SUB_PAGES and kind in _OFFSET_KINDS:
            packed = value[:size] if size <= wide else _read_at(handle, at, size)
            pages += [page for (page,) in struct.iter_unpack(order + _OFFSET_KINDS[kind], packed)]
    return _Page(count, held, [page for page in pages if page])


def _read_at(handle: FileHandle, offset: int, size: int) -> bytes:
    """Read bytes; struct.error where the file has fewer."""
    if offset + size > handle.size:
        raise struct.error("beyond the end")
    handle.seek(offset)
    return bytes(handle.read(size))


def check_shared(path: Path, file_bytes: int, voxel_bytes: int) -> None:
    """Refuse pages whose voxels are the same few bytes again and again.

    Parameters
    ----------
    path : Path
    file_bytes : int
        What all files of the image hold.
    voxel_bytes : int
        What all pages name, packed as it is.

    Raises
    ------
    FormatError
    """
    if voxel_bytes > _MOST_SHARED * file_bytes:
        raise FormatError(
            f"{path}: is corrupt: its pages name {voxel_bytes:,} bytes of voxels, where the file "
            f"has {file_bytes:,}; {_TRUNCATED}"
        )


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
    whole = all(isinstance(number, int) for number in (*offsets, *byte_counts))
    if not offsets or len(offsets) != len(byte_counts) or not whole:
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
