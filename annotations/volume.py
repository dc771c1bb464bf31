"""What travels with an array: axes, voxel size, time step, names."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, Self, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from labels.spacing import Spacing


@dataclass(frozen=True)
class ImageInfo:
    """What is known of an image before its voxels are read.

    Parameters
    ----------
    path : Path
        The file, or the first of several.
    shape : (int, int, int, int, int)
        (T, C, Z, Y, X); a 2D image has Z = 1, colours are channels.
    dtype : numpy dtype
        As in the file.
    spacing_um : (float, float, float)
        Voxel size (z, y, x) in µm. The z size of an image without a z axis is 1 µm by definition,
        so that its volumes read as areas in µm².
    time_step_s : float or None
        Seconds between time points; None when not stated, or for one time point.
    channels : tuple of str
        One name per channel.
    format : str
        Name of the file's format, such as ``"tiff"``.
    paths : tuple of Path
        All files, in order; `path` alone when not given.
    """

    path: Path
    shape: tuple[int, int, int, int, int]
    dtype: np.dtype[Any]
    spacing_um: Spacing
    time_step_s: float | None
    channels: tuple[str, ...]
    format: str
    paths: tuple[Path, ...] = ()

    def __post_init__(self) -> None:
        if not self.paths:
            object.__setattr__(self, "paths", (self.path,))


@runtime_checkable
class ImageSource(Protocol):
    """An open image, read by slabs of z of one time point so that it need not fit in memory."""

    @property
    def info(self) -> ImageInfo:
        """Shape, dtype, spacing, time step and channels."""
        ...

    def read(self, time: int, z_start: int, z_stop: int) -> NDArray[Any]:
        """Return voxels of shape (C, z_stop - z_start, Y, X) in the file's dtype."""
        ...

    def close(self) -> None:
        """Release the file."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(self, *_: object) -> None: ...


@runtime_checkable
class SlabSource(Protocol):
    """Voxels that are read by slabs of z, so that they need not fit in memory."""

    @property
    def shape(self) -> tuple[int, ...]:
        """(Z, Y, X)."""
        ...

    def read(self, z_start: int, z_stop: int) -> NDArray[Any]:
        """Return voxels of shape (z_stop - z_start, Y, X)."""
        ...


def time_parts(start: int, stop: int, depth: int) -> Iterator[tuple[int, int, int]]:
    """Cut planes of a series where time points end: time, and first and last + 1 of its z."""
    for time in range(start // depth, (stop - 1) // depth + 1):
        first = time * depth
        yield time, max(start - first, 0), min(stop - first, depth)
