"""Parts of the Cellpose adapter that need no weights."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from models.cellpose import CellposeSegmenter, engine, weights
from models.cellpose.checkpoint import architecture, check_checkpoint
from models.errors import CheckpointError, ImageError, ModelError


class CountingNet(torch.nn.Module):
    """Stands in for the network where only the number of its runs matters."""

    dtype = torch.float32
    device = torch.device("cpu")

    def __init__(self) -> None:
        super().__init__()
        self.runs = 0

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        self.runs += 1
        return x.expand(-1, 3, -1, -1), torch.zeros(len(x), 256)


@settings(max_examples=15, deadline=None)
@given(
    planes=st.integers(1, 4),
    height=st.integers(2, 400),
    width=st.integers(2, 400),
    overlap=st.sampled_from([0.05, 0.1, 0.5]),
    augment=st.booleans(),
    batch_size=st.integers(1, 20),
)
def test_counted_runs_are_cellposes(
    planes: int, height: int, width: int, overlap: float, augment: bool, batch_size: int
) -> None:
    from cellpose.core import run_net

    net = CountingNet()
    image = np.zeros((planes, height, width, 1), np.float32)
    run_net(net, image, batch_size, augment, overlap, bsize=engine.TILE)
    tiles = engine.tiles_per_plane(height, width, overlap, augment)
    assert engine.network_runs(planes, tiles, batch_size) == net.runs


def random_masks(seed: int, depth: int, empty: set[int]) -> NDArray[np.uint32]:
    rng = np.random.default_rng(seed)
    masks = np.zeros((depth, 24, 24), np.uint32)
    for z in range(depth):
        if z in empty:
            continue
        for label in range(1, int(rng.integers(2, 6))):
            y, x, h, w = rng.integers(0, 18, 2).tolist() + rng.integers(3, 8, 2).tolist()
            masks[z, y : y + h, x : x + w] = label
        masks[z] = np.unique(masks[z], return_inverse=True)[1].reshape(24, 24)
    return masks


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    depth=st.integers(2, 6),
    empty=st.sets(st.integers(2, 5)),
    threshold=st.sampled_from([0.1, 0.25, 0.5, 1.0]),
    min_size=st.sampled_from([-1, 15, 40]),
)
def test_stitching_is_cellposes(
    seed: int, depth: int, empty: set[int], threshold: float, min_size: int
) -> None:
    from cellpose.utils import fill_holes_and_remove_small_masks, stitch3D

    masks = random_masks(seed, depth, empty)
    expected = fill_holes_and_remove_small_masks(
        stitch3D(masks.astype(np.uint16), threshold), min_size=min_size
    )
    np.testing.assert_array_equal(engine.stitch(masks, threshold, min_size), expected)


def test_empty_second_slice_separates() -> None:
    masks = np.zeros((3, 9, 9), np.uint32)
    masks[0, :4, :4] = 1
    masks[2, 5:, 5:] = 1
    stitched = engine.stitch(masks, 0.25, -1)
    assert stitched[0, 0, 0] == 1 and stitched[2, 8, 8] == 2


def test_nothing_to_stitch() -> None:
    stitched = engine.stitch(np.zeros((3, 9, 9), np.uint32), 0.25, 15)
    assert stitched.shape == (3, 9, 9) and not stitched.any()


@pytest.mark.parametrize("scale", [1.0, 1e-9])
def test_normalising_does_not_depend_on_scale(scale: float) -> None:
    image = np.random.default_rng(0).random((3, 20, 30))
    low, high = np.percentile(image, (1, 99))
    expected = (image - low) / (high - low)
    stretched = engine.normalise(image * scale, (1.0, 99.0))
    assert stretched.dtype == np.float32
    np.testing.assert_allclose(stretched, expected, rtol=1e-4, atol=1e-5)


def test_normalising_leaves_the_image() -> None:
    image = np.random.default_rng(0).random((3, 20, 30)).astype(np.float32)
    before = image.copy()
    engine.normalise(image, (1.0, 99.0))
    np.testing.assert_array_equal(image, before)


def test_no_contrast_between_percentiles() -> None:
    image = np.zeros((3, 20, 30))
    image[0, 0, 0] = 1
    with pytest.raises(ImageError, match="percentiles further apart"):
        engine.normalise(image, (1.0, 99.0))


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (np.zeros((4, 5)), r"channels of a stack \(C, Z, Y, X\)"),
        (np.full((2, 4, 5), np.nan), "finite"),
        (np.full((2, 4, 5), 7), "every voxel"),
    ],
)
def test_bad_images_need_no_weights(bad: NDArray[Any], message: str) -> None:
    with pytest.raises(ImageError, match=message):
        CellposeSegmenter(model="/nowhere/cpsam").segment(bad[None], (1, 1, 1))


@pytest.mark.parametrize("percentiles", [(99.0, 1.0), (-1.0, 99.0), (1.0, 101.0)])
def test_percentiles_are_checked(percentiles: tuple[float, float]) -> None:
    with pytest.raises(ModelError, match="percentiles"):
        CellposeSegmenter(percentiles=percentiles)


def test_gpu_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ModelError, match="found none"):
        CellposeSegmenter(device="cuda").describe()


def test_precision_is_an_option() -> None:
    assert not CellposeSegmenter(precision="fp32").compute().bf16
    assert CellposeSegmenter(precision="bf16").compute().bf16


def test_names_and_address_are_cellposes() -> None:
    from cellpose import models

    assert weights.SOURCE_URL == models._MODEL_URL
    assert set(weights.PRETRAINED) <= set(models.MODEL_NAMES)
    assert weights.PRETRAINED[0] == "cpsam_v2"


def empty_state() -> dict[str, torch.Tensor]:
    """A state dict of the right names and shapes that takes no room."""
    return {name: torch.zeros(()).expand(shape) for name, shape in architecture().items()}


def test_true_names_and_shapes_pass(tmp_path: Path) -> None:
    path = tmp_path / "w"
    torch.save({f"module.{name}": value for name, value in empty_state().items()}, path)
    check_checkpoint(path)


def test_missing_tensor(tmp_path: Path) -> None:
    state = empty_state()
    del state["encoder.blocks.7.mlp.lin1.weight"]
    torch.save(state, tmp_path / "w")
    with pytest.raises(CheckpointError, match=r"blocks\.7\.mlp\.lin1\.weight"):
        check_checkpoint(tmp_path / "w")


def test_tensor_of_another_shape(tmp_path: Path) -> None:
    state = empty_state()
    state["out.weight"] = torch.zeros(256, 256, 1, 1)
    torch.save(state, tmp_path / "w")
    with pytest.raises(CheckpointError, match=r"out\.weight of shape \(192, 256, 1, 1\)"):
        check_checkpoint(tmp_path / "w")


def test_older_cellpose(tmp_path: Path) -> None:
    torch.save({"downsample.down.res_down_0.conv.conv_0.0.weight": torch.zeros(2)}, tmp_path / "w")
    with pytest.raises(CheckpointError, match="Cellpose 3"):
        check_checkpoint(tmp_path / "w")


def test_other_backbone(tmp_path: Path) -> None:
    torch.save({"encoder.cls_token": torch.zeros(2)}, tmp_path / "w")
    with pytest.raises(CheckpointError, match="CellposeDINO"):
        check_checkpoint(tmp_path / "w")


def test_no_state_dict(tmp_path: Path) -> None:
    torch.save([torch.zeros(2)], tmp_path / "w")
    with pytest.raises(CheckpointError, match="state dict"):
        check_checkpoint(tmp_path / "w")


@pytest.mark.parametrize("content", [b"", b"<html>log in</html>", b"PK\x03\x04" + bytes(99)])
def test_no_checkpoint_at_all(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "w").write_bytes(content)
    with pytest.raises(CheckpointError, match="delete it and download it again"):
        check_checkpoint(tmp_path / "w")


class Evil:
    """Writes a file when it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.mark,)


@pytest.mark.parametrize("plain", [True, False])
def test_code_in_a_checkpoint_is_not_run(tmp_path: Path, plain: bool) -> None:
    mark = tmp_path / "mark"
    state = {"W2": torch.zeros(1), "evil": Evil(mark)}
    if plain:
        (tmp_path / "w").write_bytes(pickle.dumps(Evil(mark)))
    else:
        torch.save(state, tmp_path / "w")
    with pytest.raises(CheckpointError):
        check_checkpoint(tmp_path / "w")
    assert not mark.exists()
