"""One stack in the store: its arrays, what is known of it, and how it is laid out."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeVar, cast, get_args

import numpy as np
import zarr
from numpy.typing import NDArray

from annotations.codecs import image_codec, label_codec, with_checksum
from annotations.errors import StoreError, UnknownStackError
from annotations.objects import COLUMNS, ObjectTable
from annotations.splits import Split
from labels.spacing import Spacing

CHUNKS = (16, 128, 128)
"""Chunk of (z, y, x), chosen by `scripts/measure_chunks.py`; see docs/store.md."""

STACKS = "stacks"
IMAGE, LABELS, VERIFIED = "image", "labels", "verified"
OBJECTS, HASHES = "objects", "slice_hashes"
VERIFIED_VOXELS = "verified_voxels"
HIGHEST_ID = "highest_id"

_Node = TypeVar("_Node", zarr.Array[Any], zarr.Group)
_OBJECT_CHUNK = 16384
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


@dataclass(frozen=True, kw_only=True)
class StackInfo:
    """What is known of a stack.

    Parameters
    ----------
    name : str
    shape : (int, int, int, int)
        (C, Z, Y, X).
    dtype : numpy dtype
        Of the image.
    spacing_um : (float, float, float)
        Voxel size (z, y, x) in µm.
    channels : tuple of str
    channel : int
        The one to segment.
    split : {"train", "val", "test"}
    group : str
        Stacks of one group are channels of the same field of view.
    source : str
        File name that it came from.
    source_sha256 : str, optional
        None when it came from memory, not from a file.
    """

    name: str
    shape: tuple[int, int, int, int]
    dtype: np.dtype[Any]
    spacing_um: Spacing
    channels: tuple[str, ...]
    channel: int
    split: Split
    group: str
    source: str
    source_sha256: str | None

    @property
    def zyx(self) -> tuple[int, int, int]:
        """Shape (Z, Y, X)."""
        return self.shape[1:]

    def attributes(self) -> dict[str, Any]:
        """Return what the stack's group carries; `read_info` is the inverse."""
        return {
            "axes": "CZYX",
            "spacing_um": list(self.spacing_um),
            "channels": list(self.channels),
            "channel": self.channel,
            "split": self.split,
            "group": self.group,
            "source": self.source,
            "source_sha256": self.source_sha256,
        }


class StackView:
    """A stack as one commit (or an open round) has it; nothing is read before it is asked for.

    Parameters
    ----------
    group : zarr group
        The stack's group.
    """

    def __init__(self, group: zarr.Group) -> None:
        self._group = group

    @property
    def group(self) -> zarr.Group:
        """The Zarr group, for a plain copy out of the store."""
        return self._group

    @cached_property
    def info(self) -> StackInfo:
        """Shape, spacing, channels, split and source."""
        return read_info(self._group)

    @cached_property
    def image(self) -> zarr.Array[Any]:
        """Zarr array of the source's dtype, shape (C, Z, Y, X)."""
        return child_array(self._group, IMAGE)

    @cached_property
    def labels(self) -> zarr.Array[Any]:
        """Zarr array of uint32, shape (Z, Y, X)."""
        return child_array(self._group, LABELS)

    @cached_property
    def verified(self) -> zarr.Array[Any]:
        """Zarr array of uint8, shape (Z, Y, X): 1 where a person has said what is right."""
        return child_array(self._group, VERIFIED)

    @property
    def objects(self) -> ObjectTable:
        """What is known of each object."""
        return read_objects(self._group)

    @property
    def slice_hashes(self) -> NDArray[np.uint8]:
        """Hashes of the slices of the segmented channel, shape (Z, 16); zeros: constant slice."""
        return cast("NDArray[np.uint8]", child_array(self._group, HASHES)[...])

    @property
    def verified_voxels(self) -> int:
        """Number of verified voxels, without reading them."""
        return int(cast("int", self.verified.attrs[VERIFIED_VOXELS]))

    def read_channel(self) -> NDArray[Any]:
        """Return the whole channel to segment, shape (Z, Y, X), in memory."""
        return cast("NDArray[Any]", self.image[self.info.channel])


def is_name(name: str) -> bool:
    """Whether a stack could have this name; all others could reach out of the store's group."""
    return _NAME.fullmatch(name) is not None and name != "zarr.json"


def check_name(name: str) -> None:
    """Refuse a stack name that could not be a folder's.

    Raises
    ------
    UnknownStackError
        Not letters, digits, dots, dashes and underscores, beginning with a letter or digit.
    """
    if not is_name(name):
        raise UnknownStackError(
            f"stack {name!r}: expected a name of 1 to 100 letters, digits, '.', '_' and '-' that "
            "starts with a letter or digit; choose one with --name"
        )


def check_split(split: str) -> None:
    """Refuse an unknown split with StoreError."""
    if split not in get_args(Split):
        raise StoreError(f"split: expected one of {', '.join(get_args(Split))}, got {split!r}")


def unknown_stack(name: str, known: Iterable[str]) -> UnknownStackError:
    """Return the error for a stack that is not there, with the nearest one that is."""
    names = sorted(known)
    near = difflib.get_close_matches(name, names, n=1)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    held = ", ".join(names) if names else "none yet: add one first"
    return UnknownStackError(f"stack {name!r}: expected one of the store's stacks ({held}){hint}")


def child_array(group: zarr.Group, name: str) -> zarr.Array[Any]:
    """Return an array that every stack has; its absence means damage (StoreError)."""
    return _child(group, name, zarr.Array, "an array")


def child_group(group: zarr.Group, name: str) -> zarr.Group:
    """Return a group that must be there; its absence means damage (StoreError)."""
    return _child(group, name, zarr.Group, "a group")


def _child(group: zarr.Group, name: str, kind: type[_Node], what: str) -> _Node:
    found = group.get(name)
    if not isinstance(found, kind):
        raise StoreError(
            f"{group.path or '/'}: expected {what} {name!r}, got none; the store is damaged, "
            "restore it from a copy"
        )
    return found


def read_info(group: zarr.Group) -> StackInfo:
    """Return what a stack's group says of it."""
    attrs: dict[str, Any] = dict(group.attrs)
    image = child_array(group, IMAGE)
    z, y, x = attrs["spacing_um"]
    return StackInfo(
        name=group.basename,
        shape=cast("tuple[int, int, int, int]", image.shape),
        dtype=image.dtype,
        spacing_um=(float(z), float(y), float(x)),
        channels=tuple(attrs["channels"]),
        channel=int(attrs["channel"]),
        split=attrs["split"],
        group=attrs["group"],
        source=attrs["source"],
        source_sha256=attrs["source_sha256"],
    )


def create_stack_arrays(group: zarr.Group, info: StackInfo) -> None:
    """Create the empty arrays of a new stack."""
    chunk = tuple(min(c, s) for c, s in zip(CHUNKS, info.zyx, strict=True))
    voxels: dict[str, np.dtype[Any]] = {LABELS: np.dtype(np.uint32), VERIFIED: np.dtype(np.uint8)}
    # Zarr keeps the byte order apart from the type.
    native = info.dtype.newbyteorder("=")
    group.create_array(
        IMAGE,
        shape=info.shape,
        chunks=(1, *chunk),
        dtype=native,
        compressors=with_checksum(image_codec(native)),
        fill_value=0,
        dimension_names=("c", "z", "y", "x"),
    )
    for name, dtype in voxels.items():
        group.create_array(
            name,
            shape=info.zyx,
            chunks=chunk,
            dtype=dtype,
            compressors=with_checksum(label_codec()),
            fill_value=0,
            dimension_names=("z", "y", "x"),
        )
    slices = (info.shape[1], 16)
    group.create_array(
        HASHES, shape=slices, chunks=slices, dtype="u1", compressors=with_checksum(label_codec())
    )
    objects = group.create_group(OBJECTS, attributes={"origins": []})
    for column, dtype in COLUMNS.items():
        objects.create_array(
            column,
            shape=(0,),
            chunks=(_OBJECT_CHUNK,),
            dtype=dtype,
            compressors=with_checksum(label_codec()),
            fill_value=0,
        )


def read_objects(group: zarr.Group) -> ObjectTable:
    """Return the objects of a stack's group."""
    objects = child_group(group, OBJECTS)
    columns: dict[str, Any] = {name: child_array(objects, name)[...] for name in COLUMNS}
    return ObjectTable(
        **columns,
        origins=tuple(cast("list[str]", objects.attrs["origins"])),
        highest_id=int(cast("int", objects.attrs.get(HIGHEST_ID, 0))),
    )


def write_objects(group: zarr.Group, table: ObjectTable) -> None:
    """Replace the objects of a stack's group, writing only the columns that differ."""
    objects = child_group(group, OBJECTS)
    if objects.attrs["origins"] != list(table.origins):
        objects.attrs["origins"] = list(table.origins)
    # Kept when rows go and when an earlier round comes back: an id is never given twice.
    highest = max(int(cast("int", objects.attrs.get(HIGHEST_ID, 0))), table.highest_id)
    if objects.attrs.get(HIGHEST_ID) != highest:
        objects.attrs[HIGHEST_ID] = highest
    for name in COLUMNS:
        array, values = child_array(objects, name), getattr(table, name)
        if np.asarray(array[...]).tobytes() == values.tobytes():
            continue
        if array.shape != values.shape:
            array.resize(values.shape)
        if values.size:
            array[...] = values
