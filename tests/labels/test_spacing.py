"""What counts as a voxel size."""

from __future__ import annotations

import math

import pytest

from labels.spacing import is_spacing


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ((2.0, 0.5, 0.5), True),
        ((1, 1, 1), True),
        ((2.0, 0.5), False),
        ((2.0, 0.5, 0.0), False),
        ((2.0, 0.5, -1.0), False),
        ((math.inf, 0.5, 0.5), False),
        ((math.nan, 0.5, 0.5), False),
    ],
)
def test_a_voxel_size_is_three_lengths_above_0(values: tuple[float, ...], expected: bool) -> None:
    assert is_spacing(values) is expected
