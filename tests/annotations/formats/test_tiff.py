"""TIFF in: dialects, axes, voxel size, and everything that must be refused."""

from __future__ import annotations

import re
import shutil
import struct
from pathlib import Path

import numpy as np
import pytest
import tifffile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from annotations.errors import AxesError, FormatError, LabelError, SpacingError
from annotations.formats import open_image, open_labels, read_labels
from annotations.formats.units import micrometres
from annotations.volume import ImageSource

SPACING = (2.0, 0.5, 0.25)
RNG = np.random.default_rng(0)
STACK = RNG.integers(0, 60_000, (4, 6, 5)).astype(np.uint16)
IMAGEJ = {"spacing": SPACING[0], "unit": "um"}
RESOLUTION = (1 / SPACING[2], 1 / SPACING[1])


def imagej(path: Path, array: np.ndarray = STACK, axes: str = "ZYX", **metadata: object) -> Path:
    meta = {"axes": axes, **IMAGEJ, **metadata}
    tifffile.imwrite(path, array, imagej=True, resolution=RESOLUTION, metadata=meta)
    return path


def ome(path: Path, array: np.ndarray = STACK, axes: str = "ZYX", **metadata: object) -> Path:
    sizes = {f"PhysicalSize{a}": s for a, s in zip("ZYX", SPACING, strict=True)}
    tifffile.imwrite(path, array, ome=True, metadata={"axes": axes, **sizes, **metadata})
    return path


def read_all(path: Path, **options: object) -> np.ndarray:
    with open_image(path, **options) as source:
        return source.read(0, source.info.shape[1])


def open_descriptors() -> set[str]:
    links = Path("/proc/self/fd").iterdir()
    return {str(link.readlink()) for link in links if link.is_symlink()}


def test_imagej_states_axes_and_voxel_size(tmp_path: Path) -> None:
    with open_image(imagej(tmp_path / "a.tif")) as source:
        assert isinstance(source, ImageSource)
        assert source.info.shape == (1, 4, 6, 5)
        assert source.info.dtype == np.uint16
        assert source.info.spacing_um == pytest.approx(SPACING)
        assert source.info.format == "tiff"
        np.testing.assert_array_equal(source.read(1, 3), STACK[None, 1:3])


def test_imagej_channels_come_first(tmp_path: Path) -> None:
    array = RNG.integers(0, 255, (4, 2, 6, 5)).astype(np.uint8)
    path = imagej(tmp_path / "a.tif", array, "ZCYX")
    np.testing.assert_array_equal(read_all(path), array.transpose(1, 0, 2, 3))


@pytest.mark.parametrize("axes", ["ZCYX", "CZYX"])
def test_ome_axes_channels_and_units(tmp_path: Path, axes: str) -> None:
    array = RNG.integers(0, 255, (4, 2, 6, 5) if axes == "ZCYX" else (2, 4, 6, 5)).astype(np.uint8)
    units = {f"PhysicalSize{a}Unit": "nm" for a in "YX"}
    path = ome(tmp_path / "a.ome.tif", array, axes, Channel={"Name": ["Cy3", "GFP"]}, **units)
    with open_image(path) as source:
        assert source.info.channels == ("Cy3", "GFP")
        assert source.info.spacing_um == pytest.approx((2.0, 5e-4, 2.5e-4))
        want = array.transpose(1, 0, 2, 3) if axes == "ZCYX" else array
        np.testing.assert_array_equal(source.read(1, 4), want[:, 1:4])


@pytest.mark.parametrize(
    ("unit", "um"),
    [
        ("um", 1),
        ("µm", 1),
        ("μm", 1),
        ("micron", 1),
        ("microns", 1),
        ("nm", 1e-3),
        ("mm", 1e3),
        ("Å", 1e-4),
        ("angstrom", 1e-4),
        ("micrometer", 1),
        ("m", 1e6),
        ("cm", 1e4),
        ("pm", 1e-6),
        ("in", 25400),
        ("pixel", None),
        ("reference frame", None),
        ("", None),
        (None, None),
    ],
)
def test_units(unit: str | None, um: float | None) -> None:
    assert micrometres(1, unit) == (None if um is None else pytest.approx(um))


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
        np.testing.assert_array_equal(source.read(1, 4)[0], array[1:4])


def test_axes_order_that_is_stated(tmp_path: Path) -> None:
    array = RNG.integers(0, 255, (5, 6, 4)).astype(np.uint8)
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, array, photometric="minisblack")
    with open_image(path, axes="XYZ", spacing_um=SPACING) as source:
        np.testing.assert_array_equal(source.read(1, 3)[0], array.transpose(2, 1, 0)[1:3])


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


def test_spacing_of_the_user_wins(tmp_path: Path) -> None:
    with open_image(imagej(tmp_path / "a.tif"), spacing_um=(3, 1, 1)) as source:
        assert source.info.spacing_um == (3.0, 1.0, 1.0)


def test_imagej_spacing_downwards_is_a_magnitude(tmp_path: Path) -> None:
    with open_image(imagej(tmp_path / "a.tif", spacing=-2.0)) as source:
        assert source.info.spacing_um[0] == 2.0


@pytest.mark.parametrize(
    ("metadata", "why"),
    [
        ({"unit": "pixel"}, "its unit is pixel"),
        ({"spacing": 0.0}, "positive"),
        ({"unit": "m"}, "not plausible"),
    ],
)
def test_voxel_size_that_cannot_be_used(
    tmp_path: Path, metadata: dict[str, object], why: str
) -> None:
    path = imagej(tmp_path / "a.tif", **metadata)
    with pytest.raises(SpacingError, match=f"{why}.*--spacing-um Z Y X"):
        open_image(path)
    with open_labels(path) as labels:
        assert labels.spacing_um is None


def test_imagej_without_spacing_says_what_it_knows(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    meta = {"axes": "ZYX", "unit": "um"}
    tifffile.imwrite(path, STACK, imagej=True, resolution=RESOLUTION, metadata=meta)
    want = r"along Z in.*leaves out one of exactly 1.*Y 0\.5 µm, X 0\.25 µm.*--spacing-um"
    with pytest.raises(SpacingError, match=want):
        open_image(path)


@pytest.mark.parametrize(
    "spacing",
    [
        (1, 1),
        (1, 0, 1),
        (1, -1, 1),
        (np.nan, 1, 1),
        (np.inf, 1, 1),
        (1e5, 1, 1),
        (1, 1, 1e-5),
        ("a", 1, 1),
    ],
)
def test_bad_spacing_of_the_user(tmp_path: Path, spacing: tuple[float, ...]) -> None:
    with pytest.raises(SpacingError, match="--spacing-um"):
        open_image(imagej(tmp_path / "a.tif"), spacing_um=spacing)


def test_plain_stack_has_ambiguous_axes(tmp_path: Path) -> None:
    for name, options in (("shaped", {}), ("plain", {"metadata": None})):
        path = tmp_path / f"{name}.tif"
        tifffile.imwrite(path, STACK, photometric="minisblack", **options)
        with pytest.raises(AxesError, match=r"ambiguous.*--axes ZYX"):
            open_image(path, spacing_um=SPACING)


@pytest.mark.parametrize("axes", ["ZY", "CZYX", "ZZYX", "ABC", "", "ZYXS"])
def test_stated_axes_that_do_not_fit(tmp_path: Path, axes: str) -> None:
    with pytest.raises(AxesError, match="--axes"):
        open_image(imagej(tmp_path / "a.tif"), axes=axes)


def test_time_series_is_refused_unless_the_user_says_slices(tmp_path: Path) -> None:
    path = imagej(tmp_path / "a.tif", axes="TYX")
    with pytest.raises(AxesError, match=r"time series of 4; split.*--axes ZYX"):
        open_image(path)
    np.testing.assert_array_equal(read_all(path, axes="ZYX")[0], STACK)
    movie = imagej(tmp_path / "b.tif", np.stack([STACK] * 3), "TZYX")
    with pytest.raises(AxesError, match="time series of 3; split"):
        open_image(movie)


def test_two_dimensions_are_refused(tmp_path: Path) -> None:
    for path in (imagej(tmp_path / "a.tif", STACK[0], "YX"), ome(tmp_path / "b.tif", STACK[:1])):
        with pytest.raises(AxesError, match=r"3D stack is needed.*z stack as one file"):
            open_image(path)
        with pytest.raises(AxesError, match="3D stack is needed"):
            open_labels(path)


def test_colours_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, np.zeros((4, 6, 5, 3), np.uint8), imagej=True, photometric="rgb")
    with pytest.raises(AxesError, match=r"RGB.*split the colours"):
        open_image(path)


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
    with pytest.raises(FormatError, match=r"\.jpg.*cannot be read.*OME-Zarr"):
        shutil.copy(text, tmp_path / "a.jpg")
        open_image(tmp_path / "a.jpg")
    with pytest.raises(FormatError, match="no such file; check the path"):
        open_image(tmp_path / "missing.tif")
    with pytest.raises(FormatError, match="is a folder, but not an OME-Zarr"):
        open_image(tmp_path)


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
        np.testing.assert_array_equal(source.read(0, 9)[0], array)
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * keep)])
    with pytest.raises(FormatError, match=r"truncated|corrupt.*again"):
        open_image(path, axes="ZYX", spacing_um=SPACING)


def test_pages_in_a_circle(tmp_path: Path) -> None:
    path = imagej(tmp_path / "a.tif")
    data = bytearray(path.read_bytes())
    (first,) = struct.unpack_from("<I", data, 4)
    (entries,) = struct.unpack_from("<H", data, first)
    struct.pack_into("<I", data, first + 2 + 12 * entries, first)
    path.write_bytes(data)
    with pytest.raises(FormatError, match="circle"):
        open_image(path)


@pytest.mark.parametrize("name", ["../secret.ome.tif", "/etc/x.tif", "..\\x.tif", "sub/x.tif"])
def test_ome_that_names_files_elsewhere(tmp_path: Path, name: str) -> None:
    path = ome(tmp_path / "a.ome.tif")
    xml = tifffile.tiffcomment(path)
    uuid = f'<TiffData IFD="0" PlaneCount="4"><UUID FileName="{name}">urn:uuid:1</UUID></TiffData>'
    xml = re.sub(r"<TiffData.*</TiffData>|<TiffData[^>]*/>", lambda _: uuid, xml, flags=re.DOTALL)
    tifffile.imwrite(path, STACK, description=xml, metadata=None, photometric="minisblack")
    with pytest.raises(FormatError, match="outside its own folder"):
        open_image(path)


def test_ome_with_entities(tmp_path: Path) -> None:
    path = ome(tmp_path / "a.ome.tif")
    xml = tifffile.tiffcomment(path)
    entity = '<!DOCTYPE OME [<!ENTITY x SYSTEM "file:///etc/passwd">]><OME '
    evil = xml.replace("<OME ", entity, 1)
    assert evil != xml
    tifffile.imwrite(path, STACK, description=evil, metadata=None, photometric="minisblack")
    with pytest.raises(FormatError, match="defines entities"):
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
                source.read(0, source.info.shape[1])
    except FormatError as error:
        assert str(path) in str(error)
    assert not any("damaged" in name for name in open_descriptors())


@pytest.mark.parametrize("bad", [False, True])
def test_no_handle_is_leaked(tmp_path: Path, bad: bool) -> None:
    path = imagej(tmp_path / "a.tif", axes="TYX" if bad else "ZYX")
    if bad:
        with pytest.raises(AxesError):
            open_image(path)
    else:
        source = open_image(path)
        source.read(0, 2)
        assert any(name.endswith("a.tif") for name in open_descriptors())
        source.close()
        source.close()
        with pytest.raises(FormatError, match="after it was closed"):
            source.read(0, 1)
    assert not any(name.endswith("a.tif") for name in open_descriptors())


@pytest.mark.parametrize(("start", "stop"), [(0, 5), (-1, 2), (2, 2), (3, 1)])
def test_slabs_outside_the_stack(tmp_path: Path, start: int, stop: int) -> None:
    with (
        open_image(imagej(tmp_path / "a.tif")) as source,
        pytest.raises(ValueError, match="z_start < z_stop <= 4"),
    ):
        source.read(start, stop)


def test_labels_are_integers(tmp_path: Path) -> None:
    path = imagej(tmp_path / "a.tif", np.ones((3, 4, 5), np.float32))
    with pytest.raises(LabelError, match="got float32; save them as 16 or 32-bit integers"):
        open_labels(path)


def test_negative_ids_name_the_slice(tmp_path: Path) -> None:
    array = np.zeros((6, 4, 5), np.int32)
    array[4, 1, 1] = -7
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, array, metadata={"axes": "ZYX"})
    with open_labels(path) as source:
        assert source.read(0, 4).dtype == np.uint32
        with pytest.raises(LabelError, match="negative id -7 in slice z = 4; renumber"):
            source.read(3, 6)
    with pytest.raises(LabelError, match="z = 4"):
        read_labels(path)


def test_ids_beyond_32_bit(tmp_path: Path) -> None:
    array = np.zeros((6, 4, 5), np.uint64)
    array[2, 3, 4] = 2**32
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, array, metadata={"axes": "ZYX"})
    with pytest.raises(LabelError, match="the id 4294967296 in slice z = 2"):
        read_labels(path)
    array[2, 3, 4] -= 1
    tifffile.imwrite(path, array, metadata={"axes": "ZYX"})
    assert read_labels(path).max() == 2**32 - 1


def test_labels_of_two_channels(tmp_path: Path) -> None:
    path = imagej(tmp_path / "a.tif", np.zeros((4, 2, 6, 5), np.uint8), "ZCYX")
    with pytest.raises(LabelError, match="one channel, got 2"):
        open_labels(path)


@pytest.mark.real
@pytest.mark.parametrize("name", ["gonuclear_1136", "plantseg_ovule_cells", "qcanet_16cell"])
def test_real_stacks(real_stack, name: str) -> None:
    image, labels, spacing = real_stack(name)
    from tests.conftest import real_data_folder

    folder = real_data_folder() / name
    stated = name != "qcanet_16cell"
    if not stated:
        with pytest.raises(SpacingError, match="--spacing-um"):
            open_image(folder / "image.tif")
    with open_image(folder / "image.tif", spacing_um=None if stated else spacing) as source:
        assert source.info.spacing_um == pytest.approx(spacing)
        np.testing.assert_array_equal(source.read(5, 20)[0], image[5:20])
    np.testing.assert_array_equal(read_labels(folder / "labels.tif"), labels)


@pytest.mark.real
def test_real_plain_labels_and_flat_image(real_stack) -> None:
    real_stack("gonuclear_1136")
    from tests.conftest import real_data_folder

    labels = real_data_folder() / "platynereis_labels" / "gt.tif"
    with pytest.raises(AxesError, match="--axes ZYX"):
        read_labels(labels)
    assert len(np.unique(read_labels(labels, axes="ZYX"))) == 37
    with pytest.raises(AxesError, match="3D stack is needed"):
        open_image(real_data_folder() / "stardist_dsb2d" / "image.tif")
