"""Several files as one image."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from annotations.errors import AxesError, FormatError, SpacingError
from annotations.formats import joined, open_joined, write_image_tiff
from annotations.volume import ImageSource
from tests.annotations.formats.open_files import open_descriptors
from tests.annotations.formats.tiff_files import ome

SPACING = (2.0, 0.5, 0.25)
WHOLE = np.random.default_rng(0).integers(0, 900, (3, 2, 4, 6, 5)).astype(np.uint16)


def channel_files(folder: Path, names: tuple[str, ...] = ("Cy3", "GFP")) -> list[Path]:
    files = [folder / f"{name}.tif" for name in names]
    for c, file in enumerate(files):
        write_image_tiff(file, WHOLE[:, c : c + 1], SPACING, time_step_s=90)
    return files


def time_files(folder: Path, array: NDArray[Any] = WHOLE) -> list[Path]:
    files = [folder / f"t{t}.tif" for t in range(len(array))]
    for file, image in zip(files, array, strict=True):
        write_image_tiff(file, image, SPACING)
    return files


def test_a_file_per_channel(tmp_path: Path) -> None:
    files = channel_files(tmp_path)
    with open_joined(files, "channels") as source:
        assert isinstance(source, ImageSource)
        assert source.info.shape == WHOLE.shape
        assert source.info.channels == ("Cy3", "GFP")
        assert source.info.time_step_s == 90
        assert source.info.spacing_um == pytest.approx(SPACING)
        assert (source.info.path, source.info.paths) == (files[0], tuple(files))
        for time in range(3):
            np.testing.assert_array_equal(source.read(time, 1, 3), WHOLE[time, :, 1:3])
    assert not any(".tif" in name for name in open_descriptors())
    with pytest.raises(FormatError, match="read after it was closed"):
        source.read(0, 0, 1)


def test_a_file_per_time_point(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(joined, "_MOST_OPEN", 2)
    files = time_files(tmp_path)
    with open_joined([str(file) for file in files], "times") as source:
        assert source.info.shape == WHOLE.shape
        assert source.info.channels == ("ch0", "ch1")
        assert source.info.time_step_s is None
        assert source.info.paths == tuple(files)
        for time in (0, 2, 1):
            np.testing.assert_array_equal(source.read(time, 0, 4), WHOLE[time])
            assert sum(".tif" in name for name in open_descriptors()) <= 2
        with pytest.raises(ValueError, match="time_stop <= 3"):
            source.read(3, 0, 1)
    assert not any(".tif" in name for name in open_descriptors())


def test_pictures_of_each_time_point(tmp_path: Path) -> None:
    colours = np.random.default_rng(0).integers(0, 255, (2, 6, 5, 3)).astype(np.uint8)
    files = [tmp_path / f"t{t}.png" for t in range(2)]
    for file, picture in zip(files, colours, strict=True):
        Image.fromarray(picture).save(file)
    with open_joined(files, "times", spacing_um=(1, 0.5, 0.5)) as source:
        assert source.info.shape == (2, 3, 1, 6, 5)
        assert source.info.channels == ("R", "G", "B")
        np.testing.assert_array_equal(source.read(1, 0, 1)[:, 0], colours[1].transpose(2, 0, 1))


def test_names_of_channels(tmp_path: Path) -> None:
    stack = WHOLE[0, 0]
    same = [ome(tmp_path / f"{n}.ome.tif", stack, Channel={"Name": ["Cy3"]}) for n in "ab"]
    plain = [ome(tmp_path / f"{n}.ome.tif", stack) for n in ("DAPI", "well.1")]
    (tmp_path / "other").mkdir()
    twin = ome(tmp_path / "other" / "DAPI.ome.tif", stack)
    for files, names in (
        (same, ("Cy3 0", "Cy3 1")),
        (plain, ("DAPI", "well.1")),
        ([same[0], plain[0]], ("Cy3", "DAPI")),
        ([plain[0], twin], ("DAPI 0", "DAPI 1")),
    ):
        with open_joined(files, "channels") as source:
            assert source.info.channels == names


@pytest.mark.parametrize(
    ("array", "spacing", "error", "reason"),
    [
        (WHOLE[:, :1, :3], SPACING, AxesError, "expected 4 z slices as in Cy3.tif, got 3; give"),
        (WHOLE[:, :1, :, :, :4], SPACING, AxesError, r"expected 5 columns \(x\) .*got 4"),
        (WHOLE[:2, :1], SPACING, AxesError, "expected 3 time points .*got 2"),
        (WHOLE[:, :1].astype("u1"), SPACING, FormatError, "expected uint16 .*got uint8; save all"),
        (WHOLE[:, :1], (2.0, 0.5, 0.3), SpacingError, r"expected the voxel size .*--spacing-um"),
        (WHOLE, SPACING, AxesError, r"expected one channel in each file, got 2 \(ch0, ch1\)"),
    ],
)
def test_files_that_differ(
    tmp_path: Path,
    array: NDArray[Any],
    spacing: tuple[float, float, float],
    error: type[Exception],
    reason: str,
) -> None:
    files = channel_files(tmp_path)
    write_image_tiff(tmp_path / "odd.tif", array, spacing, time_step_s=90)
    with pytest.raises(error, match=rf"odd\.tif: {reason}") as caught:
        open_joined([*files, tmp_path / "odd.tif"], "channels")
    assert "\n" not in str(caught.value)
    assert not any(".tif" in name for name in open_descriptors())


def test_time_steps_that_differ(tmp_path: Path) -> None:
    files = channel_files(tmp_path)
    write_image_tiff(tmp_path / "odd.tif", WHOLE[:, :1], SPACING, time_step_s=60)
    with pytest.raises(FormatError, match=r"odd\.tif: expected 90.* s between time points"):
        open_joined([*files, tmp_path / "odd.tif"], "channels")
    write_image_tiff(tmp_path / "mute.tif", WHOLE[:, :1], SPACING)
    with open_joined([tmp_path / "mute.tif", *files], "channels") as source:
        assert source.info.time_step_s == 90


def test_series_and_other_channels_among_time_points(tmp_path: Path) -> None:
    files = time_files(tmp_path)
    write_image_tiff(tmp_path / "series.tif", WHOLE[:2], SPACING)
    with pytest.raises(AxesError, match=r"series\.tif: expected one time point .*got 2"):
        open_joined([files[0], tmp_path / "series.tif"], "times")
    stacks = [
        ome(tmp_path / f"{n}.ome.tif", WHOLE[0].transpose(1, 0, 2, 3), "ZCYX", Channel={"Name": c})
        for n, c in (("a", ["Cy3", "GFP"]), ("b", ["GFP", "Cy3"]))
    ]
    with pytest.raises(FormatError, match=r"the channels Cy3, GFP of a\.ome\.tif, got GFP"):
        open_joined(stacks, "times")


def test_one_voxel_size_for_files_that_differ(tmp_path: Path) -> None:
    files = channel_files(tmp_path)
    write_image_tiff(files[1], WHOLE[:, :1], (1, 1, 1), time_step_s=90, overwrite=True)
    with open_joined(files, "channels", spacing_um=(3, 2, 1)) as source:
        assert source.info.spacing_um == (3, 2, 1)


def _missing(files: list[Path]) -> list[Path]:
    return [*files, files[0].with_name("gone.tif")]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda files: [], "got none"),
        (lambda files: [*files, files[0]], "is named twice"),
        (_missing, "no such file"),
    ],
)
def test_lists_of_files_that_cannot_be(
    tmp_path: Path, change: Callable[[list[Path]], list[Path]], reason: str
) -> None:
    with pytest.raises(FormatError, match=reason):
        open_joined(change(channel_files(tmp_path)), "channels")


def test_a_file_that_changes_while_it_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(joined, "_MOST_OPEN", 1)
    files = time_files(tmp_path)
    with open_joined(files, "times") as source:
        write_image_tiff(files[0], WHOLE[0, :, :2], SPACING, overwrite=True)
        with pytest.raises(FormatError, match=r"t0\.tif: has changed while it was read"):
            source.read(0, 0, 1)
