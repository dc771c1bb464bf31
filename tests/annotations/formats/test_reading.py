"""Images and labels by slabs of z, whatever the format."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tifffile

from annotations.errors import AxesError, FormatError, LabelError, SpacingError
from annotations.formats import open_image, open_labels, read_labels, refuse_series
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


@pytest.mark.parametrize("axes", ["ZY", "CZYX", "ZZYX", "ABC", "", "ZYXS", "CZT", "TZC"])
def test_stated_axes_that_do_not_fit(tmp_path: Path, axes: str) -> None:
    with pytest.raises(AxesError, match="--axes"):
        open_image(imagej(tmp_path / "a.tif"), axes=axes)


@pytest.mark.parametrize("bad", [False, True])
def test_no_handle_is_leaked(tmp_path: Path, bad: bool) -> None:
    path = imagej(tmp_path / "a.tif", axes="ZYX")
    if bad:
        with pytest.raises(AxesError):
            open_image(path, axes="ZYS")
    else:
        source = open_image(path)
        source.read(0, 0, 2)
        assert any(name.endswith("a.tif") for name in open_descriptors())
        source.close()
        source.close()
        with pytest.raises(FormatError, match="after it was closed"):
            source.read(0, 0, 1)
    assert not any(name.endswith("a.tif") for name in open_descriptors())


@pytest.mark.parametrize(("start", "stop"), [(0, 5), (-1, 2), (2, 2), (3, 1)])
def test_slabs_outside_the_stack(tmp_path: Path, start: int, stop: int) -> None:
    with (
        open_image(imagej(tmp_path / "a.tif")) as source,
        pytest.raises(ValueError, match="z_start < z_stop <= 4"),
    ):
        source.read(0, start, stop)


@pytest.mark.parametrize("time", [-1, 1])
def test_time_points_that_are_not_there(tmp_path: Path, time: int) -> None:
    with (
        open_image(imagej(tmp_path / "a.tif")) as source,
        pytest.raises(ValueError, match="time_stop <= 1"),
    ):
        source.read(time, 0, 1)


AXES = ["YX", "ZYX", "CZYX", "CYX", "TYX", "TZYX", "TCZYX", "TCYX", "YXS", "TYXS", "XYZCT", "ZSYX"]


@pytest.mark.parametrize("axes", AXES)
def test_axes_of_every_image(tmp_path: Path, axes: str) -> None:
    """Whatever the order in the file, an image is (T, C, Z, Y, X) and colours are channels."""
    sizes = {"T": 4, "C": 2, "Z": 5, "Y": 6, "X": 7, "S": 3}
    array = np.random.default_rng(0).integers(0, 255, [sizes[a] for a in axes]).astype(np.uint8)
    np.save(tmp_path / "a.npy", array)
    order = [axes.index(a) for a in "TCSZYX" if a in axes]
    shape = [sizes[a] if a in axes else 1 for a in "TCZYX"]
    shape[1] = 3 if "S" in axes else shape[1]
    whole = array.transpose(order).reshape(shape)
    with open_image(tmp_path / "a.npy", axes=axes, spacing_um=(1, 1, 1)) as source:
        assert source.info.shape == whole.shape
        assert source.info.channels == (
            ("R", "G", "B") if "S" in axes else tuple(f"ch{i}" for i in range(shape[1]))
        )
        for time in range(shape[0]):
            np.testing.assert_array_equal(source.read(time, 0, shape[2]), whole[time])
        assert source.info.time_step_s is None
    if shape[1] == 1:
        planes = whole.reshape(-1, *shape[3:])
        with open_labels(tmp_path / "a.npy", axes=axes) as labels:
            assert (labels.times, labels.zyx) == (shape[0], tuple(shape[2:]))
            assert labels.shape == planes.shape
            np.testing.assert_array_equal(labels.read_all(), planes)
            half = len(planes) // 2
            np.testing.assert_array_equal(labels.read(half, len(planes)), planes[half:])


@pytest.mark.parametrize(
    ("shape", "axes", "reason"),
    [
        ((6, 7, 5), "YXS", "got 5 samples; save the channels apart.*say C for S"),
        ((2, 6, 7, 3), "CYXS", "got 3 samples in each of 2 channels"),
        ((4, 6, 3), "ZYS", "with Y and X, got axes ZYS"),
        ((4, 0, 3), "ZYX", "empty shape"),
    ],
)
def test_axes_of_no_image(tmp_path: Path, shape: tuple[int, ...], axes: str, reason: str) -> None:
    np.save(tmp_path / "a.npy", np.zeros(shape, np.uint8))
    with pytest.raises(AxesError, match=reason):
        open_image(tmp_path / "a.npy", axes=axes, spacing_um=(1, 1, 1))


@pytest.mark.parametrize("grey", [True, False])
def test_constant_transparency_is_left_out_and_other_refused(tmp_path: Path, grey: bool) -> None:
    array = np.random.default_rng(0).integers(0, 255, (4, 6, 5, 2 if grey else 4)).astype(np.uint8)
    array[..., -1] = 255
    np.save(tmp_path / "a.npy", array)
    with open_image(tmp_path / "a.npy", axes="TYXS", spacing_um=(1, 1, 1)) as source:
        assert source.info.channels == (("ch0",) if grey else ("R", "G", "B"))
        np.testing.assert_array_equal(
            source.read(1, 0, 1)[:, 0], np.moveaxis(array[1, ..., :-1], 2, 0)
        )
    array[3, 0, 0, -1] = 254
    np.save(tmp_path / "b.npy", array)
    with open_image(tmp_path / "b.npy", axes="TYXS", spacing_um=(1, 1, 1)) as source:
        source.read(0, 0, 1)
        with pytest.raises(FormatError, match=r"b\.npy.*transparency.*save it again without"):
            source.read(3, 0, 1)


def test_a_flat_image_has_no_depth(tmp_path: Path) -> None:
    """Its z size is 1 µm by definition, whatever is left over in the file; the user wins."""
    path = imagej(tmp_path / "a.tif", np.ones((6, 5), np.uint8), "YX")
    with open_image(path) as source:
        assert source.info.spacing_um == pytest.approx((1.0, 0.5, 0.25))
    with open_image(path, spacing_um=(3, 2, 2)) as source:
        assert source.info.spacing_um == (3.0, 2.0, 2.0)
    np.save(tmp_path / "a.npy", np.ones((6, 5), np.uint8))
    with pytest.raises(SpacingError, match=r"along Y, X.*--spacing-um Z Y X \(Z is 1 for"):
        open_image(tmp_path / "a.npy", axes="YX")
    with pytest.raises(AxesError, match=r"ambiguous.*--axes YX"):
        open_image(tmp_path / "a.npy", spacing_um=(1, 1, 1))


def test_grey_pictures_in_colours_are_labels_and_others_are_not(tmp_path: Path) -> None:
    grey = np.repeat(np.arange(30, dtype=np.uint8).reshape(6, 5, 1), 3, axis=2)
    np.save(tmp_path / "a.npy", grey)
    np.testing.assert_array_equal(read_labels(tmp_path / "a.npy", axes="YXS")[0], grey[..., 0])
    grey[2, 2, 1] += 1
    np.save(tmp_path / "b.npy", grey)
    with pytest.raises(LabelError, match="got colours; save the labels in one channel"):
        read_labels(tmp_path / "b.npy", axes="YXS")


def test_a_bad_id_names_slice_and_time_point(tmp_path: Path) -> None:
    array = np.zeros((3, 2, 4, 5), np.int16)
    array[2, 1, 0, 0] = -5
    np.save(tmp_path / "a.npy", array)
    with pytest.raises(LabelError, match="the negative id -5 in slice z = 1 of time point 2"):
        read_labels(tmp_path / "a.npy", axes="TZYX")


def test_several_time_points_where_one_is_needed() -> None:
    refuse_series(Path("a.tif"), 1)
    with pytest.raises(AxesError, match=r"time series of 4; split .*one frame\)$"):
        refuse_series(Path("a.tif"), 4)
    with pytest.raises(AxesError, match=r"frames are really z slices, say so with --axes ZYX"):
        refuse_series(Path("a.tif"), 4, flat=True)


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
        np.testing.assert_array_equal(source.read(0, 5, 20)[0], image[5:20])
    np.testing.assert_array_equal(read_labels(folder / "labels.tif"), labels)


@pytest.mark.real
def test_real_plain_labels_and_flat_image(real_stack) -> None:
    real_stack("gonuclear_1136")
    from tests.conftest import real_data_folder

    labels = real_data_folder() / "platynereis_labels" / "gt.tif"
    with pytest.raises(AxesError, match="--axes ZYX"):
        read_labels(labels)
    assert len(np.unique(read_labels(labels, axes="ZYX"))) == 37
    with open_image(
        real_data_folder() / "stardist_dsb2d" / "image.tif", spacing_um=(1, 1, 1)
    ) as flat:
        assert flat.info.shape[:3] == (1, 1, 1)
