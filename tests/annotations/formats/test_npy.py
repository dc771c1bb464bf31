"""NPY in: by slabs, never a pickle."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest

from annotations.errors import AxesError, FormatError, LabelError, SpacingError
from annotations.formats import open_image, open_labels, read_labels
from annotations.formats.npy import NPY
from tests.annotations.formats.contract import FormatContract, Labels
from tests.annotations.formats.open_files import mapped

SPACING = (2.0, 0.5, 0.25)
STACK = np.random.default_rng(0).integers(0, 60_000, (4, 6, 5)).astype(np.uint16)


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("dtype", ["<u2", ">u2", "f2", "f8", "i4"])
def test_npy_is_read_by_slabs_and_released(tmp_path: Path, order: str, dtype: str) -> None:
    path = tmp_path / "stack_of_npy.npy"
    np.save(path, np.asarray(STACK % 1000, dtype=dtype, order=order))
    with open_image(path, axes="ZYX", spacing_um=SPACING) as source:
        assert source.info.format == "npy"
        slab = source.read(0, 1, 3)
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
        assert source.info.shape == (1, 1, 4, 6, 5)


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


class TestContract(FormatContract):
    format = NPY
    file_name = "stack.npy"
    spacing_um = None
    holds_times = True

    def save(self, path: Path, labels: Labels, times: int = 1) -> None:
        planes, height, width = labels.shape
        np.save(path, labels.reshape(times, planes // times, height, width).squeeze())
