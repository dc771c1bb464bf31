"""Bounds of the numbers that people set: what is beyond them is a slip, not a wish."""

from __future__ import annotations

from typing import Annotated

from annotated_types import Ge, Gt, Le

from labels.spacing import VoxelUm
from models.errors import ModelError

Count = Annotated[int, Ge(1), Le(10_000_000)]
"""Epochs, steps, tiles, voxels of a side."""

BatchSize = Annotated[int, Ge(1), Le(4096)]

Threads = Annotated[int, Ge(1), Le(1024)]
"""Torch aborts the process when the system has none left to give."""

Rate = Annotated[float, Gt(0), Le(100)]
"""Of learning."""

Minutes = Annotated[float, Gt(0), Le(1_000_000)]

DiameterUm = Annotated[float, Ge(0.01), Le(100_000)]
"""Of an object, in µm: from a bacterium's tenth to a tenth of a metre."""

Seed = Annotated[int, Ge(0), Le(2**32 - 1)]

Side = Annotated[int, Ge(1), Le(65_536)]
"""Of a patch, in voxels."""

Features = Annotated[int, Ge(1), Le(8192)]
"""Channels of a layer."""

Percentile = Annotated[float, Ge(0), Le(100)]

Percentiles = tuple[Percentile, Percentile]
"""Low and high."""

Share = Annotated[float, Ge(0), Le(1)]
"""Of a whole."""

Weight = Annotated[float, Ge(0), Le(1e6)]
"""Of a part of a loss."""

Positive = Annotated[float, Gt(0), Le(1e6)]
"""A factor or an exponent."""

Done = Annotated[int, Ge(0), Le(2**53)]
"""Epochs or steps that were done."""

Seconds = Annotated[float, Ge(0), Le(1e12)]
"""That were spent."""

SpacingUm = tuple[VoxelUm, VoxelUm, VoxelUm]
"""Voxel size (z, y, x) in µm, as a file or a person says it."""


def check_percentiles(percentiles: tuple[float, float]) -> None:
    """Refuse percentiles that are none, or in the wrong order."""
    low, high = percentiles
    if not 0 <= low < high <= 100:
        raise ModelError(
            f"percentiles: expected 0 <= low < high <= 100, got {percentiles}; (1, 99) is usual"
        )
