"""Labels and images as one commit has them: read when they are asked for."""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import cached_property
from typing import Any, cast

import numpy as np
import zarr
from numpy.typing import NDArray

from annotations._storage import Location
from annotations.errors import StoreError
from annotations.fields import FieldInfo, LabelsInfo, labels_of
from annotations.layout import (
    COUNTS,
    FULL,
    LABELS,
    OBJECTS,
    VERIFIED,
    VERIFIED_VOXELS,
    child_array,
    child_group,
)
from annotations.objects import COLUMNS, ObjectTable
from annotations.planes import ImageOfTime, Planes
from labels.memory import too_large


class LabelsView:
    """Labels of a class in a field as one commit (or an open round) has them; read when asked for.

    Parameters
    ----------
    group : zarr group
        The field's.
    info : LabelsInfo
    location : Location
    time : int, optional
        Only this time point; all of them when not given.
    """

    def __init__(
        self, group: zarr.Group, info: LabelsInfo, location: Location, time: int | None = None
    ) -> None:
        self._group, self.info, self._location = group, info, location
        self.time = 0 if time is None and info.times == 1 else time

    @property
    def name(self) -> str:
        """What people read: the address, and the time point where there are several."""
        series = self.info.times > 1 and self.time is not None
        return f"{self.info.address} t{self.time}" if series else self.info.address

    @property
    def file_name(self) -> str:
        """The name as part of a file's name: no file system objects to it."""
        return self.name.replace(":", "~").replace(" ", "_")

    @cached_property
    def group(self) -> zarr.Group:
        """The Zarr group of the labels."""
        return child_group(self._group, f"{LABELS}/{self.info.class_name}")

    def at(self, time: int) -> LabelsView:
        """Return the view of one time point.

        Raises
        ------
        StoreError
            There is no such time point.
        """
        if not 0 <= time < self.info.times:
            raise StoreError(
                f"{self.info.address}: expected a time point from 0 to {self.info.times - 1}, "
                f"got {time}"
            )
        return LabelsView(self._group, self.info, self._location, time)

    @property
    def whole(self) -> LabelsView:
        """The view of all time points."""
        return self if self.info.times == 1 else LabelsView(self._group, self.info, self._location)

    def time_points(self) -> Iterator[LabelsView]:
        """Yield the view of each time point that this one covers."""
        times = range(self.info.times) if self.time is None else [self.time]
        return (self.at(time) for time in times)

    @property
    def image(self) -> ImageOfTime:
        """All channels at one time point, shape (C, Z, Y, X), of the source's dtype.

        Raises
        ------
        StoreError
            The view covers several time points.
        """
        return self._image(None)

    @property
    def seen_image(self) -> ImageOfTime:
        """As `image`, only the channels that a model sees, in their order."""
        return self._image(self.info.seen)

    def _image(self, channels: tuple[int, ...] | None) -> ImageOfTime:
        if self.time is None:
            raise StoreError(
                f"{self.info.address}: expected one time point, got all {self.info.times}; "
                "choose one"
            )
        array = child_array(self._group, FULL)
        projection = self.info.label_class.projection
        return ImageOfTime(array, self._location, self.time, projection, channels)

    def read_image(self) -> NDArray[Any]:
        """Return what a model sees of one time point, in memory, shape (C, Z, Y, X).

        Raises
        ------
        StoreError
            The view covers several time points, or the machine cannot hold it with labels.
        """
        image = self.seen_image
        labels = 4 * math.prod(image.shape[1:])
        if told := too_large(math.prod(image.shape) * image.dtype.itemsize + labels):
            raise StoreError(
                f"{self.name}: to hold its {math.prod(image.shape):,} voxels and their labels "
                f"{told}; take a trained StarDist, which goes box by box, or a larger machine"
            )
        return image[...]

    @cached_property
    def labels(self) -> Planes:
        """Ids, uint32, shape (Z, Y, X) of one time point, else planes (T·Z, Y, X)."""
        return Planes(child_array(self.group, FULL), self._location, self.time)

    @cached_property
    def verified(self) -> Planes:
        """As `labels`, uint8: 1 where a person has said what is right."""
        return Planes(child_array(self.group, VERIFIED), self._location, self.time)

    @property
    def objects(self) -> ObjectTable:
        """What is known of each object, of all time points."""
        return read_objects(self.group)

    @property
    def counts(self) -> dict[str, int]:
        """Number of objects by status, without reading them."""
        return dict(cast("dict[str, int]", self.group.attrs[COUNTS]))

    @property
    def verified_voxels(self) -> int:
        """Number of verified voxels of all time points, without reading them."""
        return int(cast("int", self.group.attrs[VERIFIED_VOXELS]))


class FieldView:
    """A field as one commit has it.

    Parameters
    ----------
    group : zarr group
    info : FieldInfo
    location : Location
    """

    def __init__(self, group: zarr.Group, info: FieldInfo, location: Location) -> None:
        self.group, self.info, self._location = group, info, location

    @property
    def image(self) -> zarr.Array[Any]:
        """Zarr array of the source's dtype, shape (T, C, Z, Y, X)."""
        return child_array(self.group, FULL)

    def labels(self, class_name: str) -> LabelsView:
        """Return the labels of a class that the field has."""
        found = next(each for each in labels_of(self.info) if each.class_name == class_name)
        return LabelsView(self.group, found, self._location)


def read_objects(group: zarr.Group) -> ObjectTable:
    """Return the objects of a class's group."""
    array = child_array(group, OBJECTS)
    rows = np.asarray(array[...])
    return ObjectTable(
        **{name: rows[:, i].astype(dtype) for i, (name, dtype) in enumerate(COLUMNS.items())},
        origins=tuple(cast("list[str]", array.attrs["origins"])),
        highest_id=int(cast("int", array.attrs["highest_id"])),
    )


def write_objects(group: zarr.Group, table: ObjectTable) -> None:
    """Replace the objects of a class's group, and their counts; equal ones are not written."""
    array = child_array(group, OBJECTS)
    # Kept when rows go and when an earlier round comes back: an id is never given twice.
    highest = max(int(cast("int", array.attrs["highest_id"])), table.highest_id)
    about: dict[str, Any] = {"origins": list(table.origins), "highest_id": highest}
    if any(array.attrs[key] != value for key, value in about.items()):
        array.attrs.update(about)
    rows = np.column_stack([getattr(table, name).astype(np.float64) for name in COLUMNS])
    if not np.array_equal(np.asarray(array[...]), rows, equal_nan=True):
        if array.shape != rows.shape:
            array.resize(rows.shape)
        if rows.size:
            array[...] = rows
    counts = table.counts()
    if group.attrs.get(COUNTS) != counts:
        group.attrs[COUNTS] = counts
