"""A writer of TIFF in which every tag may say anything."""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence

from tests.annotations.store_sources import noise

BYTE, ASCII, SHORT, LONG, RATIONAL, LONG8 = 1, 2, 3, 4, 5, 16
WIDTH, LENGTH, BITS, COMPRESSION, PHOTOMETRIC, DESCRIPTION = 256, 257, 258, 259, 262, 270
OFFSETS, SAMPLES, ROWS, COUNTS, XRES, YRES, PLANAR, UNIT = 273, 277, 278, 279, 282, 283, 284, 296
SOFTWARE, PREDICTOR, TILE_WIDTH, TILE_LENGTH = 305, 317, 322, 323
TILE_OFFSETS, TILE_COUNTS, SUB_IFDS, EXTRA, FORMAT = 324, 325, 330, 338, 339
IJ_COUNTS, IJ_DATA = 50838, 50839

_SIZES = {BYTE: "B", ASCII: "B", SHORT: "H", LONG: "I", RATIONAL: "I", LONG8: "Q"}

Tag = tuple[int, int | Sequence[int] | bytes] | None
Tags = Mapping[int, Tag]

PLANE = noise()[0, 0].astype("<u2").tobytes()
HEIGHT, COLUMNS = 40, 30


def page(offset: int, **changes: Tag) -> dict[int, Tag]:
    """Tags of a plane of 40 x 30 pixels of 16 bits."""
    return {
        WIDTH: (LONG, COLUMNS),
        LENGTH: (LONG, HEIGHT),
        BITS: (SHORT, 16),
        COMPRESSION: (SHORT, 1),
        PHOTOMETRIC: (SHORT, 1),
        OFFSETS: (LONG, offset),
        SAMPLES: (SHORT, 1),
        ROWS: (LONG, HEIGHT),
        COUNTS: (LONG, len(PLANE)),
        FORMAT: (SHORT, 1),
        **{int(name.removeprefix("t")): tag for name, tag in changes.items()},
    }


def tiff(
    first: Tags | None = None, every: Tags | None = None, *, pages: int = 20, data: bytes = b""
) -> bytes:
    """Write planes, with changes of the tags of the first one and of all."""
    body = b"II*\0" + bytes(4) + (data or noise()[0, :pages].astype("<u2").tobytes())
    body += bytes(len(body) % 2)
    chain = 4
    for i in range(pages):
        tags = {**page(8 + i * len(PLANE) * (not data)), **(every or {})}
        tags |= (first or {}) if i == 0 else {}
        body, at, chain_next = add_ifd(body, tags)
        body = pointed(body, chain, at)
        chain = chain_next
    return body


def add_ifd(body: bytes, tags: Tags) -> tuple[bytes, int, int]:
    """Append a page; returns the file, where the page is, and where it names the next one."""
    entries = []
    for number, tag in sorted(tags.items()):
        if tag is None:
            continue
        kind, given = tag
        values = [given] if isinstance(given, int) else list(given)
        packed = struct.pack(f"<{len(values)}{_SIZES[kind]}", *values)
        count = len(values) // (2 if kind == RATIONAL else 1)
        if len(packed) > 4:
            at = len(body)
            body += packed + bytes(len(packed) % 2)
            packed = struct.pack("<I", at)
        entries.append(struct.pack("<HHI", number, kind, count) + packed.ljust(4, b"\0"))
    at = len(body)
    body += struct.pack("<H", len(entries)) + b"".join(entries) + bytes(4)
    return body, at, len(body) - 4


def pointed(body: bytes, place: int, at: int) -> bytes:
    return body[:place] + struct.pack("<I", at) + body[place + 4 :]


def text(words: str) -> Tag:
    return ASCII, words.encode() + b"\0"
