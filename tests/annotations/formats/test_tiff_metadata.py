"""Voxel size and channels as the dialects of TIFF state them, and hostile OME-XML."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
import tifffile

from annotations.errors import FormatError, SpacingError
from annotations.formats import open_image, open_labels
from tests.annotations.formats.tiff_files import RESOLUTION, RNG, STACK, imagej, ome


@pytest.mark.parametrize("axes", ["ZCYX", "CZYX"])
def test_ome_axes_channels_and_units(tmp_path: Path, axes: str) -> None:
    array = RNG.integers(0, 255, (4, 2, 6, 5) if axes == "ZCYX" else (2, 4, 6, 5)).astype(np.uint8)
    units = {f"PhysicalSize{a}Unit": "nm" for a in "YX"}
    path = ome(tmp_path / "a.ome.tif", array, axes, Channel={"Name": ["Cy3", "GFP"]}, **units)
    with open_image(path) as source:
        assert source.info.channels == ("Cy3", "GFP")
        assert source.info.spacing_um == pytest.approx((2.0, 5e-4, 2.5e-4))
        want = array.transpose(1, 0, 2, 3) if axes == "ZCYX" else array
        np.testing.assert_array_equal(source.read(0, 1, 4), want[:, 1:4])


def test_imagej_spacing_downwards_is_a_magnitude(tmp_path: Path) -> None:
    with open_image(imagej(tmp_path / "a.tif", spacing=-2.0)) as source:
        assert source.info.spacing_um[0] == 2.0


@pytest.mark.parametrize(
    ("metadata", "step_s"),
    [
        ({"finterval": 2.5}, 2.5),
        ({"finterval": 3, "tunit": "min"}, 180),
        ({"finterval": 0.0}, None),
        ({"finterval": 3, "tunit": "pixel"}, None),
        ({"fps": 7.0}, None),
        ({}, None),
    ],
)
def test_imagej_time_step(
    tmp_path: Path, metadata: dict[str, object], step_s: float | None
) -> None:
    path = imagej(tmp_path / "a.tif", np.stack([STACK, STACK]), "TZYX", **metadata)
    with open_image(path) as source:
        assert source.info.time_step_s == step_s
    with open_image(imagej(tmp_path / "b.tif", **metadata)) as source:
        assert source.info.time_step_s is None


@pytest.mark.parametrize(
    ("metadata", "step_s"),
    [
        ({"TimeIncrement": 2.5}, 2.5),
        ({"TimeIncrement": 3.0, "TimeIncrementUnit": "min"}, 180),
        ({"TimeIncrement": 400.0, "TimeIncrementUnit": "ms"}, 0.4),
        ({}, None),
    ],
)
def test_ome_time_step(tmp_path: Path, metadata: dict[str, object], step_s: float | None) -> None:
    path = ome(tmp_path / "a.tif", np.stack([STACK, STACK]), "TZYX", **metadata)
    with open_image(path) as source:
        assert source.info.time_step_s == (None if step_s is None else pytest.approx(step_s))


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
