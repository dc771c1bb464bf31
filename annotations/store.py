"""The annotation store: stacks, their labels, and every round that changed them.

It is an Icechunk repository: a commit is all or nothing, and history is kept by it, not by us.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

import icechunk
import zarr

from annotations._chunks import Voxels
from annotations._ingest import check_source, ingest
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
from annotations._storage import exclusive, parse_location, translated
from annotations._writer import StoreWriter
from annotations.errors import StoreWarning, UnknownStackError
from annotations.rounds import (
    RoundInfo,
    round_metadata,
    stack_metadata,
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
from annotations.transaction import RoundTransaction
from annotations.volume import ImageSource
from labels.progress import Progress, no_progress

LOCK_TIMEOUT_S: float | None = None
"""How long a write waits for another process: until it is its turn."""


class AnnotationStore(StoreWriter):
    """A versioned store of stacks and their labels; make one with `create` or `open`."""

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

    def _stacks_of(self, store: Any) -> zarr.Group:
        with translated("read", self._location):
            return child_group(zarr.open_group(store, mode="r+"), STACKS)
