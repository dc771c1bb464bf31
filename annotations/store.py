"""The annotation store: stacks, their labels, and every round that changed them.

It is an Icechunk repository: a commit is all or nothing, and history is kept by it, not by us.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Self

import icechunk
import zarr
from zarr.abc.store import Store

from annotations._chunks import Voxels
from annotations._durable import commit_durably
from annotations._head import Opening
from annotations._ingest import check_source, ingest
from annotations._leftovers import remove_leftovers
from annotations._reader import StoreReader
from annotations._refs import BRANCH, tag_file, write_ref
from annotations._repository import (
    ROUNDS,
    check_format,
    create_folder,
    create_repository,
    describe,
    not_a_store,
    opening_of,
    rounds_in,
)
from annotations._storage import Location, exclusive, parse_location, translated
from annotations.errors import DamagedStoreError, StoreError, StoreWarning, UnknownStackError
from annotations.rounds import (
    RoundInfo,
    round_metadata,
    stack_metadata,
    tag_name,
)
from annotations.splits import Split
from annotations.stacks import (
    STACKS,
    StackInfo,
    check_name,
    check_split,
    child_group,
    unknown_stack,
)
from annotations.status import Garbage
from annotations.transaction import RoundTransaction
from annotations.volume import ImageSource
from labels.progress import Progress, no_progress

LOCK_TIMEOUT_S: float | None = None
"""How long a write waits for another process: until it is its turn."""


@dataclass(frozen=True)
class WriteSession:
    """An open commit: Icechunk's session, and the Zarr store through which it is written."""

    session: icechunk.Session
    store: Store


class AnnotationStore(StoreReader):
    """A versioned store of stacks and their labels; make one with `create` or `open`."""

    def __init__(
        self,
        repository: icechunk.Repository,
        location: Location,
        *,
        read_only: bool,
        lock_timeout_s: float | None,
        opening: Opening,
    ) -> None:
        super().__init__(repository, location, opening.snapshot)
        self._opening = opening
        self._read_only = read_only
        self._lock_timeout_s = lock_timeout_s

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
            Nothing is there, it is not an annotation store, or it is one of a later version.
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

    @property
    def damage(self) -> str | None:
        """What is damaged of the newest commit, None when it is whole; see `annotations.verify`."""
        return self._opening.damage

    @property
    def read_only(self) -> bool:
        """Whether writing is refused."""
        return self._read_only

    def add_stack(
        self,
        name: str,
        source: ImageSource,
        *,
        channel: int = 0,
        split: Split = "train",
        group: str | None = None,
        labels: Voxels | None = None,
        annotator: str = "unknown",
        progress: Progress = no_progress,
    ) -> StackInfo:
        """Copy an image into the store, slab by slab, in one commit that is no round.

        Parameters
        ----------
        name : str
            Letters, digits, dots, dashes and underscores.
        source : ImageSource
        channel : int
            The channel to segment.
        split : {"train", "val", "test"}
        group : str, optional
            Stacks of one group are channels of the same field of view; by default its own name.
        labels : array, or object with `shape` and `read(z_start, z_stop)`, optional
            A person's labels: they are verified everywhere.
        annotator : str
            The person.
        progress : callable, optional

        Returns
        -------
        StackInfo

        Raises
        ------
        UnknownStackError
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
        with self._writing() as session:
            stacks = self._stacks_of(session.store)
            if name in stacks:
                raise UnknownStackError(
                    f"stack {name!r} is in the store already; choose another name with --name, "
                    "or remove that stack first"
                )
            info = describe(name, source, channel=channel, split=split, group=group or name)
            check_source(info, labels)
            with translated("write to", self._location):
                inner = stacks.create_group(name)
            ingest(inner, info, source, labels, annotator, self._location, progress)
            author = annotator if labels is not None else None
            self._commit(session, f"add stack {name}", stack_metadata("add", name, author))
        return self.stack(name).info

    def remove_stack(self, name: str) -> None:
        """Take a stack out, in one commit that is no round; earlier rounds keep it.

        Raises
        ------
        UnknownStackError
        StoreError
            The store is read-only, locked or cannot be written; it stays as it was.
        """
        with self._writing() as session:
            stacks = self._stacks_of(session.store)
            if name not in set(stacks.group_keys()):
                raise unknown_stack(name, stacks.group_keys())
            with translated("write to", self._location):
                del stacks[name]
            self._commit(session, f"remove stack {name}", stack_metadata("remove", name, None))

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
                txn = RoundTransaction(child_group(root, STACKS), info, number, self._location)
            yield txn
            txn.finish()
            with translated("write to", self._location):
                root.attrs[ROUNDS] = number + 1
            metadata = round_metadata(info, number, txn.counts, txn.stacks)
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
            self._check_writable()
            return self._collect(datetime.now(UTC) - age, dry_run=dry_run)

    def _collect(self, older_than: datetime, *, dry_run: bool) -> Garbage:
        found = self._repository.garbage_collect(older_than, dry_run=dry_run)
        folder = self._location.folder
        left = 0
        if folder is not None:
            left = remove_leftovers(folder, older_than, dry_run=dry_run)
        return Garbage(
            bytes=found.bytes_deleted + left,
            chunks=found.chunks_deleted,
            manifests=found.manifests_deleted,
            snapshots=found.snapshots_deleted,
            removed=not dry_run,
        )

    def _stacks_of(self, store: Any) -> zarr.Group:
        with translated("read", self._location):
            return child_group(zarr.open_group(store, mode="r+"), STACKS)

    @contextmanager
    def _writing(self) -> Iterator[WriteSession]:
        if self._read_only:
            raise StoreError(f"{self.location}: it was opened read-only; open it for writing")
        with exclusive(self._location, self._lock_timeout_s):
            with translated("write to", self._location):
                self._check_writable()
                self._repair_tags()
                session = self._repository.writable_session(BRANCH)
                store = self._vouched.store(session, session.snapshot_id)
            try:
                yield WriteSession(session, store)
            except BaseException as error:
                # Flushed, it is read-only; that the branch did not move is why we are here.
                if session.read_only or session.has_uncommitted_changes:
                    self._sweep(error)
                raise

    def _check_writable(self) -> None:
        """Refuse to build on a commit that is damaged, or that this store does not show."""
        opening = opening_of(self._location)
        if not opening.writable:
            raise DamagedStoreError(f"{self.location}: {opening.damage}")
        self._pinned, self._opening = None, opening

    def _commit(self, writing: WriteSession, message: str, metadata: dict[str, Any]) -> str:
        with translated("write to", self._location):
            return commit_durably(
                self._repository, self._location, writing.session, message, metadata
            )

    def _repair_tags(self) -> None:
        """Make the tags that a killed writer did not get to."""
        rounds = rounds_in(self._root(None))
        tagged = self._repository.list_tags()
        missing = {n for n in range(rounds) if tag_name(n) not in tagged}
        if not missing:
            return
        for entry in self._entries():
            if entry.round is not None and entry.round in missing:
                self._tag(entry.round, entry.snapshot)

    def _tag(self, number: int, snapshot: str) -> None:
        folder = self._location.folder
        try:
            if folder is None:
                self._repository.create_tag(tag_name(number), snapshot)
            else:
                write_ref(tag_file(folder, tag_name(number)), snapshot)
        except (icechunk.IcechunkError, OSError) as error:
            # On object storage the next writer may have made it meanwhile.
            if folder is None and tag_name(number) in self._repository.list_tags():
                return
            # An exception would say that the round is lost, and it is not.
            warnings.warn(
                f"{self.location}: round {number} is saved, but its tag is not "
                f"({str(error).strip().splitlines()[0]}); the next write makes the tag",
                StoreWarning,
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
            remove_leftovers(self._location.folder, dry_run=False)
        except (icechunk.IcechunkError, OSError) as trouble:
            error.add_note(f"its unfinished chunks are still on disk: {trouble}")
