import inspect

import cv2
import numpy as np
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from pydantic import TypeAdapter, ValidationError
from scipy import ndimage
from skimage import morphology

from hitl.preprocess.pipeline import preprocess
from hitl.preprocess.steps import (
    STEPS,
    PreprocessError,
    clahe,
    gamma,
    histogram_stretch,
    median,
    percentile_stretch,
    project,
    subtract_tophat,
    suppress_background,
    to_uint8,
)
from hitl.project.errors import HitlError
from hitl.project.processing import PreprocessStep

ADAPTER = TypeAdapter(tuple[PreprocessStep, ...])

CHAIN = """
- {step: to_uint8}
- {step: suppress_background, below: 7}
- {step: gamma, gamma: 0.8}
- {step: clahe, grid: 8, clip_limit: 2.0}
- {step: median, size: 3}
- {step: subtract_tophat, radius: 2}
- {step: percentile_stretch, low: 5, high: 98}
"""

shapes = hnp.array_shapes(min_dims=3, max_dims=3, min_side=1, max_side=9)
uint8_images = hnp.arrays(np.uint8, shapes)
uint16_images = hnp.arrays(np.uint16, shapes)


def stack(dtype=np.uint16, shape=(3, 24, 30), seed=0):
    """Blurred noise with a few bright voxels, over most of the dtype's range."""
    rng = np.random.default_rng(seed)
    image = ndimage.gaussian_filter(rng.random(shape), (0.5, 2, 2))
    image = (image - image.min()) / np.ptp(image)
    image[rng.random(shape) > 0.99] = 1
    return (image * (np.iinfo(dtype).max - 20) + 10).astype(dtype)


def test_to_uint8_by_hand():
    image = np.array([[[100, 200, 300, 1120]]], np.uint16)
    np.testing.assert_array_equal(to_uint8(image), [[[0, 25, 50, 255]]])
    np.testing.assert_array_equal(to_uint8(image.astype(np.float32) - 500), [[[0, 25, 50, 255]]])
    np.testing.assert_array_equal(to_uint8(image.astype(np.int32) - 500), [[[0, 25, 50, 255]]])


@settings(deadline=None)
@given(
    image=hnp.arrays(
        st.sampled_from([np.uint8, np.uint16, np.int32]),
        shapes.filter(lambda s: np.prod(s) > 1),
        elements=st.integers(0, 255),
    ),
    low=st.floats(0, 40),
    high=st.floats(60, 100),
)
def test_to_uint8_scales_percentiles_of_the_stack(image, low, high):
    first, last = np.percentile(image, [low, high])
    if first == last:
        with pytest.raises(PreprocessError, match="two different intensities"):
            to_uint8(image, low=low, high=high)
        return
    scaled = to_uint8(image, low=low, high=high)
    exact = 255 * (np.clip(image, first, last) - first) / (last - first)
    assert scaled.dtype == np.uint8
    assert np.abs(scaled - exact).max() <= 0.5 + 1e-6


def test_background_below_seven_goes_and_seven_stays():
    image = np.array([[[0, 6, 7, 8, 255]]], np.uint8)
    np.testing.assert_array_equal(suppress_background(image), [[[0, 0, 7, 8, 255]]])
    np.testing.assert_array_equal(suppress_background(image, below=8), [[[0, 0, 0, 8, 255]]])


@settings(deadline=None)
@given(image=st.one_of(uint8_images, uint16_images), power=st.floats(0.1, 5))
def test_gamma_is_the_power_of_the_share_of_the_maximum(image, power):
    top = float(np.iinfo(image.dtype).max)
    changed = gamma(image, gamma=power)
    assert changed.dtype == image.dtype
    assert np.abs(changed - (image / top) ** power * top).max() <= 0.5 + 1e-6


def test_gamma_by_hand():
    image = np.array([[[0, 64, 255]]], np.uint8)
    np.testing.assert_array_equal(gamma(image, gamma=2.0), [[[0, 16, 255]]])
    np.testing.assert_array_equal(gamma(image, gamma=0.5), [[[0, 128, 255]]])
    with pytest.raises(PreprocessError, match="over 0, got 0"):
        gamma(image, gamma=0)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_clahe_works_on_each_slice_alone(dtype):
    image = stack(dtype)
    changed = clahe(image, grid=4, clip_limit=3.0)
    assert changed.dtype == dtype
    for plane, expected in zip(changed, image, strict=True):
        np.testing.assert_array_equal(plane, cv2.createCLAHE(3.0, (4, 4)).apply(expected))
    # A slice in which contrast is low gains more of it.
    faint = (image // 8 + np.iinfo(dtype).max // 3).astype(dtype)
    assert clahe(faint).std() > 1.5 * faint.std()


def test_a_higher_clip_limit_gives_more_contrast():
    image = stack(np.uint8, (2, 64, 64)) // 8
    contrast = [clahe(image, grid=2, clip_limit=limit).std() for limit in (1.0, 4.0, 20.0)]
    assert contrast == sorted(contrast)
    assert contrast[0] < 0.8 * contrast[2]


def test_clahe_without_a_limit_on_one_tile_is_equalisation():
    image = stack(np.uint8, (1, 32, 32))
    ranks = np.searchsorted(np.sort(image.ravel()), image, side="right")
    equalised = clahe(image, grid=1, clip_limit=1e6)
    assert np.abs(equalised - 255 * ranks / image.size).max() <= 1


@settings(deadline=None)
@given(image=st.one_of(uint8_images, uint16_images), size=st.sampled_from([3, 5]))
def test_median_equals_scipy(image, size):
    expected = ndimage.median_filter(image, (1, size, size), mode="nearest")
    np.testing.assert_array_equal(median(image, size=size), expected)


def test_a_wide_median_needs_eight_bits():
    image = stack(np.uint8)
    expected = ndimage.median_filter(image, (1, 9, 9), mode="nearest")
    np.testing.assert_array_equal(median(image, size=9), expected)
    with pytest.raises(PreprocessError, match=r"median of size 9.*uint16.*to_uint8 before"):
        median(stack(np.uint16), size=9)
    with pytest.raises(PreprocessError, match="odd size"):
        median(image, size=4)


@settings(deadline=None)
@given(image=st.one_of(uint8_images, uint16_images), radius=st.integers(1, 4))
def test_tophat_is_subtracted_as_by_skimage(image, radius):
    expected = [
        plane - morphology.white_tophat(plane, morphology.disk(radius), mode="ignore")
        for plane in image
    ]
    np.testing.assert_array_equal(subtract_tophat(image, radius=radius), expected)


def test_small_bright_dots_go_and_nuclei_stay():
    image = np.full((2, 40, 40), 20, np.uint8)
    y, x = np.ogrid[:40, :40]
    image[:, (y - 15) ** 2 + (x - 15) ** 2 <= 8**2] = 150
    clean = image.copy()
    image[:, 32:34, 30:32] = 255  # a dot beside the nucleus
    image[:, 14:16, 14:16] = 255  # and one on it
    changed = subtract_tophat(image, radius=2)
    assert (changed[:, 32:34, 30:32] == 20).all()
    assert (changed[:, 14:16, 14:16] == 150).all()
    assert (changed != clean).mean() < 0.01
    with pytest.raises(PreprocessError, match="radius of 1 or more"):
        subtract_tophat(image, radius=0)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_percentile_stretch_fills_the_range_of_its_dtype(dtype):
    image = stack(dtype)
    first, last = np.percentile(image, [5, 98])
    top = np.iinfo(dtype).max
    changed = percentile_stretch(image)
    assert changed.dtype == dtype
    exact = (np.clip(image, first, last) - first) / (last - first) * top
    assert np.abs(changed - exact).max() <= 0.5 + 1e-6
    assert (changed == 0).mean() >= 0.05
    assert (changed == top).mean() >= 0.02


def test_percentile_stretch_of_floats_is_zero_to_one():
    image = np.linspace(-3, 7, 101).reshape(1, 1, 101)
    changed = percentile_stretch(image, low=10, high=60)
    assert changed.dtype == np.float32
    expected = np.clip((np.arange(101) - 10) / 50, 0, 1).reshape(1, 1, 101)
    np.testing.assert_allclose(changed, expected, atol=1e-6)


def test_histogram_stretch_leaves_rare_levels_out():
    image = np.array([[[0, 10, 10, 20, 30, 30, 200]]], np.uint8)
    np.testing.assert_array_equal(
        histogram_stretch(image, min_count=1), [[[0, 0, 0, 128, 255, 255, 255]]]
    )
    np.testing.assert_array_equal(histogram_stretch(image), [[[0, 13, 13, 26, 38, 38, 255]]])
    with pytest.raises(PreprocessError, match="over 2 voxels, got 0; lower min_count"):
        histogram_stretch(image, min_count=2)


def test_slices_become_one():
    image = np.array([[[1, 9]], [[4, 2]]], np.uint16)
    projected = project(image)
    np.testing.assert_array_equal(projected, [[[4, 9]]])
    np.testing.assert_array_equal(project(image, method="mean"), [[[2, 6]]])
    with pytest.raises(PreprocessError, match="max or mean"):
        project(image, method="sum")
    assert projected.dtype == np.uint16


def test_the_yaml_chain_runs_the_functions_in_order():
    steps = ADAPTER.validate_python(yaml.safe_load(CHAIN))
    image = stack(np.uint16, (2, 40, 48))
    before = image.copy()
    expected = to_uint8(image)
    expected = suppress_background(expected, below=7)
    expected = gamma(expected, gamma=0.8)
    expected = clahe(expected, grid=8, clip_limit=2.0)
    expected = median(expected, size=3)
    expected = subtract_tophat(expected, radius=2)
    expected = percentile_stretch(expected, low=5, high=98)
    np.testing.assert_array_equal(preprocess(steps, image[None])[0], expected)
    np.testing.assert_array_equal(image, before)
    assert preprocess((), image) is image


def test_each_step_has_an_entry_with_the_same_options_and_defaults():
    for name, function in STEPS.items():
        options = {} if name != "gamma" else {"gamma": 1.0}
        (entry,) = ADAPTER.validate_python([{"step": name, **options}])
        keywords = {
            key: parameter.default
            for key, parameter in inspect.signature(function).parameters.items()
            if parameter.kind is inspect.Parameter.KEYWORD_ONLY
        }
        assert entry.model_dump(exclude={"step"}) == keywords


@pytest.mark.parametrize(
    "entry",
    [
        {"step": "median", "sise": 3},
        {"step": "median", "size": 4},
        {"step": "gamma"},
        {"step": "gamma", "gamma": 0},
        {"step": "clahe", "grid": 0},
        {"step": "clahe", "clip_limit": 0},
        {"step": "subtract_tophat", "radius": 0},
        {"step": "suppress_background", "below": 256},
        {"step": "percentile_stretch", "low": 98, "high": 5},
        {"step": "to_uint8", "low": 50, "high": 50},
        {"step": "histogram_stretch", "min_count": -1},
        {"step": "sharpen"},
        {"size": 3},
    ],
)
def test_entries_without_meaning_are_refused(entry):
    with pytest.raises(ValidationError):
        ADAPTER.validate_python([entry])


def test_entries_are_frozen():
    (entry,) = ADAPTER.validate_python([{"step": "median"}])
    with pytest.raises(ValidationError):
        entry.size = 5


@pytest.mark.parametrize(
    ("step", "dtype"),
    [
        ("suppress_background", np.uint16),
        ("gamma", np.float32),
        ("clahe", np.int32),
        ("median", np.float64),
        ("subtract_tophat", np.int32),
        ("percentile_stretch", np.int32),
        ("histogram_stretch", np.float32),
    ],
)
def test_a_dtype_that_a_step_cannot_take_says_what_to_put_before(step, dtype):
    image = np.arange(24).reshape(2, 3, 4).astype(dtype)
    expected = f"{step}: .* got {np.dtype(dtype).name}; put the step to_uint8 before it"
    with pytest.raises(PreprocessError, match=expected) as caught:
        STEPS[step](image)
    assert isinstance(caught.value, HitlError)


@pytest.mark.parametrize("step", STEPS.values())
def test_only_stacks_are_taken(step):
    for shape in ((4, 4), (1, 2, 4, 4), (0, 4, 4)):
        with pytest.raises(PreprocessError, match="3D image"):
            step(np.zeros(shape, np.uint8))


@pytest.mark.parametrize("step", [to_uint8, percentile_stretch])
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_is_refused(step, bad):
    image = np.full((1, 2, 3), bad, np.float32)
    image[0, 0] = [1, 2, 3]
    with pytest.raises(PreprocessError, match="NaN or infinite"):
        step(image)


def test_what_cannot_be_stretched_is_refused():
    for step in (to_uint8, percentile_stretch, histogram_stretch):
        with pytest.raises(PreprocessError, match="two"):
            step(np.full((1, 2, 3), 9, np.uint8))
    with pytest.raises(PreprocessError, match="not a mask"):
        to_uint8(np.zeros((1, 2, 3), bool))
    with pytest.raises(PreprocessError, match="0 ≤ low < high ≤ 100, got 50 and 50"):
        percentile_stretch(stack(), low=50, high=50)
    with pytest.raises(PreprocessError, match="grid of 1 up to 24 tiles"):
        clahe(stack(), grid=25)
