"""Nothing is read of a commit before its files are compared with their checksums."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import datetime
from typing import Any, cast

import icechunk
from zarr.abc.store import ByteRequest, Store
from zarr.core.buffer import Buffer, BufferPrototype
from zarr.storage import WrapperStore

from annotations._storage import VERIFY, Location
from annotations.damage import Damage
from annotations.durability.sums import SNAPSHOTS, TRANSACTIONS, Head, Sums
from annotations.errors import DamagedStoreError
from annotations.rounds import LogEntry, read_entry


class Vouched:
    """Compares what is about to be read; object storage has checksums of its own.

    Parameters
    ----------
    repository : icechunk.Repository
    location : Location
    """

    def __init__(self, repository: icechunk.Repository, location: Location) -> None:
        self._repository = repository
        self._location = location
        self._sums = None if location.folder is None else Sums(location.folder)
        self._whole: set[str] = set()
        self._stores: dict[str, dict[str, Damage]] = {}

    def store(self, session: icechunk.Session, snapshot: str) -> Store:
        """Return a session's Zarr store, in which damaged arrays cannot be read.

        Raises
        ------
        DamagedStoreError
            The commit itself is damaged.
        """
        self.commit(snapshot)
        if snapshot not in self._stores:
            self._stores[snapshot] = self._damaged_arrays(snapshot)
        damaged = self._stores[snapshot]
        if not damaged:
            return session.store
        refused = {
            path: self._says(f"{path} cannot be read: {damage}") for path, damage in damaged.items()
        }
        return GuardedStore(session.store, refused)

    def commit(self, snapshot: str) -> None:
        """Compare a commit's snapshot file.

        Raises
        ------
        DamagedStoreError
        """
        if snapshot not in self._whole:
            self._compare(f"{SNAPSHOTS}/{snapshot}", snapshot)
            self._whole.add(snapshot)

    def logs(self, older: str, newer: str) -> None:
        """Compare the transaction logs of all commits after one and up to another.

        Raises
        ------
        DamagedStoreError
        """
        if self._sums is None:
            return
        at: str | None = newer
        while at is not None and at != older:
            self.commit(at)
            self._compare(f"{TRANSACTIONS}/{at}", at)
            at = self._parent(at)

    def history(self, tip: str) -> Iterator[LogEntry]:
        """Give all commits of this toolkit up to one, newest first."""
        if self._sums is None:
            for commit in self._repository.ancestry(snapshot_id=tip):
                yield from entry_of(commit)
            return
        at: str | None = tip
        while at is not None:
            try:
                head = self._sums.head(at)
            except DamagedStoreError:
                # Opening the store and `hitl verify` tell of that.
                commit = self._repository.lookup_snapshot(at)
                yield from entry_of(commit)
                at = commit.parent_id
            else:
                yield from head_entry(at, head)
                at = head.parent

    def _compare(self, file: str, snapshot: str) -> None:
        if self._sums is None:
            return
        try:
            expected = self._sums.head(snapshot).files.get(file)
        except DamagedStoreError:
            # Its sums are what is damaged; `hitl verify` and opening the store say so.
            return
        found = (
            Damage(file, "unknown") if expected is None else self._sums.damage_of(file, expected)
        )
        if found is not None:
            raise DamagedStoreError(self._says(found))

    def _parent(self, snapshot: str) -> str | None:
        assert self._sums is not None
        try:
            return self._sums.head(snapshot).parent
        except DamagedStoreError:
            return self._repository.lookup_snapshot(snapshot).parent_id

    def _damaged_arrays(self, snapshot: str) -> dict[str, Damage]:
        """Return what is wrong with the manifests of a commit, by the arrays that need them."""
        try:
            damaged = {} if self._sums is None else self._sums.damaged_manifests(snapshot)
        except DamagedStoreError:
            return {}
        return arrays_of(self._repository, snapshot, damaged) if damaged else {}

    def _says(self, damage: Damage | str) -> str:
        return f"{self._location.text}: {damage}; {VERIFY}"


def head_entry(snapshot: str, head: Head) -> list[LogEntry]:
    """Return what a commit says of itself, by its checksums; none when another tool made it."""
    when = datetime.fromisoformat(head.written_at)
    entry = read_entry(snapshot, when, head.message, head.metadata)
    return [] if entry is None else [entry]


def entry_of(commit: icechunk.SnapshotInfo) -> list[LogEntry]:
    """Return what a commit says of itself, by Icechunk; none when another tool made it."""
    entry = read_entry(commit.id, commit.written_at, commit.message, commit.metadata)
    return [] if entry is None else [entry]


class GuardedStore(WrapperStore[Store]):
    """A store in which the chunks of some arrays are refused, with an error that says why.

    Parameters
    ----------
    store : zarr store
    refused : mapping of str to str
        The error for each array, by its path.
    """

    def __init__(self, store: Store, refused: dict[str, str] | None = None) -> None:
        super().__init__(store)
        self._refused = refused or {}

    def _with_store(self, store: Store) -> GuardedStore:
        return GuardedStore(store, self._refused)

    async def get(
        self, key: str, prototype: BufferPrototype, byte_range: ByteRequest | None = None
    ) -> Buffer | None:
        """Return a value, unless it is a chunk of a damaged array.

        Raises
        ------
        DamagedStoreError
        """
        array, chunk, _ = key.rpartition("/c/")
        if chunk and array in self._refused:
            raise DamagedStoreError(self._refused[array])
        return await super().get(key, prototype, byte_range)


def arrays_of(
    repository: icechunk.Repository, snapshot: str, manifests: dict[str, Any]
) -> dict[str, Any]:
    """Return what is said of manifests by the arrays of a commit that refer to them."""
    return {
        node["path"].strip("/"): manifests[ref["id"]]
        for node in nodes_of(repository, snapshot)
        for ref in node.get("manifest_refs") or ()
        if ref["id"] in manifests
    }


def nodes_of(repository: icechunk.Repository, snapshot: str) -> list[dict[str, Any]]:
    """Return what a commit says of its arrays and groups."""
    found = json.loads(repository.inspect_snapshot(snapshot, pretty=False))
    return cast("list[dict[str, Any]]", found["nodes"])
