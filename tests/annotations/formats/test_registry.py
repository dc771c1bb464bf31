"""The formats' table: cheap to import, and no format without the contract's tests."""

from __future__ import annotations

import importlib
import subprocess
import sys
from pathlib import Path

import pytest

from annotations.errors import FormatError
from annotations.formats import open_image
from annotations.formats.format import WITH_TIMES, recognise
from annotations.formats.registry import FORMATS, export_formats, image_formats
from tests.annotations.formats.contract import FormatContract


def test_every_format_keeps_the_contract() -> None:
    for file in Path(__file__).parent.glob("test_*.py"):
        importlib.import_module(f"{__package__}.{file.stem}")
    tested = {found.format.name for found in FormatContract.__subclasses__()}
    assert {found.name for found in FORMATS} <= tested


def test_names_are_unique_and_exports_say_what_to_do() -> None:
    assert len({found.name for found in FORMATS}) == len(FORMATS)
    assert list(export_formats()) == ["tiff", "labkit", "ome-zarr", "coded", "cellpose", "rois"]
    for found in export_formats().values():
        assert found.tool
        assert found.hint
        assert "{}" in found.export_name
        assert found.read is not None or found.open is not None


def test_formats_that_are_named_for_several_time_points_hold_them() -> None:
    assert all(export_formats()[name].holds_times for name in WITH_TIMES)


def test_names_cost_no_import() -> None:
    code = (
        "import sys, annotations.formats.registry;"
        "print([m for m in ('numpy', 'tifffile', 'zarr', 'fastremap') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout.strip() == "[]"


def test_every_image_format_refuses_what_is_none(tmp_path: Path) -> None:
    for suffix in [suffix for found in image_formats() for suffix in found.suffixes]:
        path = tmp_path / f"a{suffix}"
        path.write_bytes(b"nothing of an image")
        with pytest.raises(FormatError, match=str(path)):
            open_image(path)


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("a.gif", r"suffix '.gif' cannot be read; save it as one of TIFF \(.tif, .tiff, .btf\)"),
        ("a.npz", r"several arrays; save the one to use"),
        ("a.zarr", r"expected a folder of OME-Zarr, got a file"),
        ("folder", r"is a folder, but not of OME-Zarr \(it has no zarr.json"),
        ("gone.tif", r"there is no such file"),
    ],
)
def test_files_of_no_format(tmp_path: Path, name: str, reason: str) -> None:
    if name == "folder":
        (tmp_path / name).mkdir()
    elif name != "gone.tif":
        (tmp_path / name).write_bytes(b"x")
    with pytest.raises(FormatError, match=reason):
        recognise(tmp_path / name, FORMATS)
