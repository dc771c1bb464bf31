"""TIFF files whose tags lie, whose pages have no end, and whose bytes become more than memory."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tifffile

from tests.annotations.store_sources import noise
from tests.hostile import tiff_parts as t
from tests.hostile.tiff_parts import ASCII, LONG, SHORT, add_ifd, page, pointed, text, tiff

STATED = ["--axes=ZYX", "--spacing-um", 2, 0.5, 0.4]


def first(number: int, kind: int, values: object) -> Callable[[], bytes]:
    return lambda: tiff({number: (kind, values)})  # type: ignore[dict-item]


def every(number: int, kind: int, values: object) -> Callable[[], bytes]:
    return lambda: tiff(every={number: (kind, values)})  # type: ignore[dict-item]


def without(*numbers: int) -> Callable[[], bytes]:
    return lambda: tiff(every=dict.fromkeys(numbers))


def circle() -> bytes:
    """The second page names the first one as the next."""
    whole = tiff(pages=2)
    (at,) = struct.unpack_from("<I", whole, 4)
    return whole[:-4] + struct.pack("<I", at)


def claimed(count: int, number: int = t.DESCRIPTION) -> bytes:
    """A tag that says it has so many values."""
    whole = bytearray(tiff({number: text("hello hello")}, pages=1))
    (at,) = struct.unpack_from("<I", whole, 4)
    (entries,) = struct.unpack_from("<H", whole, at)
    for i in range(entries):
        place = at + 2 + 12 * i
        if struct.unpack_from("<H", whole, place)[0] == number:
            struct.pack_into("<I", whole, place + 4, count)
    return bytes(whole)


def empty_pages(count: int) -> bytes:
    """Pages without a tag."""
    offsets = range(8, 8 + 6 * count, 6)
    pages = [struct.pack("<HI", 0, 0 if i == count - 1 else at + 6) for i, at in enumerate(offsets)]
    return b"II*\0" + struct.pack("<I", 8) + b"".join(pages)


def sub_pages(nested: int, each: int) -> bytes:
    """Pages in pages: each names the same ones below it several times."""
    shaped = {t.DESCRIPTION: text('{"shape": [40, 30]}'), t.SOFTWARE: text("tifffile.py")}
    body, at, _ = add_ifd(b"II*\0" + bytes(4) + t.PLANE, {**page(8), **shaped})
    for _ in range(nested):
        body, at, _ = add_ifd(body, {**page(8), **shaped, t.SUB_IFDS: (LONG, [at] * each)})
    return pointed(body, 4, at)


def mixed_pages(count: int) -> bytes:
    """Pages of one kind but for the last one."""
    whole, _, _ = add_ifd(b"", page(8))
    small = page(8) | {t.WIDTH: (LONG, 15), t.COUNTS: (LONG, 1200)}
    last, _, _ = add_ifd(b"", small)
    start, size = 8 + len(t.PLANE), len(whole)
    pages = [whole[:-4] + struct.pack("<I", start + (i + 1) * size) for i in range(count)]
    return pointed(b"II*\0" + bytes(4) + t.PLANE, 4, start) + b"".join(pages) + last


def itself_below(each: int) -> bytes:
    """A page whose pages below are itself."""
    shaped = {t.DESCRIPTION: text('{"shape": [40, 30]}'), t.SOFTWARE: text("tifffile.py")}
    start = b"II*\0" + bytes(4) + t.PLANE
    _, at, _ = add_ifd(start, {**page(8), **shaped, t.SUB_IFDS: (LONG, [1] * each)})
    body, at, _ = add_ifd(start, {**page(8), **shaped, t.SUB_IFDS: (LONG, [at] * each)})
    return pointed(body, 4, at)


def bomb(compression: int, packed: bytes, side: int, rows: int) -> bytes:
    """One page whose strips are all the same few packed bytes."""
    strips = side // rows
    tags = {t.WIDTH: (LONG, side), t.LENGTH: (LONG, side), t.COMPRESSION: (SHORT, compression)}
    tags |= {t.ROWS: (LONG, rows), t.OFFSETS: (LONG, [8] * strips)}
    tags |= {t.COUNTS: (LONG, [len(packed)] * strips)}
    return tiff(tags, pages=1, data=packed)


def deflated(side: int, rows: int) -> bytes:
    return zlib.compress(bytes(2 * side * rows), 9)


def shared(pages: int) -> bytes:
    """Many pages, each of which names the same tag of 1 MB."""
    body = b"II*\0" + bytes(4) + t.PLANE + b"x" * (1 << 20)
    entry, chain = struct.pack("<HHII", t.DESCRIPTION, ASCII, 1 << 20, 8 + len(t.PLANE)), 4
    parts, at = [], len(body)
    for i in range(pages):
        _, _, _ = add_ifd(b"", {})
        whole, _, _ = add_ifd(b"", page(8))
        tags = [whole[2 + 12 * k : 14 + 12 * k] for k in range((len(whole) - 6) // 12)]
        tags = sorted([*tags, entry], key=lambda tag: struct.unpack("<H", tag[:2]))
        size = 2 + 12 * len(tags) + 4
        after = 0 if i == pages - 1 else at + size
        parts.append(struct.pack("<H", len(tags)) + b"".join(tags) + struct.pack("<I", after))
        at += size
    return pointed(body, chain, len(body)) + b"".join(parts)


def big(*fields: tuple[str, int]) -> bytes:
    """A BigTIFF of one page that begins with these numbers."""
    head = b"II+\0" + struct.pack("<HHQ", 8, 0, 16)
    return head + b"".join(struct.pack(f"<{kind}", value) for kind, value in fields) + bytes(8)


TAGS: dict[str, Callable[[], bytes]] = {
    "pages in a circle": circle,
    "a first page beyond the file": lambda: b"II*\0" + struct.pack("<I", 2**31) + bytes(100),
    "a first page in the header": lambda: b"II*\0" + struct.pack("<I", 2) + bytes(100),
    "no page": lambda: b"II*\0" + bytes(100),
    "a header only": lambda: b"II*\0",
    "bytes of an unknown order": lambda: b"XX*\0" + bytes(100),
    "BigTIFF with a page beyond the file": lambda: (
        b"II+\0" + struct.pack("<HHQ", 8, 0, 2**62) + bytes(99)
    ),
    "BigTIFF with 2**60 tags": lambda: big(("Q", 2**60)),
    "BigTIFF with a tag of 2**60 values": lambda: big(
        ("Q", 1), ("H", 256), ("H", 4), ("Q", 2**60), ("Q", 16)
    ),
    "65,535 tags": lambda: (
        b"II*\0" + struct.pack("<IH", 8, 65535) + struct.pack("<HHII", 256, 3, 1, 1) * 20
    ),
    "100,000 pages without tags": lambda: empty_pages(100_000),
    "pages in pages, 2**40 of them": lambda: sub_pages(20, 4),
    "20,000 pages of two kinds": lambda: mixed_pages(20_000),
    "a page below itself": lambda: itself_below(1),
    "a page below itself, twice": lambda: itself_below(2),
    "500 pages that share a tag of 1 MB": lambda: shared(500),
    "a tag of 2**31 values": lambda: claimed(2**31),
    "a tag of 2**32 - 1 values": lambda: claimed(2**32 - 1),
    "a width of 0": every(t.WIDTH, LONG, 0),
    "a width of 2**32 - 1": every(t.WIDTH, LONG, 2**32 - 1),
    "2**31 by 2**31 pixels": lambda: tiff(
        every={t.WIDTH: (LONG, 2**31), t.LENGTH: (LONG, 2**31), t.ROWS: (LONG, 2**31)}
    ),
    "no width": without(t.WIDTH),
    "no strips": without(t.OFFSETS, t.COUNTS),
    "strips beyond the file": first(t.OFFSETS, LONG, 2**31),
    "a strip of 2**32 - 1 bytes": first(t.COUNTS, LONG, 2**32 - 1),
    "a strip of no byte": first(t.COUNTS, LONG, 0),
    "more sizes than strips": first(t.COUNTS, LONG, [10] * 1000),
    "0 bits": every(t.BITS, SHORT, 0),
    "65,535 bits": every(t.BITS, SHORT, 65535),
    "65,535 samples": every(t.SAMPLES, SHORT, 65535),
    "an unknown kind of numbers": every(t.FORMAT, SHORT, 99),
    "complex numbers": lambda: tiff(every={t.FORMAT: (SHORT, 6), t.BITS: (SHORT, 64)}),
    "an unknown compression": every(t.COMPRESSION, SHORT, 12345),
    "JPEG that is none": every(t.COMPRESSION, SHORT, 7),
    "deflate that is none": every(t.COMPRESSION, SHORT, 8),
    "LZW that is none": every(t.COMPRESSION, SHORT, 5),
    "Zstandard that is none": every(t.COMPRESSION, SHORT, 50000),
    "an unknown predictor": lambda: tiff(
        every={t.PREDICTOR: (SHORT, 77), t.COMPRESSION: (SHORT, 8)}
    ),
    "tiles of no width": lambda: tiff(every={t.TILE_WIDTH: (LONG, 0), t.TILE_LENGTH: (LONG, 16)}),
    "tiles 2**31 wide": lambda: tiff(
        every={t.TILE_WIDTH: (LONG, 2**31), t.TILE_LENGTH: (LONG, 2**31)}
        | {t.TILE_OFFSETS: (LONG, 8), t.TILE_COUNTS: (LONG, 100), t.OFFSETS: None, t.COUNTS: None}
    ),
    "tiles of one pixel": lambda: tiff(
        every={t.WIDTH: (LONG, 10**5), t.LENGTH: (LONG, 10**5), t.TILE_WIDTH: (LONG, 1)}
        | {t.TILE_LENGTH: (LONG, 1), t.TILE_OFFSETS: (LONG, 8), t.TILE_COUNTS: (LONG, 1)}
        | {t.OFFSETS: None, t.COUNTS: None, t.COMPRESSION: (SHORT, 8)}
    ),
    "pages of different sizes": lambda: tiff({t.WIDTH: (LONG, 15), t.COUNTS: (LONG, 1200)}),
}


@pytest.mark.parametrize("make", TAGS.values(), ids=TAGS)
def test_tags_that_lie(
    refused: Callable[..., str], project: Path, tmp_path: Path, make: Callable[[], bytes]
) -> None:
    file = tmp_path / "new.tif"
    file.write_bytes(make())
    assert str(file) in refused("add", project, file, *STATED)


PLANES: dict[str, Callable[[], bytes]] = {
    "a deflated page of 8 GB": lambda: bomb(8, deflated(2**16, 256), 2**16, 256),
    "a deflated page of 200 MB, too large for a slab": lambda: bomb(
        8, deflated(10_000, 500), 10_000, 500
    ),
    "a deflated page of a million strips, and one of them": lambda: tiff(
        {t.LENGTH: (LONG, 2**24), t.COMPRESSION: (SHORT, 8), t.ROWS: (LONG, 12)},
        pages=1,
        data=zlib.compress(bytes(720)),
    ),
    "a packed page of 2**62 bytes": lambda: bomb(8, zlib.compress(bytes(1000)), 2**31 - 1, 2**30),
}


@pytest.mark.parametrize("make", PLANES.values(), ids=PLANES)
def test_a_plane_beyond_memory(
    refused: Callable[..., str], project: Path, tmp_path: Path, make: Callable[[], bytes]
) -> None:
    file = tmp_path / "new.tif"
    file.write_bytes(make())
    assert str(file) in refused("add", project, file, "--axes=YX", *STATED[1:])


DESCRIPTIONS: dict[str, str] = {
    "ImageJ with 10**9 images": "ImageJ=1.53\nimages=1000000000\nslices=1000000000\n",
    "ImageJ with 10**9 images of 20": "ImageJ=1.53\nimages=1000000000\n",
    "ImageJ with -1 slices": "ImageJ=1.53\nimages=20\nslices=-1\n",
    "ImageJ with slices of text": "ImageJ=1.53\nimages=20\nslices=many\n",
    "ImageJ with half a slice": "ImageJ=1.53\nimages=20\nslices=0.5\n",
    "ImageJ with NaN slices": "ImageJ=1.53\nimages=20\nslices=nan\n",
    "ImageJ with 10**400 slices": f"ImageJ=1.53\nimages=20\nslices={10**400}\n",
    "ImageJ with 5,000 digits": f"ImageJ=1.53\nimages=20\nslices={'9' * 5000}\n",
    "ImageJ with no channel": "ImageJ=1.53\nimages=20\nchannels=0\nslices=20\n",
    "ImageJ with frames and slices that are too many": "ImageJ=1.53\nslices=20\nframes=20\n",
    "ImageJ with a voxel of NaN": "ImageJ=1.53\nimages=20\nslices=20\nunit=um\nspacing=nan\n",
    "ImageJ with a voxel of 1e300": "ImageJ=1.53\nimages=20\nslices=20\nunit=um\nspacing=1e300\n",
    "ImageJ with an unknown unit": "ImageJ=1.53\nimages=20\nslices=20\nunit=furlong\nspacing=1\n",
    "a shape of 10**9": '{"shape": [1000000000, 40, 30]}',
    "a shape of -1": '{"shape": [-1, 40, 30]}',
    "a shape of texts": '{"shape": ["20", "40", "30"]}',
    "a shape of 5,000 digits": f'{{"shape": [{"9" * 5000}, 40, 30]}}',
    "a shape without end": '{"shape": ' + "[" * 100_000,
    "a shape that is none": '{"shape": {}}',
    "a shape and axes of another length": '{"shape": [20, 40, 30], "axes": "ZYXCT"}',
    "Micro-Manager": '{"Micro-Manager": 1}',
    "ScanImage": "SI.VERSION_MAJOR = 5\nstate.configPath = ''\n",
    "SVS": "Aperio Image Library\r\n|AppMag = nan|MPP = x",
    "FluoView": "[Intensity Mapping]\r\nMap Ch0: Range=1 to 2",
}


@pytest.mark.parametrize("words", DESCRIPTIONS.values(), ids=DESCRIPTIONS)
def test_descriptions_that_lie(
    refused: Callable[..., str], project: Path, tmp_path: Path, words: str
) -> None:
    file = tmp_path / "new.tif"
    file.write_bytes(tiff({t.DESCRIPTION: text(words), t.SOFTWARE: text("tifffile.py")}))
    assert str(file) in refused("add", project, file)


VALUES: dict[str, Callable[[Path], object]] = {
    "NaN": lambda path: tifffile.imwrite(path, np.full((20, 40, 30), np.nan, np.float32)),
    "1e302": lambda path: tifffile.imwrite(path, noise()[0] * 1e300),
    "64-bit whole numbers": lambda path: tifffile.imwrite(path, noise()[0].astype(np.int64)),
    "complex numbers": lambda path: tifffile.imwrite(path, noise()[0].astype(np.complex64)),
    "one value": lambda path: tifffile.imwrite(path, np.ones((20, 40, 30), np.uint16)),
    "five axes": lambda path: tifffile.imwrite(path, noise()[None].repeat(2, 0)),
}


@pytest.mark.parametrize("write", VALUES.values(), ids=VALUES)
def test_voxels_that_are_no_intensities(
    refused: Callable[..., str], project: Path, tmp_path: Path, write: Callable[[Path], object]
) -> None:
    write(tmp_path / "new.tif")
    assert "new.tif" in refused("add", project, tmp_path / "new.tif", *STATED)
