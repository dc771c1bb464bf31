"""OME-Zarr 0.5 folders: an image and, inside it, its labels.

Source: https://ngff.openmicroscopy.org/0.5/
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import zarr

from annotations import ngff
from annotations.errors import LabelError
from annotations.formats import checks
from annotations.formats.new_file import new_file
from annotations.formats.planes import as_array
from annotations.volume import SlabSource
from labels.arrays import ArrayLike

SUFFIX = ".zarr"
_CHUNK = (16, 128, 128)
_LEVEL = "0"


def write_ome_zarr(
    path: Path | str,
    image: ArrayLike,
    labels: ArrayLike | SlabSource,
    spacing_um: Sequence[float],
    *,
    channels: Sequence[str],
    time_step_s: float | None = None,
    label_name: str = "objects",
    attributes: Mapping[str, Any] | None = None,
) -> None:
    """Write an image with its labels, at one resolution; with an axis t where T > 1.

    napari, ome-zarr-py and Neuroglancer open the folder; ``<path>/labels/<label_name>`` alone is
    an image, too, that any of them may change in place.

    Parameters
    ----------
    path : Path or str
        Ends in .zarr; appears only when complete.
    image : array, shape (T, C, Z, Y, X)
        Read by slabs of z, as are the labels.
    labels : array or slab source of integer, shape (T * Z, Y, X)
        The slices of all time points, time after time.
    spacing_um : (float, float, float)
        Voxel size (z, y, x) in µm.
    channels : sequence of str
        A name for each channel.
    time_step_s : float, optional
        Seconds between time points, where known.
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
    labels = as_array(labels)
    spacing = checks.check_spacing(spacing_um, f"{path}: spacing_um")
    step = checks.check_time_step(time_step_s, f"{path}: time_step_s")
    checks.check_label_dtype(path, np.dtype(labels.dtype))
    times, count, *zyx = image.shape
    checks.check_labels_match((times * zyx[0], *zyx[1:]), labels.shape, f"{path}: labels")
    if len(channels) != count:
        raise LabelError(
            f"{path}: expected {count} channel names, got {len(channels)}; give one each"
        )
    steps = {_LEVEL: ngff.steps_of(spacing, step)}
    timed = "t" * (times > 1)
    with new_file(path, (SUFFIX,)) as partial:
        root = zarr.create_group(store=partial, zarr_format=3)
        ranges = _copy_image(root, image, f"{timed}czyx")
        name = path.name.removesuffix(SUFFIX).removesuffix(".ome")
        whole = ngff.multiscales(name, f"{timed}czyx", steps, timed=step is not None)
        root.attrs["ome"] = ngff.image_attributes(whole, channels, ranges)
        group = root.create_group(
            "labels", attributes={"ome": ngff.labels_attributes([label_name])}
        )
        inner = group.create_group(label_name)
        _copy_labels(inner, labels, (times, *zyx), f"{timed}zyx", path)
        found = ngff.multiscales(label_name, f"{timed}zyx", steps, timed=step is not None)
        inner.attrs.update({**(attributes or {}), "ome": ngff.label_attributes(found)})


def _array(
    group: zarr.Group, sizes: Mapping[str, int], dtype: np.dtype[Any], axes: str
) -> zarr.Array[Any]:
    shape = tuple(sizes[axis] for axis in axes)
    return group.create_array(
        _LEVEL,
        shape=shape,
        chunks=(1,) * (len(shape) - 3) + tuple(map(min, _CHUNK, shape[-3:])),
        dtype=dtype.newbyteorder("="),
        fill_value=0,
        dimension_names=tuple(axes),
    )


def _copy_image(root: zarr.Group, image: ArrayLike, axes: str) -> list[tuple[float, float]]:
    """Copy by slabs; return the lowest and highest intensity of each channel."""
    times, channels, depth, _, _ = image.shape
    array = _array(root, dict(zip("tczyx", image.shape, strict=True)), np.dtype(image.dtype), axes)
    low, high = [np.inf] * channels, [-np.inf] * channels
    for t, c, z in itertools.product(range(times), range(channels), range(0, depth, _CHUNK[0])):
        place = (t, c, slice(z, z + _CHUNK[0]))
        slab = np.asarray(image[place])
        array[place[5 - len(axes) :]] = slab
        low[c], high[c] = min(low[c], float(slab.min())), max(high[c], float(slab.max()))
    return list(zip(low, high, strict=True))


def _copy_labels(
    group: zarr.Group, labels: ArrayLike, shape: tuple[int, ...], axes: str, path: Path
) -> None:
    array = _array(group, dict(zip("tzyx", shape, strict=True)), np.dtype(np.uint32), axes)
    times, depth, *_ = shape
    for t, z in itertools.product(range(times), range(0, depth, _CHUNK[0])):
        stop = min(z + _CHUNK[0], depth)
        start = t * depth + z
        slab = np.asarray(labels[start : t * depth + stop])
        ids = checks.to_ids(slab, start, path, depth if times > 1 else None)
        array[(t, slice(z, stop))[4 - len(axes) :]] = ids
