"""TIFF out: what was written is what tifffile, Fiji's own rules and this package read back."""

from __future__ import annotations

import errno
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import tifffile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from annotations.errors import AxesError, FormatError, LabelError, SpacingError
from annotations.formats import (
    open_image,
    open_labels,
    read_labels,
    tiff_write,
    write_image_tiff,
    write_labels_tiff,
)

SPACING = (2.0, 0.5, 0.25)
DTYPES = ["u1", "u2", "u4", "i1", "i2", "i4", "f2", "f4", "f8", ">u2", ">f4"]
LABELS = np.random.default_rng(0).integers(0, 300, (4, 6, 5)).astype(np.uint32)
SAME_FOLDER = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)

spacings = st.tuples(*[st.floats(0.01, 100)] * 3)
shapes = st.tuples(*[st.integers(1, 5), st.integers(1, 6), st.integers(1, 6)])


@SAME_FOLDER
@given(data=st.data(), shape=shapes, spacing=spacings)
def test_image_round_trip(
    tmp_path: Path, data: st.DataObject, shape: tuple[int, ...], spacing: tuple[float, ...]
) -> None:
    dtype = np.dtype(data.draw(st.sampled_from(DTYPES)))
    times = data.draw(st.sampled_from([1, 3]))
    front = [(times, 1), (times, 2), (times, 3)] + [(), (1,), (2,), (3,)] * (times == 1)
    shape = data.draw(st.sampled_from(front)) + shape
    elements = {"allow_nan": False} if dtype.kind == "f" else {}
    array = data.draw(hnp.arrays(dtype, shape, elements=hnp.from_dtype(dtype, **elements)))
    path = tmp_path / "a.tif"
    write_image_tiff(path, array, spacing, time_step_s=90.5, overwrite=True)
    with open_image(path) as source:
        depth = source.info.shape[2]
        got = np.stack([source.read(time, 0, depth) for time in range(times)])
        assert source.info.shape[-3:] == shape[-3:]
        want = spacing if depth > 1 else (1.0, *spacing[1:])
        assert source.info.spacing_um == pytest.approx(want, rel=1e-6)
        assert source.info.time_step_s == (90.5 if times > 1 else None)
        assert source.info.dtype == (np.float32 if dtype == np.float16 else dtype.newbyteorder("="))
    np.testing.assert_array_equal(got, array.reshape(got.shape))


@SAME_FOLDER
@given(data=st.data(), shape=shapes, top=st.sampled_from([0, 1, 255, 65535, 65536, 2**32 - 1]))
def test_label_round_trip(
    tmp_path: Path, data: st.DataObject, shape: tuple[int, ...], top: int
) -> None:
    times = data.draw(st.sampled_from([1, 3]))
    shape = (times * shape[0], *shape[1:])
    array = data.draw(hnp.arrays(np.uint32, shape, elements=st.integers(0, top)))
    array.flat[0] = top
    path = tmp_path / "a.tif"
    write_labels_tiff(path, array, SPACING, times=times, overwrite=True)
    np.testing.assert_array_equal(read_labels(path), array)
    with open_labels(path) as source:
        assert source.dtype == (np.uint16 if top < 2**16 else np.uint32)
        assert source.times == times
        flat = source.zyx[0] == 1
        assert source.spacing_um == pytest.approx((1.0, *SPACING[1:]) if flat else SPACING)


def test_16_bit_labels_are_an_imagej_hyperstack(tmp_path: Path) -> None:
    write_labels_tiff(tmp_path / "a.tif", LABELS, SPACING)
    with tifffile.TiffFile(tmp_path / "a.tif") as tif:
        meta = tif.imagej_metadata
        assert tif.series[0].axes == "ZYX"
        assert (meta["slices"], meta["spacing"], meta["unit"]) == (4, 2.0, "um")
        assert (meta["min"], meta["max"]) == (0.0, float(LABELS.max()))
        assert tif.pages[0].tags["XResolution"].value == (4, 1)
        assert tif.pages[0].tags["YResolution"].value == (2, 1)


def test_32_bit_labels_are_ome(tmp_path: Path) -> None:
    write_labels_tiff(tmp_path / "a.tif", LABELS, SPACING, bits=32)
    with tifffile.TiffFile(tmp_path / "a.tif") as tif:
        assert tif.is_ome
        assert tif.series[0].axes == "ZYX"
        assert 'PhysicalSizeZ="2.0"' in tif.ome_metadata
        assert tif.pages[0].tags["XResolution"].value == (40_000, 1)
    with pytest.raises(LabelError, match="does not fit into 16 bits; write 32"):
        write_labels_tiff(tmp_path / "b.tif", LABELS + 2**16, SPACING, bits=16)


def test_channels_are_a_composite(tmp_path: Path) -> None:
    array = np.stack([LABELS, LABELS + 1]).astype(np.uint16)
    write_image_tiff(tmp_path / "a.tif", array, SPACING)
    with tifffile.TiffFile(tmp_path / "a.tif") as tif:
        assert tif.series[0].axes == "ZCYX"
        assert (tif.imagej_metadata["channels"], tif.imagej_metadata["mode"]) == (2, "composite")
    write_image_tiff(tmp_path / "b.tif", array.astype("i4"), SPACING, channels=("Cy3", "GFP"))
    with open_image(tmp_path / "b.tif") as source:
        assert source.info.channels == ("Cy3", "GFP")


def test_a_series_is_a_hyperstack(tmp_path: Path) -> None:
    write_labels_tiff(tmp_path / "a.tif", LABELS, SPACING, times=2, time_step_s=90)
    write_labels_tiff(tmp_path / "b.tif", LABELS, SPACING, times=2, time_step_s=90, bits=32)
    with tifffile.TiffFile(tmp_path / "a.tif") as a, tifffile.TiffFile(tmp_path / "b.tif") as b:
        meta = a.imagej_metadata
        assert (meta["frames"], meta["slices"], meta["finterval"]) == (2, 2, 90)
        assert a.series[0].axes == b.series[0].axes == "TZYX"
        assert 'TimeIncrement="90" TimeIncrementUnit="s"' in b.ome_metadata
    image = np.stack([LABELS, LABELS + 1])[:, None].repeat(3, axis=1).astype(np.uint16)
    write_image_tiff(tmp_path / "c.tif", image, SPACING, time_step_s=2.5)
    with tifffile.TiffFile(tmp_path / "c.tif") as c:
        assert c.series[0].axes == "TZCYX"
        assert c.imagej_metadata["finterval"] == 2.5
    with pytest.raises(AxesError, match=r"expected 3 time points .* got 4 slices"):
        write_labels_tiff(tmp_path / "d.tif", LABELS, SPACING, times=3)
    with pytest.raises(FormatError, match="time step above 0 s, got 0"):
        write_labels_tiff(tmp_path / "d.tif", LABELS, SPACING, times=2, time_step_s=0)


def test_colours_are_shown_as_such(tmp_path: Path) -> None:
    image = np.random.default_rng(0).integers(0, 255, (1, 3, 1, 6, 5)).astype(np.uint8)
    write_image_tiff(tmp_path / "a.tif", image, SPACING, channels=("R", "G", "B"))
    with tifffile.TiffFile(tmp_path / "a.tif") as tif:
        assert tif.is_imagej
        assert tif.pages[0].photometric == tifffile.PHOTOMETRIC.RGB
        np.testing.assert_array_equal(tif.asarray(), image[0, :, 0].transpose(1, 2, 0))
    with open_image(tmp_path / "a.tif") as source:
        assert source.info.channels == ("R", "G", "B")
        np.testing.assert_array_equal(source.read(0, 0, 1), image[0])


def test_beyond_4_gb_imagej_holds_one_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tiff_write, "CLASSIC_LIMIT", 10)
    write_labels_tiff(tmp_path / "a.tif", LABELS, SPACING)
    write_labels_tiff(tmp_path / "b.tif", LABELS, SPACING, bits=32)
    with tifffile.TiffFile(tmp_path / "a.tif") as a, tifffile.TiffFile(tmp_path / "b.tif") as b:
        assert len(a.pages) == 1
        assert b.is_bigtiff
    for name in ("a.tif", "b.tif"):
        np.testing.assert_array_equal(read_labels(tmp_path / name), LABELS)
    image = np.stack([LABELS % 200] * 3, axis=1).astype(np.uint8)[:, :, None]
    write_image_tiff(tmp_path / "c.tif", image, SPACING, channels=("R", "G", "B"))
    with tifffile.TiffFile(tmp_path / "c.tif") as c, open_image(tmp_path / "c.tif") as source:
        assert len(c.pages) == 1
        np.testing.assert_array_equal(source.read(2, 0, 1), image[2])


class Slices:
    """An array that is read when indexed, and refuses to be loaded at once."""

    shape, dtype = LABELS.shape, LABELS.dtype

    def __getitem__(self, key: object) -> np.ndarray:
        part = LABELS[key]
        assert part.size <= LABELS[0].size
        return part


def test_labels_are_read_slice_by_slice(tmp_path: Path) -> None:
    write_labels_tiff(tmp_path / "a.tif", Slices(), SPACING)
    np.testing.assert_array_equal(read_labels(tmp_path / "a.tif"), LABELS)


@pytest.mark.parametrize("kind", ["imagej", "ome", "npy"])
def test_memory_does_not_grow_with_the_stack(tmp_path: Path, kind: str) -> None:
    array = np.zeros((400, 128, 128), np.uint16)
    path = tmp_path / ("a.npy" if kind == "npy" else "a.tif")
    if kind == "npy":
        np.save(path, array)
    else:
        write_image_tiff(path, array.astype("u4") if kind == "ome" else array, SPACING)
    tracemalloc.start()
    try:
        with open_image(path, axes="ZYX", spacing_um=SPACING) as source:
            for z in range(0, 400, 8):
                source.read(0, z, z + 8)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < array.nbytes / 4


def test_a_file_that_exists_stays(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    write_labels_tiff(path, LABELS, SPACING)
    before = path.read_bytes()
    with pytest.raises(FormatError, match="exists already; give another name"):
        write_labels_tiff(path, LABELS * 0, SPACING)
    assert path.read_bytes() == before
    write_labels_tiff(path, LABELS * 0, SPACING, overwrite=True)
    assert read_labels(path).max() == 0


@pytest.mark.parametrize(
    "error", [OSError(errno.ENOSPC, "No space left on device"), KeyboardInterrupt()]
)
def test_a_failed_write_leaves_what_was_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    path = tmp_path / "a.tif"
    write_labels_tiff(path, LABELS, SPACING)
    before = path.read_bytes()

    def fail(partial: Path, *_: object, **__: object) -> None:
        partial.write_bytes(b"half")
        raise error

    monkeypatch.setattr(tifffile, "imwrite", fail)
    with pytest.raises((FormatError, KeyboardInterrupt)) as caught:
        write_labels_tiff(path, LABELS, SPACING, overwrite=True)
    if isinstance(error, OSError):
        assert "No space left on device); free some space" in str(caught.value)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_what_cannot_be_written(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    with pytest.raises(LabelError, match="16 or 32-bit integers"):
        write_labels_tiff(path, LABELS.astype(float), SPACING)
    with pytest.raises(LabelError, match="negative id -1 in slice z = 0"):
        write_labels_tiff(path, LABELS.astype(np.int64) * 0 - 1, SPACING)
    with pytest.raises(AxesError, match=r"expected an array of shape \(Z, Y, X\)"):
        write_labels_tiff(path, LABELS[0], SPACING)
    with pytest.raises(FormatError, match="uint8, uint16 or float32"):
        write_image_tiff(path, LABELS > 1, SPACING)
    with pytest.raises(SpacingError, match="positive"):
        write_labels_tiff(path, LABELS, (0, 1, 1))
    with pytest.raises(FormatError, match=r"\.tif or \.tiff; rename"):
        write_labels_tiff(tmp_path / "a.png", LABELS, SPACING)
    with pytest.raises(FormatError, match="does not exist; create it first"):
        write_labels_tiff(tmp_path / "none" / "a.tif", LABELS, SPACING)
    assert not list(tmp_path.iterdir())
