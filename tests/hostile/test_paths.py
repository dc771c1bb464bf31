"""What a path may name in place of an image or labels: folders, pipes, devices, nothing at all."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from hitl.cli import run
from tests.annotations.store_sources import noise
from tests.hostile.projects import good_labels

Put = Callable[[Path], object]


def folder_with_a_file(path: Path) -> None:
    path.mkdir()
    (path / "image.tif").write_bytes(b"II*\0")


def listening(path: Path) -> None:
    here = Path.cwd()
    os.chdir(path.parent)
    try:
        with socket.socket(socket.AF_UNIX) as made:
            made.bind(path.name)
    finally:
        os.chdir(here)


def picture(path: Path) -> None:
    Image.fromarray(noise()[0, 0].astype(np.uint8)).save(path, "PNG")


def loop(path: Path) -> None:
    path.symlink_to(path.name)


THINGS: dict[str, tuple[str, Put]] = {
    "nothing": ("a.tif", lambda path: None),
    "an empty file": ("a.tif", Path.touch),
    "an empty .npy": ("a.npy", Path.touch),
    "an empty .zip": ("a.zip", Path.touch),
    "an empty .nd2": ("a.nd2", Path.touch),
    "an empty .png": ("a.png", Path.touch),
    "a pipe": ("a.tif", os.mkfifo),
    "a pipe called .npy": ("a.npy", os.mkfifo),
    "a pipe called _seg.npy": ("a_seg.npy", os.mkfifo),
    "a pipe called .zip": ("a.zip", os.mkfifo),
    "a pipe called .zarr": ("a.zarr", os.mkfifo),
    "a socket": ("a.tif", listening),
    "a link to zeros without end": ("a.tif", lambda path: path.symlink_to("/dev/zero")),
    "a link to nothing": ("a.tif", lambda path: path.symlink_to("gone.tif")),
    "a link to itself": ("a.tif", loop),
    "a folder": ("a.tif", folder_with_a_file),
    "a folder called .npy": ("a.npy", folder_with_a_file),
    "a folder called .zip": ("a.zip", folder_with_a_file),
    "an empty .zarr": ("a.zarr", Path.mkdir),
    "a file called .zarr": ("a.zarr", lambda path: path.write_bytes(b"{}")),
    "a PNG called .tif": ("a.tif", picture),
    "a PNG called .npy": ("a.npy", picture),
    "a PNG called .nd2": ("a.nd2", picture),
    "a text called .png": ("a.png", lambda path: path.write_text("hello")),
    "a text called .tif": ("a.tif", lambda path: path.write_text("II*\0hello")),
    "a text called .roi": ("a.roi", lambda path: path.write_text("Iout" + " " * 100)),
    "a TIFF called .npy": (
        "a.npy",
        lambda path: good_labels(path.with_suffix(".tif")).rename(path),
    ),
    "an archive of arrays": ("a.npz", lambda path: np.savez(path, a=noise()[0])),
    "no suffix": ("a", lambda path: path.write_bytes(bytes(100))),
    "an unknown suffix": ("a.xyz", lambda path: path.write_bytes(bytes(100))),
    "a suffix alone": (".tif", lambda path: path.write_bytes(bytes(100))),
    "a line break in the name": ("a\nb.tif", lambda path: path.write_bytes(b"II*\0")),
    "an escape in the name": ("\x1b[31mred.tif", lambda path: path.write_bytes(b"II*\0")),
    "bytes that are no text in the name": ("a\udcff.tif", lambda path: path.write_bytes(b"II*\0")),
    "a long name": ("a" * 300 + ".tif", lambda path: None),
}


@pytest.mark.parametrize("thing", THINGS.values(), ids=THINGS)
@pytest.mark.parametrize("verb", ["add", "import"])
def test_what_is_in_the_place_of_a_file(
    refused: Callable[..., str],
    project: Path,
    tmp_path: Path,
    verb: str,
    thing: tuple[str, Put],
) -> None:
    name, put = thing
    place = tmp_path / "in"
    place.mkdir()
    put(place / name)
    if verb == "add":
        refused("add", project, place / name, "--axes=ZYX", "--spacing-um", 2, 0.5, 0.4)
    else:
        refused("import", project, "s", place / name, "--annotator=anna")


@pytest.mark.parametrize("device", ["/dev/zero", "/dev/stdin", "/dev/null", "/dev/urandom", "/"])
def test_a_device(refused: Callable[..., str], project: Path, device: str) -> None:
    refused("add", project, device, "--axes=ZYX", "--spacing-um", 2, 0.5, 0.4)
    refused("import", project, "s", device, "--annotator=anna")


def test_a_pipe_beside_labels_is_no_sidecar(project: Path, tmp_path: Path) -> None:
    labels = good_labels(tmp_path / "good.tif")
    os.mkfifo(tmp_path / "other.hitl.json")
    assert run(["import", str(project), "s", str(labels), "--annotator=anna"]) == 0


def test_a_link_to_a_file_is_the_file(project: Path, tmp_path: Path) -> None:
    good_labels(tmp_path / "good.tif")
    (tmp_path / "link.tif").symlink_to(tmp_path / "good.tif")
    assert run(["import", str(project), "s", str(tmp_path / "link.tif"), "--annotator=anna"]) == 0
