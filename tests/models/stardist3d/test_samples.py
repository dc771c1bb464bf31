"""What StarDist learns from: labels, masks, patches, targets; no TensorFlow graph is built."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from models.base import TrainingSample
from models.errors import ImageError, TrainingDataError
from models.stardist3d import plan, samples
from models.stardist3d.batches import (
    PatchCutter,
    PatchSampler,
    Targets,
    View,
    change_intensity,
    random_matrix,
    validation_views,
)
from models.stardist3d.samples import UNKNOWN, Normalisation, PreparedStack, hide_unverified

SPACING = (2.0, 0.5, 0.5)


CENTRES = ((5, 9, 9), (6, 9, 29), (5, 29, 10), (6, 28, 30))


def balls(shape=(12, 40, 40), radii=(3, 6, 6), seed=0, centres=CENTRES):
    """Labels of ellipsoids and an image of them with noise."""
    labels = np.zeros(shape, np.uint32)
    grid = np.indices(shape).reshape(3, -1).T
    for number, centre in enumerate(centres, start=3):
        inside = (((grid - centre) / radii) ** 2).sum(axis=1) <= 1
        labels.reshape(-1)[inside] = 7 * number
    noise = np.random.default_rng(seed).normal(0, 30, shape)
    return (100 + 400 * (labels > 0) + noise).astype(np.uint16), labels


def sample(mask=None, name="a", **shape):
    image, labels = balls(**shape)
    mask = np.ones(labels.shape, bool) if mask is None else mask
    return TrainingSample(name, image[None], labels, mask, SPACING)


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


def cutter(stacks, patch, rays=8, grid=(1, 2, 2)):
    golden = pytest.importorskip("stardist.rays3d").Rays_GoldenSpiral(rays, anisotropy=(2, 1, 1))
    return PatchCutter(
        stacks, patch, Targets(np.asarray(golden.vertices, float), grid, (2.0, 1.0, 1.0))
    )


def test_batches_do_not_depend_on_what_is_beneath_the_mask():
    _, labels = balls()
    mask = np.ones(labels.shape, bool)
    mask[:, :20] = False
    batches = []
    for beneath in (0, 1000):
        one = sample(mask)
        changed = np.where(mask, one.labels, beneath).astype(np.uint32)
        stack = samples.prepare(
            TrainingSample("a", one.image, changed, mask, SPACING), Normalisation(), SPACING
        )
        batches.append(PatchSampler(cutter([stack], (8, 32, 32)), 6, True, 0.9, 3).batch(0))
    (x0, (p0, d0)), (x1, (p1, d1)) = batches
    np.testing.assert_array_equal(x0, x1)
    np.testing.assert_array_equal(p0, p1)
    np.testing.assert_array_equal(d0, d1)
    assert (p0 == -1).any() and (p0 > 0).any()
    assert (d0[..., -1:] == p0).all()


def test_targets_of_a_whole_stack_are_stardists_own():
    stardist = pytest.importorskip("stardist.models")
    rays = pytest.importorskip("stardist.rays3d").Rays_GoldenSpiral(12, anisotropy=(2, 1, 1))
    stack = prepared()
    shape = stack.labels.shape
    theirs = stardist.model3d.StarDistData3D(
        [stack.image], [stack.labels], 1, rays, 1, patch_size=shape, grid=(1, 2, 2),
        anisotropy=(2, 1, 1),
    )  # fmt: skip
    (x,), (prob, dist) = theirs[0]
    whole = cutter([stack], shape, rays=12)
    mine_x, (mine_prob, mine_dist) = whole.batch([whole.cut(whole.upright(0, (0, 0, 0)))])
    np.testing.assert_array_equal(mine_x, x)
    np.testing.assert_allclose(mine_prob, prob, atol=1e-6)
    error = (mine_dist - dist)[..., :-1][prob[..., 0] > 0]
    # StarDist takes the distance to the middle of the first voxel outside.
    assert abs(error.mean()) < 0.1 and np.abs(error).max() <= 1


def test_distances_know_the_object_beyond_the_patch_and_the_end_of_the_stack():
    labels = np.zeros((12, 40, 40), np.int32)
    labels[2:10, 10:30, :30] = 1
    stack = PreparedStack("a", labels.astype(np.float32), labels)
    small = cutter([stack], (4, 8, 8), grid=(1, 1, 1))
    _, _, distances = small.cut(small.upright(0, (4, 16, 16)))
    whole = cutter([stack], (12, 40, 40), grid=(1, 1, 1))
    _, _, expected = whole.cut(whole.upright(0, (0, 0, 0)))
    np.testing.assert_allclose(distances, expected[4:8, 16:24, 16:24], atol=1e-5)
    left = expected[5, 20, 4, :-1]
    towards = np.asarray(whole.rays)[:, 2] < -0.9
    assert towards.any() and (left[towards] < 0).all()
    assert (left[np.asarray(whole.rays)[:, 2] > 0] > 0).all()


@given(seed=st.integers(0, 1000))
@settings(max_examples=15, deadline=None)
def test_a_turned_and_stretched_ball_has_the_distances_of_the_ball_it_is_seen_as(seed):
    grid = np.indices((41, 41, 41)) - 20
    labels = ((grid**2).sum(axis=0) <= 14**2).astype(np.int32)
    stack = PreparedStack("a", labels.astype(np.float32), labels)
    one = cutter([stack], (9, 9, 9), grid=(1, 1, 1))
    matrix = random_matrix(np.random.default_rng(seed), 0.1)
    image, probability, distances = one.cut(View(0, np.full(3, 20.0), matrix))
    centre = distances[4, 4, 4, :-1]
    expected = 14 / np.linalg.norm(one.rays @ matrix.T, axis=1)
    np.testing.assert_allclose(centre, expected, atol=1.6)
    assert probability[4, 4, 4, 0] > 0.9 and image[4, 4, 4] == 1


def test_augmentation_keeps_columns_upright_without_a_shear():
    rng = np.random.default_rng(1)
    for _ in range(10):
        matrix = random_matrix(rng, 0.0)
        assert (matrix[0, 1:] == 0).all() and (matrix[1:, 0] == 0).all()
        assert 0.7 < abs(matrix[0, 0]) < 1.4
    image = prepared().image
    changed = change_intensity(image, rng)
    assert changed.shape == image.shape and changed.dtype == np.float32
    assert np.corrcoef(changed.ravel(), image.ravel())[0, 1] > 0.6


def test_every_batch_comes_from_the_seed_and_its_number():
    mask = np.zeros((12, 40, 40), bool)
    mask[:, :20, :20] = True
    drawn = cutter([prepared(mask)], (4, 16, 16))
    first, again = (PatchSampler(drawn, 2, True, 0.9, 5) for _ in range(2))
    batches = [first.batch(step) for step in range(20)]
    for step in (13, 2):
        for a, b in zip(batches[step][1], again.batch(step)[1], strict=True):
            np.testing.assert_array_equal(a, b)
    other = PatchSampler(drawn, 2, True, 0.9, 6).batch(2)[0]
    assert not (other == batches[2][0]).all() and not (batches[3][0] == batches[2][0]).all()
    upright = PatchSampler(drawn, 40, False, 0.9, 5).batch(0)[1][0]
    assert (upright != -1).any(axis=(1, 2, 3, 4)).all()


def test_validation_views_cover_the_verified_voxels():
    stack = prepared()
    tiled = cutter([stack], (12, 16, 16))
    views = validation_views(tiled, 99)
    assert len(views) == 9
    corners = [tuple((view.centre - tiled.middle).astype(int)) for view in views]
    covered = np.zeros(stack.labels.shape, bool)
    for z, y, x in corners:
        covered[z : z + 12, y : y + 16, x : x + 16] = True
    assert covered.all()
    assert len(validation_views(tiled, 2)) == 2


def test_a_patch_larger_than_the_stack_is_mirrored_and_unknown_there():
    stack = PreparedStack("a", np.ones((1, 5, 6), np.float32), np.ones((1, 5, 6), np.int32))
    large = cutter([stack], (4, 8, 6), grid=(1, 1, 1))
    (view,) = validation_views(large, 9)
    image, probability, _ = large.cut(view)
    assert (image == 1).all()
    assert (probability[:1, :5] >= 0).all() and (probability == -1).sum() == 4 * 48 - 30


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


def test_diameter_is_that_of_a_ball_as_large_as_the_median_object():
    grid = np.indices((21, 41, 41)) - np.array([10, 20, 20]).reshape(3, 1, 1, 1)
    ball = (((grid * np.array([2, 1, 1]).reshape(3, 1, 1, 1)) ** 2).sum(axis=0) <= 12**2) * 1
    assert plan.diameter_um([ball.astype(np.int32)], [(1.0, 0.5, 0.5)]) == pytest.approx(
        12, rel=0.02
    )


def test_rescaling_only_beyond_a_tenth():
    assert samples.rescaling((2.0, 0.5, 0.5), (2.1, 0.5, 0.5)) is None
    assert samples.rescaling((1.0, 0.5, 0.5), (2.0, 0.5, 0.5)) == (0.5, 1.0, 1.0)
    image, labels = balls()
    half = samples.prepare(
        TrainingSample("a", image[None], labels, labels >= 0, (2.0, 0.25, 0.25)),
        Normalisation(),
        SPACING,
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
