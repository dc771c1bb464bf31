"""Synthetic spheroids."""

from __future__ import annotations

import numpy as np

from tests.hitl.simulate.spheroid_cases import SMALL


def test_spheroids_are_crowded_dim_in_depth_and_reproducible() -> None:
    a, b = SMALL.make(5), SMALL.make(5)
    np.testing.assert_array_equal(a.image, b.image)
    np.testing.assert_array_equal(a.labels, b.labels)
    assert not np.array_equal(a.image, SMALL.make(6).image)
    assert a.image.dtype == np.uint16 and a.labels.dtype == np.uint32
    assert a.labels.max() > 30
    inside = [a.image[z][a.labels[z] > 0].mean() for z in (4, 15)]
    assert inside[1] < 0.8 * inside[0]
    touching = (a.labels[:, :, 1:] != a.labels[:, :, :-1]) & (a.labels[:, :, 1:] > 0)
    assert np.sum(touching & (a.labels[:, :, :-1] > 0)) > 50
