"""The annotation store: fields, their labels, and every round that changed them.

It is an Icechunk repository: a commit is all or nothing, and history is kept by it, not by us.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any, Self

import icechunk
import numpy as np
import zarr

from annotations._chunks import Voxels
from annotations._ingest import check_source, ingest
from annotations._reader import StoreReader, field_in
from annotations._repository import (
    BRANCH,
    FIELDS_MADE,
    ROUNDS,
    check_format,
    create_folder,
    create_repository,
    not_a_store,
    rounds_in,
)
from annotations._storage import Location, exclusive, parse_location, translated
from annotations._twins import append_slices
from annotations.errors import StoreError, UnknownFieldError
from annotations.fields import ClassInfo, FieldInfo, LabelsView, check_split, labels_of
from annotations.layout import FIELDS, child_group
from annotations.names import DEFAULT_CLASS, check_name
from annotations.rounds import (
    RoundInfo,
    field_metadata,
    round_metadata,
    tag_name,
)
from annotations.splits import Split
from annotations.status import Garbage
from annotations.transaction import RoundTransaction
from annotations.volume import ImageSource
from labels.hashing import source_sha256, values_sha256
from labels.progress import Progress, no_progress

LOCK_TIMEOUT_S = 10.0
"""How long a write waits for another process."""


class AnnotationStore(StoreReader):
    """A versioned store of fields and their labels; make one with `create` or `open`."""

    def __init__(
        self,
        repository: icechunk.Repository,
        location: Location,
        *,
        read_only: bool,
        lock_timeout_s: float,
    ) -> None:
        super().__init__(repository, location)
        self._read_only = read_only
        self._lock_timeout_s = lock_timeout_s

    @classmethod
    def create(
        cls, location: str | Path, *, lock_timeout_s: float = LOCK_TIMEOUT_S
    ) -> AnnotationStore:
        """Make an empty store.

        Parameters
        ----------
        location : str or Path
            A folder that is empty or not there, or ``s3://bucket/prefix``,
            ``gs://bucket/prefix``, ``az://container/prefix`` (credentials from the environment).
        lock_timeout_s : float
            How long a write waits for another process, local folders only.

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
        lock_timeout_s: float = LOCK_TIMEOUT_S,
    ) -> Self:
        """Open a store.

        Parameters
        ----------
        location : str or Path
            As for `create`.
        read_only : bool
            Refuse to write; a folder without write permission is enough.
        lock_timeout_s : float
            How long a write waits for another process, local folders only.

        Raises
        ------
        StoreError
            Nothing is there, it is not an annotation store, or it is one of a later version.
        """
        place = parse_location(location)
        # Icechunk would make the missing folder.
        if place.folder is not None and not (place.folder / "refs").is_dir():
            raise not_a_store(place)
        with translated("open", place):
            storage = place.storage()
            if not icechunk.Repository.exists(storage):
                raise not_a_store(place)
            repository = icechunk.Repository.open(storage)
            found = cls(repository, place, read_only=read_only, lock_timeout_s=lock_timeout_s)
            try:
                root = found._root(None)
            except zarr.errors.GroupNotFoundError as error:
                raise not_a_store(place) from error
        check_format(root, place)
        return found

    @property
    def read_only(self) -> bool:
        """Whether writing is refused."""
        return self._read_only

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
                number = int(str(root.attrs[FIELDS_MADE]))
            if name in fields:
                raise UnknownFieldError(
                    f"field {name!r} is in the store already; choose another name with --field, "
                    "or remove that field first"
                )
            info = _describe(name, source, classes, split, metadata or {}, number)
            check_source(info, given)
            with translated("write to", self._location):
                inner = fields.create_group(name)
            hashes = ingest(inner, info, source, given, annotator, self._location, progress)
            with translated("write to", self._location):
                append_slices(root, number, hashes)
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
                fields = child_group(zarr.open_group(session.store, mode="r+"), FIELDS)
            keys = [each.key for each in labels_of(field_in(fields, name, self._location).info)]
            with translated("write to", self._location):
                del fields[name]
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
                before = partial(self._known_at, snapshot=session.snapshot_id)
                fields = child_group(root, FIELDS)
                txn = RoundTransaction(fields, info, number, self._location, before)
            yield txn
            txn.finish()
            with translated("write to", self._location):
                root.attrs[ROUNDS] = number + 1
            metadata = round_metadata(info, number, txn.counts, txn.touched)
            snapshot = self._commit(session, info.message, metadata)
            self._tag(number, snapshot)

    def collect_garbage(
        self, older_than: timedelta | None = None, *, dry_run: bool = False
    ) -> Garbage:
        """Remove what writers that were killed left behind; every commit keeps all of its own.

        History is never shortened, so nothing that a round, a tag or the branch refers to goes.

        Parameters
        ----------
        older_than : timedelta, optional
            Leave younger files alone. By default all go from a local folder, where the lock
            shows that nobody is writing, and those older than a day from object storage.
        dry_run : bool
            Only count.

        Raises
        ------
        StoreError
            The store is read-only, locked or cannot be written, or less than an hour was given
            on object storage, where a writer's chunks may be that young.
        """
        if self._read_only:
            raise StoreError(f"{self.location}: it was opened read-only; open it for writing")
        remote = self._location.folder is None
        age = older_than if older_than is not None else timedelta(days=1 if remote else 0)
        if age < (timedelta(hours=1) if remote else timedelta(0)):
            raise StoreError(
                f"{self.location}: expected an age of {'an hour' if remote else '0'} or more, got "
                f"{age}; younger files may belong to a round that is being written"
            )
        lock = exclusive(self._location, self._lock_timeout_s)
        with lock, translated("collect garbage in", self._location):
            found = self._repository.garbage_collect(datetime.now(UTC) - age, dry_run=dry_run)
        return Garbage(
            bytes=found.bytes_deleted,
            chunks=found.chunks_deleted,
            manifests=found.manifests_deleted,
            snapshots=found.snapshots_deleted,
            removed=not dry_run,
        )

    def _known_at(self, key: str, snapshot: str) -> LabelsView:
        found = self.labels_at(key, snapshot)
        assert found is not None, "a round adds no fields"
        return found

    @contextmanager
    def _writing(self) -> Iterator[icechunk.Session]:
        if self._read_only:
            raise StoreError(f"{self.location}: it was opened read-only; open it for writing")
        with exclusive(self._location, self._lock_timeout_s):
            with translated("write to", self._location):
                self._repair_tags()
                session = self._repository.writable_session(BRANCH)
            try:
                yield session
            except BaseException as error:
                if session.has_uncommitted_changes:
                    self._sweep(error)
                raise

    def _commit(self, session: icechunk.Session, message: str, metadata: dict[str, Any]) -> str:
        with translated("write to", self._location):
            return session.commit(message, metadata)

    def _repair_tags(self) -> None:
        """Make the tags that a killed writer did not get to."""
        tagged = self._repository.list_tags()
        missing = {n for n in range(rounds_in(self._root(None))) if tag_name(n) not in tagged}
        if not missing:
            return
        for entry in self._entries():
            if entry.round is not None and entry.round in missing:
                self._tag(entry.round, entry.snapshot)

    def _tag(self, number: int, snapshot: str) -> None:
        try:
            self._repository.create_tag(tag_name(number), snapshot)
        except icechunk.IcechunkError as error:
            # On object storage the next writer may have made it meanwhile.
            if tag_name(number) in self._repository.list_tags():
                return
            # An exception would say that the round is lost, and it is not.
            warnings.warn(
                f"{self.location}: round {number} is saved, but its tag is not "
                f"({str(error).strip().splitlines()[0]}); the next write makes the tag",
                RuntimeWarning,
                stacklevel=4,
            )

    def _sweep(self, error: BaseException) -> None:
        """Give back the space of chunks that a failed write left; on URLs `gc` does that.

        While the lock is held nobody else has chunks that no commit refers to yet.
        """
        if self._location.folder is None:
            return
        try:
            self._repository.garbage_collect(datetime.now(UTC))
        except icechunk.IcechunkError as trouble:
            error.add_note(f"its unfinished chunks are still on disk: {trouble}")


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
