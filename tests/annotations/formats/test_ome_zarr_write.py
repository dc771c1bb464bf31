"""OME-Zarr out: other tools open it and change it in place."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import zarr

from annotations.errors import FormatError, LabelError
from annotations.formats import open_image, read_labels
from annotations.formats.ome_zarr import OME_ZARR
from annotations.formats.ome_zarr_write import write_ome_zarr
from tests.annotations.formats.contract import FormatContract
from tests.annotations.formats.exchange_labels import SPACING_UM, blobs


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


class TestContract(FormatContract):
    format = OME_ZARR

    def voxels(self, path: Path) -> Path:
        return path / "labels" / "objects"
