"""An open round: what may be written in it, and what may not."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
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
)
from annotations._label_levels import renew_label_levels
from annotations._reader import labels_in
from annotations._storage import Location, translated
from annotations._verified import either, put_flags
from annotations._written import WrittenLabels
from annotations.changes import counts_of
from annotations.edits._reading import read_region
from annotations.errors import StoreError
from annotations.objects import ObjectTable
from annotations.planes import Planes
from annotations.rounds import EditCounts, RoundInfo
from annotations.views import LabelsView, read_objects, write_objects


class RoundTransaction:
    """Writes of one round; nobody sees them before the `with` block of the round is left.

    Labels are named by their address. Regions are of the planes of all time points, or of one
    time point where `time` is given.

    Parameters
    ----------
    fields : zarr group
        The store's fields, in a writable session.
    info : RoundInfo
    number : int
        The number that the round will have.
    location : Location
    before : callable
        Returns the labels of a key ``FIELD:CLASS`` as they were when the round began.
    """

    def __init__(
        self,
        fields: zarr.Group,
        info: RoundInfo,
        number: int,
        location: Location,
        before: Callable[[str], LabelsView],
    ) -> None:
        self._fields = fields
        self._info = info
        self._number = number
        self._location = location
        self._before = before
        self._open = True
        self._broken = False
        self._views: dict[str, LabelsView] = {}
        self._counts: dict[str, EditCounts] = {}
        self._written: dict[str, WrittenLabels] = {}

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
        """What the round did to objects, by ``FIELD:CLASS``; known when its block is left."""
        return dict(self._counts)

    @property
    def touched(self) -> tuple[str, ...]:
        """Labels written to so far, each as ``FIELD:CLASS``."""
        return tuple(sorted(self._written))

    def labels(self, name: str) -> LabelsView:
        """Return labels as this round has them so far; UnknownFieldError when there are none."""
        if not self._open:
            raise StoreError("the round is over; begin another to write more")
        if name not in self._views:
            self._views[name] = labels_in(self._fields, name, self._location)
        return self._views[name]

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
        view = self.labels(name)
        planes = view.labels
        check_whole(name, "labels", labels, planes)
        known = known_ids(objects.live_ids, name)
        self.set_objects(name, objects)
        with self._guarded(view, None) as guard:

            def checked(change: Change) -> None:
                known(change.after)
                guard(change)

            def put(place: Region) -> int:
                slab = label_slab(labels, place[0].start, place[0].stop, name)
                return rewrite_patches(planes, [(place, slab)], np.copyto, checked, self._location)

            return sum(map(put, slabs(planes)))

    def write_labels(
        self, name: str, region: Region, values: NDArray[Any], *, time: int | None = None
    ) -> int:
        """Put labels into a part of a field.

        Parameters
        ----------
        name : str
        region : (slice, slice, slice)
            Of (z, y, x).
        values : ndarray of integer, shape of the region
        time : int, optional

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
        view = self.labels(name)
        planes = _at(view, time).labels
        place = explicit(region, planes.shape, f"field {name!r}")
        block = as_labels(np.asarray(values), f"field {name!r}")
        check_shape(block, place, name)
        with self._guarded(view, time) as guard:
            return rewrite_patches(planes, [(place, block)], np.copyto, guard, self._location)

    def copy_labels(
        self,
        name: str,
        labels: Voxels,
        regions: Iterable[Region],
        known: Reader | None = None,
        *,
        time: int | None = None,
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
        time : int, optional

        Returns
        -------
        int
            Voxels that changed.

        Raises
        ------
        LabelError, VerifiedError
            As `write_labels`.
        """
        view = self.labels(name)
        planes = _at(view, time).labels
        check_whole(name, "labels", labels, planes)
        places = [explicit(region, planes.shape, f"field {name!r}") for region in regions]
        chunks = chunks_meeting(planes, places)

        def copied(place: Region, before: NDArray[Any]) -> NDArray[np.uint32]:
            return read_region(labels, place)

        with self._guarded(view, time) as guard:
            return rewrite_chunks(planes, chunks, copied, guard, self._location, known)

    def set_objects(self, name: str, objects: ObjectTable) -> None:
        """Replace the objects of a field.

        Raises
        ------
        VerifiedError
            The round is a model's and the row of an object that a person accepted, corrected or
            rejected would change its status or origin, or go.
        """
        group = self.labels(name).group
        self._writing(name)
        if self._info.model is not None:
            check_verdicts(read_objects(group), objects, name)
        with self._all_or_nothing(), translated("write to", self._location):
            write_objects(group, objects)

    def write_verified(
        self, name: str, region: Region, values: ArrayLike = 1, *, time: int | None = None
    ) -> int:
        """Say for a part of a field whether a person has verified it.

        Parameters
        ----------
        name : str
        region : (slice, slice, slice)
            Of (z, y, x).
        values : bool, or 0 and 1; one, or an array of the region's shape
        time : int, optional

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
        planes, block = self._verifiable(name, time), np.asarray(values)
        if block.ndim == 0:
            place = explicit(region, planes.shape, f"field {name!r}")
            block = np.broadcast_to(block, tuple(s.stop - s.start for s in place))
        return self._put_flags(name, planes, [(region, block)], np.copyto)

    def verify(
        self,
        name: str,
        patches: Iterable[tuple[Region, NDArray[Any]]],
        known: Reader | None = None,
        *,
        time: int | None = None,
    ) -> int:
        """Mark voxels as verified where masks say so; what is verified already stays so.

        Parameters
        ----------
        name : str
        patches : iterable of (region, mask)
            Mask: bool, or 0 and 1, of the region's shape. They may overlap.
        known : callable, optional
            As for `copy_labels`, of the verified voxels.
        time : int, optional

        Returns
        -------
        int
            Voxels that changed.

        Raises
        ------
        LabelError, VerifiedError
            As `write_verified`.
        """
        return self._put_flags(name, self._verifiable(name, time), patches, either, known)

    def finish(self) -> None:
        """Check what only the whole round shows, and refuse further writes.

        Raises
        ------
        LabelError
            A voxel was given an id that has no row, or a rejected one.
        StoreError
            A write of the round failed before, so that it would be a part of itself.
        """
        if self._broken:
            raise StoreError(
                f"{self._location.text}: a write of this round failed, so it cannot be committed; "
                "nothing was changed, begin the round again"
            )
        for key, written in self._written.items():
            view = self.labels(key)
            with translated("write to", self._location):
                counts = counts_of(written.record(view, view.objects, self._number))
                renew_label_levels(view.group, written.places, self._location)
            if counts != EditCounts():
                self._counts[key] = counts
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
    def _guarded(self, view: LabelsView, time: int | None) -> Iterator[Guard]:
        """Give the guard of a write of labels: it protects what people verified and takes notes."""
        name = view.info.address
        protect = protector(_at(view, time).verified, name, self._info)
        written = self._writing(name)
        offset = 0 if time is None else time * view.info.zyx[0]

        def guard(change: Change) -> None:
            protect(change)
            written.note(change, offset)

        with self._all_or_nothing():
            yield guard

    def _put_flags(
        self,
        name: str,
        planes: Planes,
        patches: Iterable[tuple[Region, NDArray[Any]]],
        put: Callable[[NDArray[Any], NDArray[Any]], object],
        known: Reader | None = None,
    ) -> int:
        self._writing(name)
        group = self.labels(name).group
        with self._all_or_nothing():
            return put_flags(group, planes, patches, put, name, self._location, known)

    def _writing(self, name: str) -> WrittenLabels:
        """Return the notes of what the round wrote to labels."""
        key = self.labels(name).info.key
        if key not in self._written:
            self._written[key] = WrittenLabels(self._before(key))
        return self._written[key]

    def _verifiable(self, name: str, time: int | None) -> Planes:
        if self._info.model is not None:
            raise VerifiedError(
                f"field {name!r}: only a person can verify voxels, and this round is made by "
                f"model {self._info.model.name!r}; verify them in a round without a model"
            )
        return _at(self.labels(name), time).verified


def _at(view: LabelsView, time: int | None) -> LabelsView:
    return view if time is None else view.at(time)
