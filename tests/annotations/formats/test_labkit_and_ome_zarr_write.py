"""Files that other tools open, and what they write: OME-Zarr, Labkit."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import zarr

from annotations.errors import FormatError, LabelError
from annotations.formats import open_image, read_labels
from annotations.formats.cellpose_seg import write_cellpose_seg
from annotations.formats.labkit import names_file, resolve_names
from annotations.formats.ome_zarr_write import write_ome_zarr
from annotations.formats.rois import write_rois
from tests.annotations.formats.exchange_labels import SPACING_UM, blobs

# OME-Zarr


def test_ome_zarr_with_labels_opens_elsewhere_and_comes_back(tmp_path: Path) -> None:
    from ome_zarr.io import parse_url
    from ome_zarr.reader import Reader

    labels = blobs()
    image = np.random.default_rng(0).integers(0, 900, (2, *labels.shape)).astype(">u2")
    path = tmp_path / "a.ome.zarr"
    write_ome_zarr(path, image, labels, SPACING_UM, channels=("nuclei", "membrane"))
    assert np.array_equal(read_labels(path / "labels" / "objects"), labels)
    with open_image(path) as source:
        assert source.info.spacing_um == SPACING_UM
        assert source.info.channels == ("nuclei", "membrane")
        assert np.array_equal(source.read(0, 4), image)
    nodes = list(Reader(parse_url(str(path)))())
    arrays = [node.data[0] for node in nodes if node.data]
    assert [a.shape for a in arrays] == [image.shape, labels.shape]
    assert np.array_equal(np.asarray(arrays[1]), labels)
    zarr.open_group(path / "labels" / "objects", mode="r+")["0"][1, 4, 4:6] = 7
    assert (read_labels(path / "labels" / "objects") == 7).sum() == 60


def test_ome_zarr_is_never_half_there(tmp_path: Path) -> None:
    image, labels = np.zeros((1, 4, 12, 15), np.uint8), blobs()
    path = tmp_path / "a.ome.zarr"
    with pytest.raises(LabelError):
        write_ome_zarr(path, image, labels[:, :5], SPACING_UM, channels=("a",))
    with pytest.raises(LabelError, match="negative"):
        write_ome_zarr(path, image, -labels.astype(np.int64), SPACING_UM, channels=("a",))
    assert list(tmp_path.iterdir()) == []
    write_ome_zarr(path, image, labels, SPACING_UM, channels=("a",))
    with pytest.raises(FormatError, match="exists already"):
        write_ome_zarr(path, image, labels, SPACING_UM, channels=("a",))


def test_files_are_not_overwritten(tmp_path: Path) -> None:
    (tmp_path / "a_seg.npy").write_text("mine")
    (tmp_path / "a.zip").write_text("mine")
    with pytest.raises(FormatError, match="exists already"):
        write_cellpose_seg(tmp_path / "a_seg.npy", blobs(), "a.tif")
    with pytest.raises(FormatError, match="exists already"):
        write_rois(tmp_path / "a.zip", blobs())
    assert {p.read_text() for p in tmp_path.iterdir()} == {"mine"}


# Labkit


def labkit_names(path: Path, sets: object) -> Path:
    names_file(path).write_text(json.dumps({"labelSets": sets}))
    return path


def test_labkits_names_are_the_ids(tmp_path: Path) -> None:
    indices = np.array([[[0, 1, 2], [3, 4, 4]]], np.uint32)
    path = labkit_names(tmp_path / "a.tif", [[], ["12"], ["3"], ["new cell"], ["12", "Label 2"]])
    found = resolve_names(path, indices)
    # Label 2 has the shorter name, so it is the first of the new ones.
    assert found.labels.tolist() == [[[0, 12, 3], [14, 13, 13]]]
    assert found.contested == 2
    assert found.unnamed == ("Label 2", "new cell")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"labelSets": [[], ["1"]]}, "expected indices below 2"),
        ({"labelSets": [[], ["1"], ["0"], ["4"]]}, "expected an id"),
        ({"labelSets": [[], ["9" * 5000], ["2"], ["4"]]}, "expected an id"),
        ({"labelSets": [[], 4]}, "labelSets"),
        ([1, 2], "labelSets"),
    ],
)
def test_lists_that_are_not_labkits(tmp_path: Path, content: object, message: str) -> None:
    names_file(tmp_path / "a.tif").write_text(json.dumps(content))
    with pytest.raises(FormatError, match=message):
        resolve_names(tmp_path / "a.tif", np.full((2, 2, 2), 3, np.uint32))
