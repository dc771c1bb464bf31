"""ND2 in, through the optional package."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from annotations.errors import FormatError, SpacingError
from annotations.formats import open_image
from annotations.formats.nd2 import ND2
from tests.annotations.formats.contract import FormatContract, Labels
from tests.annotations.formats.exchange_labels import blobs, compact
from tests.annotations.formats.nd2_file import write_nd2
from tests.annotations.formats.open_files import mapped

FRAMES = np.random.default_rng(1).integers(0, 60_000, (6, 7, 9, 2)).astype(np.uint16)


def test_nd2_stack(tmp_path: Path) -> None:
    path = tmp_path / "stack_of_nikon.nd2"
    write_nd2(path, FRAMES, z_step_um=0.5, pixel_um=0.1, channels=("DAPI", "GFP"))
    with open_image(path) as source:
        assert source.info.shape == (1, 2, 6, 7, 9)
        assert source.info.spacing_um == pytest.approx((0.5, 0.1, 0.1))
        assert source.info.channels == ("DAPI", "GFP")
        assert source.info.format == "nd2"
        np.testing.assert_array_equal(source.read(0, 2, 5), FRAMES[2:5].transpose(3, 0, 1, 2))
    assert not mapped(path.name)


def test_nd2_time_series_and_flat(tmp_path: Path) -> None:
    path = tmp_path / "stack_of_nikon.nd2"
    names = ("DAPI", "GFP")
    write_nd2(path, FRAMES, z_step_um=0.5, pixel_um=0.1, channels=names, times=3, period_ms=90_000)
    with open_image(path) as source:
        assert source.info.shape == (3, 2, 2, 7, 9)
        assert source.info.time_step_s == 90
        for time in range(3):
            want = FRAMES[2 * time : 2 * time + 2].transpose(3, 0, 1, 2)
            np.testing.assert_array_equal(source.read(time, 0, 2), want)
    write_nd2(path, FRAMES[:1], z_step_um=0.5, pixel_um=0.1, channels=names)
    with open_image(path) as source:
        assert source.info.shape == (1, 2, 1, 7, 9)
        assert source.info.spacing_um == pytest.approx((1.0, 0.1, 0.1))


def test_nd2_colours_are_blue_green_red(tmp_path: Path) -> None:
    path = tmp_path / "colours.nd2"
    frames = np.random.default_rng(1).integers(0, 60_000, (2, 7, 9, 3)).astype(np.uint16)
    write_nd2(path, frames, z_step_um=0.5, pixel_um=0.1, channels=("Brightfield",))
    with open_image(path) as source:
        assert source.info.channels == ("R", "G", "B")
        np.testing.assert_array_equal(source.read(0, 0, 2), frames[..., ::-1].transpose(3, 0, 1, 2))


def test_nd2_uncalibrated_and_damaged(tmp_path: Path) -> None:
    path = tmp_path / "stack_of_nikon.nd2"
    names = ("DAPI", "GFP")
    write_nd2(path, FRAMES, z_step_um=0.5, pixel_um=0.0, channels=names)
    with pytest.raises(SpacingError, match=r"along Y, X.*not calibrated.*--spacing-um"):
        open_image(path)
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(FormatError, match=r"is truncated.*as OME-TIFF"):
        open_image(path)
    assert not mapped(path.name)


def test_nd2_without_its_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.nd2"
    write_nd2(path, FRAMES, z_step_um=0.5, pixel_um=0.1, channels=("a", "b"))
    monkeypatch.setitem(sys.modules, "nd2", None)
    with pytest.raises(FormatError, match=r"pip install hitl-nuclei\[nd2\]"):
        open_image(path)


class TestContract(FormatContract):
    format = ND2
    file_name = "stack.nd2"
    spacing_um = (2.0, 0.5, 0.5)

    def labels(self) -> Labels:
        """ND2 has 16 bits."""
        return compact(blobs())

    holds_times = True

    def save(self, path: Path, labels: Labels, times: int = 1) -> None:
        frames = labels.astype(np.uint16)[..., np.newaxis]
        write_nd2(path, frames, z_step_um=2.0, pixel_um=0.5, channels=("labels",), times=times)
