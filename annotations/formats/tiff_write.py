"""TIFF with axes and voxel size that Fiji, napari and tifffile all read back."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from annotations.errors import AxesError, LabelError
from annotations.formats.checks import (
    check_image_dtype,
    check_label_dtype,
    check_spacing,
    check_time_step,
    to_ids,
)
from annotations.formats.new_file import new_file
from annotations.formats.planes import as_array
from annotations.formats.sources import COLOURS
from annotations.volume import SlabSource
from labels.arrays import ArrayLike
from labels.numbers import number_of
from labels.spacing import Spacing

CLASSIC_LIMIT = 2**32 - 2**25
"""Bytes of voxels that a TIFF with 32-bit offsets holds beside its pages."""

_IMAGEJ_DTYPES = frozenset(map(np.dtype, ("u1", "u2", "i2", "f4")))
_SUFFIXES = (".tif", ".tiff")


def write_labels_tiff(
    path: Path | str,
    labels: ArrayLike | SlabSource,
    spacing_um: Sequence[float],
    *,
    times: int = 1,
    time_step_s: float | None = None,
    bits: Literal[16, 32] | None = None,
    overwrite: bool = False,
) -> None:
    """Write labels: an ImageJ hyperstack of 16 bit, or OME-TIFF of 32 bit.

    Parameters
    ----------
    path : Path or str
        Ends in .tif or .tiff; appears only when complete.
    labels : array or slab source of integer, shape (T * Z, Y, X)
        The slices of all time points, time after time. Read slice by slice, twice.
    spacing_um : (float, float, float)
        Voxel size (z, y, x) in µm.
    times : int
        Time points.
    time_step_s : float, optional
        Seconds between them, where known.
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
    labels = as_array(labels)
    _check_shape(path, labels.shape, (3,))
    check_label_dtype(path, np.dtype(labels.dtype))
    spacing = check_spacing(spacing_um, f"{path}: spacing_um")
    count, height, width = labels.shape
    if times < 1 or count % times:
        raise AxesError(
            f"{path}: expected {number_of(times, 'time point')} of as many slices each, got "
            f"{number_of(count, 'slice')}; give all slices, time after time"
        )
    depth = count // times
    top = max(int(_ids(path, labels, plane, depth, times).max()) for plane in range(count))
    bits = bits or (16 if top < 2**16 else 32)
    if top >= 2**bits:
        raise LabelError(f"{path}: the id {top} does not fit into {bits} bits; write 32 bits")
    dtype = np.dtype(f"u{bits // 8}")
    planes = (_ids(path, labels, plane, depth, times).astype(dtype) for plane in range(count))
    voxels = _Voxels(
        planes=planes,
        shape=(times, depth, height, width) if times > 1 else labels.shape,
        dtype=dtype,
        axes="TZYX" if times > 1 else "ZYX",
        spacing_um=spacing,
        time_step_s=check_time_step(time_step_s, f"{path}: time_step_s"),
        top=top,
    )
    _write(path, voxels, overwrite=overwrite)


def _ids(path: Path, labels: ArrayLike, at: int, depth: int, times: int) -> NDArray[np.uint32]:
    slab = np.asarray(labels[at : at + 1])
    plane: NDArray[np.uint32] = to_ids(slab, at, path, depth if times > 1 else None)[0]
    return plane


def write_image_tiff(
    path: Path | str,
    image: ArrayLike,
    spacing_um: Sequence[float],
    *,
    channels: Sequence[str] = (),
    time_step_s: float | None = None,
    overwrite: bool = False,
) -> None:
    """Write intensities: an ImageJ hyperstack where ImageJ has the dtype, OME-TIFF otherwise.

    Three channels R, G and B of 8 bit are written as colours, which Fiji shows as such.

    Parameters
    ----------
    path : Path or str
        Ends in .tif or .tiff; appears only when complete.
    image : array, shape (Z, Y, X), (C, Z, Y, X) or (T, C, Z, Y, X)
        Read plane by plane. float16, which neither dialect has, is written as float32.
    spacing_um : (float, float, float)
        Voxel size (z, y, x) in µm.
    channels : sequence of str
        Channel names, kept by OME-TIFF only.
    time_step_s : float, optional
        Seconds between time points, where known.
    overwrite : bool
        Replace a file that exists.

    Raises
    ------
    FormatError
        A dtype or shape that cannot be written, a wrong suffix, a file that exists, a folder that
        does not, or no space left.
    """
    path = Path(path)
    _check_shape(path, image.shape, (3, 4, 5))
    dtype = np.dtype(image.dtype).newbyteorder("=")
    check_image_dtype(path, dtype)
    dtype = np.dtype(np.float32) if dtype == np.float16 else dtype
    before = image.shape[:-3]
    times, count = (*(1,) * (2 - len(before)), *before)
    depth, height, width = image.shape[-3:]
    colours = tuple(channels) == COLOURS and count == len(COLOURS) and dtype == np.uint8
    sizes = {"T": times, "Z": depth, "C": count, "Y": height, "X": width}
    if colours:
        sizes = {"T": times, "Z": depth, "Y": height, "X": width, "S": count}
    optional = {"T": times > 1, "C": len(before) > 0}
    axes = "".join(axis for axis in sizes if optional.get(axis, True))
    voxels = _Voxels(
        planes=_image_planes(image, dtype, sizes, colours=colours),
        shape=tuple(sizes[axis] for axis in axes),
        dtype=dtype,
        axes=axes,
        spacing_um=check_spacing(spacing_um, f"{path}: spacing_um"),
        time_step_s=check_time_step(time_step_s, f"{path}: time_step_s"),
        channels=tuple(channels),
    )
    _write(path, voxels, overwrite=overwrite)


def _image_planes(
    image: ArrayLike, dtype: np.dtype[Any], sizes: Mapping[str, int], *, colours: bool
) -> Iterator[NDArray[Any]]:
    """Yield the planes in the order of the file, in which the channels of a slice are neighbours.

    A plane of colours holds all of them, shape (Y, X, 3).
    """
    dimensions = len(image.shape)
    for t, z in itertools.product(range(sizes["T"]), range(sizes["Z"])):
        planes = (
            np.asarray(image[(t, c, z)[5 - dimensions :]], dtype)
            for c in range(sizes["S" if colours else "C"])
        )
        yield from (np.stack(list(planes), axis=-1),) if colours else planes


def _check_shape(path: Path, shape: tuple[int, ...], dimensions: tuple[int, ...]) -> None:
    if len(shape) not in dimensions or 0 in shape:
        names = ("(Z, Y, X)", "(C, Z, Y, X)", "(T, C, Z, Y, X)")
        wanted = " or ".join(names[n - 3] for n in dimensions)
        raise AxesError(f"{path}: expected an array of shape {wanted}, got {shape}; cut it to that")


@dataclass(frozen=True, kw_only=True)
class _Voxels:
    """What goes into a file, plane by plane."""

    planes: Iterator[NDArray[Any]]
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    axes: str
    spacing_um: Spacing
    time_step_s: float | None = None
    channels: tuple[str, ...] = ()
    top: int | None = None

    def imagej(self) -> dict[str, Any]:
        """Arguments of tifffile for an ImageJ hyperstack."""
        z, y, x = self.spacing_um
        metadata: dict[str, Any] = {"axes": self.axes, "spacing": z, "unit": "um"}
        if "C" in self.axes:
            metadata["mode"] = "composite"
        if "T" in self.axes and self.time_step_s is not None:
            metadata["finterval"] = self.time_step_s
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
        if "T" in self.axes and self.time_step_s is not None:
            metadata |= {"TimeIncrement": self.time_step_s, "TimeIncrementUnit": "s"}
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


def _write(path: Path, voxels: _Voxels, *, overwrite: bool) -> None:
    import tifffile

    # tifffile miscounts the planes of an ImageJ image of one column.
    imagej = voxels.dtype in _IMAGEJ_DTYPES and voxels.shape[voxels.axes.index("X")] > 1
    options = voxels.imagej() if imagej else voxels.ome()
    with new_file(path, _SUFFIXES, overwrite=overwrite) as partial:
        tifffile.imwrite(
            partial,
            voxels.planes,
            shape=voxels.shape,
            dtype=voxels.dtype,
            # Else three columns are taken for colours.
            photometric="rgb" if "S" in voxels.axes else "minisblack",
            **options,
        )
