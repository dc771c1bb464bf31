"""OME-Zarr 0.5 folders: an image and, inside it, its labels.

Source: https://ngff.openmicroscopy.org/0.5/
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import zarr

from annotations import ngff
from annotations.errors import LabelError
from annotations.formats import checks
from annotations.formats.new_file import new_file
from labels.arrays import ArrayLike

SUFFIX = ".zarr"
_CHUNK = (16, 128, 128)
_LEVEL = "0"


def write_ome_zarr(
    path: Path | str,
    image: ArrayLike,
    labels: ArrayLike,
    spacing_um: Sequence[float],
    *,
    channels: Sequence[str],
    label_name: str = "objects",
    attributes: Mapping[str, Any] | None = None,
) -> None:
    """Write an image with its labels, at one resolution.

    napari, ome-zarr-py and Neuroglancer open the folder; ``<path>/labels/<label_name>`` alone is
    an image, too, that any of them may change in place.

    Parameters
    ----------
    path : Path or str
        Ends in .zarr; appears only when complete.
    image : array, shape (C, Z, Y, X)
        Read by slabs of z, as are the labels.
    labels : array of integer, shape (Z, Y, X)
    spacing_um : (float, float, float)
        Voxel size (z, y, x) in µm.
    channels : sequence of str
        A name for each channel.
    label_name : str
    attributes : mapping, optional
        More attributes of the labels' group, such as where they come from.

    Raises
    ------
    LabelError
        Not integers, negative or too large ids, or another shape than the image.
    FormatError
        Another suffix, a path that exists, a folder that does not, or no space left.
    """
    path = Path(path)
    spacing = checks.check_spacing(spacing_um, f"{path}: spacing_um")
    checks.check_label_dtype(path, np.dtype(labels.dtype))
    checks.check_labels_match(image.shape[1:], labels.shape, f"{path}: labels")
    if len(channels) != image.shape[0]:
        raise LabelError(
            f"{path}: expected {image.shape[0]} channel names, got {len(channels)}; give one each"
        )
    with new_file(path, (SUFFIX,)) as partial:
        root = zarr.create_group(store=partial, zarr_format=3)
        ranges = _copy_image(root, image)
        name = path.name.removesuffix(SUFFIX).removesuffix(".ome")
        root.attrs["ome"] = ngff.image_attributes(name, _LEVEL, spacing, channels, ranges)
        group = root.create_group("labels", attributes={"ome": _label_list(label_name)})
        inner = group.create_group(label_name)
        _copy_labels(inner, labels, path)
        ome = ngff.label_attributes(label_name, _LEVEL, spacing)
        inner.attrs.update({**(attributes or {}), "ome": ome})


def _label_list(name: str) -> dict[str, Any]:
    return {"version": ngff.VERSION, "labels": [name]}


def _array(
    group: zarr.Group, shape: Sequence[int], dtype: np.dtype[Any], names: str
) -> zarr.Array[Any]:
    chunks = (1,) * (len(shape) - 3) + tuple(map(min, _CHUNK, shape[-3:]))
    return group.create_array(
        _LEVEL,
        shape=tuple(shape),
        chunks=chunks,
        dtype=dtype.newbyteorder("="),
        fill_value=0,
        dimension_names=tuple(names),
    )


def _copy_image(root: zarr.Group, image: ArrayLike) -> list[tuple[float, float]]:
    """Copy by slabs; return the lowest and highest intensity of each channel."""
    array = _array(root, image.shape, np.dtype(image.dtype), "czyx")
    ranges = []
    for channel in range(image.shape[0]):
        low, high = np.inf, -np.inf
        for z in range(0, image.shape[1], _CHUNK[0]):
            slab = np.asarray(image[channel, z : z + _CHUNK[0]])
            array[channel, z : z + _CHUNK[0]] = slab
            low, high = min(low, float(slab.min())), max(high, float(slab.max()))
        ranges.append((low, high))
    return ranges


def _copy_labels(group: zarr.Group, labels: ArrayLike, path: Path) -> None:
    array = _array(group, labels.shape, np.dtype(np.uint32), "zyx")
    for z in range(0, labels.shape[0], _CHUNK[0]):
        array[z : z + _CHUNK[0]] = checks.to_ids(np.asarray(labels[z : z + _CHUNK[0]]), z, path)
