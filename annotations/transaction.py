"""An open round: what may be written in it, and what may not."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import zarr
from numpy.typing import ArrayLike, NDArray

from annotations._chunks import (
    Change,
    Guard,
    Reader,
    Region,
    Voxels,
    as_labels,
    chunks_meeting,
    explicit,
    label_slab,
    rewrite_chunks,
    rewrite_patches,
    slabs,
)
from annotations._guards import (
    VerifiedError,
    check_shape,
    check_verdicts,
    check_whole,
    known_ids,
    protector,
    unknown_ids,
)
from annotations._storage import Location, translated
from annotations._verified import either, put_flags
from annotations.edits._reading import read_region
from annotations.errors import StoreError
from annotations.fields import (
    LABELS,
    VERIFIED,
    LabelsView,
    child_array,
    is_name,
    read_objects,
    unknown_field,
    write_objects,
)
from annotations.objects import ObjectTable
from annotations.rounds import EditCounts, RoundInfo


class RoundTransaction:
    """Writes of one round; nobody sees them before the `with` block of the round is left.

    Parameters
    ----------
    fields : zarr group
        The store's fields, in a writable session.
    info : RoundInfo
    number : int
        The number that the round will have.
    location : Location
    """

    def __init__(
        self, fields: zarr.Group, info: RoundInfo, number: int, location: Location
    ) -> None:
        self._fields = fields
        self._info = info
        self._number = number
        self._location = location
        self._open = True
        self._broken = False
        self._counts: dict[str, EditCounts] = {}
        self._touched: set[str] = set()
        self._written_ids: dict[str, NDArray[np.uint32]] = {}

    @property
    def number(self) -> int:
        """The number of this round, for the `round` column of changed objects."""
        return self._number

    @property
    def info(self) -> RoundInfo:
        """What was said of the round when it began."""
        return self._info

    @property
    def counts(self) -> dict[str, EditCounts]:
        """What was counted so far, per field."""
        return dict(self._counts)

    @property
    def fields(self) -> tuple[str, ...]:
        """Names of the fields written to so far."""
        return tuple(sorted(self._touched))

    def labels(self, name: str) -> LabelsView:
        """Return a field as this round has it so far; UnknownFieldError when there is none."""
        return LabelsView(self._group(name))

    def count(self, name: str, counts: EditCounts) -> None:
        """Add to what the round's commit says was done to the objects of a field."""
        self._group(name)
        self._counts[name] = self._counts.get(name, EditCounts()) + counts

    def set_labels(self, name: str, labels: Voxels, objects: ObjectTable) -> int:
        """Replace all labels and objects of a field.

        Parameters
        ----------
        name : str
        labels : array or source of slabs, integers, shape (Z, Y, X)
            In memory, a Zarr array, or anything with `shape` and `read(z_start, z_stop)`.
        objects : ObjectTable
            A row for every id in `labels`.

        Returns
        -------
        int
            Voxels that changed.

        Raises
        ------
        LabelError
            Another shape, not labels, or an id without a row or with a rejected one.
        VerifiedError
            The round is a model's and a verified voxel, or a person's verdict, would change.
        """
        group = self._writable(name)
        array = child_array(group, LABELS)
        check_whole(name, "labels", labels, array)
        known = known_ids(objects.live_ids, name)
        protect = protector(group, name, self._info)

        def guard(change: Change) -> None:
            known(change.after)
            protect(change)

        def put(place: Region) -> int:
            slab = label_slab(labels, place[0].start, place[0].stop, name)
            return rewrite_patches(array, [(place, slab)], np.copyto, guard, self._location)

        self.set_objects(name, objects)
        with self._all_or_nothing():
            changed = sum(map(put, slabs(array)))
        self._written_ids.pop(name, None)
        return changed

    def write_labels(self, name: str, region: Region, values: NDArray[Any]) -> int:
        """Put labels into a part of a field.

        Parameters
        ----------
        name : str
        region : (slice, slice, slice)
            Of (z, y, x).
        values : ndarray of integer, shape of the region

        Returns
        -------
        int
            Voxels that changed.

        Raises
        ------
        LabelError
            A region outside the field, another shape, or not labels. An id without a row is
            found when the round ends.
        VerifiedError
            As `set_labels`.
        """
        group = self._writable(name)
        array = child_array(group, LABELS)
        place = explicit(region, array.shape, f"field {name!r}")
        block = as_labels(np.asarray(values), f"field {name!r}")
        check_shape(block, place, name)
        with self._noting_ids(group, name) as guard:
            return rewrite_patches(array, [(place, block)], np.copyto, guard, self._location)

    def copy_labels(
        self, name: str, labels: Voxels, regions: Iterable[Region], known: Reader | None = None
    ) -> int:
        """Take labels over from elsewhere in all chunks that regions meet, several at a time.

        Parameters
        ----------
        name : str
        labels : array or source of slabs, integers, shape (Z, Y, X)
        regions : iterable of (slice, slice, slice)
            Of (z, y, x); may overlap.
        known : callable, optional
            Returns the labels that the field has in a region, for who has read them already.

        Returns
        -------
        int
            Voxels that changed.

        Raises
        ------
        LabelError, VerifiedError
            As `write_labels`.
        """
        group = self._writable(name)
        array = child_array(group, LABELS)
        check_whole(name, "labels", labels, array)
        places = [explicit(region, array.shape, f"field {name!r}") for region in regions]
        chunks = chunks_meeting(array, places)

        def copied(place: Region, before: NDArray[Any]) -> NDArray[np.uint32]:
            return read_region(labels, place)

        with self._noting_ids(group, name) as guard:
            return rewrite_chunks(array, chunks, copied, guard, self._location, known)

    def set_objects(self, name: str, objects: ObjectTable) -> None:
        """Replace the objects of a field.

        Raises
        ------
        VerifiedError
            The round is a model's and the row of an object that a person accepted, corrected or
            rejected would change its status or origin, or go.
        """
        group = self._writable(name)
        if self._info.model is not None:
            check_verdicts(read_objects(group), objects, name)
        with self._all_or_nothing(), translated("write to", self._location):
            write_objects(group, objects)

    def write_verified(self, name: str, region: Region, values: ArrayLike = 1) -> int:
        """Say for a part of a field whether a person has verified it.

        Parameters
        ----------
        name : str
        region : (slice, slice, slice)
            Of (z, y, x).
        values : bool, or 0 and 1; one, or an array of the region's shape

        Returns
        -------
        int
            Voxels that changed.

        Raises
        ------
        LabelError
            A region outside the field, another shape, or values other than 0 and 1.
        VerifiedError
            The round is a model's.
        """
        array, block = self._verifiable(name), np.asarray(values)
        if block.ndim == 0:
            place = explicit(region, array.shape, f"field {name!r}")
            block = np.broadcast_to(block, tuple(s.stop - s.start for s in place))
        with self._all_or_nothing():
            return put_flags(array, [(region, block)], np.copyto, name, self._location)

    def verify(
        self, name: str, patches: Iterable[tuple[Region, NDArray[Any]]], known: Reader | None = None
    ) -> int:
        """Mark voxels as verified where masks say so; what is verified already stays so.

        Parameters
        ----------
        name : str
        patches : iterable of (region, mask)
            Mask: bool, or 0 and 1, of the region's shape. They may overlap.
        known : callable, optional
            As for `copy_labels`, of the verified voxels.

        Returns
        -------
        int
            Voxels that changed.

        Raises
        ------
        LabelError, VerifiedError
            As `write_verified`.
        """
        array = self._verifiable(name)
        with self._all_or_nothing():
            return put_flags(array, patches, either, name, self._location, known)

    def finish(self) -> None:
        """Check what only the whole round shows, and refuse further writes.

        Raises
        ------
        LabelError
            `write_labels` wrote an id that has no row, or a rejected one.
        StoreError
            A write of the round failed before, so that it would be a part of itself.
        """
        if self._broken:
            raise StoreError(
                f"{self._location.text}: a write of this round failed, so it cannot be committed; "
                "nothing was changed, begin the round again"
            )
        for name, ids in self._written_ids.items():
            missing = np.setdiff1d(ids[ids > 0], self.labels(name).objects.live_ids)
            if missing.size:
                raise unknown_ids(missing, name)
        self._open = False

    @contextmanager
    def _all_or_nothing(self) -> Iterator[None]:
        """Remember a write that failed: its first slabs may be in the round already."""
        try:
            yield
        except BaseException:
            self._broken = True
            raise

    @contextmanager
    def _noting_ids(self, group: zarr.Group, name: str) -> Iterator[Guard]:
        """Give the guard of a write of labels, and remember their ids for `finish` to look up."""
        protect = protector(group, name, self._info)
        ids = [self._written_ids.get(name, np.zeros(0, np.uint32))]

        def guard(change: Change) -> None:
            protect(change)
            ids.append(np.unique(change.after[change.differs]))

        with self._all_or_nothing():
            yield guard
        self._written_ids[name] = np.unique(np.concatenate(ids))

    def _group(self, name: str) -> zarr.Group:
        if not self._open:
            raise StoreError("the round is over; begin another to write more")
        found = self._fields.get(name) if is_name(name) else None
        if not isinstance(found, zarr.Group):
            raise unknown_field(name, self._fields.group_keys())
        return found

    def _writable(self, name: str) -> zarr.Group:
        group = self._group(name)
        self._touched.add(name)
        return group

    def _verifiable(self, name: str) -> zarr.Array[Any]:
        if self._info.model is not None:
            raise VerifiedError(
                f"field {name!r}: only a person can verify voxels, and this round is made by "
                f"model {self._info.model.name!r}; verify them in a round without a model"
            )
        return child_array(self._writable(name), VERIFIED)
