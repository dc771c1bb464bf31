"""The size of labelled nuclei, and the voxels at which it is nominal."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from models.objects import (
    NOMINAL_DIAMETER,
    NOMINAL_SPACING,
    median_diameter,
    relative_spacing,
    spacing_for,
)


def balls(spacing: tuple[float, float, float], diameter: float, count: int = 3) -> NDArray[Any]:
    """Draw balls that touch no border, in a row along x."""
    step = 1.3 * diameter
    extent = (2 * diameter, 2 * diameter, (count + 1) * step)
    shape = [round(e / s) for e, s in zip(extent, spacing, strict=True)]
    grid = np.meshgrid(*(np.arange(n) * s for n, s in zip(shape, spacing, strict=True)),
                       indexing="ij")  # fmt: skip
    labels = np.zeros(shape, np.uint32)
    for i in range(count):
        centre = (diameter, diameter, (i + 1) * step)
        away = sum((g - c) ** 2 for g, c in zip(grid, centre, strict=True))
        labels[away < (diameter / 2) ** 2] = i + 1
    return labels


@pytest.mark.parametrize("spacing", [(2.0, 1.0, 1.0), (0.5, 0.4, 0.4)])
def test_the_diameter_of_balls_is_theirs(spacing: tuple[float, float, float]) -> None:
    labels = balls(spacing, 11.0)
    assert median_diameter(labels, spacing) == pytest.approx(11.0, rel=0.03)


def test_objects_cut_by_the_border_do_not_make_the_nuclei_smaller() -> None:
    labels = balls((1.0, 1.0, 1.0), 10.0, count=4)[:, :, 9:]
    assert labels[:, :, 0].any()
    assert median_diameter(labels, (1.0, 1.0, 1.0)) == pytest.approx(10.0, rel=0.05)
    only_cut = np.where(labels == labels[:, :, 0].max(), labels, 0)
    smaller = median_diameter(only_cut, (1.0, 1.0, 1.0))
    assert smaller is not None and smaller < 10.0


def test_voxels_that_do_not_count_have_no_diameter() -> None:
    labels = balls((1.0, 1.0, 1.0), 8.0)
    assert median_diameter(labels, (1.0, 1.0, 1.0), np.zeros(labels.shape, bool)) is None


def test_nominal_nuclei_have_nominal_size() -> None:
    assert spacing_for(NOMINAL_DIAMETER) == NOMINAL_SPACING
    assert relative_spacing(spacing_for(6.5), 6.5) == pytest.approx(NOMINAL_SPACING)
