"""What StarDist learns from: labels, masks, patches, targets; no TensorFlow graph is built."""

from __future__ import annotations

from itertools import islice

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from models.base import TrainingSample
from models.errors import ImageError, TrainingDataError
from models.stardist3d import plan, samples
from models.stardist3d.batches import PatchSampler, Targets, augmented, validation_patches
from models.stardist3d.samples import UNKNOWN, Normalisation, PreparedStack, hide_unverified

SPACING = (2.0, 0.5, 0.5)


def balls(shape=(12, 40, 40), radii=(3, 6, 6), seed=0):
    """Labels of four ellipsoids and an image of them with noise."""
    labels = np.zeros(shape, np.uint32)
    grid = np.indices(shape).reshape(3, -1).T
    for number, centre in enumerate([(5, 9, 9), (6, 9, 29), (5, 29, 10), (6, 28, 30)], start=3):
        inside = (((grid - centre) / radii) ** 2).sum(axis=1) <= 1
        labels.reshape(-1)[inside] = 7 * number
    noise = np.random.default_rng(seed).normal(0, 30, shape)
    return (100 + 400 * (labels > 0) + noise).astype(np.uint16), labels


def sample(mask=None, name="a", **shape):
    image, labels = balls(**shape)
    mask = np.ones(labels.shape, bool) if mask is None else mask
    return TrainingSample(name, image, labels, mask, SPACING)


def prepared(mask=None):
    return samples.prepare(sample(mask), Normalisation(), SPACING)


label_volumes = arrays(np.uint32, (3, 5, 6), elements=st.sampled_from([0, 2, 5, 9]))
masks = arrays(np.bool_, (3, 5, 6))


@given(labels=label_volumes, mask=masks)
@settings(max_examples=60, deadline=None)
def test_hidden_labels_against_the_plain_loop(labels, mask):
    hidden = hide_unverified(labels, mask)
    assert hidden.dtype == np.int32
    whole = [i for i in np.unique(labels[labels > 0]) if mask[labels == i].all()]
    expected = np.zeros(labels.shape, np.int32)
    for number, old in enumerate(whole, start=1):
        expected[labels == old] = number
    cut = (labels > 0) & ~np.isin(labels, whole)
    expected[cut | ~mask] = UNKNOWN
    np.testing.assert_array_equal(hidden, expected)


def test_batches_do_not_depend_on_what_is_beneath_the_mask():
    _, labels = balls()
    mask = np.ones(labels.shape, bool)
    mask[:, :20] = False
    rays = pytest.importorskip("stardist.rays3d").Rays_GoldenSpiral(8)
    targets = Targets(rays, (1, 2, 2), (2.0, 1.0, 1.0))
    batches = []
    for beneath in (0, 1000):
        one = sample(mask)
        changed = np.where(mask, one.labels, beneath).astype(np.uint32)
        stack = samples.prepare(
            TrainingSample("a", one.image, changed, mask, SPACING), Normalisation(), SPACING
        )
        patches = list(islice(PatchSampler([stack], (8, 32, 32), True, 3), 6))
        batches.append(targets.batch(patches))
    (x0, (p0, d0)), (x1, (p1, d1)) = batches
    np.testing.assert_array_equal(x0, x1)
    np.testing.assert_array_equal(p0, p1)
    np.testing.assert_array_equal(d0, d1)
    assert (p0 == -1).any() and (p0 > 0).any()
    assert (d0[..., -1:] == p0).all()


def test_targets_are_stardists_own_where_all_is_known():
    stardist = pytest.importorskip("stardist.models")
    rays = pytest.importorskip("stardist.rays3d").Rays_GoldenSpiral(12, anisotropy=(2, 1, 1))
    stack = prepared()
    shape = stack.labels.shape
    theirs = stardist.model3d.StarDistData3D(
        [stack.image], [stack.labels], 1, rays, 1, patch_size=shape, grid=(1, 2, 2),
        anisotropy=(2, 1, 1),
    )  # fmt: skip
    (x,), (prob, dist) = theirs[0]
    mine_x, (mine_prob, mine_dist) = Targets(rays, (1, 2, 2), (2, 1, 1)).batch(
        [(stack.image, stack.labels)]
    )
    np.testing.assert_array_equal(mine_x, x)
    np.testing.assert_allclose(mine_prob, prob)
    np.testing.assert_allclose(mine_dist, dist)


def test_augmentation_moves_image_and_labels_together_and_never_mixes_z_with_yx():
    stack = prepared()
    rng = np.random.default_rng(1)
    for _ in range(20):
        image, labels = augmented(stack.image, stack.labels, rng)
        assert labels.shape == stack.labels.shape and labels.flags.c_contiguous
        assert set(np.unique(labels)) == set(np.unique(stack.labels))
        assert image[labels > 0].mean() > image[labels == 0].mean() + 0.3
    oblong, oblong_labels = stack.image[:, :16], stack.labels[:, :16]
    assert augmented(oblong, oblong_labels, rng)[1].shape == oblong.shape


def test_sampler_is_the_same_for_a_seed_and_always_holds_a_verified_voxel():
    mask = np.zeros((12, 40, 40), bool)
    mask[:, :20, :20] = True
    stack = prepared(mask)
    first = list(islice(PatchSampler([stack], (4, 16, 16), False, 5), 40))
    again = list(islice(PatchSampler([stack], (4, 16, 16), False, 5), 40))
    other = list(islice(PatchSampler([stack], (4, 16, 16), False, 6), 40))
    assert all((a[0] == b[0]).all() for a, b in zip(first, again, strict=True))
    assert not all((a[0] == b[0]).all() for a, b in zip(first, other, strict=True))
    assert all((labels != UNKNOWN).any() for _, labels in first)


def test_validation_patches_cover_the_verified_voxels():
    stack = prepared()
    patches = validation_patches([stack], (12, 16, 16), 99)
    assert len(patches) == 9
    assert sum((labels > 0).sum() for _, labels in patches) >= (stack.labels > 0).sum()
    assert len(validation_patches([stack], (12, 16, 16), 2)) == 2


def test_sizes_weigh_objects_by_their_voxels():
    labels = np.zeros((10, 30, 30), np.int32)
    labels[2:6, 3:13, 3:15] = 1
    for number in range(2, 9):
        labels[9, 29, number] = number
    sizes = plan.object_sizes([labels])
    assert sizes.median == (4, 10, 12) and sizes.largest == (4, 10, 12) and sizes.count == 8
    assert plan.choose_anisotropy(sizes) == (2.75, 1.0, 1.0)
    assert plan.working_spacing(sizes, (2.0, 0.5, 0.5), 20) == (2.0, 0.5, 0.5)
    assert plan.working_spacing(sizes, (2.0, 0.5, 0.5), 5.5) == (2.0, 1.0, 1.0)


@given(
    extents=st.tuples(*[st.floats(1, 200)] * 3),
    largest_stack=st.tuples(st.integers(1, 60), st.integers(8, 300), st.integers(8, 300)),
)
@settings(max_examples=80, deadline=None)
def test_planned_network_always_fits(extents, largest_stack):
    sizes = plan.ObjectSizes(extents, extents, 3)
    grid = plan.choose_grid(sizes)
    pool = plan.choose_pool(sizes, grid, 2, largest_stack)
    divisor = tuple(p**2 * g for p, g in zip(pool, grid, strict=True))
    patch = plan.choose_patch(sizes, divisor, largest_stack)
    for side, step, size in zip(patch, divisor, largest_stack, strict=True):
        assert side % step == 0 and side < size + step
    assert all(g in (1, 2, 4) for g in grid)


def test_small_stacks_are_padded_with_unknown():
    stack = PreparedStack("a", np.ones((1, 5, 6), np.float32), np.ones((1, 5, 6), np.int32))
    padded = samples.pad_to(stack, (4, 8, 6))
    assert padded.image.shape == (4, 8, 6)
    assert (padded.labels[:1, :5] == 1).all() and (padded.labels == UNKNOWN).sum() == 4 * 48 - 30
    assert samples.pad_to(stack, (1, 4, 4)) is stack


def test_rescaling_only_beyond_a_tenth():
    assert samples.rescaling((2.0, 0.5, 0.5), (2.1, 0.5, 0.5)) is None
    assert samples.rescaling((1.0, 0.5, 0.5), (2.0, 0.5, 0.5)) == (0.5, 1.0, 1.0)
    image, labels = balls()
    half = samples.prepare(
        TrainingSample("a", image, labels, labels >= 0, (2.0, 0.25, 0.25)), Normalisation(), SPACING
    )
    assert half.image.shape == half.labels.shape == (12, 20, 20)
    assert half.labels.max() == 4


def test_normalisation_of_an_almost_constant_image_is_finite():
    image = np.zeros((4, 50, 50), np.uint8)
    image[0, 0, 0] = 9
    scaled = Normalisation().apply(image)
    assert scaled.dtype == np.float32 and scaled.max() == 1 and scaled.min() == 0


def test_constant_image_is_refused():
    one = sample()
    flat = TrainingSample("flat", np.zeros_like(one.image), one.labels, one.mask, SPACING)
    with pytest.raises(ImageError, match="'flat'"):
        samples.prepare(flat, Normalisation(), SPACING)


def test_too_many_objects_are_refused(monkeypatch):
    monkeypatch.setattr(samples, "MAX_OBJECTS", 3)
    with pytest.raises(TrainingDataError, match="at most 3 objects, got 4"):
        prepared()
