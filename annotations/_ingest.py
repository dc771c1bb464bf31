"""Bring an image (and its labels) into a store slab by slab, checking and hashing it on the way."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, get_args

import fastremap
import numpy as np
import zarr
from numpy.typing import NDArray

from annotations import ngff
from annotations._chunks import (
    Voxels,
    allow,
    label_slab,
    rewrite_patches,
    slabs,
    whole,
    write_slab,
    z_slabs,
)
from annotations._edit_rows import rows_of_new
from annotations._label_levels import renew_label_levels
from annotations._pyramid import Level, add_levels
from annotations._storage import Location, translated
from annotations._twins import HASH_BYTES, slice_hash, tells_apart
from annotations.copies.catalogue import Described
from annotations.errors import AxesError, LabelError, VoxelValueError
from annotations.fields import FieldInfo, LabelKind, LabelsInfo, labels_of
from annotations.layout import (
    CHUNKS,
    FULL,
    LABELS,
    VERIFIED,
    VERIFIED_VOXELS,
    child_array,
    create_image,
    create_labels,
)
from annotations.objects import ObjectTable, Status
from annotations.planes import PROJECTIONS, Planes
from annotations.views import write_objects
from annotations.volume import ImageSource
from labels.numbers import unfit_for_float32
from labels.progress import Progress


@dataclass(frozen=True)
class Ingested:
    """What is known of a new field's image, to find others that hold the same.

    Parameters
    ----------
    slices : tuple of bytes
        Hashes of its slices that tell images apart.
    volumes : tuple of Described
        Landmarks of each channel at each time point.
    """

    slices: tuple[bytes, ...]
    volumes: tuple[Described, ...]


@dataclass
class _Seen:
    """What the slabs so far have shown."""

    low: list[float]
    high: list[float]
    hashes: list[bytes] = field(default_factory=list)
    telling: list[bytes] = field(default_factory=list)
    volumes: list[Described] = field(default_factory=list)


def check_source(info: FieldInfo, labels: Mapping[str, Voxels]) -> None:
    """Refuse, before anything is written, what the shapes alone show to be wrong.

    Raises
    ------
    AxesError
        A channel that is not there, or an image without voxels.
    VoxelValueError
        Voxels that are not numbers.
    LabelError
        No class, one twice or of an unknown kind or projection, or labels of another shape, or of
        a class that the field does not get.
    """
    if 0 in info.shape:
        raise AxesError(f"field {info.name!r}: expected voxels, got the empty shape {info.shape}")
    if info.dtype.kind not in "iuf":
        raise VoxelValueError(
            f"field {info.name!r}: expected integer or float intensities, got {info.dtype}; "
            "save the image as one of these"
        )
    _check_classes(info)
    for each in labels_of(info):
        if not each.seen or not all(0 <= number < info.shape[1] for number in each.seen):
            raise AxesError(
                f"{each.key}: expected channels from 0 to {info.shape[1] - 1}, got "
                f"{list(each.seen)}; give some of these ({', '.join(info.channels)})"
            )
        given = labels.get(each.class_name)
        planes = (each.times * each.zyx[0], *each.zyx[1:])
        if given is not None and tuple(given.shape) != planes:
            raise LabelError(
                f"{each.address}: expected labels of the image's shape {planes} (planes, Y, X), "
                f"got {tuple(given.shape)}; give the labels that belong to this image"
            )
    unknown = set(labels) - {each.name for each in info.classes}
    if unknown:
        raise LabelError(
            f"field {info.name!r}: labels of {', '.join(sorted(unknown))}, which it does not have"
        )


def _check_classes(info: FieldInfo) -> None:
    names = [each.name for each in info.classes]
    if not names or len(set(names)) != len(names):
        raise LabelError(
            f"field {info.name!r}: expected one class or more, each once, got {names or 'none'}"
        )
    for each in info.classes:
        known = {"kind": get_args(LabelKind), "projection": (None, *PROJECTIONS)}
        for what, choices in known.items():
            given = getattr(each, what)
            if given not in choices:
                listed = ", ".join(str(choice or "none") for choice in choices)
                raise LabelError(
                    f"class {each.name!r}: expected a {what} of {listed}, got {given!r}"
                )


def ingest(
    group: zarr.Group,
    info: FieldInfo,
    source: ImageSource,
    labels: Mapping[str, Voxels],
    annotator: str,
    location: Location,
    progress: Progress,
) -> Ingested:
    """Fill a new field's group; return what tells its image from others.

    Memory is bounded by one slab of a chunk's depth.

    Raises
    ------
    VoxelValueError
        NaN or infinite voxels, or a constant channel that a model is to see.
    AxesError
        A reader that gives other shapes than it announced.
    LabelError
        Labels that are not whole numbers from 0 on.
    StoreError
        The storage failed.
    """
    with translated("write to", location):
        image = create_image(group, 0, info.shape, info.dtype)
        holder = group.create_group(LABELS)
    seen = _ingest_image(image, info, source, location, progress)
    _check_contrast(info, seen)
    levels = add_levels(group, image, info.spacing_um, location, progress)
    for each in labels_of(info):
        given = labels.get(each.class_name)
        _ingest_labels(holder, each, levels, given, annotator, location, progress)
    ranges = list(zip(seen.low, seen.high, strict=True))
    multiscale = _multiscale(info.name, "tczyx", levels, info.time_step_s)
    with translated("write to", location):
        names = [each.name for each in info.classes]
        holder.attrs.update({"ome": ngff.labels_attributes(names)})
        ome = ngff.image_attributes(multiscale, info.channels, ranges)
        digest = hashlib.blake2b(b"".join(seen.hashes), digest_size=HASH_BYTES).hexdigest()
        group.attrs.update({**info.attributes(), "digest": digest, "ome": ome})
    return Ingested(tuple(seen.telling), tuple(seen.volumes))


def _multiscale(
    name: str, axes: str, levels: Mapping[str, Level], time_step_s: float | None
) -> list[dict[str, Any]]:
    steps = {path: ngff.steps_of(level.spacing_um, time_step_s) for path, level in levels.items()}
    return ngff.multiscales(name, axes, steps, timed=time_step_s is not None)


def _ingest_image(
    image: zarr.Array[Any],
    info: FieldInfo,
    source: ImageSource,
    location: Location,
    progress: Progress,
) -> _Seen:
    from annotations.copies.search import describer_of

    times, channels, depth, _, _ = info.shape
    seen = _Seen([np.inf] * channels, [-np.inf] * channels)
    done, total, step = 0, times * depth, max(image.chunks[2], min(CHUNKS[0], depth))
    for time in range(times):
        describer = describer_of(info)
        for z_start, z_stop in z_slabs(0, depth, step):
            progress(done, total, f"adding {info.name}")
            block = source.read(time, z_start, z_stop)
            _check_block(block, info, (time, z_start, z_stop), seen)
            _take_hashes(block, seen)
            describer.take(block, z_start)
            with translated("write to", location):
                write_slab(image, block[None], (time, 0, z_start, 0, 0))
            done += z_stop - z_start
        marks = enumerate(describer.landmarks())
        seen.volumes += [Described(time, channel, each) for channel, each in marks]
    progress(total, total, f"adding {info.name}")
    return seen


def _take_hashes(block: NDArray[Any], seen: _Seen) -> None:
    for plane in block.reshape(-1, *block.shape[2:]):
        digest = slice_hash(plane)
        seen.hashes.append(digest)
        if tells_apart(plane):
            seen.telling.append(digest)


def _check_block(
    block: NDArray[Any], info: FieldInfo, at: tuple[int, int, int], seen: _Seen
) -> None:
    time, z_start, z_stop = at
    expected = (info.shape[1], z_stop - z_start, *info.shape[3:])
    if block.shape != expected:
        raise AxesError(
            f"{info.source}: expected slices of shape {expected} (C, Z, Y, X), got {block.shape}; "
            "the file is not what its header says, save it again"
        )
    for channel, voxels in enumerate(block):
        low, high = float(voxels.min()), float(voxels.max())
        if not (np.isfinite(low) and np.isfinite(high)):
            bad = z_start + int(np.nonzero(~np.isfinite(voxels).all(axis=(1, 2)))[0][0])
            raise VoxelValueError(
                f"{info.source}: expected finite intensities, got NaN or infinite voxels (first in "
                f"channel {channel}, slice {bad}, time point {time}); replace them (for example "
                "with 0) and save it again"
            )
        seen.low[channel] = min(seen.low[channel], low)
        seen.high[channel] = max(seen.high[channel], high)


def _check_contrast(info: FieldInfo, seen: _Seen) -> None:
    for channel in sorted({number for each in info.classes for number in each.seen}):
        low, high = seen.low[channel], seen.high[channel]
        if (unfit := unfit_for_float32(low, high)) is not None:
            raise VoxelValueError(
                f"{info.source}: expected intensities, got {unfit}, in channel {channel}; scale "
                "the image (for example to 0 to 65535) and save it again"
            )
        if low == high:
            raise VoxelValueError(
                f"{info.source}: expected an image, got the value {low:g} in every "
                f"voxel of channel {channel}; check that the right file and channel were given"
            )


def _ingest_labels(
    holder: zarr.Group,
    info: LabelsInfo,
    levels: Mapping[str, Level],
    labels: Voxels | None,
    annotator: str,
    location: Location,
    progress: Progress,
) -> None:
    """Create the labels of a class; those that a person gives are verified everywhere."""
    mine = levels
    if info.label_class.projection:
        mine = {path: level.flat(info.spacing_um[0]) for path, level in levels.items()}
    multiscale = _multiscale(info.class_name, "tzyx", mine, info.field.time_step_s)
    attributes = {"ome": ngff.label_attributes(multiscale), VERIFIED_VOXELS: 0}
    with translated("write to", location):
        group = holder.create_group(info.class_name, attributes=attributes)
        create_labels(group, info.times, [level.zyx for level in mine.values()])
    sizes = _write_labels(group, info, labels, location, progress) if labels is not None else {}
    with translated("write to", location):
        rows = ObjectTable.make(list(sizes), status=Status.ACCEPTED, origin=f"person:{annotator}")
        write_objects(group, rows)
        rows_of_new(group, sizes)
        if labels is not None:
            group.attrs[VERIFIED_VOXELS] = info.voxels


def _write_labels(
    group: zarr.Group, info: LabelsInfo, labels: Voxels, location: Location, progress: Progress
) -> dict[int, int]:
    """Write a person's labels and verify all of them; return the voxels of each id."""
    planes = Planes(child_array(group, FULL), location)
    verified = Planes(child_array(group, VERIFIED), location)
    sizes: dict[int, int] = {}
    for place in slabs(planes):
        progress(place[0].start, planes.shape[0], f"adding labels of {info.address}")
        block = label_slab(labels, place[0].start, place[0].stop, info.address)
        for one, count in zip(*fastremap.unique(block, return_counts=True), strict=True):
            sizes[int(one)] = sizes.get(int(one), 0) + int(count)
        rewrite_patches(planes, [(place, block)], np.copyto, allow, location)
        ones = np.ones(block.shape, np.uint8)
        rewrite_patches(verified, [(place, ones)], np.copyto, allow, location)
    renew_label_levels(group, [whole(planes.shape)], location)
    sizes.pop(0, None)
    return dict(sorted(sizes.items()))
