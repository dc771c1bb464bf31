"""OME-Zarr out: other tools open it and change it in place."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import zarr

from annotations.errors import FormatError, LabelError
from annotations.formats import open_image, open_labels, read_labels
from annotations.formats.ome_zarr import OME_ZARR
from annotations.formats.ome_zarr_write import write_ome_zarr
from tests.annotations.formats.contract import FormatContract
from tests.annotations.formats.exchange_labels import SPACING_UM, blobs


@pytest.mark.parametrize("times", [1, 3])
def test_ome_zarr_with_labels_opens_elsewhere_and_comes_back(tmp_path: Path, times: int) -> None:
    from ome_zarr.io import parse_url
    from ome_zarr.reader import Reader

    labels = np.concatenate([blobs() * (time + 1) for time in range(times)])
    image = np.random.default_rng(0).integers(0, 900, (times, 2, *blobs().shape)).astype(">u2")
    path, names = tmp_path / "a.ome.zarr", ("nuclei", "membrane")
    write_ome_zarr(path, image, labels, SPACING_UM, channels=names, time_step_s=90)
    with open_labels(path / "labels" / "objects") as source:
        assert (source.times, source.zyx) == (times, blobs().shape)
        assert np.array_equal(source.read_all(), labels)
    with open_image(path) as source:
        assert source.info.spacing_um == SPACING_UM
        assert source.info.time_step_s == (90 if times > 1 else None)
        assert source.info.channels == names
        assert np.array_equal([source.read(time, 0, 4) for time in range(times)], image)
    nodes = list(Reader(parse_url(str(path)))())
    arrays = [node.data[0] for node in nodes if node.data]
    front = (times,) if times > 1 else ()
    assert [a.shape for a in arrays] == [(*front, 2, *blobs().shape), (*front, *blobs().shape)]
    assert np.array_equal(np.asarray(arrays[1]).reshape(labels.shape), labels)
    last = (0,) * len(front)
    zarr.open_group(path / "labels" / "objects", mode="r+")["0"][(*last, 1, 4, slice(4, 6))] = 7
    assert (read_labels(path / "labels" / "objects")[:4] == 7).sum() == 60


def test_ome_zarr_is_never_half_there(tmp_path: Path) -> None:
    image, labels = np.zeros((1, 1, 4, 12, 15), np.uint8), blobs()
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
