"""Cutting one object by points: where it is cut."""

from __future__ import annotations

import numpy as np

from hitl.review.session.splitting import split_by_points
from tests.hitl.review.volumes import SHAPE, SPACING, ball


def test_a_dark_line_decides_where_the_shape_says_nothing():
    mask = np.zeros((5, 12, 40), np.bool_)
    mask[1:4, 2:10, 2:38] = True
    image = np.full(mask.shape, 100, np.uint16)
    image[:, :, 27] = 10
    parts = split_by_points(mask, image, np.array([(2, 6, 12), (2, 6, 34)]), SPACING)
    assert np.all(parts[mask & (np.indices(mask.shape)[2] < 26)] == 1)
    assert np.all(parts[mask & (np.indices(mask.shape)[2] > 28)] == 2)


def test_two_points_below_one_summit_share_it_half_and_half():
    mask = ball((4, 16, 20), 10)
    image = np.full(SHAPE, 100, np.uint16)
    parts = split_by_points(mask, image, np.array([(4, 16, 16), (4, 16, 24)]), SPACING)
    left, right = np.count_nonzero(parts == 1), np.count_nonzero(parts == 2)
    assert left + right == np.count_nonzero(mask)
    assert 0.6 < left / right < 1.7


def test_in_one_slice_the_waist_decides_however_thick_the_slice_is():
    y, x = np.indices((32, 56))
    discs = [((y - 16) ** 2 + (x - at) ** 2) < 12**2 for at in (16, 38)]
    mask = (discs[0] | discs[1])[None]
    flat, points = np.ones(mask.shape, np.uint8), np.array([(0, 16, 22), (0, 16, 46)])
    for spacing_um in ((1.0, 0.2, 0.2), (0.1, 0.5, 0.5)):
        parts = split_by_points(mask, flat, points, spacing_um)
        left, right = ((np.indices(mask.shape)[2] < 26), (np.indices(mask.shape)[2] > 28))
        assert np.all(parts[mask & left] == 1)
        assert np.all(parts[mask & right] == 2)


def test_a_piece_without_a_point_goes_to_the_nearest_part():
    mask = np.zeros((3, 8, 30), np.bool_)
    mask[1, 2:6, 0:12] = True
    mask[1, 3:5, 16:18] = True
    parts = split_by_points(
        mask, np.ones(mask.shape, np.uint8), np.array([(1, 4, 2), (1, 4, 9)]), SPACING
    )
    assert np.all(parts[1, 3:5, 16:18] == 2)
    assert np.all((parts > 0) == mask)
