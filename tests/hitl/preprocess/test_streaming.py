"""Preprocessing slab by slab gives what preprocessing of the whole stack gives."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from hitl.preprocess.pipeline import preprocess
from hitl.preprocess.steps import PreprocessError
from hitl.preprocess.streaming import (
    SLICES,
    apply_streamed,
    dtype_after,
    percentile,
    why_not_streamed,
)
from hitl.project.config import parse_config
from hitl.project.processing import PreprocessStep

ENDS = ((0, 100), (2.5, 97), (0, 99.9))
STEPS: list[dict[str, Any]] = [
    *({"step": "to_uint8", "low": low, "high": high} for low, high in ENDS),
    *({"step": "percentile_stretch", "low": low, "high": high} for low, high in ENDS),
    {"step": "histogram_stretch", "min_count": 2},
    {"step": "suppress_background", "below": 20},
    {"step": "gamma", "gamma": 0.6},
    {"step": "clahe", "grid": 2},
    {"step": "median"},
    {"step": "subtract_tophat"},
]


def parsed(*steps: dict[str, Any]) -> tuple[PreprocessStep, ...]:
    return parse_config({"preprocess": steps}).preprocess


class Counting:
    """A stack that counts how much of it is read at once."""

    def __init__(self, image: NDArray[Any]) -> None:
        self.image, self.shape, self.dtype, self.most = image, image.shape, image.dtype, 0

    def __getitem__(self, key: slice) -> NDArray[Any]:
        self.most = max(self.most, self.image[key].shape[0])
        return self.image[key]


def streamed(steps: tuple[PreprocessStep, ...], image: NDArray[Any]) -> NDArray[Any]:
    source, target = Counting(image), np.zeros(image.shape, dtype_after(steps, image.dtype))
    apply_streamed(steps, source, target, lambda *_: None)
    assert source.most <= SLICES
    return target


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.sampled_from(STEPS), min_size=1, max_size=3),
    st.sampled_from(["uint8", "uint16", "float32"]),
    st.integers(1, 2 * SLICES + 3),
    st.integers(0, 5),
)
def test_slabs_give_what_the_whole_stack_gives(
    chosen: list[dict[str, Any]], dtype: str, depth: int, seed: int
) -> None:
    values = np.random.default_rng(seed).gamma(2, 40, (depth, 12, 14))
    image, steps = np.clip(values, 0, 255).astype(dtype), parsed(*chosen)
    why = why_not_streamed(steps, image.dtype)
    if why is not None:
        assert dtype == "float32" and "percentiles of float32" in why
        return
    try:
        expected = preprocess(steps, image[None])[0]
    except PreprocessError as refused:
        with pytest.raises(PreprocessError) as again:
            streamed(steps, image)
        assert str(again.value) == str(refused)
        return
    found = streamed(steps, image)
    assert found.dtype == expected.dtype
    np.testing.assert_array_equal(found, expected)


@given(st.lists(st.integers(0, 300), min_size=1, max_size=60), st.floats(0, 100))
def test_percentiles_of_counts_are_those_of_the_values(values: list[int], q: float) -> None:
    assert percentile(np.bincount(values), q) == pytest.approx(np.percentile(values, q), rel=1e-12)


def test_signed_integers_are_counted_too() -> None:
    image = np.random.default_rng(0).integers(-300, 500, (20, 6, 6)).astype(np.int16)
    steps = parsed({"step": "to_uint8", "low": 1, "high": 99})
    np.testing.assert_array_equal(streamed(steps, image), preprocess(steps, image[None])[0])


def test_what_is_not_finite_is_refused_wherever_it_is() -> None:
    image = np.random.default_rng(0).random((40, 6, 6)).astype(np.float32)
    image[3, 2, 2] = np.nan
    with pytest.raises(PreprocessError, match="NaN"):
        streamed(parsed({"step": "to_uint8"}), image)
