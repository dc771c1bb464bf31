"""Labels of a known image from files that may not say what their axes are."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tifffile

from annotations.errors import AxesError, FormatError, LabelError
from annotations.formats.cellpose import CELLPOSE
from annotations.formats.cellpose_seg import write_cellpose_seg
from annotations.formats.field_labels import read_field_labels
from annotations.formats.format import Expected
from annotations.formats.npy import NPY
from annotations.formats.tiff import TIFF
from tests.annotations.formats.tiff_files import imagej

LABELS = np.random.default_rng(0).integers(0, 9, (3, 4, 6, 5)).astype(np.uint16)


@pytest.mark.parametrize(
    ("times", "depth", "axes"), [(3, 4, "TZYX"), (3, 1, "TYX"), (1, 4, "ZYX"), (1, 1, "YX")]
)
def test_axes_that_no_file_states_are_those_that_fit(
    tmp_path: Path, times: int, depth: int, axes: str
) -> None:
    labels = LABELS[:times, :depth].squeeze()
    np.save(tmp_path / "a.npy", labels)
    expected = Expected(shape=(depth, 6, 5), times=times)
    found = read_field_labels(NPY, tmp_path / "a.npy", expected)
    np.testing.assert_array_equal(found.labels, labels.reshape(expected.planes))
    assert f"taken as {', '.join(axes)} (the only order that fits the image)" in found.notes[0]


@pytest.mark.parametrize(
    ("times", "shape", "axes"),
    [(1, (4, 6, 6), "ZYX"), (4, (4, 6, 5), "TZYX"), (4, (1, 6, 4), "TYX"), (1, (1, 6, 6), "YX")],
)
def test_axes_of_which_several_orders_fit_must_be_stated(
    tmp_path: Path, times: int, shape: tuple[int, int, int], axes: str
) -> None:
    labels = np.arange(times * np.prod(shape), dtype=np.uint32).reshape(times, *shape)
    np.save(tmp_path / "a.npy", labels.squeeze())
    with pytest.raises(AxesError, match=f"several orders fit.*--axes {axes}$"):
        read_field_labels(NPY, tmp_path / "a.npy", Expected(shape=shape, times=times))
    for known in ({"axes": axes}, {"exported": True}):
        expected = Expected(shape=shape, times=times, **known)
        found = read_field_labels(NPY, tmp_path / "a.npy", expected)
        np.testing.assert_array_equal(found.labels.reshape(labels.shape), labels)


def test_all_planes_along_one_axis_only_after_an_export(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    planes = LABELS.reshape(12, 6, 5)
    tifffile.imwrite(path, planes, photometric="minisblack", metadata=None)
    with pytest.raises(AxesError, match="12 planes and does not say which are slices and which"):
        read_field_labels(TIFF, path, Expected(shape=(4, 6, 5), times=3))
    found = read_field_labels(TIFF, path, Expected(shape=(4, 6, 5), times=3, exported=True))
    np.testing.assert_array_equal(found.labels, planes)
    assert "taken as exported: all slices of a time point" in found.notes[0]


def test_frames_are_no_slices_unless_the_user_says_so(tmp_path: Path) -> None:
    path = imagej(tmp_path / "a.tif", LABELS[0], "TYX")
    with pytest.raises(LabelError, match=r"of 1 time point, .*got 4; .*say so with --axes ZYX"):
        read_field_labels(TIFF, path, Expected(shape=(4, 6, 5)))
    found = read_field_labels(TIFF, path, Expected(shape=(4, 6, 5), axes="ZYX"))
    np.testing.assert_array_equal(found.labels, LABELS[0])
    swapped = imagej(tmp_path / "b.tif", LABELS, "TZYX")
    with pytest.raises(LabelError, match="of 4 time points, as the image has, got 3"):
        read_field_labels(TIFF, swapped, Expected(shape=(3, 6, 5), times=4))


def test_masks_of_one_slice_for_a_stack(tmp_path: Path) -> None:
    write_cellpose_seg(tmp_path / "a_seg.npy", LABELS[0, :1], "a.tif")
    with pytest.raises(LabelError, match=r"of 4 slices, got those of one; .*--Zstack"):
        read_field_labels(CELLPOSE, tmp_path / "a_seg.npy", Expected(shape=(4, 6, 5)))
    with pytest.raises(FormatError, match="hold one time point, got 3; choose the format tiff or"):
        read_field_labels(CELLPOSE, tmp_path / "a_seg.npy", Expected(shape=(4, 6, 5), times=3))
