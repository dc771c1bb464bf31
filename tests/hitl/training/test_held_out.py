"""What is held out for validation: whole objects, all over the field, whatever is corrected."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hitl.project.errors import NothingToDoError
from hitl.training.held_out import (
    HELD_OUT,
    check_large_enough,
    held_out_pixels,
    held_out_voxels,
    split_sample,
)
from models.base import TrainingSample

SHAPE = (3, 40, 56)


def cubes(seed: int, ids: int = 2**31) -> np.ndarray:
    """Cubes of 5 pixels at random places, under scattered ids."""
    rng = np.random.default_rng(seed)
    labels = np.zeros(SHAPE, np.uint32)
    for _ in range(30):
        y, x = rng.integers(0, SHAPE[1] - 5), rng.integers(0, SHAPE[2] - 5)
        if not labels[1, y : y + 5, x : x + 5].any():
            labels[1, y : y + 5, x : x + 5] = rng.integers(1, ids)
    return labels


@given(st.integers(0, 2**31), st.floats(0.1, 0.55))
def test_every_object_is_on_one_side_as_a_whole(seed: int, share: float) -> None:
    labels = cubes(seed)
    held_out = held_out_voxels(labels, share)
    learned = set(np.unique(labels[~held_out])) - {0}
    judged = set(np.unique(labels[held_out])) - {0}
    assert not learned & judged
    assert learned | judged == set(np.unique(labels)) - {0}
    np.testing.assert_array_equal(held_out[0], held_out_pixels(SHAPE[1:], share))
    count = len(learned | judged)
    assert round(share * count) <= len(judged) < count


@given(st.integers(0, 2**31))
def test_a_smaller_share_lies_in_a_larger_one(seed: int) -> None:
    labels = cubes(seed)
    small, large = (held_out_voxels(labels, share) for share in (0.1, 0.3))
    assert (small <= large).all()


@pytest.mark.parametrize("share", [0.1, 0.2, 0.3, 0.5])
def test_it_is_the_share_that_was_asked_for_and_in_every_quarter(share: float) -> None:
    pixels = held_out_pixels((64, 80), share)
    assert pixels.mean() == pytest.approx(share, abs=0.03)
    for part in (pixels[:32, :40], pixels[:32, 40:], pixels[32:, :40], pixels[32:, 40:]):
        assert 0.4 * share < part.mean() < 1.6 * share


def test_objects_larger_than_the_tiles_are_held_out_too() -> None:
    """A small stack of large nuclei: a tile holds most of none of them."""
    labels = np.arange(1, 31, dtype=np.uint32).reshape(1, 5, 6).repeat(10, 1).repeat(10, 2)
    held_out = held_out_voxels(labels, 0.2)
    assert 6 <= len(np.unique(labels[held_out])) <= 8


@pytest.mark.parametrize("count", [0, 1, 2])
def test_of_one_or_two_objects_none_is_held_out(count: int) -> None:
    labels = np.zeros(SHAPE, np.uint32)
    for number in range(count):
        labels[:, 3:9, 20 * number + 2 : 20 * number + 8] = number + 7
    assert not labels[held_out_voxels(labels, 0.2)].any()


def test_a_sample_is_split_where_it_counts() -> None:
    labels = cubes(1)
    mask = np.zeros(SHAPE, np.bool_)
    mask[1] = True
    sample = TrainingSample("a", labels[None], labels, mask, (2.0, 1.0, 1.0))
    learned, judged = split_sample(sample, 0.2)
    np.testing.assert_array_equal(learned.mask ^ judged.mask, mask)
    assert (learned.name, judged.name) == ("a", "a" + HELD_OUT)


def test_a_field_too_small_to_be_split_is_refused() -> None:
    with pytest.raises(NothingToDoError, match="1 × 1 pixels"):
        check_large_enough("a", (1, 1), 0.2)
