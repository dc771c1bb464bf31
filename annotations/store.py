"""The annotation store: fields, their labels, and every round that changed them.

It is an Icechunk repository: a commit is all or nothing, and history is kept by it, not by us.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Self

import icechunk
import numpy as np
import zarr

from annotations._chunks import Voxels
from annotations._copies import forget_copies, note_copies
from annotations._ingest import check_source, ingest
from annotations._reader import field_in
from annotations._repository import (
    FIELDS_MADE,
    ROUNDS,
    check_format,
    create_folder,
    create_repository,
    fields_made,
    not_a_store,
    opening_of,
    rounds_in,
)
from annotations._storage import exclusive, parse_location, translated
from annotations._twins import append_slices
from annotations._writer import StoreWriter
from annotations.errors import StoreWarning, UnknownFieldError
from annotations.fields import ClassInfo, FieldInfo, check_split, labels_of
from annotations.layout import FIELDS, child_group
from annotations.names import DEFAULT_CLASS, check_name
from annotations.rounds import RoundInfo, field_metadata, round_metadata
from annotations.splits import Split
from annotations.transaction import RoundTransaction
from annotations.views import LabelsView
from annotations.volume import ImageSource
from labels.hashing import source_sha256, values_sha256
from labels.progress import Progress, no_progress

LOCK_TIMEOUT_S: float | None = None
"""How long a write waits for another process: until it is its turn."""


class AnnotationStore(StoreWriter):
    """A versioned store of fields and their labels; make one with `create` or `open`."""

    @classmethod
    def create(
        cls, location: str | Path, *, lock_timeout_s: float | None = LOCK_TIMEOUT_S
    ) -> AnnotationStore:
        """Make an empty store.

        Parameters
        ----------
        location : str or Path
            A folder that is empty or not there, or ``s3://bucket/prefix``,
            ``gs://bucket/prefix``, ``az://container/prefix`` (credentials from the environment).
        lock_timeout_s : float, optional
            How long a write waits for another process, local folders only; until it is its turn
            when None.

        Raises
        ------
        StoreError
            Something is there already, or it cannot be written to.
        """
        place = parse_location(location)
        with translated("create", place):
            if place.folder is None:
                create_repository(place)
            else:
                place.folder.parent.mkdir(parents=True, exist_ok=True)
                with exclusive(place, lock_timeout_s):
                    create_folder(place, place.folder)
        return cls.open(location, lock_timeout_s=lock_timeout_s)

    @classmethod
    def open(
        cls,
        location: str | Path,
        *,
        read_only: bool = False,
        lock_timeout_s: float | None = LOCK_TIMEOUT_S,
    ) -> Self:
        """Open a store.

        Parameters
        ----------
        location : str or Path
            As for `create`.
        read_only : bool
            Refuse to write; a folder without write permission is enough.
        lock_timeout_s : float, optional
            How long a write waits for another process, local folders only; until it is its turn
            when None.

        Raises
        ------
        StoreError
            Nothing is there, it is not an annotation store, or it is one of another version.
        DamagedStoreError
            No commit is whole.

        Warns
        -----
        StoreWarning
            The newest commit is damaged; see `damage`. A torn one is passed over.
        """
        place = parse_location(location)
        with translated("open", place):
            opening = opening_of(place)
            storage = place.storage()
            if not icechunk.Repository.exists(storage):
                raise not_a_store(place)
            found = cls(
                icechunk.Repository.open(storage),
                place,
                read_only=read_only,
                lock_timeout_s=lock_timeout_s,
                opening=opening,
            )
            try:
                root = found._root(None)
            except zarr.errors.GroupNotFoundError as error:
                raise not_a_store(place) from error
        check_format(root, place)
        if opening.damage is not None:
            warnings.warn(f"{place.text}: {opening.damage}", StoreWarning, stacklevel=2)
        return found

    def add_field(
        self,
        name: str,
        source: ImageSource,
        *,
        classes: Sequence[ClassInfo] = (ClassInfo(name=DEFAULT_CLASS),),
        split: Split = "train",
        labels: Mapping[str, Voxels] | None = None,
        metadata: Mapping[str, str] | None = None,
        annotator: str = "unknown",
        progress: Progress = no_progress,
    ) -> FieldInfo:
        """Copy an image into the store, slab by slab, in one commit that is no round.

        Parameters
        ----------
        name : str
            Letters, digits, dots, dashes and underscores.
        source : ImageSource
        classes : sequence of ClassInfo
            What is labelled in it.
        split : {"train", "val", "test"}
        labels : mapping of str to (array, or object with `shape` and `read(start, stop)`), optional
            A person's labels by class, as planes (T·Z, Y, X): they are verified everywhere.
        metadata : mapping of str to str, optional
            Of the experiment.
        annotator : str
            The person.
        progress : callable, optional

        Returns
        -------
        FieldInfo

        Raises
        ------
        UnknownFieldError
            The name is taken or cannot be one.
        VoxelValueError
            NaN or infinite voxels, or the same value everywhere.
        AxesError
            A channel that is not there.
        LabelError
            Labels of another shape or not whole numbers from 0 on.
        StoreError
            The store is read-only, locked or cannot be written; it stays as it was.
        """
        check_name(name)
        check_split(split)
        for each in classes:
            check_name(each.name, "class")
        given = dict(labels or {})
        with self._writing() as session:
            with translated("read", self._location):
                root = zarr.open_group(session.store, mode="r+")
                fields = child_group(root, FIELDS)
                number = fields_made(root)
            if name in fields:
                raise UnknownFieldError(
                    f"field {name!r} is in the store already; choose another name with --field, "
                    "or remove that field first"
                )
            info = _describe(name, source, classes, split, metadata or {}, number)
            check_source(info, given)
            with translated("write to", self._location):
                inner = fields.create_group(name)
            seen = ingest(inner, info, source, given, annotator, self._location, progress)
            with translated("write to", self._location):
                append_slices(root, number, seen.slices)
                note_copies(root, number, name, seen.volumes, self._location, progress)
                root.attrs[FIELDS_MADE] = number + 1
            author = annotator if given else None
            keys = [each.key for each in labels_of(info)]
            self._commit(session, f"add field {name}", field_metadata("add", keys, author))
        return self.field(name).info

    def remove_field(self, name: str) -> None:
        """Take a field out, in one commit that is no round; earlier rounds keep it.

        Raises
        ------
        UnknownFieldError
        StoreError
            The store is read-only, locked or cannot be written; it stays as it was.
        """
        with self._writing() as session:
            with translated("read", self._location):
                root = zarr.open_group(session.store, mode="r+")
                fields = child_group(root, FIELDS)
            info = field_in(fields, name, self._location).info
            keys = [each.key for each in labels_of(info)]
            with translated("write to", self._location):
                del fields[name]
                forget_copies(root, info.number)
            self._commit(session, f"remove field {name}", field_metadata("remove", keys, None))

    @contextmanager
    def begin_round(self, info: RoundInfo) -> Iterator[RoundTransaction]:
        """Write one round: leaving the block commits and tags it, an exception drops it.

        On a local disk the store is locked for other writers until the block is left.

        Raises
        ------
        StoreLockedError
            Another process writes.
        ConflictError
            Somebody else committed meanwhile (object storage).
        LabelError
            A label without an object's row.
        StoreError
            The store is read-only or cannot be written; it stays as it was.
        """
        with self._writing() as session:
            with translated("write to", self._location):
                root = zarr.open_group(session.store, mode="r+")
                number = rounds_in(root)
                before = partial(self._known_at, snapshot=session.session.snapshot_id)
                fields = child_group(root, FIELDS)
                txn = RoundTransaction(fields, info, number, self._location, before)
            yield txn
            txn.finish()
            with translated("write to", self._location):
                root.attrs[ROUNDS] = number + 1
            metadata = round_metadata(info, number, txn.counts, txn.touched)
            snapshot = self._commit(session, info.message, metadata)
            self._tag(number, snapshot)

    def _known_at(self, key: str, snapshot: str) -> LabelsView:
        found = self.labels_at(key, snapshot)
        assert found is not None, "a round adds no fields"
        return found


def _describe(
    name: str,
    source: ImageSource,
    classes: Sequence[ClassInfo],
    split: Split,
    metadata: Mapping[str, str],
    number: int,
) -> FieldInfo:
    """Return what a field made from an open image will say of itself."""
    known = source.info
    digests = [source_sha256(path) for path in known.paths]
    several = values_sha256(*digests) if None not in digests else None
    return FieldInfo(
        name=name,
        shape=known.shape,
        dtype=np.dtype(known.dtype),
        spacing_um=known.spacing_um,
        time_step_s=known.time_step_s,
        channels=known.channels,
        split=split,
        source=", ".join(path.name for path in known.paths),
        source_sha256=digests[0] if len(digests) == 1 else several,
        metadata=metadata,
        classes=tuple(sorted(classes, key=lambda each: each.name)),
        number=number,
    )
