"""The classical segmenter on made-up nuclei, on what should give nothing, and on real stacks."""

from __future__ import annotations

import json
from dataclasses import fields

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import ndimage as ndi

from models.base import Segmentation, Segmenter
from models.classical import ClassicalSegmenter
from models.classical.objects import merge_shallow, one_piece_each
from models.classical.scale import blob_noise, blob_response, gaussian
from models.errors import ImageError, ModelError
from tests.models.contract import SegmenterContract

SPACING = (2.0, 0.8, 0.8)
DIAMETER = 9.0
ONE_DIM_NUCLEUS = 3


def f1_at_half(truth: NDArray, found: NDArray) -> float:
    """F1 of objects matched at an intersection over union above 0.5, where matches are unique."""
    _, t = np.unique(truth, return_inverse=True)
    _, f = np.unique(found, return_inverse=True)
    table = np.zeros((t.max() + 1, f.max() + 1))
    np.add.at(table, (t.ravel(), f.ravel()), 1)
    union = table.sum(1)[:, None] + table.sum(0)[None] - table
    matched = (table / union)[1:, 1:] > 0.5
    return float(2 * matched.sum() / max(t.max() + f.max(), 1))


class TestContract(SegmenterContract):
    @pytest.fixture
    def segmenter(self) -> ClassicalSegmenter:
        return ClassicalSegmenter()


def test_the_measure_counts_what_it_should() -> None:
    truth = np.zeros((1, 4, 10), int)
    truth[0, :, 0:4], truth[0, :, 5:9] = 1, 2
    shifted = np.roll(truth, 1, axis=2)
    assert f1_at_half(truth, truth) == 1
    assert f1_at_half(truth, shifted) == 1  # 3 of 5 columns shared
    assert f1_at_half(truth, np.roll(truth, 2, axis=2)) == 0
    assert f1_at_half(truth, np.where(truth == 1, 7, 0)) == pytest.approx(2 / 3)


def ball_centres(shape: tuple[int, int, int]) -> NDArray:
    """Centres (µm) on a jittered grid, 1.05 diameters apart at the least."""
    rng = np.random.default_rng(7)
    extent = np.array(shape) * SPACING
    axes = [np.arange(DIAMETER * 0.8, size - DIAMETER * 0.6, DIAMETER * 1.25) for size in extent]
    grid = np.stack(np.meshgrid(*axes, indexing="ij"), -1).reshape(-1, 3)
    return grid + rng.uniform(-0.08, 0.08, grid.shape) * DIAMETER


@pytest.fixture(scope="module")
def crowd() -> tuple[NDArray, NDArray]:
    """Noisy, blurred balls, one of them at a fifth of the others' brightness, and their labels."""
    shape = (20, 64, 64)
    rng = np.random.default_rng(3)
    where = np.stack(
        [(i + 0.5) * s for i, s in zip(np.indices(shape), SPACING, strict=True)], axis=-1
    )
    labels = np.zeros(shape, np.uint32)
    clean = np.full(shape, 0.1)
    for k, centre in enumerate(ball_centres(shape), start=1):
        inside = ((where - centre) ** 2).sum(-1) < (DIAMETER / 2) ** 2
        labels[inside] = k
        clean[inside] = 0.3 if k == ONE_DIM_NUCLEUS else rng.uniform(0.8, 1.2)
    blurred = ndi.gaussian_filter(clean, (0.6, 0.8, 0.8))
    return (rng.poisson(blurred * 60) * 20 + 100).astype(np.uint16), labels


@pytest.fixture(scope="module")
def found(crowd: tuple[NDArray, NDArray]) -> Segmentation:
    return ClassicalSegmenter().segment(crowd[0][None], SPACING)


def test_crowded_nuclei_are_found(crowd: tuple[NDArray, NDArray], found: Segmentation) -> None:
    assert f1_at_half(crowd[1], found.labels) >= 0.95


def test_a_dim_nucleus_beside_bright_ones_keeps_its_size(
    crowd: tuple[NDArray, NDArray], found: Segmentation
) -> None:
    truth = crowd[1] == ONE_DIM_NUCLEUS
    own = np.bincount(found.labels[truth])
    own[0] = 0
    mask = found.labels == own.argmax()
    assert own.any()
    assert (mask & truth).sum() / (mask | truth).sum() > 0.5


def test_what_comes_out(crowd: tuple[NDArray, NDArray], found: Segmentation) -> None:
    labels = found.labels
    assert labels.dtype == np.uint32
    assert labels.shape == crowd[0].shape
    ids = np.unique(labels)
    assert list(ids) == list(range(len(ids)))
    assert set(found.confidence) == set(ids[1:].tolist())
    assert all(0 <= c <= 1 for c in found.confidence.values())
    assert found.probability is not None
    assert found.probability.dtype == np.float32
    assert found.probability.min() >= 0 and found.probability.max() <= 1
    assert found.probability[labels > 0].mean() > 0.7
    assert found.probability[labels == 0].mean() < 0.2
    for k in ids[1:]:
        assert ndi.label(labels == k)[1] == 1


def test_the_estimated_diameter_is_near_and_told(found: Segmentation) -> None:
    (note,) = found.notes
    assert note.startswith("diameter estimated")
    assert float(note.split()[-2]) == pytest.approx(DIAMETER, rel=0.2)


def test_a_given_diameter_is_used_and_nothing_is_noted(crowd: tuple[NDArray, NDArray]) -> None:
    right = ClassicalSegmenter(diameter_um=DIAMETER).segment(crowd[0][None], SPACING)
    assert right.notes == ()
    assert f1_at_half(crowd[1], right.labels) >= 0.95
    huge = ClassicalSegmenter(diameter_um=4 * DIAMETER).segment(crowd[0][None], SPACING)
    assert huge.labels.max() < right.labels.max() / 2


@settings(max_examples=8, deadline=None)
@given(
    scale=st.sampled_from([1.0, 0.001, 3.0]),
    offset=st.sampled_from([0.0, -500.0, 1e6]),
    kind=st.sampled_from([np.float32, np.float64]),
    unit=st.sampled_from([1.0, 0.01, 40.0]),
)
def test_units_of_intensity_and_length_do_not_matter(
    crowd: tuple[NDArray, NDArray],
    found: Segmentation,
    scale: float,
    offset: float,
    kind: type,
    unit: float,
) -> None:
    if kind is np.float32 and offset == 1e6:
        offset = 1e3  # float32 has no digits left there
    image = (crowd[0].astype(np.float64) * scale + offset * scale).astype(kind)
    spacing = (SPACING[0] * unit, SPACING[1] * unit, SPACING[2] * unit)
    again = ClassicalSegmenter().segment(image[None], spacing)
    assert f1_at_half(found.labels, again.labels) >= 0.99


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("shape", [(16, 64, 64), (1, 96, 96), (3, 20, 20)])
def test_noise_gives_next_to_nothing(seed: int, shape: tuple[int, int, int]) -> None:
    noise = np.random.default_rng(seed).normal(100, 10, shape)
    assert ClassicalSegmenter().segment(noise[None], SPACING).labels.max() <= 2


@settings(max_examples=25, deadline=None)
@given(
    shape=st.tuples(st.integers(1, 6), st.integers(1, 24), st.integers(1, 24)),
    diameter=st.sampled_from([None, 0.5, 8.0]),
    seed=st.integers(0, 1000),
)
def test_any_small_volume_is_taken(
    shape: tuple[int, int, int], diameter: float | None, seed: int
) -> None:
    image = np.random.default_rng(seed).integers(0, 255, shape).astype(np.uint8)
    image.flat[0] = 255
    if image.min() == image.max():
        return
    result = ClassicalSegmenter(diameter_um=diameter).segment(image[None], SPACING)
    assert result.labels.shape == shape
    assert set(result.confidence) == set(np.unique(result.labels).tolist()) - {0}


@pytest.mark.parametrize("diameter", [0.01, 300.0])
def test_a_diameter_that_nothing_in_the_image_has_is_refused(diameter: float) -> None:
    image = np.random.default_rng(0).integers(0, 255, (1, 4, 8, 8)).astype(np.uint8)
    with pytest.raises(ImageError, match=r"expected about 0\.8 to 6\.4 µm"):
        ClassicalSegmenter(diameter_um=diameter).segment(image, SPACING)


@pytest.mark.parametrize("shape", [(16, 48, 48), (1, 48, 48)])
def test_a_single_nucleus_is_one_object(shape: tuple[int, int, int]) -> None:
    rng = np.random.default_rng(5)
    centre = np.array(shape) * SPACING / 2
    where = np.stack(
        [(i + 0.5) * s for i, s in zip(np.indices(shape), SPACING, strict=True)], axis=-1
    )
    truth = ((where - centre) ** 2).sum(-1) < (DIAMETER / 2) ** 2
    image = ndi.gaussian_filter(100 + 200.0 * truth, (0, 1, 1)) + rng.normal(0, 10, shape)
    result = ClassicalSegmenter().segment(image[None], SPACING)
    assert result.labels.max() == 1
    assert f1_at_half(truth.astype(int), result.labels) == 1


def test_a_sharp_nucleus_is_rated_above_a_hazy_one() -> None:
    shape = (16, 48, 96)
    rng = np.random.default_rng(6)
    where = np.stack(
        [(i + 0.5) * s for i, s in zip(np.indices(shape), SPACING, strict=True)], axis=-1
    )
    balls = [((where - c) ** 2).sum(-1) < (DIAMETER / 2) ** 2 for c in ([16, 19, 19], [16, 19, 57])]
    image = 200.0 * balls[0] + ndi.gaussian_filter(600.0 * balls[1], (1.5, 5, 5))
    image += 100 + rng.normal(0, 10, shape)
    result = ClassicalSegmenter(diameter_um=DIAMETER).segment(image[None], SPACING)
    sharp, hazy = (int(result.labels[8, 23, x]) for x in (23, 71))
    assert sharp != hazy and min(sharp, hazy) > 0
    assert result.confidence[sharp] > result.confidence[hazy]


def test_progress_tells_each_stage(crowd: tuple[NDArray, NDArray]) -> None:
    calls: list[tuple[int, int, str]] = []
    ClassicalSegmenter().segment(
        crowd[0][None],
        SPACING,
        progress=lambda done, total, what: calls.append((done, total, what)),
    )
    assert [done for done, _, _ in calls] == list(range(calls[0][1] + 1))
    assert "watershed" in [what for _, _, what in calls]


def test_settings_are_described_and_bounded() -> None:
    segmenter = ClassicalSegmenter(diameter_um=7.5)
    assert isinstance(segmenter, Segmenter)
    told = json.loads(json.dumps(segmenter.describe()))
    assert told["diameter_um"] == 7.5
    options = {field.name for field in fields(ClassicalSegmenter)}
    assert set(told) == {"segmenter", "weights"} | options
    with pytest.raises(ModelError, match="diameter_um"):
        ClassicalSegmenter(diameter_um=0)
    with pytest.raises(ModelError, match="level"):
        ClassicalSegmenter(level=1)


@pytest.mark.parametrize(
    ("image", "spacing"),
    [
        (np.arange(64.0).reshape(1, 8, 8), (1.0, 0.0, 1.0)),
        (np.arange(64.0).reshape(1, 8, 8), (1.0, float("nan"), 1.0)),
    ],
)
def test_bad_input_is_refused(image: NDArray, spacing: tuple[float, float, float]) -> None:
    with pytest.raises(ImageError):
        ClassicalSegmenter().segment(image[None], spacing)


def test_noise_of_the_blob_response_is_what_noise_shows_also_in_a_corner() -> None:
    rng = np.random.default_rng(0)
    shown = [
        blob_response(rng.normal(size=(9, 14, 15)).astype(np.float32), 2.0, SPACING)
        for _ in range(400)
    ]
    told = blob_noise(2.0, SPACING, (9, 14, 15))
    ratio = np.std(shown, axis=0) / told
    assert np.abs(ratio - 1).max() < 0.2
    assert told[0, 0, 0] > 1.5 * told[4, 7, 7]


def test_gaussian_is_scipys() -> None:
    volume = np.random.default_rng(0).normal(size=(6, 17, 23)).astype(np.float32)
    expected = ndi.gaussian_filter(volume, [1.5 / s for s in SPACING], truncate=5)
    np.testing.assert_allclose(gaussian(volume, 1.5, SPACING), expected, atol=2e-3)


def test_merging_looks_at_depth_and_volume() -> None:
    labels = np.array([[[1, 1, 1, 2, 2, 2, 3, 3, 3]]], np.int32)
    height = np.array([[[1, 10, 9.5, 9.5, 10, 1, 1, 10, 1]]], np.float32)
    volumes = np.array([0.0, 3, 3, 3])
    merged = merge_shallow(labels, height, volumes, depth=0.1, max_volume=20)
    np.testing.assert_array_equal(merged, [[[1, 1, 1, 1, 1, 1, 2, 2, 2]]])
    full = merge_shallow(labels, height, volumes, depth=0.1, max_volume=6)
    np.testing.assert_array_equal(full, labels)


def test_one_piece_with_its_hole_filled_is_kept() -> None:
    basins = np.ones((5, 7, 12), np.int32)
    basins[..., 7:] = 2
    labels = np.zeros_like(basins)
    labels[1:4, 1:6, 1:6] = 1
    labels[2, 3, 3] = 0  # hole
    labels[0, 6, 6] = 1  # crumb
    labels[2, 2, 9] = 2  # too small
    kept = one_piece_each(labels, basins, min_voxels=5)
    expected = np.zeros_like(basins)
    expected[1:4, 1:6, 1:6] = 1
    np.testing.assert_array_equal(kept, expected)


@pytest.mark.real
@pytest.mark.parametrize(
    ("name", "part", "floor"),
    [
        ("gonuclear_1136", slice(None), 0.58),
        ("gonuclear_1136", slice(None, 50), 0.42),
        ("gonuclear_1136", slice(50, None), 0.45),
        ("qcanet_16cell", slice(None), 0.95),
        ("qcanet_16cell", slice(None, 60), 0.85),
        ("qcanet_16cell", slice(60, None), 0.95),
    ],
)
def test_default_settings_hold_on_real_stacks(real_stack, name, part, floor) -> None:
    image, truth, spacing = real_stack(name)
    result = ClassicalSegmenter().segment(image[:, part][None], spacing)
    assert f1_at_half(truth[:, part], result.labels) >= floor


def test_default_settings_hold_on_the_stack_of_the_stardist_package() -> None:
    from stardist.data import test_image_nuclei_3d

    image, truth = test_image_nuclei_3d(return_mask=True)
    result = ClassicalSegmenter().segment(image[None], (2.0, 1.0, 1.0))
    assert f1_at_half(truth, result.labels) >= 0.68
