"""What travels with an array: axes, voxel size, names."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, Self, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from labels.spacing import Spacing


@dataclass(frozen=True)
class ImageInfo:
    """What is known of an image file before its voxels are read.

    Parameters
    ----------
    path : Path
    shape : (int, int, int, int)
        (C, Z, Y, X).
    dtype : numpy dtype
        As in the file.
    spacing_um : (float, float, float)
        Voxel size (z, y, x) in µm.
    channels : tuple of str
        One name per channel.
    format : str
        ``"tiff"``, ``"ome-zarr"``, ``"npy"`` or ``"nd2"``.
    """

    path: Path
    shape: tuple[int, int, int, int]
    dtype: np.dtype[Any]
    spacing_um: Spacing
    channels: tuple[str, ...]
    format: str


@runtime_checkable
class ImageSource(Protocol):
    """An open image file, read by slabs of z so that it need not fit in memory."""

    @property
    def info(self) -> ImageInfo:
        """Shape, dtype, spacing and channels."""
        ...

    def read(self, z_start: int, z_stop: int) -> NDArray[Any]:
        """Return voxels of shape (C, z_stop - z_start, Y, X) in the file's dtype."""
        ...

    def close(self) -> None:
        """Release the file."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(self, *_: object) -> None: ...
