"""How a store is written: one commit at a time, whole or not at all, and tagged when a round."""

from __future__ import annotations

import errno
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import icechunk
import zarr
from zarr.abc.store import Store

from annotations._reader import StoreReader
from annotations._repository import opening_of, rounds_in
from annotations._storage import VERIFY, Location, exclusive, translated
from annotations.damage import Finding
from annotations.durability.audit import Audit
from annotations.durability.commit import commit_durably
from annotations.durability.head import Opening
from annotations.durability.leftovers import remove_leftovers
from annotations.durability.refs import BRANCH, tag_file, tag_names, write_ref
from annotations.errors import DamagedStoreError, StoreError, StoreWarning
from annotations.rounds import tag_name
from annotations.status import Garbage


@dataclass(frozen=True)
class WriteSession:
    """An open commit: Icechunk's session, and the Zarr store through which it is written."""

    session: icechunk.Session
    store: Store


class StoreWriter(StoreReader):
    """The writing half of a store, which knows nothing of what is in a commit.

    Parameters
    ----------
    repository : icechunk.Repository
    location : Location
    read_only : bool
        Refuse to write.
    lock_timeout_s : float, optional
        How long a write waits for another process; until it is its turn when None.
    opening : Opening
        At which commit the store was opened.
    """

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

    @property
    def damage(self) -> str | None:
        """What is damaged of the newest commit, None when it is whole; see `annotations.verify`."""
        return self._opening.damage

    def missing(self) -> list[Finding]:
        """Look whether all that the newest commit needs is there; see `annotations.verify`.

        Object storage is not looked at.
        """
        folder = self._location.folder
        if folder is None:
            return []
        audit = Audit(folder, self._repository)
        with translated("read", self._location):
            audit.check_newest()
        return audit.findings

    def check(self) -> None:
        """Refuse a store in which something is missing that the newest commit needs.

        Raises
        ------
        DamagedStoreError
        """
        _refuse(self._location, self.missing())

    def check_writable(self) -> None:
        """Refuse at once, before long work, what a commit would be refused for after it.

        Raises
        ------
        StoreError
            The store was opened read-only, or its folder cannot be written to.
        DamagedStoreError
            Its newest commit is torn.
        """
        if self._read_only:
            raise StoreError(f"{self.location}: it was opened read-only; open it for writing")
        with translated("write to", self._location):
            self._check_writable()
            folder = self._location.folder
            if folder is not None and not os.access(folder, os.W_OK):
                raise PermissionError(errno.EACCES, "no permission")

    @property
    def read_only(self) -> bool:
        """Whether writing is refused."""
        return self._read_only

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
            self._check_history()
            return self._collect(datetime.now(UTC) - age, dry_run=dry_run)

    def _check_history(self) -> None:
        """Refuse to collect where a damaged commit or tag could make live files look dead."""
        if self._location.folder is not None:
            audit = Audit(self._location.folder, self._repository)
            audit.check_commits()
            audit.check_tags()
            _refuse(self._location, audit.findings)
        self.check()

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
                # Each commit copies the metadata of all arrays: without indents it is half of it.
                with zarr.config.set({"json_indent": None}):
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
        folder = self._location.folder
        tagged = self._repository.list_tags() if folder is None else tag_names(folder)
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


def _refuse(location: Location, findings: list[Finding]) -> None:
    if findings:
        more = f" (and {len(findings) - 1} more)" if len(findings) > 1 else ""
        raise DamagedStoreError(f"{location.text}: {findings[0]}{more}; {VERIFY}")
