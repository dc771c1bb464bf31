"""Training patches: where they lie, what they hold, and that they repeat."""

from __future__ import annotations

import numpy as np
import pytest

from models.base import TrainingSample
from models.errors import TrainingDataError
from models.unet3d.augment import Augmentation, change_intensity
from models.unet3d.patches import (
    PatchSampler,
    automatic_patch_size,
    check_learnable,
    cut,
    prepare,
)
from models.unet3d.volumes import intensity_range, normalise, resize, resized_shape
from tests.models.unet3d.volumes import SPACING, nuclei, sample

PLAIN = Augmentation(flip=False, rotate="none", elastic_px=0, intensity=False)
SIZE = (8, 16, 24)


def prepared(one=None, spacing=SPACING):
    return prepare(one or sample("a", 0), spacing, (1.0, 99.8), 1, None)


def sampler(stack=None, size=SIZE, augmentation=PLAIN, **more):
    options = {"batch_size": 4, "object_share": 0.5, "seed": 3, **more}
    return PatchSampler([stack or prepared()], size, augmentation=augmentation, **options)


def test_a_plain_patch_is_the_stack_itself():
    stack = prepared()
    patch = cut(stack, (2, 5, 7), SIZE, PLAIN, np.random.default_rng(0))
    box = (slice(2, 10), slice(5, 21), slice(7, 31))
    np.testing.assert_array_equal(patch["image"], stack.image[:, *box])
    for name in ("classes", "inside", "distance", "voxels", "sure"):
        np.testing.assert_array_equal(patch[name], getattr(stack.targets, name)[box])


@pytest.mark.parametrize("rotate", ["none", "quarter"])
def test_flips_and_quarter_turns_are_exact(rotate):
    stack = prepared()
    settings = Augmentation(flip=True, rotate=rotate, elastic_px=0, intensity=False)
    box = (slice(2, 10), slice(5, 21), slice(7, 23))
    wanted = stack.image[:, *box]
    turns = 4 if rotate == "quarter" else 1
    choices = [
        np.rot90(np.flip(wanted, [a + 1 for a in range(3) if flips >> a & 1]), k, (2, 3))
        for flips in range(8)
        for k in range(turns)
    ]
    seen = set()
    for seed in range(40):
        got = cut(stack, (2, 5, 7), (8, 16, 16), settings, np.random.default_rng(seed))
        same = [i for i, c in enumerate(choices) if np.allclose(got["image"], c, atol=1e-5)]
        assert same
        seen.add(same[0])
    assert len(seen) > 4


def test_image_and_targets_move_together():
    stack = prepared()
    bright = stack.targets.inside.astype(np.float32)
    stack = type(stack)(stack.name, bright[None], *list(vars(stack).values())[2:])
    settings = Augmentation(elastic_px=2.0, intensity=False)
    for seed in range(10):
        got = cut(stack, (1, 10, 10), SIZE, settings, np.random.default_rng(seed))
        known = got["voxels"] > 0
        agree = (got["image"][0] > 0.5) == (got["inside"] > 0)
        assert agree[known].mean() > 0.97


def test_past_the_stack_the_image_is_reflected_and_nothing_counts():
    stack = prepared()
    patch = cut(stack, (-2, -3, 40), SIZE, PLAIN, np.random.default_rng(0))
    np.testing.assert_array_equal(patch["image"][:, 0], patch["image"][:, 4])
    np.testing.assert_array_equal(patch["image"][:, :, 0], patch["image"][:, :, 6])
    assert (patch["voxels"][:2] == 0).all()
    assert (patch["voxels"][:, :3] == 0).all()
    assert (patch["voxels"][:, :, 8:] == 0).all()
    assert (patch["voxels"][2:, 3:, :8] == 1).all()


def test_a_patch_larger_than_the_stack():
    batch = sampler(size=(16, 64, 64), augmentation=Augmentation()).batch(0)
    assert batch.image.shape == (4, 1, 16, 64, 64)
    assert np.isfinite(batch.image).all()
    assert (batch.targets.voxels.sum((1, 2, 3)) > 0).all()


def test_the_same_seed_and_step_give_the_same_batch():
    options = {"augmentation": Augmentation()}
    one, two = sampler(**options), sampler(**options)
    two.batch(0)
    a, b = one.batch(7), two.batch(7)
    np.testing.assert_array_equal(a.image, b.image)
    np.testing.assert_array_equal(a.targets.classes, b.targets.classes)
    assert not np.array_equal(a.image, one.batch(8).image)
    assert not np.array_equal(a.image, sampler(seed=4, **options).batch(7).image)


def test_object_share_finds_the_only_object():
    labels = np.zeros((8, 128, 128), np.uint32)
    labels[3:5, 100:106, 20:26] = 1
    image = np.random.default_rng(0).random(labels.shape).astype(np.float32)
    mask = np.ones(labels.shape, bool)
    stack = prepared(TrainingSample("rare", image[None], labels, mask, SPACING))
    found = {
        share: np.mean(
            [
                sampler(stack, (8, 16, 16), object_share=share)
                .batch(i)
                .targets.inside.any((1, 2, 3))
                for i in range(10)
            ]
        )
        for share in (0.0, 1.0)
    }
    assert found[1.0] == 1
    assert found[0.0] < 0.3


def test_patches_are_drawn_where_something_is_known():
    mask = np.zeros((12, 48, 48), bool)
    mask[4:8, 30:40, 30:40] = True
    stack = prepared(sample("a", 0, mask=mask))
    for share in (0.0, 1.0):
        batch = sampler(stack, (4, 8, 8), object_share=share).batch(0)
        assert (batch.targets.voxels.sum((1, 2, 3)) > 0).all()


def test_another_voxel_size_is_resampled():
    stack = prepared(sample("a", 0, spacing_um=(2.0, 0.5, 0.5)))
    assert stack.image.shape == (1, 12, 24, 24)
    assert stack.targets.classes.shape == (12, 24, 24)


def test_resizing_keeps_the_field_of_view():
    ramp = np.broadcast_to(np.arange(16.0) + 0.5, (2, 3, 16))
    up = resize(ramp, (2, 3, 32), linear=True)
    np.testing.assert_allclose(up[0, 0, 1:-1], (np.arange(32) + 0.5)[1:-1] / 2)
    labels = nuclei(0)[1]
    twice = resize(labels, (12, 96, 96), linear=False)
    np.testing.assert_array_equal(twice, labels.repeat(2, 1).repeat(2, 2))
    assert resized_shape((10, 20, 30), (2, 1, 1), (1, 1, 2)) == (20, 20, 15)


def test_normalisation_maps_the_percentiles_to_0_and_1():
    image = np.arange(1001, dtype=np.uint16).reshape(7, 11, 13)
    low, high = intensity_range(image, (1.0, 99.0))
    assert (low, high) == (10.0, 990.0)
    scaled = normalise(image, low, high)
    assert scaled.dtype == np.float32
    assert scaled.ravel()[10] == 0
    assert scaled.ravel()[990] == 1


def test_a_sparse_image_is_not_blown_up():
    image = np.zeros((4, 50, 50), np.uint8)
    image[2, 3, 3] = 200
    assert intensity_range(image, (1.0, 99.8)) == (0.0, 200.0)


def test_intensity_changes_are_finite_and_bounded():
    image = np.random.default_rng(0).uniform(-1, 4, (5, 9, 9)).astype(np.float32)
    for seed in range(20):
        got = change_intensity(image, np.random.default_rng(seed))
        assert got.dtype == np.float32
        assert got.shape == image.shape
        assert np.isfinite(got).all()
        assert np.abs(got).max() < 15


def test_one_slice_is_no_problem():
    image, labels = nuclei(0)
    one = TrainingSample("flat", image[5:6][None], labels[5:6], np.ones((1, 48, 48), bool), SPACING)
    stack = prepared(one)
    size = automatic_patch_size([stack])
    assert size[0] == 1
    batch = sampler(stack, size, Augmentation()).batch(0)
    assert np.isfinite(batch.image).all()


def test_nothing_known_and_nothing_labelled_are_told_apart():
    nothing = np.zeros((12, 48, 48), bool)
    with pytest.raises(TrainingDataError, match="voxels that may be learned from"):
        check_learnable([prepared(sample("a", 0, mask=nothing))], "training stacks")
    image, labels = nuclei(0)
    empty = TrainingSample("b", image[None], np.zeros_like(labels), ~nothing, SPACING)
    with pytest.raises(TrainingDataError, match="at least one labelled object"):
        check_learnable([prepared(empty)], "training stacks")
