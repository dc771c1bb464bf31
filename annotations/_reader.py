"""What can be read from a store: fields as of any round, and the history."""

from __future__ import annotations

from collections.abc import Iterator

import icechunk
import zarr

from annotations._repository import BRANCH, slice_positions
from annotations._storage import Location, translated
from annotations.fields import FIELDS, LabelsInfo, LabelsView, child_group, read_info, unknown_field
from annotations.rounds import LogEntry, read_entry, unknown_round


class StoreReader:
    """The reading half of a store; it never writes.

    Parameters
    ----------
    repository : icechunk.Repository
    location : Location
    """

    def __init__(self, repository: icechunk.Repository, location: Location) -> None:
        self._repository = repository
        self._location = location

    @property
    def location(self) -> str:
        """The folder or URL."""
        return self._location.text

    def all_labels(self, round: int | None = None) -> list[LabelsInfo]:
        """Return what is known of each field, by name, as of a round or the last commit.

        Raises
        ------
        UnknownRoundError
        """
        with translated("read", self._location):
            fields = child_group(self._root(round), FIELDS)
            return [read_info(group) for _, group in sorted(fields.groups())]

    def labels(self, name: str, round: int | None = None) -> LabelsView:
        """Return a field as of a round or the last commit; later commits do not change it.

        Raises
        ------
        UnknownFieldError, UnknownRoundError
        """
        with translated("read", self._location):
            fields = child_group(self._root(round), FIELDS)
            if name not in set(fields.group_keys()):
                raise unknown_field(name, fields.group_keys())
            return LabelsView(child_group(fields, name))

    def shared_slices(self, a: str, b: str) -> tuple[tuple[int, int], ...]:
        """Return the pairs of z at which two fields hold the same values, whatever their dtype.

        Constant slices do not count.

        Raises
        ------
        UnknownFieldError
        """
        where = slice_positions(self.labels(b).slice_hashes)
        return tuple(
            (z, other)
            for z, digest in enumerate(self.labels(a).slice_hashes)
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

    def labels_at(self, name: str, snapshot: str) -> LabelsView | None:
        """Return a field as one commit has it, None where it does not hold it."""
        with translated("read", self._location):
            session = self._repository.readonly_session(snapshot_id=snapshot)
            fields = child_group(zarr.open_group(session.store, mode="r"), FIELDS)
            return LabelsView(child_group(fields, name)) if name in fields else None

    def changed_chunks(
        self, name: str, array: str, older: str, newer: str
    ) -> list[tuple[int, ...]] | None:
        """Return the chunks of a field's array that commits after one and up to another wrote.

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
        path = f"/{FIELDS}/{name}/{array}"
        with translated("read", self._location):
            found = self._repository.diff(from_snapshot_id=older, to_snapshot_id=newer)
        if path in found.new_arrays or path in found.deleted_arrays:
            return None
        return [tuple(chunk) for chunk in found.updated_chunks.get(path, [])]

    def _entries(self) -> Iterator[LogEntry]:
        with translated("read", self._location):
            for commit in self._repository.ancestry(branch=BRANCH):
                entry = read_entry(commit.id, commit.written_at, commit.message, commit.metadata)
                if entry is not None:
                    yield entry

    def _root(self, round: int | None) -> zarr.Group:
        if round is None:
            session = self._repository.readonly_session(BRANCH)
        else:
            session = self._repository.readonly_session(snapshot_id=self.round_snapshot(round))
        return zarr.open_group(session.store, mode="r")
