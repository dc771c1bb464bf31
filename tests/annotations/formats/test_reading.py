"""Images and labels by slabs of z, whatever the format."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tifffile

from annotations.errors import AxesError, FormatError, LabelError, SpacingError
from annotations.formats import open_image, open_labels, read_labels
from tests.annotations.formats.open_files import open_descriptors
from tests.annotations.formats.tiff_files import imagej


def test_spacing_of_the_user_wins(tmp_path: Path) -> None:
    with open_image(imagej(tmp_path / "a.tif"), spacing_um=(3, 1, 1)) as source:
        assert source.info.spacing_um == (3.0, 1.0, 1.0)


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


@pytest.mark.parametrize("axes", ["ZY", "CZYX", "ZZYX", "ABC", "", "ZYXS"])
def test_stated_axes_that_do_not_fit(tmp_path: Path, axes: str) -> None:
    with pytest.raises(AxesError, match="--axes"):
        open_image(imagej(tmp_path / "a.tif"), axes=axes)


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
