"""TIFF in: dialects, axes and layouts, and what is refused."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import tifffile

from annotations.errors import AxesError, FormatError
from annotations.formats import open_image, open_labels
from annotations.formats.tiff import TIFF
from annotations.volume import ImageSource
from tests.annotations.formats.contract import FormatContract
from tests.annotations.formats.open_files import open_descriptors
from tests.annotations.formats.tiff_files import (
    IMAGEJ,
    RESOLUTION,
    RNG,
    SPACING,
    STACK,
    imagej,
    ome,
    read_all,
)


def test_imagej_states_axes_and_voxel_size(tmp_path: Path) -> None:
    with open_image(imagej(tmp_path / "a.tif")) as source:
        assert isinstance(source, ImageSource)
        assert source.info.shape == (1, 1, 4, 6, 5)
        assert source.info.dtype == np.uint16
        assert source.info.spacing_um == pytest.approx(SPACING)
        assert source.info.format == "tiff"
        np.testing.assert_array_equal(source.read(0, 1, 3), STACK[None, 1:3])


def test_imagej_channels_come_first(tmp_path: Path) -> None:
    array = RNG.integers(0, 255, (4, 2, 6, 5)).astype(np.uint8)
    path = imagej(tmp_path / "a.tif", array, "ZCYX")
    np.testing.assert_array_equal(read_all(path), array.transpose(1, 0, 2, 3))


@pytest.mark.parametrize("dtype", ["u1", "u2", "u4", "i1", "i2", "i4", "f2", "f4", "f8"])
@pytest.mark.parametrize("order", ["<", ">"])
def test_plain_tiff_of_every_dtype_and_byte_order(tmp_path: Path, dtype: str, order: str) -> None:
    array = RNG.integers(0, 100, (3, 4, 5)).astype(dtype)
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, array, byteorder=order, metadata=None, photometric="minisblack")
    got = read_all(path, axes="ZYX", spacing_um=SPACING)
    assert got.dtype == np.dtype(dtype)
    np.testing.assert_array_equal(got[0], array)


@pytest.mark.parametrize(
    "options",
    [
        {"compression": "zlib", "predictor": True},
        {"compression": "lzw"},
        {"compression": "zstd"},
        {"tile": (16, 16)},
        {"bigtiff": True},
        {"rowsperstrip": 1},
        {"truncate": True, "metadata": {}},
        {"tile": (16, 16), "compression": "zlib", "bigtiff": True, "byteorder": ">"},
    ],
    ids=str,
)
def test_layouts(tmp_path: Path, options: dict[str, object]) -> None:
    array = RNG.integers(0, 60_000, (5, 33, 20)).astype(np.uint16)
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, array, **options)
    with open_image(path, axes="ZYX", spacing_um=SPACING) as source:
        np.testing.assert_array_equal(source.read(0, 1, 4)[0], array[1:4])


def test_axes_order_that_is_stated(tmp_path: Path) -> None:
    array = RNG.integers(0, 255, (5, 6, 4)).astype(np.uint8)
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, array, photometric="minisblack")
    with open_image(path, axes="XYZ", spacing_um=SPACING) as source:
        np.testing.assert_array_equal(source.read(0, 1, 3)[0], array.transpose(2, 1, 0)[1:3])


def test_shaped_tiff_that_names_its_axes(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    meta = {"axes": "ZYX", **IMAGEJ}
    options = {"photometric": "minisblack", "resolution": RESOLUTION}
    tifffile.imwrite(path, STACK, metadata=meta, **options)
    with open_image(path) as source:
        assert source.info.spacing_um == pytest.approx(SPACING)


def test_ome_in_several_files_is_read_and_released(tmp_path: Path) -> None:
    whole = ome(tmp_path / "a.ome.tif")
    xml = tifffile.tiffcomment(whole)
    parts = ""
    for z in range(4):
        tag = f'<TiffData IFD="0" FirstZ="{z}" PlaneCount="1"><UUID FileName="p{z}.ome.tif">'
        parts += f"{tag}urn:uuid:0000000{z}</UUID></TiffData>"
    xml = re.sub(r"<TiffData.*</TiffData>|<TiffData[^>]*/>", parts, xml, flags=re.DOTALL)
    xml = re.sub(r'UUID="[^"]*"', 'UUID="urn:uuid:00000000"', xml, count=1)
    for z in range(4):
        tifffile.imwrite(tmp_path / f"p{z}.ome.tif", STACK[z], description=xml, metadata=None)
    np.testing.assert_array_equal(read_all(tmp_path / "p0.ome.tif")[0], STACK)
    assert not any(".ome.tif" in name for name in open_descriptors())
    (tmp_path / "p2.ome.tif").unlink()
    with pytest.raises(FormatError, match="missing; put all files"):
        open_image(tmp_path / "p0.ome.tif")


def test_plain_stack_has_ambiguous_axes(tmp_path: Path) -> None:
    for name, options in (("shaped", {}), ("plain", {"metadata": None})):
        path = tmp_path / f"{name}.tif"
        tifffile.imwrite(path, STACK, photometric="minisblack", **options)
        with pytest.raises(AxesError, match=r"ambiguous.*--axes ZYX"):
            open_image(path, spacing_um=SPACING)


def test_frames_are_time_points_unless_the_user_says_slices(tmp_path: Path) -> None:
    path = imagej(tmp_path / "a.tif", axes="TYX", finterval=90.0)
    with open_image(path) as source:
        assert source.info.shape == (4, 1, 1, 6, 5)
        assert source.info.time_step_s == 90
        assert source.info.spacing_um == pytest.approx((1.0, *SPACING[1:]))
        for time, plane in enumerate(STACK):
            np.testing.assert_array_equal(source.read(time, 0, 1)[0, 0], plane)
    np.testing.assert_array_equal(read_all(path, axes="ZYX")[0], STACK)
    with open_labels(imagej(tmp_path / "b.tif", np.stack([STACK, STACK + 1]), "TZYX")) as labels:
        assert (labels.times, labels.zyx) == (2, (4, 6, 5))
        np.testing.assert_array_equal(labels.read(3, 6), [STACK[3], STACK[0] + 1, STACK[1] + 1])


def test_colours_are_channels(tmp_path: Path) -> None:
    array = RNG.integers(0, 255, (4, 6, 5, 3)).astype(np.uint8)
    rgb = {"photometric": "rgb"}
    files = {
        "imagej": (array, rgb | {"imagej": True, "metadata": {"axes": "ZYXS"}}),
        "ome": (array, rgb | {"ome": True, "metadata": {"axes": "ZYXS"}}),
        "planar": (
            np.moveaxis(array, 3, 1),
            rgb | {"ome": True, "planarconfig": "separate", "metadata": {"axes": "ZSYX"}},
        ),
    }
    for name, (voxels, options) in files.items():
        path = tmp_path / f"{name}.tif"
        tifffile.imwrite(path, voxels, **options)
        with open_image(path, spacing_um=SPACING) as source:
            assert source.info.channels == ("R", "G", "B"), name
            assert source.info.shape == (1, 3, 4, 6, 5)
            got = source.read(0, 1, 3)
        np.testing.assert_array_equal(got, array[1:3].transpose(3, 0, 1, 2))
    tifffile.imwrite(tmp_path / "plain.tif", array[0], photometric="rgb", metadata=None)
    got = read_all(tmp_path / "plain.tif", spacing_um=SPACING)
    np.testing.assert_array_equal(got[:, 0], array[0].transpose(2, 0, 1))
    tifffile.imwrite(tmp_path / "unknown.tif", array, photometric="rgb", metadata=None)
    with pytest.raises(AxesError, match="ambiguous"):
        open_image(tmp_path / "unknown.tif", spacing_um=SPACING)
    got = read_all(tmp_path / "unknown.tif", axes="ZYXS", spacing_um=SPACING)
    np.testing.assert_array_equal(got, array.transpose(3, 0, 1, 2))


def test_samples_that_are_no_colours_are_channels(tmp_path: Path) -> None:
    array = RNG.integers(0, 255, (6, 5, 5)).astype(np.uint8)
    options = {"photometric": "minisblack", "planarconfig": "contig", "metadata": None}
    tifffile.imwrite(tmp_path / "a.tif", array, **options)
    with open_image(tmp_path / "a.tif", spacing_um=SPACING) as source:
        assert source.info.channels == ("ch0", "ch1", "ch2", "ch3", "ch4")
        np.testing.assert_array_equal(source.read(0, 0, 1)[:, 0], array.transpose(2, 0, 1))
    tifffile.imwrite(tmp_path / "b.tif", array[..., :4], photometric="separated", metadata=None)
    with pytest.raises(FormatError, match="colours in RGB, got SEPARATED; save it again in RGB"):
        open_image(tmp_path / "b.tif", spacing_um=SPACING)
    tifffile.imwrite(
        tmp_path / "c.tif", array[..., :4], photometric="rgb", extrasamples=["unassalpha"]
    )
    with (
        open_image(tmp_path / "c.tif", spacing_um=SPACING) as source,
        pytest.raises(FormatError, match="alpha channel that differs"),
    ):
        source.read(0, 0, 1)


@pytest.mark.parametrize("dtype", ["?", "c8", "u8", "i8"])
def test_dtypes_that_are_refused(tmp_path: Path, dtype: str) -> None:
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, np.zeros((3, 4, 5), dtype), photometric="minisblack")
    with pytest.raises(FormatError, match="save the intensities as uint8, uint16 or float32"):
        open_image(path, axes="ZYX", spacing_um=SPACING)


def test_several_images_in_one_file(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    with tifffile.TiffWriter(path, ome=True) as writer:
        for _ in range(2):
            writer.write(STACK, metadata={"axes": "ZYX"})
    with pytest.raises(FormatError, match="expected one image, got 2"):
        open_image(path)


def test_not_an_image(tmp_path: Path) -> None:
    text = tmp_path / "a.tif"
    text.write_text("hello, I am no image")
    with pytest.raises(FormatError, match="is not a TIFF image"):
        open_image(text)
    (tmp_path / "empty.tif").touch()
    with pytest.raises(FormatError, match="is empty"):
        open_image(tmp_path / "empty.tif")
    with pytest.raises(FormatError, match=r"\.gif.*cannot be read.*OME-Zarr"):
        shutil.copy(text, tmp_path / "a.gif")
        open_image(tmp_path / "a.gif")
    with pytest.raises(FormatError, match="no such file; check the path"):
        open_image(tmp_path / "missing.tif")
    with pytest.raises(FormatError, match="is a folder, but not of OME-Zarr"):
        open_image(tmp_path)


class TestContract(FormatContract):
    format = TIFF
