"""The network's shape, and what follows from the voxel size."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Literal

from annotated_types import Ge, Le, MaxLen, MinLen

from labels.numbers import number_of
from labels.spacing import Spacing
from models.options import Features

Factor = Annotated[int, Ge(1), Le(8)]
Pooling = tuple[Factor, Factor, Factor]
Norm = Literal["frozen", "instance", "batch", "group"]

CLASS_NAMES = ("background", "edge", "nucleus")
HEAD_NAMES = ("object", "distance")

SMALLEST_LEVEL = 2
"""An axis is pooled only while at least so many voxels of a patch are left."""


MOST_LEVELS = 10


@dataclass(frozen=True)
class Architecture:
    """All that is needed to build the network again.

    Parameters
    ----------
    features : tuple of int
        Channels per level; the bottleneck has twice the last.
    pooling : tuple of (int, int, int)
        Pooling factor (z, y, x) below each level.
    norm : {"frozen", "instance", "batch", "group"}
        Normalisation; all work with one patch per batch.
    channels : int
        Of the image.
    """

    features: Annotated[tuple[Features, ...], MinLen(1), MaxLen(MOST_LEVELS)]
    pooling: Annotated[tuple[Pooling, ...], MinLen(1), MaxLen(MOST_LEVELS)]
    norm: Norm = "frozen"
    channels: Annotated[int, Ge(1), Le(1024)] = 1

    def __post_init__(self) -> None:
        if len(self.features) != len(self.pooling):
            raise ValueError(
                f"expected a pooling for each of {number_of(len(self.features), 'level')}, got "
                f"{len(self.pooling)}"
            )

    @property
    def multiple(self) -> Pooling:
        """Sizes (z, y, x) that a patch must be a multiple of."""
        z, y, x = (math.prod(factor[axis] for factor in self.pooling) for axis in range(3))
        return z, y, x

    @property
    def outputs(self) -> int:
        """Channels of the output: classes, then head."""
        return len(CLASS_NAMES) + len(HEAD_NAMES)


def pooling_for(spacing_um: Spacing, patch: Sequence[int], levels: int) -> tuple[Pooling, ...]:
    """Return pooling factors that bring the voxels nearer to cubes.

    Parameters
    ----------
    spacing_um : (float, float, float)
        Voxel size (z, y, x) in µm.
    patch : (int, int, int)
        Patch or stack extent in voxels; an axis that has become too short is pooled no more.
    levels : int
        Number of poolings.

    Returns
    -------
    tuple of (int, int, int)
        Each factor is 1 or 2. z is left alone while it is more than √2 times coarser than xy.
    """
    ratio = spacing_um[0] / math.sqrt(spacing_um[1] * spacing_um[2])
    left = list(patch)
    factors: list[Pooling] = []
    for _ in range(levels):
        coarse = ratio > math.sqrt(2)
        wanted = (1 if coarse else 2, 2, 2)
        z, y, x = (
            f if size // f >= SMALLEST_LEVEL else 1 for f, size in zip(wanted, left, strict=True)
        )
        factors.append((z, y, x))
        left = [size // f for size, f in zip(left, (z, y, x), strict=True)]
        ratio *= z / math.sqrt(y * x)
    return tuple(factors)


def round_to(size: Sequence[int], multiple: Pooling, *, up: bool) -> tuple[int, int, int]:
    """Round a size (z, y, x) to a multiple; never below one multiple."""
    z, y, x = (
        max(1, math.ceil(s / m) if up else s // m) * m for s, m in zip(size, multiple, strict=True)
    )
    return z, y, x
