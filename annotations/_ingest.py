"""Bring an image (and its labels) into a store slab by slab, checking and hashing it on the way."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any

import fastremap
import numpy as np
import zarr
from numpy.typing import NDArray

from annotations import ngff
from annotations._chunks import Voxels, label_slab, write_slab, z_slabs
from annotations._storage import Location, translated
from annotations.errors import AxesError, LabelError, VoxelValueError
from annotations.fields import (
    CHUNKS,
    HASHES,
    IMAGE,
    LABELS,
    VERIFIED,
    VERIFIED_VOXELS,
    LabelsInfo,
    child_array,
    create_field_arrays,
    write_objects,
)
from annotations.objects import ObjectTable, Status
from annotations.volume import ImageSource
from labels.progress import Progress

HASH_BYTES = 16


def slice_hash(plane: NDArray[Any]) -> bytes:
    """Return a hash of a slice's values and shape, whatever their dtype.

    Parameters
    ----------
    plane : ndarray of integer or float, shape (Y, X)

    Returns
    -------
    bytes
        `HASH_BYTES` of them; zeros for a constant slice, which says nothing about its origin.
    """
    if plane.size == 0 or plane.min() == plane.max():
        return bytes(HASH_BYTES)
    # Adding zero turns -0.0 into 0.0, which is the same intensity.
    values = np.ascontiguousarray(plane, dtype="<f8") + 0.0
    shape = np.asarray(plane.shape, dtype="<i8").tobytes()
    return hashlib.blake2b(shape + values.tobytes(), digest_size=HASH_BYTES).digest()


@dataclass
class _Seen:
    """What the slabs so far have shown."""

    low: list[float]
    high: list[float]
    ids: NDArray[np.uint32]


def check_source(info: LabelsInfo, labels: Voxels | None) -> None:
    """Refuse, before anything is written, what the shapes alone show to be wrong.

    Raises
    ------
    AxesError
        A channel that is not there, or an image without voxels.
    VoxelValueError
        Voxels that are not numbers.
    LabelError
        Labels of another shape.
    """
    if not 0 <= info.channel < info.shape[0]:
        raise AxesError(
            f"field {info.name!r}: expected a channel from 0 to {info.shape[0] - 1}, got "
            f"{info.channel}; give one of these ({', '.join(info.channels)})"
        )
    if 0 in info.shape:
        raise AxesError(f"field {info.name!r}: expected voxels, got the empty shape {info.shape}")
    if info.dtype.kind not in "iuf":
        raise VoxelValueError(
            f"field {info.name!r}: expected integer or float intensities, got {info.dtype}; "
            "save the image as one of these"
        )
    if labels is not None and tuple(labels.shape) != info.zyx:
        raise LabelError(
            f"field {info.name!r}: expected labels of the image's shape {info.zyx} (Z, Y, X), got "
            f"{tuple(labels.shape)}; give the labels that belong to this image"
        )


def ingest(
    group: zarr.Group,
    info: LabelsInfo,
    source: ImageSource,
    labels: Voxels | None,
    annotator: str,
    location: Location,
    progress: Progress,
) -> None:
    """Fill a new field's group.

    Memory is bounded by one slab of `CHUNKS[0]` slices.

    Raises
    ------
    VoxelValueError
        NaN or infinite voxels, or a constant channel to segment.
    AxesError
        A reader that gives other shapes than it announced.
    LabelError
        Labels that are not whole numbers from 0 on.
    StoreError
        The storage failed.
    """
    with translated("write to", location):
        create_field_arrays(group, info)
    channels, depth = info.shape[:2]
    hashes = np.zeros((depth, HASH_BYTES), np.uint8)
    seen = _Seen([np.inf] * channels, [-np.inf] * channels, np.zeros(0, np.uint32))
    for z_start, z_stop in z_slabs(0, depth, CHUNKS[0]):
        progress(z_start, depth, f"adding {info.name}")
        block = source.read(z_start, z_stop)
        _check_block(block, info, z_start, z_stop, seen)
        for z in range(z_start, z_stop):
            digest = slice_hash(block[info.channel, z - z_start])
            hashes[z] = np.frombuffer(digest, np.uint8)
        with translated("write to", location):
            write_slab(child_array(group, IMAGE), block, (0, z_start, 0, 0))
        if labels is not None:
            _add_labels(group, info.name, labels, z_start, z_stop, seen, location)
    _check_contrast(info, seen)
    with translated("write to", location):
        child_array(group, HASHES)[...] = hashes
        _finish(group, info, seen, annotator, labels is not None)
    progress(depth, depth, f"adding {info.name}")


def _check_block(
    block: NDArray[Any], info: LabelsInfo, z_start: int, z_stop: int, seen: _Seen
) -> None:
    expected = (info.shape[0], z_stop - z_start, *info.shape[2:])
    if block.shape != expected:
        raise AxesError(
            f"{info.source}: expected slices {z_start} to {z_stop} of shape {expected}, got "
            f"{block.shape}; the file is not what its header says, save it again"
        )
    for channel, voxels in enumerate(block):
        low, high = float(voxels.min()), float(voxels.max())
        if not (np.isfinite(low) and np.isfinite(high)):
            bad = z_start + int(np.nonzero(~np.isfinite(voxels).all(axis=(1, 2)))[0][0])
            raise VoxelValueError(
                f"{info.source}: expected finite intensities, got NaN or infinite voxels (first in "
                f"channel {channel}, slice {bad}); replace them (for example with 0) and save it "
                "again"
            )
        seen.low[channel] = min(seen.low[channel], low)
        seen.high[channel] = max(seen.high[channel], high)


def _check_contrast(info: LabelsInfo, seen: _Seen) -> None:
    if seen.low[info.channel] == seen.high[info.channel]:
        raise VoxelValueError(
            f"{info.source}: expected an image, got the value {seen.low[info.channel]:g} in every "
            f"voxel of channel {info.channel}; check that the right file and channel were given"
        )


def _add_labels(
    group: zarr.Group,
    name: str,
    labels: Voxels,
    z_start: int,
    z_stop: int,
    seen: _Seen,
    location: Location,
) -> None:
    block = label_slab(labels, z_start, z_stop, name)
    seen.ids = np.union1d(seen.ids, fastremap.unique(block)).astype(np.uint32)
    with translated("write to", location):
        write_slab(child_array(group, LABELS), block, (z_start, 0, 0))
        write_slab(child_array(group, VERIFIED), np.ones_like(block, np.uint8), (z_start, 0, 0))


def _finish(
    group: zarr.Group, info: LabelsInfo, seen: _Seen, annotator: str, labelled: bool
) -> None:
    ids = seen.ids[seen.ids > 0]
    write_objects(
        group, ObjectTable.make(ids, status=Status.ACCEPTED, origin=f"person:{annotator}")
    )
    voxels = int(np.prod(info.zyx)) if labelled else 0
    child_array(group, VERIFIED).attrs[VERIFIED_VOXELS] = voxels
    ranges = list(zip(seen.low, seen.high, strict=True))
    ome = ngff.image_attributes(info.name, IMAGE, info.spacing_um, info.channels, ranges)
    group.attrs.update({**info.attributes(), "ome": ome})
