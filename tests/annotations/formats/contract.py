"""What every format keeps: the tests of each format inherit this class.

A new format's test module has a class of its own that names the format, and, where the format is
not written by this toolkit, says how its tool saves labels.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
from numpy.typing import NDArray

from annotations.errors import FormatError, LabelError
from annotations.formats import open_image, open_labels
from annotations.formats.field_labels import read_field_labels
from annotations.formats.format import Content, Expected, Format, recognise
from annotations.formats.registry import FORMATS
from tests.annotations.formats.exchange_labels import SPACING_UM, blobs

Labels = NDArray[np.uint32]


TIME_STEP_S = 90.0


def content_of(labels: Labels, folder: Path, times: int = 1) -> Content:
    """What an export holds of these planes and an image of noise."""
    planes, height, width = labels.shape
    shape = (times, 2, planes // times, height, width)
    return Content(
        labels=labels,
        spacing_um=SPACING_UM,
        image=np.random.default_rng(0).integers(0, 900, shape).astype(np.uint16),
        channels=("nuclei", "membrane"),
        image_file=folder / "stack.tif",
        times=times,
        time_step_s=TIME_STEP_S if times > 1 else None,
        provenance={"provenance:steps": []},
    )


class FormatContract:
    """Round trip, refusals, and that nothing is overwritten."""

    format: ClassVar[Format]
    file_name: ClassVar[str] = ""
    """Of the labels; by default that of an export."""
    spacing_um: ClassVar[tuple[float, ...] | None] = SPACING_UM
    """What is read back; None for a format that has no place for a voxel size."""

    def labels(self) -> Labels:
        """Labels that the format can hold."""
        return blobs()

    exported: ClassVar[bool] = False
    """Whether its files are read as what became of an export, whose axes are known."""
    holds_times: ClassVar[bool | None] = None
    """Whether the files of its tool hold time points; by default whether an export does."""

    def save(self, path: Path, labels: Labels, times: int = 1) -> None:
        """Save planes of labels as the format's tool does."""
        assert self.format.write is not None
        self.format.write(path, content_of(labels, path.parent, times))

    def kept(self, labels: Labels) -> Labels:
        """Ids as they come back."""
        return labels

    def voxels(self, path: Path) -> Path:
        """The file, or the part of it, that holds the labels as plain voxels."""
        return path

    def damage(self, path: Path, share: float) -> None:
        """Keep only the first part of a file, or of every file of a folder."""
        for file in [f for f in path.rglob("*") if f.is_file()] if path.is_dir() else [path]:
            whole = file.read_bytes()
            file.write_bytes(whole[: int(len(whole) * share)])

    def read(self, path: Path, shape: tuple[int, ...] | None = None, times: int = 1) -> Labels:
        """Read as `hitl import` does."""
        found = recognise(path, FORMATS, self.format.name)
        assert found is self.format
        expected = Expected(shape=shape or self.labels().shape, times=times, exported=self.exported)
        return read_field_labels(found, path, expected).labels

    @pytest.fixture
    def path(self, tmp_path: Path) -> Path:
        name = self.file_name or self.format.export_name.format("stack")
        self.save(tmp_path / name, self.labels())
        return tmp_path / name

    def test_ids_and_shape_come_back(self, path: Path) -> None:
        found = self.read(path)
        assert found.dtype == np.uint32
        np.testing.assert_array_equal(found, self.kept(self.labels()))

    def test_the_voxel_size_comes_back_or_is_said_to_be_missing(self, path: Path) -> None:
        if self.spacing_um is None:
            with pytest.raises(FormatError, match=path.name):
                open_image(path, axes="ZYX")
        else:
            with open_labels(self.voxels(path)) as labels:
                assert labels.spacing_um == pytest.approx(self.spacing_um)

    def test_a_slice_comes_back(self, path: Path) -> None:
        """2D is Z = 1."""
        flat = self.labels()[:1] if len(self.labels()) == 1 else self.labels()[1:2]
        file = path.parent / "flat" / path.name
        file.parent.mkdir()
        self.save(file, flat)
        np.testing.assert_array_equal(self.read(file, flat.shape), self.kept(flat))

    def test_time_points_come_back_or_are_refused(self, path: Path) -> None:
        one = self.labels()
        series = np.concatenate([one, one[::-1], np.roll(one, 1, axis=2)])
        file = path.parent / "series" / path.name
        file.parent.mkdir()
        if self.holds_times or (self.holds_times is None and self.format.holds_times):
            self.save(file, series, 3)
            found = self.read(file, one.shape, 3)
            np.testing.assert_array_equal(found, self.kept(series))
            with pytest.raises(FormatError, match=path.name):
                self.read(file, one.shape, 2)
            return
        if self.format.write is not None:
            able = r"hold one time point, got 3; choose the format tiff or ome-zarr"
            with pytest.raises(FormatError, match=rf"{path.name}: .* {able}"):
                self.save(file, series, 3)
            assert not list(file.parent.iterdir())
        with pytest.raises(FormatError, match=path.name):
            self.read(path, one.shape, 3)

    def test_labels_of_another_shape_are_refused(self, path: Path) -> None:
        z, y, x = self.labels().shape
        with pytest.raises(LabelError, match=rf"{path.name}.*(expected|outside)"):
            self.read(path, (z, y - 2, x - 4))

    @pytest.mark.parametrize("share", [0.1, 0.6, 0.95])
    def test_a_truncated_file_is_refused(self, path: Path, share: float) -> None:
        self.damage(path, share)
        with pytest.raises(FormatError, match=path.name):
            self.read(path)

    def test_an_empty_file_is_refused(self, path: Path) -> None:
        if path.is_dir():
            shutil.rmtree(path)
            path.mkdir()
            reason = "is a folder, but not of"
        else:
            path.write_bytes(b"")
            reason = r"is empty \(0 bytes\)"
        with pytest.raises(FormatError, match=rf"{path.name}: {reason}"):
            self.read(path)

    def test_what_is_no_image_is_refused(self, path: Path) -> None:
        for file in [f for f in path.rglob("*") if f.is_file()] if path.is_dir() else [path]:
            file.write_bytes(b"nothing of an image")
        with pytest.raises(FormatError, match=path.name):
            self.read(path)

    def test_a_missing_file_is_refused(self, tmp_path: Path) -> None:
        name = self.file_name or self.format.export_name.format("gone")
        with pytest.raises(FormatError, match="no such file; check the path"):
            recognise(tmp_path / name, FORMATS, self.format.name)

    def test_nothing_is_overwritten(self, path: Path) -> None:
        if self.format.write is None:
            pytest.skip(f"{self.format.name} is only read")
        before = self.read(path)
        with pytest.raises(FormatError, match=rf"{path.name}: exists already"):
            self.format.write(path, content_of(np.zeros_like(self.labels()), path.parent))
        np.testing.assert_array_equal(self.read(path), before)
        assert not list(path.parent.glob(".*"))

    def test_it_says_what_it_is_for(self) -> None:
        assert self.format.title
        if self.format.write is not None:
            assert self.format.tool
            assert self.format.hint
            assert "{}" in self.format.export_name
