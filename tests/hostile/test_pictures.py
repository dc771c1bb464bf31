"""Pictures that claim any size, and pictures that are something else."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.annotations.store_sources import noise

GREY = noise()[0, 0].astype(np.uint8)
SIGNATURE = b"\x89PNG\r\n\x1a\n"


def chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def png(
    width: int = 30,
    height: int = 40,
    *,
    depth: int = 8,
    colour: int = 0,
    voxels: bytes | None = None,
    more: bytes = b"",
    interlaced: int = 0,
) -> bytes:
    head = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, interlaced)
    rows = b"".join(b"\0" + row.tobytes() for row in GREY)
    packed = zlib.compress(rows if voxels is None else voxels)
    return SIGNATURE + chunk(b"IHDR", head) + more + chunk(b"IDAT", packed) + chunk(b"IEND", b"")


def saved(image: Image.Image, kind: str, **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def animated() -> bytes:
    frames = [Image.fromarray(GREY + i) for i in range(3)]
    return saved(frames[0], "PNG", save_all=True, append_images=frames[1:])


def turned() -> bytes:
    exif = Image.Exif()
    exif[0x0112] = 6
    return saved(Image.fromarray(GREY), "PNG", exif=exif)


def bmp(width: int, height: int, bits: int = 8, compression: int = 0) -> bytes:
    head = struct.pack("<IiiHHIIiiII", 40, width, height, 1, bits, compression, 0, 0, 0, 0, 0)
    palette = b"".join(bytes([i, i, i, 0]) for i in range(256))
    start = 14 + len(head) + len(palette)
    file = b"BM" + struct.pack("<IHHI", start + 1280, 0, 0, start) + head + palette
    return file + bytes(range(256)) * 5


PICTURES: dict[str, Callable[[], bytes]] = {
    "2**31 by 2**31 pixels": lambda: png(2**31 - 1, 2**31 - 1),
    "100,000 by 100,000 pixels": lambda: png(100_000, 100_000),
    "13,000 by 13,000 pixels that are not there": lambda: png(13_000, 13_000),
    "13,000 by 13,000 numbers of colours in 200 bytes": lambda: png(
        13_000, 13_000, colour=3, voxels=bytes(100), more=chunk(b"PLTE", bytes(range(24)))
    ),
    "no pixel": lambda: png(0, 0),
    "20 MB of pixels for 1,200": lambda: png(voxels=bytes(20 << 20)),
    "a text of 70 MB": lambda: png(more=chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(70 << 20)))),
    "a profile of 70 MB": lambda: png(
        more=chunk(b"iCCP", b"a\0\0" + zlib.compress(bytes(70 << 20)))
    ),
    "7 bits": lambda: png(depth=7),
    "colours of an unknown kind": lambda: png(colour=5),
    "colours of 16 bits": lambda: png(depth=16, colour=2, voxels=bytes(40 * 181)),
    "fewer pixels than it says": lambda: png(voxels=bytes(100)),
    "no pixels at all": lambda: png(voxels=b""),
    "a wrong sum": lambda: png()[:-30] + b"\0" + png()[-29:],
    "a cut end": lambda: png()[:-40],
    "a header only": lambda: png()[:33],
    "a signature only": lambda: SIGNATURE,
    "a chunk of 2**31 bytes": lambda: SIGNATURE + struct.pack(">I", 2**31 - 1) + b"IHDR",
    "an animation": animated,
    "to be turned": turned,
    "numbers of colours": lambda: saved(
        Image.fromarray(np.stack([GREY, GREY // 2, GREY // 3], -1)).quantize(16), "PNG"
    ),
    "CMYK": lambda: saved(Image.new("CMYK", (30, 40)), "JPEG"),
    "JPEG of noise": lambda: b"\xff\xd8\xff\xe0" + bytes(range(256)),
    "a cut JPEG": lambda: saved(Image.fromarray(GREY), "JPEG")[:300],
    "GIF": lambda: saved(Image.fromarray(GREY), "GIF"),
    "TIFF": lambda: saved(Image.fromarray(GREY), "TIFF"),
    "PPM": lambda: b"P5 30 40 255\n" + GREY.tobytes(),
    "EPS": lambda: b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 30 40\n%%EndComments\n",
    "SVG": lambda: b"<svg xmlns='http://www.w3.org/2000/svg'/>",
    "BMP of 2**31 by 2**31 pixels": lambda: bmp(2**31 - 1, 2**31 - 1),
    "BMP of -30 pixels": lambda: bmp(-30, 40),
    "BMP of no pixel": lambda: bmp(0, 0),
    "BMP of 77 bits": lambda: bmp(30, 40, 77),
    "BMP packed in an unknown way": lambda: bmp(30, 40, 8, 99),
    "BMP without pixels": lambda: bmp(30, 40)[:200],
    "one value": lambda: saved(Image.new("L", (30, 40), 7), "PNG"),
}


@pytest.mark.parametrize("make", PICTURES.values(), ids=PICTURES)
def test_a_picture_that_is_none(
    refused: Callable[..., str], project: Path, tmp_path: Path, make: Callable[[], bytes]
) -> None:
    file = tmp_path / "new.png"
    file.write_bytes(make())
    assert file.name in refused("add", project, file, "--spacing-um", 1, 0.5, 0.4)


LABELS: dict[str, Callable[[], bytes]] = {
    "JPEG": lambda: saved(Image.fromarray(GREY), "JPEG"),
    "colours": lambda: saved(Image.fromarray(np.stack([GREY, GREY // 2, GREY], -1)), "PNG"),
    "transparency": lambda: saved(Image.fromarray(np.stack([GREY, GREY], -1)), "PNG"),
    "one slice of twenty": lambda: saved(Image.fromarray(GREY), "PNG"),
}


@pytest.mark.parametrize("make", LABELS.values(), ids=LABELS)
def test_a_picture_that_holds_no_labels(
    refused: Callable[..., str], project: Path, tmp_path: Path, make: Callable[[], bytes]
) -> None:
    file = tmp_path / "labels.png"
    file.write_bytes(make())
    assert str(file) in refused("import", project, "s", file, "--annotator=anna")
