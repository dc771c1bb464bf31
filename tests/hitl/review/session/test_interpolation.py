"""Missing slices between outlines."""

from __future__ import annotations

import numpy as np

from hitl.review.session.interpolation import interpolate_slices, missing_runs


def test_a_missing_slice_lies_between_its_neighbours():
    small, large = np.zeros((2, 21, 21), np.bool_)
    small[8:13, 8:13] = True
    large[4:17, 4:17] = True
    (middle,) = interpolate_slices(small, large, 1, (1.0, 1.0))
    expected = np.zeros((21, 21), np.bool_)
    expected[6:15, 6:15] = True
    # The corners of a distance field are round.
    assert np.count_nonzero(middle != expected) <= 12
    assert np.all(middle[small])
    assert not np.any(middle & ~large)


def test_equal_outlines_give_the_same_and_a_drifting_one_is_followed():
    disc = np.hypot(*(np.indices((31, 41)) - 10)) <= 5
    moved = np.roll(disc, (6, 18), (0, 1))
    assert all(np.array_equal(one, disc) for one in interpolate_slices(disc, disc, 3, (1, 1)))
    (between,) = interpolate_slices(disc, moved, 1, (1, 1))
    assert np.array_equal(between, np.roll(disc, (3, 9), (0, 1)))


def test_missing_runs():
    assert missing_runs(np.array([0, 1, 0, 0, 1, 1, 0, 1, 0], bool)) == [(2, 4), (6, 7)]
    assert missing_runs(np.zeros(4, bool)) == []
