"""Changes of files that a reader may stumble over: of bytes, and of what the bytes mean."""

from __future__ import annotations

import io
import json
import random
import re
import struct
import warnings
import zipfile
import zlib
from collections.abc import Callable
from typing import Any

INTERESTING = (0, 1, -1, 2, 7, 16, 127, 128, 255, 256, 32767, 32768, 65535, 65536)
INTERESTING += (2**31 - 1, 2**31, 2**32 - 1, 2**32, 2**53, 2**62, 2**63 - 1, 2**63, 2**64 - 1)
NUMBERS = (b"-1", b"0", b"1e999", b"1e-320", b"NaN", b"inf", b"9" * 19, b"9" * 400, b"", b"0.5")
MOST_BYTES = 1 << 20


def mutate(rng: random.Random, data: bytes, tokens: tuple[bytes, ...]) -> bytes:
    """Change a file's bytes once or a few times."""
    for _ in range(1 + int(rng.expovariate(0.8))):
        change = _by_content(data) if rng.random() < 0.6 else None
        data = (change or _of_bytes)(rng, data, tokens)
    return data[:MOST_BYTES]


def _by_content(data: bytes) -> Callable[..., bytes] | None:
    """Return what changes the meaning of a file of some kind, None for one of another."""
    for start, change in _KINDS.items():
        if data.startswith(start):
            return change
    return _in_text if data[:200].isascii() else None


def _of_bytes(rng: random.Random, data: bytes, tokens: tuple[bytes, ...]) -> bytes:
    at = rng.randrange(len(data) + 1)
    size = min(rng.choice((1, 1, 2, 4, 8, 16, 200)), len(data) - at)
    match rng.randrange(8):
        case 0:
            return data[:at]
        case 1:
            return data[:at] + data[at + size :]
        case 2:
            return data[:at] + data[at : at + size] * rng.choice((2, 3, 100)) + data[at + size :]
        case 3:
            return data[:at] + rng.randbytes(size) + data[at + size :]
        case 4 | 5:
            return _with_number(rng, data, at)
        case 6 if tokens:
            return data[:at] + rng.choice(tokens) + data[at:]
    if at == len(data):
        return data
    return data[:at] + bytes([data[at] ^ 1 << rng.randrange(8)]) + data[at + 1 :]


def _with_number(rng: random.Random, data: bytes, at: int) -> bytes:
    size = rng.choice((1, 2, 4, 8))
    number = rng.choice(INTERESTING) % (1 << 8 * size)
    packed = number.to_bytes(size, rng.choice(("little", "big")))
    return data[:at] + packed + data[at + size :]


def _in_text(rng: random.Random, data: bytes, tokens: tuple[bytes, ...]) -> bytes:
    """Change JSON by its values; of other texts a number, a word or a line."""
    if data[:1] in (b"{", b"["):
        try:
            return json.dumps(_changed(rng, json.loads(data))).encode()
        except (ValueError, RecursionError):
            pass
    found = list(re.finditer(rb"[-+.\w]+", data[:50_000]))
    if not found:
        return _of_bytes(rng, data, tokens)
    one = rng.choice(found)
    return data[: one.start()] + rng.choice((*NUMBERS, *tokens, one[0] * 2)) + data[one.end() :]


def _changed(rng: random.Random, value: Any) -> Any:
    """Change one value somewhere below."""
    if not isinstance(value, dict | list) or not value or rng.random() < 0.15:
        return rng.choice(_VALUES)(rng, value)
    key = rng.choice(list(value) if isinstance(value, dict) else range(len(value)))
    match rng.randrange(12):
        case 0:
            del value[key]
        case 1 if isinstance(value, dict):
            value[str(key) + "x"] = value.pop(key)
        case 2 if isinstance(value, list):
            value.extend(value[:50])
        case _:
            value[key] = _changed(rng, value[key])
    return value


_VALUES: tuple[Callable[[random.Random, Any], Any], ...] = (
    lambda rng, value: None,
    lambda rng, value: rng.choice((True, False)),
    lambda rng, value: rng.choice(INTERESTING),
    lambda rng, value: rng.choice((1e308, -1e308, 1e-320, 0.5, float("nan"), float("inf"), 10**30)),
    lambda rng, value: rng.choice(("", "a", "../a", "a\0", "\x1b[31m", "é" * 300, "0", "nan")),
    lambda rng, value: [value],
    lambda rng, value: {"a": value},
    lambda rng, value: [value] * rng.choice((0, 2, 1000)),
    lambda rng, value: -value if isinstance(value, int | float) else str(value),
    lambda rng, value: json.loads("[" * 300 + "]" * 300),
)


def _in_zip(rng: random.Random, data: bytes, tokens: tuple[bytes, ...]) -> bytes:
    """Change a member, and write the archive anew so that its sums are right."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            members = [(m.filename, archive.read(m)) for m in archive.infolist()]
    except (zipfile.BadZipFile, RuntimeError, NotImplementedError, ValueError, OSError, zlib.error):
        return _of_bytes(rng, data, tokens)
    if not members:
        return _of_bytes(rng, data, tokens)
    i = rng.randrange(len(members))
    name, inner = members[i]
    members[i] = (name, mutate(rng, inner, tokens))
    if rng.random() < 0.1:
        members[i] = (
            _in_text(rng, name.encode(errors="replace"), tokens).decode(errors="replace"),
            inner,
        )
    file = io.BytesIO()
    with warnings.catch_warnings(), zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        warnings.simplefilter("ignore")
        for each, content in members:
            archive.writestr(zipfile.ZipInfo(each or "a"), content)
    return file.getvalue()


def _in_png(rng: random.Random, data: bytes, tokens: tuple[bytes, ...]) -> bytes:
    """Change a chunk, and its sum with it."""
    chunks, at = [], 8
    while at + 12 <= len(data):
        (size,) = struct.unpack_from(">I", data, at)
        chunks.append((data[at + 4 : at + 8], data[at + 8 : at + 8 + size]))
        at += 12 + size
    if not chunks:
        return _of_bytes(rng, data, tokens)
    i = rng.randrange(len(chunks))
    name, content = chunks[i]
    chunks[i] = name, _of_bytes(rng, content, tokens)
    out = data[:8]
    for name, content in chunks:
        sum_ = zlib.crc32(name + content)
        out += struct.pack(">I", len(content)) + name + content + struct.pack(">I", sum_)
    return out


def _in_tiff(rng: random.Random, data: bytes, tokens: tuple[bytes, ...]) -> bytes:
    """Change a number of a tag: its code, kind, count, value, or what its value points to."""
    entries = list(_entries(data))
    if not entries or rng.random() < 0.2:
        found = list(re.finditer(rb"\d+", data[:20_000]))
        if not found:
            return _of_bytes(rng, data, tokens)
        one = rng.choice(found)
        number = rng.choice((b"9", b"0", b"1")) * len(one[0])
        return data[: one.start()] + number + data[one.end() :]
    at = rng.choice(entries)
    place, layout = rng.choice(((0, "<H"), (2, "<H"), (4, "<I"), (8, "<I"), (8, "<I")))
    if rng.random() < 0.2:
        (there,) = struct.unpack_from("<I", data, at + 8)
        if there + 4 <= len(data):
            at, place, layout = there, 0, "<I"
    value = rng.choice((*INTERESTING, rng.randrange(len(data) + 1), rng.randrange(400)))
    changed = bytearray(data)
    struct.pack_into(layout, changed, at + place, value % (1 << 8 * struct.calcsize(layout)))
    return bytes(changed)


def _entries(data: bytes) -> Any:
    """Where the tags of all pages stand in a TIFF."""
    seen: set[int] = set()
    (at,) = struct.unpack_from("<I", data, 4) if len(data) >= 8 else (0,)
    while at and at not in seen and at + 2 <= len(data):
        seen.add(at)
        (count,) = struct.unpack_from("<H", data, at)
        end = at + 2 + 12 * count
        if end + 4 > len(data):
            return
        yield from range(at + 2, end, 12)
        (at,) = struct.unpack_from("<I", data, end)


def _in_npy(rng: random.Random, data: bytes, tokens: tuple[bytes, ...]) -> bytes:
    """Change the header, and its length with it."""
    if len(data) < 10:
        return _of_bytes(rng, data, tokens)
    (size,) = struct.unpack_from("<H", data, 8)
    changed = _in_text(rng, data[10 : 10 + size], tokens)[:60_000]
    return data[:8] + struct.pack("<H", len(changed)) + changed + data[10 + size :]


_KINDS: dict[bytes, Callable[..., bytes]] = {
    b"PK": _in_zip,
    b"\x89PNG": _in_png,
    b"II*\0": _in_tiff,
    b"\x93NUMPY\x01": _in_npy,
}
