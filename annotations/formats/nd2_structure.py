"""Whether an ND2 file is whole: the package ``nd2`` gives zeros for frames that are not there."""

from __future__ import annotations

import os
import struct
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import BinaryIO, NamedTuple

from annotations.errors import FormatError
from labels.numbers import number_of

_HEADER = struct.Struct("<IIQ")
_SIGN = 0x0ABECEDA
_END = struct.Struct("<32sQ")
_END_SIGN = b"ND2 CHUNK MAP SIGNATURE 0000001!"
_PLACE = struct.Struct("<QQ")
_FRAME = b"ImageDataSeq|"
_READ = (b"ImageAttributes", b"ImageMetadata", b"ImageTextInfo")
_LARGEST_METADATA = 32 * 2**20
_LONGEST_TEXT = 1 << 18
"""Bytes; a text is joined two by two, at a cost that grows with the square of its length."""
_PACKED, _PACKED_AT = 76, 10
_ADVICE = "copy it again from the microscope, or save it as OME-TIFF in NIS-Elements"


class Chunk(NamedTuple):
    """Where the data of a chunk are."""

    start: int
    size: int


def read_frames(path: Path) -> Mapping[int, Chunk]:
    """Return where each frame of a file is.

    Parameters
    ----------
    path : Path

    Raises
    ------
    FormatError
        No map of chunks, a chunk beyond the end of the file, or metadata without end.
    """
    with path.open("rb") as file:
        frames = {}
        for name, place in _map_of(path, file).items():
            frame = name.startswith(_FRAME) and name[len(_FRAME) : -1].isdigit()
            if not frame and not name.startswith(_READ):
                continue
            chunk = _chunk(path, file, place)
            if frame:
                frames[int(name[len(_FRAME) : -1])] = chunk
            else:
                _check_metadata(path, file, chunk)
        return frames


def _map_of(path: Path, file: BinaryIO) -> dict[bytes, int]:
    """Return where each chunk begins, by its name."""
    size = file.seek(0, os.SEEK_END)
    file.seek(max(0, size - _END.size))
    end = file.read(_END.size)
    if len(end) < _END.size or not end.startswith(_END_SIGN):
        raise FormatError(f"{path}: is truncated: it has no map of its chunks; {_ADVICE}")
    chunk = _chunk(path, file, _END.unpack(end)[1])
    file.seek(chunk.start)
    table, at, places = file.read(chunk.size), 0, {}
    while not table.startswith(_END_SIGN, at):
        stop = table.find(b"!", at) + 1
        if stop == 0 or stop + _PLACE.size > len(table):
            raise FormatError(f"{path}: is corrupt: the map of its chunks has no end; {_ADVICE}")
        places[table[at:stop]] = _PLACE.unpack_from(table, stop)[0]
        at = stop + _PLACE.size
    return places


def _chunk(path: Path, file: BinaryIO, place: int) -> Chunk:
    size = file.seek(0, os.SEEK_END)
    head = b""
    if place + _HEADER.size <= size:
        file.seek(place)
        head = file.read(_HEADER.size)
    if len(head) == _HEADER.size:
        sign, name_size, data_size = _HEADER.unpack(head)
        start = place + _HEADER.size + name_size
        if sign == _SIGN and start + data_size <= size:
            return Chunk(start, data_size)
    raise FormatError(
        f"{path}: is truncated or corrupt: a chunk at byte {place} is not there, the file has "
        f"{size} bytes; {_ADVICE}"
    )


def _check_metadata(path: Path, file: BinaryIO, chunk: Chunk) -> None:
    file.seek(chunk.start)
    data = file.read(min(chunk.size, _LARGEST_METADATA + 1))
    if data and data[0] == _PACKED:
        try:
            unpacking = zlib.decompressobj()
            data = unpacking.decompress(data[_PACKED_AT:], _LARGEST_METADATA + 1)
        except zlib.error:
            data = b""
    longest = max(map(len, data.split(b"\0\0")))
    if len(data) > _LARGEST_METADATA or longest > _LONGEST_TEXT:
        raise FormatError(
            f"{path}: its metadata take {len(data):,} bytes or more, {longest:,} of them one text, "
            f"as no microscope's do; {_ADVICE}"
        )


def check_frames(path: Path, frames: Mapping[int, Chunk], wanted: int, frame_bytes: int) -> None:
    """Refuse a file in which frames are missing, or shorter than one of them is.

    Parameters
    ----------
    path : Path
    frames : mapping of int to Chunk
        As `read_frames` returns them.
    wanted : int
        Frames of the image.
    frame_bytes : int
        Of each frame; 0 where frames are packed.

    Raises
    ------
    FormatError
    """
    there = sum(number in frames for number in range(min(wanted, len(frames) + 1)))
    if there < wanted:
        raise FormatError(
            f"{path}: is incomplete: it states {number_of(wanted, 'frame')} and holds {there}; "
            f"{_ADVICE}"
        )
    shortest = min((frames[number].size for number in range(wanted)), default=0)
    if shortest < frame_bytes:
        raise FormatError(
            f"{path}: is truncated: a frame of {frame_bytes:,} bytes has {shortest:,}; {_ADVICE}"
        )
