"""NPY and ND2 in, and the checks that all formats share."""

from __future__ import annotations

import pickle
import sys
from pathlib import Path

import numpy as np
import pytest

from annotations.errors import AxesError, FormatError, LabelError, SpacingError, VoxelValueError
from annotations.formats import (
    READERS,
    check_finite,
    check_labels_match,
    open_image,
    open_labels,
    read_labels,
)
from tests.annotations.formats.nd2_file import write_nd2

SPACING = (2.0, 0.5, 0.25)
STACK = np.random.default_rng(0).integers(0, 60_000, (4, 6, 5)).astype(np.uint16)
FRAMES = np.random.default_rng(1).integers(0, 60_000, (6, 7, 9, 2)).astype(np.uint16)


def mapped(name: str) -> bool:
    return name in Path("/proc/self/maps").read_text() or any(
        name in str(link.readlink())
        for link in Path("/proc/self/fd").iterdir()
        if link.is_symlink()
    )


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("dtype", ["<u2", ">u2", "f2", "f8", "i4"])
def test_npy_is_read_by_slabs_and_released(tmp_path: Path, order: str, dtype: str) -> None:
    path = tmp_path / "stack_of_npy.npy"
    np.save(path, np.asarray(STACK % 1000, dtype=dtype, order=order))
    with open_image(path, axes="ZYX", spacing_um=SPACING) as source:
        assert source.info.format == "npy"
        slab = source.read(1, 3)
        assert mapped(path.name)
    assert not mapped(path.name)
    assert slab.dtype == np.dtype(dtype).newbyteorder("=")
    np.testing.assert_array_equal(slab[0], STACK[1:3] % 1000)


def test_npy_asks_for_axes_and_voxel_size(tmp_path: Path) -> None:
    path = tmp_path / "a.npy"
    np.save(path, STACK)
    with pytest.raises(AxesError, match="--axes ZYX"):
        open_image(path, spacing_um=SPACING)
    with pytest.raises(SpacingError, match=r"npy files carry none.*--spacing-um Z Y X"):
        open_image(path, axes="ZYX")
    np.save(path, STACK[None, :, None])
    with open_image(path, axes="zyx", spacing_um=SPACING) as source:
        assert source.info.shape == (1, 4, 6, 5)


class Code:
    """Touches a file when unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, ...]:
        return Path.touch, (self.path,)


def test_npy_never_unpickles(tmp_path: Path) -> None:
    path = tmp_path / "a.npy"
    np.save(path, np.array([Code(tmp_path / "ran")], dtype=object), allow_pickle=True)
    with pytest.raises(FormatError, match="allow_pickle=False"):
        open_image(path, axes="ZYX", spacing_um=SPACING)
    path.write_bytes(pickle.dumps(Code(tmp_path / "ran")))
    with pytest.raises(FormatError, match="save the array again"):
        open_image(path, axes="ZYX", spacing_um=SPACING)
    assert not (tmp_path / "ran").exists()


def test_npy_truncated_and_npz(tmp_path: Path) -> None:
    path = tmp_path / "a.npy"
    np.save(path, STACK)
    path.write_bytes(path.read_bytes()[:-3])
    with pytest.raises(FormatError, match=r"cannot be read.*save the array again"):
        open_image(path, axes="ZYX", spacing_um=SPACING)
    np.savez(tmp_path / "a.npz", STACK)
    with pytest.raises(FormatError, match=r"several arrays; save the one.*\.npy"):
        open_image(tmp_path / "a.npz", axes="ZYX", spacing_um=SPACING)


@pytest.mark.parametrize(("dtype", "advice"), [("f4", "16 or 32-bit"), ("?", "connected comp")])
def test_npy_labels_that_are_no_integers(tmp_path: Path, dtype: str, advice: str) -> None:
    np.save(tmp_path / "a.npy", STACK.astype(dtype))
    with pytest.raises(LabelError, match=advice):
        open_labels(tmp_path / "a.npy", axes="ZYX")


@pytest.mark.parametrize("dtype", ["u1", "i2", "i8", "u8", ">u4"])
def test_npy_labels(tmp_path: Path, dtype: str) -> None:
    np.save(tmp_path / "a.npy", (STACK % 99).astype(dtype))
    labels = read_labels(tmp_path / "a.npy", axes="ZYX")
    assert labels.dtype == np.uint32
    np.testing.assert_array_equal(labels, STACK % 99)


def test_nd2_stack(tmp_path: Path) -> None:
    path = tmp_path / "stack_of_nikon.nd2"
    write_nd2(path, FRAMES, z_step_um=0.5, pixel_um=0.1, channels=("DAPI", "GFP"))
    with open_image(path) as source:
        assert source.info.shape == (2, 6, 7, 9)
        assert source.info.spacing_um == pytest.approx((0.5, 0.1, 0.1))
        assert source.info.channels == ("DAPI", "GFP")
        assert source.info.format == "nd2"
        np.testing.assert_array_equal(source.read(2, 5), FRAMES[2:5].transpose(3, 0, 1, 2))
    assert not mapped(path.name)


def test_nd2_time_series_uncalibrated_and_damaged(tmp_path: Path) -> None:
    path = tmp_path / "stack_of_nikon.nd2"
    names = ("DAPI", "GFP")
    write_nd2(path, FRAMES, z_step_um=0.5, pixel_um=0.1, channels=names, times=3)
    with pytest.raises(AxesError, match="got 3 time points; split it into one file each"):
        open_image(path)
    write_nd2(path, FRAMES[:1], z_step_um=0.5, pixel_um=0.1, channels=names)
    with pytest.raises(AxesError, match=r"3D stack.*is needed"):
        open_image(path)
    write_nd2(path, FRAMES, z_step_um=0.5, pixel_um=0.0, channels=names)
    with pytest.raises(SpacingError, match=r"along Y, X.*not calibrated.*--spacing-um"):
        open_image(path)
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(FormatError, match="save the stack as OME-TIFF"):
        open_image(path)
    assert not mapped(path.name)


def test_nd2_without_its_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.nd2"
    write_nd2(path, FRAMES, z_step_um=0.5, pixel_um=0.1, channels=("a", "b"))
    monkeypatch.setitem(sys.modules, "nd2", None)
    with pytest.raises(FormatError, match=r"pip install hitl-nuclei\[nd2\]"):
        open_image(path)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_check_finite_names_the_slice(value: float) -> None:
    slab = np.zeros((2, 3, 4, 5), np.float32)
    check_finite(slab, 10, "a.tif")
    check_finite(slab.astype(np.uint8), 10, "a.tif")
    slab[1, 2, 0, 0] = value
    with pytest.raises(VoxelValueError, match=r"a\.tif.*1 NaN or infinite.*z = 12; replace them"):
        check_finite(slab, 10, "a.tif")


def test_check_labels_match() -> None:
    check_labels_match((3, 4, 5), (3, 4, 5))
    with pytest.raises(LabelError, match=r"\(3, 4, 5\), got \(3, 5, 4\); give the labels of"):
        check_labels_match((3, 4, 5), (3, 5, 4))


def test_every_reader_of_the_table_opens(tmp_path: Path) -> None:
    for suffix in READERS:
        path = tmp_path / f"a{suffix}"
        path.write_bytes(b"nothing of an image")
        with pytest.raises(FormatError, match=str(path)):
            open_image(path)
