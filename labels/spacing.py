"""The size of a voxel."""

from __future__ import annotations

import math
from collections.abc import Sequence

Spacing = tuple[float, float, float]
"""Voxel size (z, y, x) in µm."""


def is_spacing(values: Sequence[float]) -> bool:
    """Return whether these are three lengths that a voxel can have: finite and above 0.

    >>> is_spacing((2.0, 0.5, 0.5)), is_spacing((2.0, 0.5)), is_spacing((2.0, 0.5, 0.0))
    (True, False, False)
    """
    return len(values) == 3 and all(math.isfinite(value) and value > 0 for value in values)
