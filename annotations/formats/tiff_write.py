"""TIFF with axes and voxel size that Fiji, napari and tifffile all read back."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from annotations.errors import AxesError, LabelError
from annotations.formats.checks import check_image_dtype, check_label_dtype, check_spacing, to_ids
from annotations.formats.new_file import new_file
from labels.arrays import ArrayLike
from labels.spacing import Spacing

CLASSIC_LIMIT = 2**32 - 2**25
"""Bytes of voxels that a TIFF with 32-bit offsets holds beside its pages."""

_IMAGEJ_DTYPES = frozenset(map(np.dtype, ("u1", "u2", "i2", "f4")))
_SUFFIXES = (".tif", ".tiff")


def write_labels_tiff(
    path: Path | str,
    labels: ArrayLike,
    spacing_um: Sequence[float],
    *,
    bits: Literal[16, 32] | None = None,
    overwrite: bool = False,
) -> None:
    """Write instance labels: an ImageJ hyperstack of 16 bit, or OME-TIFF of 32 bit.

    Parameters
    ----------
    path : Path or str
        Ends in .tif or .tiff; appears only when complete.
    labels : array of integer, shape (Z, Y, X)
        Read slice by slice, twice.
    spacing_um : (float, float, float)
        Voxel size (z, y, x) in µm.
    bits : {16, 32}, optional
        By default 16 where the ids fit. ImageJ has no 32-bit integers, hence OME-TIFF for these.
    overwrite : bool
        Replace a file that exists.

    Raises
    ------
    LabelError
        Not integers, negative or too large ids.
    FormatError
        A wrong suffix, a file that exists, a folder that does not, or no space left.
    """
    path = Path(path)
    _check_shape(path, labels.shape, (3,))
    check_label_dtype(path, np.dtype(labels.dtype))
    spacing = check_spacing(spacing_um, f"{path}: spacing_um")
    depth = labels.shape[0]
    top = max(int(_ids(path, labels, z).max()) for z in range(depth))
    bits = bits or (16 if top < 2**16 else 32)
    if top >= 2**bits:
        raise LabelError(f"{path}: the id {top} does not fit into {bits} bits; write 32 bits")
    dtype = np.dtype(f"u{bits // 8}")
    planes = (_ids(path, labels, z).astype(dtype) for z in range(depth))
    stack = _Stack(
        planes=planes, shape=labels.shape, dtype=dtype, axes="ZYX", spacing_um=spacing, top=top
    )
    _write(path, stack, overwrite=overwrite)


def _ids(path: Path, labels: ArrayLike, z: int) -> NDArray[np.uint32]:
    plane: NDArray[np.uint32] = to_ids(np.asarray(labels[z : z + 1]), z, path)[0]
    return plane


def write_image_tiff(
    path: Path | str,
    image: ArrayLike,
    spacing_um: Sequence[float],
    *,
    channels: Sequence[str] = (),
    overwrite: bool = False,
) -> None:
    """Write intensities: an ImageJ hyperstack where ImageJ has the dtype, OME-TIFF otherwise.

    Parameters
    ----------
    path : Path or str
        Ends in .tif or .tiff; appears only when complete.
    image : array, shape (Z, Y, X) or (C, Z, Y, X)
        Read plane by plane. float16, which neither dialect has, is written as float32.
    spacing_um : (float, float, float)
        Voxel size (z, y, x) in µm.
    channels : sequence of str
        Channel names, kept by OME-TIFF only.
    overwrite : bool
        Replace a file that exists.

    Raises
    ------
    FormatError
        A dtype or shape that cannot be written, a wrong suffix, a file that exists, a folder that
        does not, or no space left.
    """
    path = Path(path)
    _check_shape(path, image.shape, (3, 4))
    dtype = np.dtype(image.dtype).newbyteorder("=")
    check_image_dtype(path, dtype)
    dtype = np.dtype(np.float32) if dtype == np.float16 else dtype
    spacing = check_spacing(spacing_um, f"{path}: spacing_um")
    shape, axes = image.shape, "ZYX"
    if len(shape) == 3:
        planes = (np.asarray(image[z], dtype) for z in range(shape[0]))
    else:
        # ImageJ wants the channels of one slice beside each other.
        count, depth, height, width = image.shape
        shape, axes = (depth, count, height, width), "ZCYX"
        planes = (np.asarray(image[c, z], dtype) for z in range(depth) for c in range(count))
    stack = _Stack(
        planes=planes,
        shape=shape,
        dtype=dtype,
        axes=axes,
        spacing_um=spacing,
        channels=tuple(channels),
    )
    _write(path, stack, overwrite=overwrite)


def _check_shape(path: Path, shape: tuple[int, ...], dimensions: tuple[int, ...]) -> None:
    if len(shape) not in dimensions or 0 in shape:
        wanted = " or ".join(("(Z, Y, X)", "(C, Z, Y, X)")[n - 3] for n in dimensions)
        raise AxesError(f"{path}: expected an array of shape {wanted}, got {shape}; cut it to that")


@dataclass(frozen=True, kw_only=True)
class _Stack:
    """What goes into a file, plane by plane."""

    planes: Iterator[NDArray[Any]]
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    axes: str
    spacing_um: Spacing
    channels: tuple[str, ...] = ()
    top: int | None = None

    def imagej(self) -> dict[str, Any]:
        """Arguments of tifffile for an ImageJ hyperstack."""
        z, y, x = self.spacing_um
        metadata: dict[str, Any] = {"axes": self.axes, "spacing": z, "unit": "um"}
        if "C" in self.axes:
            metadata["mode"] = "composite"
        if self.top is not None:
            metadata |= {"min": 0.0, "max": float(max(self.top, 1))}  # else Fiji shows black
        # Beyond 4 GB ImageJ reads one page with all voxels behind it, and nothing compressed.
        large = math.prod(self.shape) * self.dtype.itemsize > CLASSIC_LIMIT
        return {
            "imagej": True,
            "metadata": metadata,
            "resolution": (1 / x, 1 / y),
            "truncate": large,
            "compression": None if large or self.top is None else "zlib",
        }

    def ome(self) -> dict[str, Any]:
        """Arguments of tifffile for an OME-TIFF."""
        metadata: dict[str, Any] = {"axes": self.axes}
        for axis, size in zip("ZYX", self.spacing_um, strict=True):
            metadata |= {f"PhysicalSize{axis}": size, f"PhysicalSize{axis}Unit": "\u00b5m"}
        if self.channels:
            metadata["Channel"] = {"Name": list(self.channels)}
        _, y, x = self.spacing_um
        return {
            "ome": True,
            "metadata": metadata,
            # For readers that do not look into the XML.
            "resolution": (1e4 / x, 1e4 / y),
            "resolutionunit": "CENTIMETER",
            "bigtiff": math.prod(self.shape) * self.dtype.itemsize > CLASSIC_LIMIT,
            "compression": "zlib",
        }


def _write(path: Path, stack: _Stack, *, overwrite: bool) -> None:
    import tifffile

    # tifffile miscounts the planes of an ImageJ image of one column.
    imagej = stack.dtype in _IMAGEJ_DTYPES and stack.shape[-1] > 1
    options = stack.imagej() if imagej else stack.ome()
    with new_file(path, _SUFFIXES, overwrite=overwrite) as partial:
        tifffile.imwrite(
            partial,
            stack.planes,
            shape=stack.shape,
            dtype=stack.dtype,
            photometric="minisblack",  # else three columns are taken for colours
            **options,
        )
