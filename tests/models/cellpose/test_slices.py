"""Paired slices, and tiles and targets cut from them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from models.base import TrainingSample
from models.cellpose.batches import Tiles, TileSampler, counted, masked_loss, slice_arrays
from models.cellpose.slices import PairedSlice, paired_slices, slices_with_objects
from models.errors import TrainingDataError

SPACING = (2.0, 0.5, 0.5)
Volume = NDArray[Any]


def volume(seed: int = 0) -> tuple[Volume, Volume, NDArray[np.bool_]]:
    """Two balls (in µm) in an anisotropic stack, everything known but the last rows."""
    z, y, x = np.indices((6, 40, 44))
    labels = np.zeros((6, 40, 44), np.uint32)
    for label, (cz, cy, cx) in ((7, (2, 12, 12)), (9, (3, 26, 30))):
        labels[((z - cz) * 4) ** 2 + (y - cy) ** 2 + (x - cx) ** 2 <= 64] = label
    image = np.random.default_rng(seed).normal(0, 0.05, labels.shape) + (labels > 0)
    mask = np.ones(labels.shape, bool)
    mask[:, 36:] = False
    return image.astype(np.float32), labels, mask


def test_pixels_are_square_in_all_views() -> None:
    image, labels, mask = volume()
    found = paired_slices(image[None], labels, mask, SPACING)
    shapes = {s.view: s.image.shape[1:] for s in found}
    assert shapes == {"xy": (40, 44), "xz": (24, 44), "yz": (24, 40)}
    for s in found:
        assert s.image.shape[1:] == s.labels.shape == s.mask.shape
        assert s.pixel_um == 0.5 and s.image.dtype == np.float32 and s.labels.dtype == np.uint32
    middle = next(s for s in found if (s.view, s.index) == ("xz", 12))
    rows, columns = (np.ptp(np.nonzero(middle.labels == 7)[i]) + 1 for i in (0, 1))
    assert abs(rows - columns) <= 3


def test_one_view_in_the_stacks_own_pixels_is_the_stack() -> None:
    image, labels, mask = volume()
    found = paired_slices(image[None], labels, mask, SPACING, ("xy",))
    assert [s.index for s in found] == [0, 1, 2, 3, 4, 5][: len(found)]
    for s in found:
        np.testing.assert_array_equal(s.image, image[None, s.index])
        np.testing.assert_array_equal(s.labels, np.where(mask, labels, 0)[s.index])


def test_slices_need_objects_that_count() -> None:
    image, labels, mask = volume()
    two = paired_slices(image[None], labels, mask, SPACING, ("yz",), min_objects=2)
    assert two == []
    assert paired_slices(image[None], labels, np.zeros_like(mask), SPACING) == []
    assert {s.index for s in paired_slices(image[None], labels, mask, SPACING, ("yz",))} == {
        *range(4, 21), *range(22, 39),
    }  # fmt: skip


def test_shapes_that_differ() -> None:
    image, labels, mask = volume()
    with pytest.raises(TrainingDataError, match="of its ZYX shape"):
        paired_slices(image[None, 1:], labels, mask, SPACING)


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10**6), pixel_um=st.sampled_from([None, 0.3, 1.0]))
def test_labels_outside_the_mask_change_nothing(seed: int, pixel_um: float | None) -> None:
    image, labels, mask = volume()
    rng = np.random.default_rng(seed)
    mask = mask & (rng.random(mask.shape[1:]) > 0.02)
    other = np.where(mask, labels, rng.integers(0, 50, labels.shape)).astype(np.uint32)
    pairs = [
        paired_slices(image[None], one, mask, SPACING, pixel_um=pixel_um) for one in (labels, other)
    ]
    assert len(pairs[0]) == len(pairs[1]) > 0
    for a, b in zip(*pairs, strict=True):
        np.testing.assert_array_equal(a.labels, b.labels)
        np.testing.assert_array_equal(a.mask, b.mask)


def sampler(labels: Volume, mask: NDArray[np.bool_], image: Volume) -> TileSampler:
    sample = TrainingSample("s", image[None], labels, mask, SPACING)
    return TileSampler([sample], ("xy", "xz", "yz"), 1, [0.5], seed=3)


def test_unknown_labels_do_not_reach_the_loss() -> None:
    image, labels, mask = volume()
    mask[:, :, 33:] = False
    other = np.where(mask, labels, np.arange(labels.size).reshape(labels.shape) % 5)
    a = sampler(labels, mask, image).training(0, 3)
    b = sampler(other.astype(np.uint32), mask, image).training(0, 3)
    assert torch.equal(a.known, b.known) and torch.equal(a.sure, b.sure)
    logits = torch.randn(3, 3, 256, 256, generator=torch.Generator().manual_seed(0))
    assert torch.equal(masked_loss(logits, a), masked_loss(logits, b))
    assert a.known.any() and a.sure.any()


def test_what_does_not_count_has_no_gradient() -> None:
    tiles = sampler_tiles(2)
    logits = torch.zeros(2, 3, 256, 256, requires_grad=True)
    masked_loss(logits, tiles).sum().backward()
    assert logits.grad is not None
    assert not logits.grad[:, 2][~tiles.known].any() and not logits.grad[:, 0][~tiles.sure].any()
    assert logits.grad[:, 2][tiles.known].all()
    wild = logits.detach().clone()
    wild[:, 2][~tiles.known] = torch.nan
    wild[:, :2].movedim(1, -1)[~tiles.sure] = torch.inf
    torch.testing.assert_close(masked_loss(wild, tiles), masked_loss(logits, tiles).detach())


def sampler_tiles(count: int) -> Tiles:
    image, labels, mask = volume()
    return sampler(labels, mask, image).training(0, count)


def test_where_all_counts_the_loss_is_cellposes() -> None:
    from cellpose.train import _loss_fn_seg

    tiles = sampler_tiles(2)
    whole = torch.ones_like(tiles.known)
    tiles = Tiles(tiles.image, tiles.target, whole, whole)
    logits = torch.randn(2, 3, 256, 256, generator=torch.Generator().manual_seed(0))
    ours = (masked_loss(logits, tiles) / counted(tiles)).sum()
    theirs = _loss_fn_seg(tiles.target, logits, torch.device("cpu"))
    torch.testing.assert_close(ours, theirs)


def test_objects_that_the_mask_cuts_teach_no_flow() -> None:
    labels = np.zeros((20, 30), np.uint32)
    labels[4:12, 4:12], labels[4:12, 18:26] = 1, 2
    mask = np.ones((20, 30), bool)
    mask[:, 24:] = False
    part = PairedSlice("xy", 0, np.zeros((1, 20, 30), np.float32), labels * mask, mask, 0.5)
    (_, known, sure), (foreground, *_) = slice_arrays(part)
    np.testing.assert_array_equal(known > 0, mask)
    assert sure[4:12, 4:12].all() and not sure[4:12, 18:24].any() and sure[15, 20]
    assert foreground[4:12, 18:24].all()


def test_flows_point_inwards() -> None:
    labels = np.zeros((21, 21), np.uint32)
    labels[3:18, 3:18] = 4
    part = PairedSlice("xy", 0, np.zeros((1, 21, 21), np.float32), labels, labels < 9, 0.5)
    _, (_, y, x) = slice_arrays(part)
    assert y[4, 10] > 0.5 > -0.5 > y[16, 10] and x[10, 4] > 0.5 > -0.5 > x[10, 16]


def test_tiles_depend_on_the_step_alone() -> None:
    image, labels, mask = volume()
    np.random.seed(5)  # noqa: NPY002
    before = np.random.get_state()[1].copy()  # noqa: NPY002
    one, two = sampler(labels, mask, image), sampler(labels, mask, image)
    two.training(0, 1)
    assert torch.equal(one.training(1, 2).image, two.training(1, 2).image)
    assert not torch.equal(one.training(2, 2).image, one.training(1, 2).image)
    np.testing.assert_array_equal(np.random.get_state()[1], before)  # noqa: NPY002
    fixed = one.fixed(2)
    assert fixed.image.shape == (2, 3, 256, 256) and fixed.known.any()
    assert not fixed.image[:, 1:].any()


@pytest.mark.parametrize("shape", [(3, 300, 310), (3, 30, 600)])
def test_every_tile_shows_an_object(shape: tuple[int, int, int]) -> None:
    labels = np.zeros(shape, np.uint32)
    labels[1, :8, :8], labels[1, -8:, -8:] = 1, 2
    mask = np.ones(shape, bool)
    found = sampler(labels, mask, labels.astype(np.float32))
    for tiles in (found.training(0, 4), found.fixed(2)):
        assert ((tiles.target[:, 0] > 0.5) & tiles.known).flatten(1).any(dim=1).all()


def test_a_single_slice_is_seen_from_above_only() -> None:
    labels = np.zeros((1, 12, 12), np.uint32)
    labels[0, 2:9, 3:8] = 4
    image, mask = np.random.default_rng(0).random((1, *labels.shape)), np.ones(labels.shape, bool)
    assert slices_with_objects(image, labels, mask, ("xy", "xz", "yz")) == [("xy", 0)]
    assert slices_with_objects(image, labels, mask, ("xz", "yz")) == []
