"""How large packed bytes become, found without keeping what comes out of them."""

from __future__ import annotations

import bz2
import lzma
import struct
import zlib
from collections.abc import Callable, Iterator
from typing import Any

_FED, _PIECE = 1 << 12, 1 << 20
"""Bytes that go in and come out at a time."""
_MOST_DEFLATED, _HARMLESS = 1040, 1 << 28
"""Deflate makes a thousand bytes of one at most; what cannot become large is not tried."""
_ZSTD_BLOCK = 1 << 17
"""No block of a Zstandard frame becomes larger."""

_ZSTD, _SKIPPED = 0xFD2FB528, 0x184D2A50


def unpacked_bytes(name: str, packed: memoryview, most: int) -> int:
    """Return how many bytes come out of packed ones, or at least that they are more than `most`.

    Bytes that are damaged give what comes out before the damage, those that cannot become large 0.

    Parameters
    ----------
    name : str
        One of `COMPRESSORS`.
    packed : memoryview
    most : int
        More is not looked for.
    """
    return COMPRESSORS[name](packed.cast("B"), most)


def _deflated(packed: memoryview, most: int) -> int:
    if len(packed) * _MOST_DEFLATED <= max(most, _HARMLESS):
        return 0
    return _streamed(lambda: zlib.decompressobj(zlib.MAX_WBITS | 32), packed, most)


def _streamed(make: Callable[[], Any], packed: memoryview, most: int) -> int:
    """Unpack piece by piece, one stream after the other."""
    machine, size = make(), 0
    for start in range(0, len(packed), _FED):
        rest = bytes(packed[start : start + _FED])
        while rest:
            try:
                size += _given(machine, rest, most - size)
            except (zlib.error, OSError, lzma.LZMAError):
                return size
            if size > most:
                return size
            rest = machine.unused_data
            if machine.eof:
                machine = make()
    return size


def _given(machine: Any, packed: bytes, most: int) -> int:
    """Return how many bytes a stream gives for a piece of it; somewhat more than `most` at most."""
    size, piece = 0, b"any"
    while piece and not machine.eof and size <= most:
        piece = machine.decompress(packed, _PIECE)
        size += len(piece)
        # What was not taken yet: zlib hands it back, the others keep it.
        packed = getattr(machine, "unconsumed_tail", b"")
    return size


def _stated(layout: str, at: int) -> Callable[[memoryview, int], int]:
    """Read the size that the first bytes state, which is how much is asked of memory."""

    def read(packed: memoryview, most: int) -> int:
        if len(packed) < at + struct.calcsize(layout):
            return 0
        return int(struct.unpack_from(layout, packed, at)[0])

    return read


def _zstd(packed: memoryview, most: int) -> int:
    """Add what the frames state, or the most that their blocks can hold."""
    return sum(_zstd_frames(packed))


def _zstd_frames(packed: memoryview) -> Iterator[int]:
    at = 0
    while at + 8 <= len(packed):
        magic, size = struct.unpack_from("<II", packed, at)
        if magic & ~15 == _SKIPPED:
            at += 8 + size
            continue
        if magic != _ZSTD:
            return
        descriptor = packed[at + 4]
        single, flag = bool(descriptor & 32), descriptor >> 6
        at += 5 + (not single) + (0, 1, 2, 4)[descriptor & 3]
        wide = (int(single), 2, 4, 8)[flag]
        stated = int.from_bytes(packed[at : at + wide], "little") + 256 * (wide == 2)
        at, most = _zstd_blocks(packed, at + wide)
        at += 4 * bool(descriptor & 4)
        yield stated if wide else most


def _zstd_blocks(packed: memoryview, at: int) -> tuple[int, int]:
    """Return where the blocks of a frame end, and the most that they can hold."""
    size = 0
    while at + 3 <= len(packed):
        head = int.from_bytes(packed[at : at + 3], "little")
        last, kind, length = head & 1, head >> 1 & 3, head >> 3
        at += 3 + (1 if kind == 1 else length)
        size += _ZSTD_BLOCK if kind > 1 else min(length, _ZSTD_BLOCK)
        if last:
            break
    return at, size


COMPRESSORS: dict[str, Callable[[memoryview, int], int]] = {
    "gzip": _deflated,
    "zlib": _deflated,
    "bz2": lambda packed, most: _streamed(bz2.BZ2Decompressor, packed, most),
    "lzma": lambda packed, most: _streamed(lzma.LZMADecompressor, packed, most),
    "blosc": _stated("<I", 4),
    "lz4": _stated("<I", 0),
    "zstd": _zstd,
}
"""Compressors of chunks, each with what tells the size of what comes out."""
