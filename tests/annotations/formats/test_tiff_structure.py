"""TIFF files that were cut or damaged."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest
import tifffile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from annotations.errors import FormatError
from annotations.formats import open_image
from tests.annotations.formats.open_files import open_descriptors
from tests.annotations.formats.tiff_files import RNG, SPACING, STACK, imagej, ome


@pytest.mark.parametrize("kind", ["imagej", "imagej-zlib", "ome", "plain", "big", "virtual"])
@pytest.mark.parametrize("keep", [0.05, 0.3, 0.6, 0.9, 0.999])
def test_truncated_before_anything_is_read(tmp_path: Path, kind: str, keep: float) -> None:
    path = tmp_path / "a.tif"
    array = RNG.integers(0, 60_000, (9, 40, 30)).astype(np.uint16)
    options: dict[str, object] = {
        "imagej": {"imagej": True},
        "imagej-zlib": {"imagej": True, "compression": "zlib"},
        "ome": {"ome": True, "compression": "zlib"},
        "plain": {"metadata": None},
        "big": {"bigtiff": True, "ome": True},
        "virtual": {"imagej": True, "truncate": True},
    }[kind]
    options.setdefault("metadata", {"axes": "ZYX"})
    tifffile.imwrite(path, array, **options)
    with open_image(path, axes="ZYX", spacing_um=SPACING) as source:
        np.testing.assert_array_equal(source.read(0, 0, 9)[0], array)
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * keep)])
    with pytest.raises(FormatError, match=r"truncated|corrupt.*again"):
        open_image(path, axes="ZYX", spacing_um=SPACING)


@pytest.mark.parametrize("pages", [4, 150])
def test_pages_in_a_circle(tmp_path: Path, pages: int) -> None:
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, np.zeros((pages, 6, 5)), photometric="minisblack", metadata=None)
    with tifffile.TiffFile(path) as tif:
        last, back = tif.pages.next_page_offset, tif.pages[pages - 2].offset
    data = bytearray(path.read_bytes())
    struct.pack_into("<I", data, last, back)
    path.write_bytes(data)
    with pytest.raises(FormatError, match="circle"):
        open_image(path)


def test_a_page_beyond_any_file(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, STACK, bigtiff=True, photometric="minisblack")
    data = bytearray(path.read_bytes())
    struct.pack_into("<Q", data, 8, 2**63 - 9)
    path.write_bytes(data)
    with pytest.raises(FormatError, match=r"truncated.*again"):
        open_image(path, axes="ZYX", spacing_um=SPACING)


@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data())
def test_damaged_files_give_format_errors_only(tmp_path: Path, data: st.DataObject) -> None:
    path = tmp_path / "damaged.tif"
    kind = data.draw(st.sampled_from([imagej, ome]))
    original = bytearray(kind(path).read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, min(len(original), 900) - 1))
        original[at] = data.draw(st.integers(0, 255))
    path.write_bytes(original)
    try:
        with open_image(path, spacing_um=SPACING) as source:
            if np.prod(source.info.shape) < 1e6:
                source.read(0, 0, source.info.shape[2])
    except FormatError as error:
        assert str(path) in str(error)
    assert not any("damaged" in name for name in open_descriptors())
