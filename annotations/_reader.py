"""What can be read from a store: stacks as of any round, and the history."""

from __future__ import annotations

from collections.abc import Iterator

import icechunk
import zarr

from annotations._refs import BRANCH
from annotations._repository import slice_positions
from annotations._storage import Location, translated
from annotations._vouched import Vouched
from annotations.rounds import LogEntry, unknown_round
from annotations.stacks import STACKS, StackInfo, StackView, child_group, read_info, unknown_stack


class StoreReader:
    """The reading half of a store; it never writes.

    Parameters
    ----------
    repository : icechunk.Repository
    location : Location
    pinned : str, optional
        The commit that is read as the newest; the branch's when not given.
    """

    def __init__(
        self, repository: icechunk.Repository, location: Location, pinned: str | None = None
    ) -> None:
        self._repository = repository
        self._location = location
        self._pinned = pinned
        self._vouched = Vouched(repository, location)

    @property
    def location(self) -> str:
        """The folder or URL."""
        return self._location.text

    def stacks(self, round: int | None = None) -> list[StackInfo]:
        """Return what is known of each stack, by name, as of a round or the last commit.

        Raises
        ------
        UnknownRoundError
        """
        with translated("read", self._location):
            stacks = child_group(self._root(round), STACKS)
            return [read_info(group) for _, group in sorted(stacks.groups())]

    def stack(self, name: str, round: int | None = None) -> StackView:
        """Return a stack as of a round or the last commit; later commits do not change it.

        Raises
        ------
        UnknownStackError, UnknownRoundError
        """
        with translated("read", self._location):
            stacks = child_group(self._root(round), STACKS)
            if name not in set(stacks.group_keys()):
                raise unknown_stack(name, stacks.group_keys())
            return StackView(child_group(stacks, name))

    def shared_slices(self, a: str, b: str) -> tuple[tuple[int, int], ...]:
        """Return the pairs of z at which two stacks hold the same values, whatever their dtype.

        Constant slices do not count.

        Raises
        ------
        UnknownStackError
        """
        where = slice_positions(self.stack(b).slice_hashes)
        return tuple(
            (z, other)
            for z, digest in enumerate(self.stack(a).slice_hashes)
            for other in where.get(digest.tobytes(), ())
        )

    def log(self) -> list[LogEntry]:
        """Return all commits, newest first."""
        return list(self._entries())

    def rounds(self) -> list[LogEntry]:
        """Return all rounds, oldest first; a tag that is missing loses none."""
        return [entry for entry in self._entries() if entry.round is not None][::-1]

    def last_round(self) -> int:
        """Return the number of the last round, -1 before any."""
        return next((e.round for e in self._entries() if e.round is not None), -1)

    def round_snapshot(self, number: int) -> str:
        """Return Icechunk's snapshot id of a round.

        Raises
        ------
        UnknownRoundError
        """
        known = 0
        for entry in self._entries():
            if entry.round is not None:
                known = max(known, entry.round + 1)
                if entry.round == number:
                    return entry.snapshot
        raise unknown_round(number, known)

    def stack_at(self, name: str, snapshot: str) -> StackView | None:
        """Return a stack as one commit has it, None where it does not hold it."""
        with translated("read", self._location):
            stacks = child_group(self._root_at(snapshot), STACKS)
            return StackView(child_group(stacks, name)) if name in stacks else None

    def changed_chunks(
        self, name: str, array: str, older: str, newer: str
    ) -> list[tuple[int, ...]] | None:
        """Return the chunks of a stack's array that commits after one and up to another wrote.

        Nothing is read but what Icechunk noted of each commit.

        Parameters
        ----------
        name : str
        array : str
            ``"labels"`` or ``"verified"``.
        older, newer : str
            Snapshots; the first must be an ancestor of the second.

        Returns
        -------
        list of (int, int, int), or None
            Chunk positions; None when the array itself came or went between them.
        """
        if older == newer:
            return []
        path = f"/{STACKS}/{name}/{array}"
        with translated("read", self._location):
            self._vouched.logs(older, newer)
            found = self._repository.diff(from_snapshot_id=older, to_snapshot_id=newer)
        if path in found.new_arrays or path in found.deleted_arrays:
            return None
        return [tuple(chunk) for chunk in found.updated_chunks.get(path, [])]

    def _entries(self) -> Iterator[LogEntry]:
        with translated("read", self._location):
            yield from self._vouched.history(self._tip())

    def _tip(self) -> str:
        """Return the commit that is read as the newest."""
        return self._pinned or self._repository.lookup_branch(BRANCH)

    def _root(self, round: int | None) -> zarr.Group:
        return self._root_at(self._tip() if round is None else self.round_snapshot(round))

    def _root_at(self, snapshot: str) -> zarr.Group:
        self._vouched.commit(snapshot)
        session = self._repository.readonly_session(snapshot_id=snapshot)
        return zarr.open_group(self._vouched.store(session, snapshot), mode="r")
