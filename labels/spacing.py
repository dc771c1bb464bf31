"""The size of a voxel."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from annotated_types import Ge, Le

Spacing = tuple[float, float, float]
"""Voxel size (z, y, x) in µm."""

LEAST_UM, MOST_UM = 1e-4, 1e5
"""From an atom to a tenth of a metre: a voxel beyond is a slip, such as metres taken for µm."""

VoxelUm = Annotated[float, Ge(LEAST_UM), Le(MOST_UM)]
"""One side of a voxel in µm."""


def is_spacing(values: Sequence[float]) -> bool:
    """Return whether these are three lengths in µm that a voxel can have.

    >>> is_spacing((2.0, 0.5, 0.5)), is_spacing((2.0, 0.5)), is_spacing((2.0, 0.5, 0.0))
    (True, False, False)
    """
    return len(values) == 3 and all(LEAST_UM <= value <= MOST_UM for value in values)


def in_words(spacing_um: Sequence[float]) -> str:
    """Return lengths as a person reads them, such as "2 × 0.933 × 0.933"."""
    return " × ".join(f"{each:.4g}" for each in spacing_um)
