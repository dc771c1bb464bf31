"""ROIs of nobody's ImageJ: outlines without end or sense, archives larger than they look."""

from __future__ import annotations

import io
import struct
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from roifile import ROI_TYPE, ImagejRoi

DEPTH, HEIGHT, WIDTH = 20, 40, 30


def polygon(points: object, **changes: object) -> bytes:
    roi = ImagejRoi.frompoints(np.asarray(points), name="a")
    return with_changes(roi, **{"position": 1, **changes})


def shape(kind: ROI_TYPE, **changes: object) -> bytes:
    sizes = {"left": 2, "top": 2, "right": 12, "bottom": 12, "position": 1, **changes}
    return with_changes(ImagejRoi(name="a", roitype=kind), **sizes)


def with_changes(roi: ImagejRoi, **changes: object) -> bytes:
    for name, value in changes.items():
        setattr(roi, name, value)
    return bytes(roi.tobytes())


def finely(kind: ROI_TYPE, x: float, y: float, width: float, height: float) -> bytes:
    """An oval or a rectangle between pixels."""
    whole = bytearray(shape(kind))
    whole[4:6] = struct.pack(">h", 227)
    whole[18:34] = struct.pack(">ffff", x, y, width, height)
    whole[50:52] = struct.pack(">h", 128)  # sub-pixel resolution
    return bytes(whole)


def composite(*path: float) -> bytes:
    floats = np.array(path, np.float32)
    roi = ImagejRoi(name="a", roitype=ROI_TYPE.RECT, right=5, bottom=5, position=1)
    roi.multi_coordinates = floats
    roi.shape_roi_size = floats.size
    return bytes(roi.tobytes())


def patched(data: bytes, at: int, layout: str, *values: int) -> bytes:
    size = struct.calcsize(layout)
    return data[:at] + struct.pack(layout, *values) + data[at + size :]


SQUARE = polygon([[2, 3], [8, 3], [8, 9], [2, 9]])
ZIGZAG = [[1 + i % 28, 39 * (i % 2)] for i in range(20_000)]

ROIS: dict[str, Callable[[], bytes]] = {
    "an oval at NaN": lambda: finely(ROI_TYPE.OVAL, np.nan, 1, 5, 5),
    "an oval at 1e30": lambda: finely(ROI_TYPE.OVAL, 1e30, 1, 5, 5),
    "an oval 1e30 wide": lambda: finely(ROI_TYPE.OVAL, 1, 1, 1e30, 5),
    "an oval of infinite height": lambda: finely(ROI_TYPE.OVAL, 1, 1, 5, np.inf),
    "an oval 32,000 wide": lambda: shape(ROI_TYPE.OVAL, right=32_000),
    "a rectangle at NaN": lambda: finely(ROI_TYPE.RECT, 1, np.nan, 5, 5),
    "a rectangle 1e30 wide": lambda: finely(ROI_TYPE.RECT, 1, 1, 1e30, 5),
    "a rectangle of negative width": lambda: finely(ROI_TYPE.RECT, 1, 1, -5, 5),
    "a polygon with NaN": lambda: polygon([[1.0, 1.5], [np.nan, 3.0], [4.0, 4.0]]),
    "a polygon with infinity": lambda: polygon([[1.0, 1.5], [np.inf, 3.0], [4.0, 4.0]]),
    "a polygon with 1e30": lambda: polygon([[1.0, 1.5], [1e30, 3.0], [4.0, 4.0]]),
    "a polygon without corners": lambda: patched(SQUARE, 16, ">h", 0),
    "a polygon of 60,000 corners that are not there": lambda: patched(SQUARE, 16, ">H", 60_000),
    "a polygon of 2**31 corners": lambda: patched(SQUARE, 16, ">hi", 0, 2**31 - 1),
    "a polygon of -1 corners": lambda: patched(SQUARE, 16, ">hi", 0, -1),
    "a polygon that crosses itself 20,000 times": lambda: polygon(ZIGZAG),
    "a composite of 2**31 numbers": lambda: patched(composite(0, 1, 1, 4), 36, ">i", 2**31 - 1),
    "a composite that begins nowhere": lambda: composite(4, 4, 4),
    "a composite that is cut": lambda: composite(0, 1, 1, 1, 2),
    "a composite with a curve": lambda: composite(0, 1, 1, 3, 1, 1, 2, 2, 3, 3, 4),
    "a composite of NaN": lambda: composite(np.nan, 1, 1, 4),
    "a composite of infinity": lambda: composite(0, np.inf, 1, 1, 2, 2, 1, 3, 3, 4),
    "a composite of nothing": lambda: composite(0, 1, 1, 0, 1, 1, 0, 1, 1),
    "a slice beyond the stack": lambda: polygon([[2, 3], [8, 3], [8, 9]], position=21),
    "a slice below 0": lambda: polygon([[2, 3], [8, 3], [8, 9]], position=-1),
    "a slice of 2**31": lambda: polygon([[2, 3], [8, 3], [8, 9]], z_position=2**31 - 1),
    "no slice": lambda: polygon([[2, 3], [8, 3], [8, 9]], position=0),
    "a line": lambda: shape(ROI_TYPE.LINE),
    "a kind of its own": lambda: patched(SQUARE, 6, ">B", 99),
    "nothing": lambda: b"",
    "a header only": lambda: SQUARE[:64],
    "another file": lambda: b"\x89PNG\r\n\x1a\n" + bytes(100),
}


def archive(*entries: tuple[str, bytes], compression: int = zipfile.ZIP_DEFLATED) -> bytes:
    file = io.BytesIO()
    with warnings.catch_warnings(), zipfile.ZipFile(file, "w", compression) as written:
        warnings.simplefilter("ignore")
        for name, data in entries:
            written.writestr(name, data)
    return file.getvalue()


def encrypted() -> bytes:
    whole = archive(("a.roi", SQUARE))
    central = whole.index(b"PK\x01\x02")
    whole = patched(whole, 6, "<H", 1)
    return patched(whole, central + 8, "<H", 1)


def wrong_sum() -> bytes:
    whole = archive(("a.roi", SQUARE))
    central = whole.index(b"PK\x01\x02")
    return patched(patched(whole, 14, "<I", 1), central + 16, "<I", 1)


def lying(claimed: int) -> bytes:
    """An entry of 20 MB that says it is smaller, or larger."""
    whole = archive(("a.roi", bytes(20 << 20)))
    central = whole.index(b"PK\x01\x02")
    return patched(patched(whole, 22, "<I", claimed), central + 24, "<I", claimed)


SETS: dict[str, Callable[[], bytes]] = {
    "an entry of 20 MB": lambda: archive(("a.roi", bytes(20 << 20))),
    "3 entries of 10 MB": lambda: archive(*((f"{i}.roi", bytes(10 << 20)) for i in range(3))),
    "an entry that hides 20 MB": lambda: lying(len(SQUARE)),
    "an entry that claims 4 GB": lambda: lying(2**32 - 2),
    "bzip2 of 20 MB": lambda: archive(("a.roi", bytes(20 << 20)), compression=zipfile.ZIP_BZIP2),
    "lzma of 20 MB": lambda: archive(("a.roi", bytes(20 << 20)), compression=zipfile.ZIP_LZMA),
    "an archive in an archive": lambda: archive(("a.zip", archive(("a.roi", SQUARE)))),
    "an archive called a ROI": lambda: archive(("a.roi", archive(("a.roi", SQUARE)))),
    "10,000 entries of nothing": lambda: archive(*((f"{i}.roi", b"") for i in range(10_000))),
    "2,000 times the whole image": lambda: archive(
        *[("a.roi", shape(ROI_TYPE.RECT, left=0, top=0, right=30, bottom=40))] * 2_000
    ),
    "a path upwards": lambda: archive(("../a.roi", SQUARE)),
    "an absolute path": lambda: archive(("/tmp/a.roi", SQUARE)),
    "a path of Windows": lambda: archive(("C:\\a.roi", SQUARE)),
    "something else": lambda: archive(("readme.txt", b"hello"), ("a.roi", SQUARE)),
    "a password": encrypted,
    "a wrong sum": wrong_sum,
    "no end": lambda: archive(("a.roi", SQUARE))[:-22],
    "a directory beyond the file": lambda: patched(
        archive(("a.roi", SQUARE)), len(archive(("a.roi", SQUARE))) - 6, "<I", 2**31
    ),
    "an id of 0": lambda: archive(("object-0.roi", SQUARE)),
    "an id above 2**32": lambda: archive(("object-9999999999.roi", SQUARE)),
    "a control character in a name": lambda: archive(("a\x1b[31m\nb.roi", SQUARE[:70])),
}


@pytest.mark.parametrize("make", ROIS.values(), ids=ROIS)
def test_a_roi_that_is_no_object(
    refused: Callable[..., str], project: Path, tmp_path: Path, make: Callable[[], bytes]
) -> None:
    file = tmp_path / "s.zip"
    file.write_bytes(archive(("a.roi", make())))
    assert str(file) in refused("import", project, "s", file, "--annotator=anna")


@pytest.mark.parametrize("make", SETS.values(), ids=SETS)
def test_a_set_that_is_none(
    refused: Callable[..., str], project: Path, tmp_path: Path, make: Callable[[], bytes]
) -> None:
    file = tmp_path / "s.zip"
    file.write_bytes(make())
    assert str(file) in refused("import", project, "s", file, "--annotator=anna")
