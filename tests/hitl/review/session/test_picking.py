"""The voxel that a click means."""

from __future__ import annotations

import numpy as np

from hitl.review.session.picking import first_along_ray
from tests.hitl.review.volumes import field


def test_the_first_voxel_that_a_ray_meets():
    labels = field()[1]
    start, stop = np.array([4.0, 7.0, -10.0]), np.array([4.0, 7.0, 60.0])
    assert first_along_ray(labels, start, stop) == (4, 7, 2)
    assert first_along_ray(labels, stop, start) == (4, 7, 35)
    assert first_along_ray(labels, np.array([0.0, 0, 0]), np.array([0.0, 0, 39])) is None
