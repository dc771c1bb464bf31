"""Bounds of the numbers that people set: what is beyond them is a slip, not a wish."""

from __future__ import annotations

from typing import Annotated

from annotated_types import Ge, Gt, Le

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
