"""Surfaces of nuclei."""

from __future__ import annotations

import numpy as np
import pytest

from hitl.report.meshes import MAX_FACES, surface


def test_a_surface_has_the_size_of_its_voxels_in_um() -> None:
    grid = np.indices((24, 60, 60)) - np.array([12, 30, 30])[:, None, None, None]
    ball = (grid**2 * np.array([4.0, 1.0, 1.0])[:, None, None, None]).sum(axis=0) <= 20.0**2
    vertices, faces = surface(ball, (2.0, 1.0, 1.0))
    assert 100 < len(faces) <= MAX_FACES
    radius = np.linalg.norm(vertices - np.array([24.0, 30.0, 30.0]), axis=1)
    assert radius.mean() == pytest.approx(20, abs=1)
    assert radius.max() < 22
    one = np.zeros((3, 3, 3), bool)
    one[1, 1, 1] = True
    assert len(surface(one, (1.0, 1.0, 1.0))[1]) > 0
