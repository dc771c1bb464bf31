"""The real Cellpose behind the adapter: its loading, tiling, flows and masks.

The checkpoint is of the true architecture and format; only its values are made here (see
`cellpose_checkpoint`). Adapter and Cellpose's own ``eval`` must agree in every voxel.
"""

from __future__ import annotations

import hashlib
import json
import logging
import math
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy.special import expit

from models.base import Segmenter
from models.cellpose import CellposeSegmenter as AnySegmenter
from models.cellpose import engine, weights
from models.errors import CheckpointError, ImageError, ModelError
from tests.models.cellpose.checkpoint_file import write_checkpoint

SPACING = (1.0, 0.5, 0.5)
CellposeSegmenter = partial(AnySegmenter, forward="stock")
Stack = NDArray[Any]


@pytest.fixture(scope="module")
def weights_file(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The checkpoint, under the name of the default model."""
    path = tmp_path_factory.mktemp("cellpose") / "cpsam_v2"
    write_checkpoint(path)
    yield path
    engine._load.cache_clear()


@pytest.fixture(scope="module")
def stock(weights_file: Path) -> Any:
    """Cellpose's own model object; a batch that it has seen is answered from memory."""
    segmenter = CellposeSegmenter(model=str(weights_file))
    model = engine.load(weights_file, segmenter.compute())
    known: dict[bytes, Any] = {}
    forward = model.net.forward

    def remembered(x: torch.Tensor) -> Any:
        data = x.contiguous().view(torch.uint8).numpy().tobytes()
        depth = len(model.net.encoder.blocks)
        key = hashlib.sha256(data + repr((x.shape, depth)).encode()).digest()
        if key not in known:
            known[key] = forward(x)
        return known[key]

    model.net.forward = remembered
    return model


@pytest.fixture
def shallow(stock: Any) -> Iterator[Any]:
    """The same network with one transformer block of 24, for what does not depend on depth."""
    blocks = stock.net.encoder.blocks
    stock.net.encoder.blocks = blocks[:1]
    yield stock
    stock.net.encoder.blocks = blocks


def blobs(
    shape: tuple[int, ...], centres: list[tuple[float, ...]], sigma: tuple[float, ...]
) -> Stack:
    grid = np.indices(shape)
    image = np.random.default_rng(0).random(shape) * 20 + 100
    for centre in centres:
        distance = sum(((grid[i] - centre[i]) / sigma[i]) ** 2 for i in range(3))
        image += 1000 * np.exp(-distance / 2)
    return image.astype(np.uint16)


@pytest.fixture(scope="module")
def three_slices() -> Stack:
    """Three blobs through three slices."""
    centres = [(0.5, 18.0, 20.0), (1.0, 44.0, 30.0), (1.5, 30.0, 62.0)]
    return blobs((3, 64, 80), centres, (1.5, 6.0, 6.0))


@pytest.mark.slow
def test_stitched_equals_cellpose(
    weights_file: Path,
    stock: Any,
    three_slices: Stack,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv(weights.ENVIRONMENT, str(weights_file.parent))
    given = three_slices.astype(np.float32)
    before = given.copy()
    found = CellposeSegmenter(flow_threshold=0.0).segment(given[None], SPACING)
    assert capfd.readouterr() == ("", "")
    np.testing.assert_array_equal(given, before)
    masks, flows, _ = stock.eval(
        three_slices, z_axis=0, stitch_threshold=0.25, flow_threshold=0.0, min_size=15
    )
    np.testing.assert_array_equal(found.labels, masks)
    np.testing.assert_array_equal(found.probability, expit(flows[2]))
    assert found.labels.dtype == np.uint32 and found.probability is not None
    for centre in ((18, 20), (44, 30), (30, 62)):
        assert len(np.unique(found.labels[:, centre[0], centre[1]])) == 1
    assert set(np.unique(found.labels)) == {0, 1, 2, 3} == {0, *found.confidence}
    for label, confidence in found.confidence.items():
        inside = found.probability[found.labels == label].mean(dtype=np.float64)
        assert 0.5 < confidence <= 1 and math.isclose(confidence, inside, rel_tol=1e-9)


def test_slices_give_the_flows_of_one_call(stock: Any, shallow: Any, three_slices: Stack) -> None:
    image = engine.normalise(three_slices, (1.0, 99.0))[..., None]
    options = {"normalize": {"normalize": False}, "min_size": -1, "batch_size": 2}
    parts = list(engine.slices(shallow, image, 2, options))
    assert [part[0] for part in parts] == [slice(0, 2), slice(2, 3)]
    _, flows, _ = stock.eval(
        three_slices, z_axis=0, stitch_threshold=0.25, batch_size=2, compute_masks=False
    )
    np.testing.assert_array_equal(np.concatenate([p[2] for p in parts], axis=1), flows[1])
    np.testing.assert_array_equal(np.concatenate([p[3] for p in parts]), flows[2])
    assert np.ptp(flows[1]) > 1


@pytest.mark.parametrize("batch_size", [1, 3])
def test_options_reach_cellpose(
    weights_file: Path, shallow: Any, three_slices: Stack, batch_size: int
) -> None:
    found = CellposeSegmenter(
        model=str(weights_file), diameter_um=12.0, stitch_threshold=0.6, cellprob_threshold=1.0,
        min_size=400, percentiles=(2.0, 99.9), batch_size=batch_size, augment=True,
    ).segment(three_slices[None], (2.0, 0.5, 0.5))  # fmt: skip
    masks, flows, _ = shallow.eval(
        three_slices, z_axis=0, diameter=24.0, stitch_threshold=0.6, cellprob_threshold=1.0,
        min_size=400, normalize={"percentile": (2.0, 99.9)}, batch_size=batch_size, augment=True,
    )  # fmt: skip
    np.testing.assert_array_equal(found.labels, masks)
    np.testing.assert_array_equal(found.probability, expit(flows[2]))
    assert found.labels.any()


def test_one_slice(weights_file: Path, shallow: Any, three_slices: Stack) -> None:
    image = three_slices[1:2]
    found = CellposeSegmenter(model=str(weights_file), flow_threshold=0.0).segment(
        image[None], SPACING
    )
    masks, _, _ = shallow.eval(image, z_axis=0, stitch_threshold=0.25, flow_threshold=0.0)
    assert found.labels.shape == image.shape and found.labels.max() == 3
    np.testing.assert_array_equal(found.labels[0], masks)


def test_each_channel_reaches_cellpose(
    weights_file: Path, shallow: Any, three_slices: Stack
) -> None:
    image = np.stack([three_slices, three_slices[:, ::-1], three_slices[:, :, ::-1]])
    segmenter = CellposeSegmenter(model=str(weights_file), flow_threshold=0.0)
    for count in (2, 3):
        found = segmenter.segment(image[:count], SPACING)
        masks, flows, _ = shallow.eval(
            image[:count], channel_axis=0, z_axis=1, stitch_threshold=0.25, flow_threshold=0.0
        )
        np.testing.assert_array_equal(found.labels, masks)
        np.testing.assert_array_equal(found.probability, expit(flows[2]))
    one = segmenter.segment(image[:1], SPACING)
    assert found.probability is not None and one.probability is not None
    assert not np.array_equal(found.probability, one.probability)
    with pytest.raises(ImageError, match="at most 3 channels, got 4"):
        segmenter.segment(np.concatenate([image, image[:1]]), SPACING)


@pytest.mark.slow
def test_three_views_equal_cellpose(weights_file: Path, shallow: Any) -> None:
    image = blobs((4, 20, 22), [(1.5, 9.0, 11.0)], (2.0, 4.5, 4.5))
    seen: list[tuple[int, int]] = []
    found = CellposeSegmenter(
        model=str(weights_file), mode="do_3D", min_size=5, max_size_fraction=0.9, flow3d_smooth=0.5
    ).segment(
        image[None], (1.0, 0.5, 0.5), progress=lambda done, total, _: seen.append((done, total))
    )
    masks, flows, _ = shallow.eval(
        image, z_axis=0, do_3D=True, anisotropy=2.0, min_size=5, max_size_fraction=0.9,
        flow3D_smooth=0.5,
    )  # fmt: skip
    np.testing.assert_array_equal(found.labels, masks)
    np.testing.assert_array_equal(found.probability, expit(flows[2] / np.float32(3)))
    assert found.labels.any() and found.labels.dtype == np.uint32
    # 8, 20 and 22 planes of one tile in batches of 8: 1 + 3 + 3 runs of the network.
    assert seen[1:] == [(done, 8) for done in (*range(7), 8)]


@pytest.mark.slow
def test_three_views_at_full_depth(weights_file: Path, stock: Any) -> None:
    image = np.array([[[1, 9], [3, 4]], [[2, 8], [5, 7]]], np.uint16)
    found = CellposeSegmenter(model=str(weights_file), mode="do_3D").segment(image[None], (1, 1, 1))
    _, flows, _ = stock.eval(image, z_axis=0, do_3D=True, anisotropy=1.0)
    np.testing.assert_array_equal(found.probability, expit(flows[2] / np.float32(3)))


def test_progress_and_cancel(weights_file: Path, shallow: Any, three_slices: Stack) -> None:
    segmenter = CellposeSegmenter(model=str(weights_file), batch_size=1)
    seen: list[tuple[int, int, str]] = []
    segmenter.segment(three_slices[None], SPACING, progress=lambda *step: seen.append(step))
    assert [step[:2] for step in seen[1:]] == [(0, 4), (1, 4), (2, 4), (3, 4), (4, 4)]

    class StopError(Exception):
        pass

    def stop(done: int, total: int, what: str) -> None:
        if done == 1:
            raise StopError

    with pytest.raises(StopError):
        segmenter.segment(three_slices[None], SPACING, progress=stop)
    assert not shallow.net._forward_pre_hooks
    assert logging.getLogger("cellpose").level == logging.NOTSET


def test_cellpose_defaults_are_left_alone(
    weights_file: Path, shallow: Any, three_slices: Stack
) -> None:
    from cellpose.models import normalize_default

    before = dict(normalize_default)
    CellposeSegmenter(model=str(weights_file)).segment(three_slices[None], SPACING)
    assert normalize_default == before


def test_weights_that_give_nan(weights_file: Path, shallow: Any, three_slices: Stack) -> None:
    bias = shallow.net.out.bias.data.clone()
    try:
        shallow.net.out.bias.data[-1] = math.nan
        shallow.net.forward, remembered = (
            type(shallow.net).forward.__get__(shallow.net),
            (shallow.net.forward),
        )
        with pytest.raises(CheckpointError, match="NaN"):
            CellposeSegmenter(model=str(weights_file)).segment(three_slices[None], SPACING)
    finally:
        shallow.net.out.bias.data[:] = bias
        shallow.net.forward = remembered


def test_full_memory_says_what_to_set(
    weights_file: Path, shallow: Any, three_slices: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(x: torch.Tensor) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(shallow.net, "forward", full)
    with pytest.raises(ModelError, match="batch_size=8"):
        CellposeSegmenter(model=str(weights_file)).segment(three_slices[None], SPACING)


def test_unequal_pixels_are_told(weights_file: Path, shallow: Any, three_slices: Stack) -> None:
    found = CellposeSegmenter(model=str(weights_file)).segment(three_slices[None], (1.0, 0.5, 0.6))
    assert len(found.notes) == 1 and "0.5477" in found.notes[0]


def test_description(weights_file: Path) -> None:
    segmenter = CellposeSegmenter(model=str(weights_file))
    assert isinstance(segmenter, Segmenter)
    said = json.loads(json.dumps(segmenter.describe()))
    assert said["weights_sha256"] == weights.sha256(weights_file)
    assert said["settings"]["percentiles"] == [1.0, 99.0]
    assert "CC-BY-NC" in said["weights_licence"] and "cpu" in said["compute"]


def test_truncated_weights(weights_file: Path, tmp_path: Path, three_slices: Stack) -> None:
    path = tmp_path / "cut"
    with weights_file.open("rb") as file:
        path.write_bytes(file.read(1 << 16))
    with pytest.raises(CheckpointError, match="65536 bytes"):
        CellposeSegmenter(model=str(path)).segment(three_slices[None], SPACING)


@pytest.mark.parametrize(
    ("mode", "shape", "diameter_um", "message"),
    [
        ("stitch", (3, 1, 9), None, "at least 2 voxels"),
        ("do_3D", (1, 9, 9), None, "at least 2 voxels"),
        ("stitch", (2, 9, 9), 6.0, "expected 2 to 9 pixels"),
        ("stitch", (2, 9, 9), 0.9, "expected 2 to 9 pixels"),
        ("do_3D", (2, 300, 300), 100.0, "mode stitch"),
    ],
)
def test_shapes_that_cellpose_cannot_take(
    mode: Any, shape: tuple[int, ...], diameter_um: float | None, message: str, weights_file: Path
) -> None:
    image = np.arange(math.prod(shape)).reshape(shape)
    segmenter = CellposeSegmenter(model=str(weights_file), mode=mode, diameter_um=diameter_um)
    with pytest.raises(ImageError, match=message):
        segmenter.segment(image[None], (0.5, 0.5, 0.5))
