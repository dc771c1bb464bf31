"""Reading images and labels, and writing TIFF that Fiji, napari and tifffile all open."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from annotations.errors import FormatError, LabelError
from annotations.formats.base import LabelSource, RawStack, StackImage
from annotations.formats.checks import check_finite, check_labels_match, check_spacing
from annotations.formats.tiff_write import write_image_tiff, write_labels_tiff

__all__ = [
    "READERS",
    "LabelSource",
    "StackImage",
    "check_finite",
    "check_labels_match",
    "check_spacing",
    "open_image",
    "open_labels",
    "read_labels",
    "write_image_tiff",
    "write_labels_tiff",
]

READERS = {
    ".tif": "tiff",
    ".tiff": "tiff",
    ".btf": "tiff",
    ".npy": "npy",
    ".nd2": "nd2",
    ".zarr": "ome_zarr",
}
"""Suffix to the module of this package that reads it; each has ``open_raw(path)``."""

_SUPPORTED = "TIFF (.tif, .tiff, .btf), OME-Zarr folders (.zarr), .npy and .nd2"
_ZARR_FILES = ("zarr.json", ".zgroup", ".zarray", ".zattrs")
_LABEL_SLAB_BYTES = 64 * 2**20


def open_image(
    path: Path | str,
    *,
    axes: str | None = None,
    spacing_um: Sequence[float] | None = None,
) -> StackImage:
    """Open a 3D image for reading by slabs of z.

    Parameters
    ----------
    path : Path or str
        TIFF, OME-Zarr folder, .npy or .nd2.
    axes : str, optional
        What the stored dimensions are, as letters of ``TCZYX``; wins over the metadata, and is
        needed where there is none. Nothing is guessed from the shape.
    spacing_um : (float, float, float), optional
        Voxel size (z, y, x) in µm; wins over the metadata, and is needed where there is none.

    Returns
    -------
    StackImage
        An `annotations.volume.ImageSource`; close it, or use it in a ``with`` block.

    Raises
    ------
    FormatError
        Missing, not an image, truncated, or of a kind or dtype that is not supported.
    AxesError
        Axes that are unknown or not those of one 3D stack.
    SpacingError
        No usable voxel size.
    """
    raw = _open_raw(Path(path))
    try:
        return StackImage(raw, axes, spacing_um)
    except BaseException:
        raw.close()
        raise


def open_labels(path: Path | str, *, axes: str | None = None) -> LabelSource:
    """Open instance labels for reading by slabs of z.

    Parameters
    ----------
    path : Path or str
        TIFF, OME-Zarr label group, .npy or .nd2.
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
    raw = _open_raw(Path(path))
    try:
        _refuse_image_with_labels(raw.path)
        return LabelSource(raw, axes)
    except BaseException:
        raw.close()
        raise


def read_labels(path: Path | str, *, axes: str | None = None) -> NDArray[np.uint32]:
    """Read instance labels into memory.

    Parameters
    ----------
    path : Path or str
    axes : str, optional
        As for `open_image`.

    Returns
    -------
    ndarray of uint32, shape (Z, Y, X)

    Raises
    ------
    LabelError
        Not integers, negative or too large ids, or more than one channel.
    FormatError
        As for `open_image`.
    """
    with open_labels(path, axes=axes) as source:
        depth, height, width = source.shape
        labels = np.empty(source.shape, np.uint32)
        step = max(1, _LABEL_SLAB_BYTES // (height * width * source.dtype.itemsize))
        for z in range(0, depth, step):
            labels[z : z + step] = source.read(z, min(z + step, depth))
    return labels


def _refuse_image_with_labels(path: Path) -> None:
    """Integer intensities pass for ids; an OME-Zarr image that holds labels tells them apart."""
    folder = path / "labels"
    names = sorted(f"labels/{child.name}" for child in folder.glob("*") if child.is_dir())
    if names:
        raise LabelError(
            f"{path}: is an image, not labels; give the labels inside it: {', '.join(names)}"
        )


def _open_raw(path: Path) -> RawStack:
    if not path.exists():
        raise FormatError(f"{path}: there is no such file; check the path")
    if path.is_dir():
        if not any((path / name).exists() for name in _ZARR_FILES):
            raise FormatError(
                f"{path}: is a folder, but not an OME-Zarr (it has no zarr.json or .zgroup); give "
                f"an image file: {_SUPPORTED}"
            )
        name = "ome_zarr"
    else:
        name = _file_reader(path)
    module = importlib.import_module(f"annotations.formats.{name}")
    raw: RawStack = module.open_raw(path)
    return raw


def _file_reader(path: Path) -> str:
    """Name of the module that reads a plain file."""
    suffix = path.suffix.lower()
    if suffix == ".npz":
        raise FormatError(
            f"{path}: an .npz archive may hold several arrays; save the one to use with numpy.save "
            "as .npy"
        )
    if suffix == ".zarr":
        raise FormatError(f"{path}: expected an OME-Zarr folder, got a file; unpack it first")
    if suffix not in READERS:
        raise FormatError(
            f"{path}: images with the suffix {suffix!r} cannot be read; save it as one of "
            f"{_SUPPORTED}"
        )
    if path.stat().st_size == 0:
        raise FormatError(f"{path}: is empty (0 bytes); copy or export it again")
    return READERS[suffix]
