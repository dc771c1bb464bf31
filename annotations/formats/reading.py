"""Images and labels from files of any format that holds voxels."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from annotations.formats.format import RawVoxels, recognise
from annotations.formats.registry import image_formats
from annotations.formats.sources import FileImage, LabelSource


def open_image(
    path: Path | str,
    *,
    axes: str | None = None,
    spacing_um: Sequence[float] | None = None,
) -> FileImage:
    """Open an image for reading by slabs of z of one time point.

    Parameters
    ----------
    path : Path or str
        TIFF, OME-Zarr folder, .npy, .nd2, or a picture (PNG, BMP, JPEG).
    axes : str, optional
        What the stored dimensions are, as letters of ``TCZYXS`` (S for colour samples); wins over
        the metadata, and is needed where there is none. Nothing is guessed from the shape.
    spacing_um : (float, float, float), optional
        Voxel size (z, y, x) in µm; wins over the metadata, and is needed where there is none. An
        image without a z axis needs y and x only: its z size is 1 µm by definition.

    Returns
    -------
    FileImage
        An `annotations.volume.ImageSource`; close it, or use it in a ``with`` block.

    Raises
    ------
    FormatError
        Missing, not an image, truncated, or of a kind or dtype that is not supported.
    AxesError
        Axes that are unknown or not those of one image.
    SpacingError
        No usable voxel size.
    """
    name, raw = _open_raw(Path(path))
    return FileImage(raw, name, axes, spacing_um)


def open_labels(path: Path | str, *, axes: str | None = None) -> LabelSource:
    """Open labels for reading by slabs of planes, time after time.

    Parameters
    ----------
    path : Path or str
        TIFF, OME-Zarr label group, .npy, .nd2, PNG or BMP.
    axes : str, optional
        As for `open_image`.

    Returns
    -------
    LabelSource
        Close it, or use it in a ``with`` block.

    Raises
    ------
    LabelError
        Not integers, or more than one channel.
    FormatError
        As for `open_image`.
    """
    return LabelSource(_open_raw(Path(path))[1], axes)


def read_labels(path: Path | str, *, axes: str | None = None) -> NDArray[np.uint32]:
    """Read labels into memory.

    Parameters
    ----------
    path : Path or str
    axes : str, optional
        As for `open_image`.

    Returns
    -------
    ndarray of uint32, shape (T * Z, Y, X)
        The slices of all time points, time after time.

    Raises
    ------
    LabelError
        Not integers, negative or too large ids, or more than one channel.
    FormatError
        As for `open_image`.
    """
    with open_labels(path, axes=axes) as source:
        return source.read_all()


def _open_raw(path: Path) -> tuple[str, RawVoxels]:
    """Name of a file's format, and its voxels."""
    found = recognise(path, image_formats())
    assert found.open is not None, "an image format opens files"
    return found.name, found.open(path)
