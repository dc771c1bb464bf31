"""What can be read from a store: fields and labels as of any round, and the history."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

import icechunk
import zarr

from annotations._copies import copies_in, undescribed
from annotations._repository import fields_made, rounds_in
from annotations._storage import Location, translated
from annotations.copies.copy import Copy
from annotations.durability.refs import BRANCH
from annotations.durability.vouched import Vouched
from annotations.errors import UnknownFieldError
from annotations.fields import FieldInfo, LabelsInfo, labels_of, read_field
from annotations.layout import FIELDS, LABELS, child_group
from annotations.names import is_name, several_classes, split_address, unknown_class, unknown_field
from annotations.rounds import LogEntry, tag_name, unknown_round
from annotations.views import FieldView, LabelsView
from labels.progress import Progress, no_progress


@dataclass(frozen=True)
class Written:
    """What commits after one and up to another wrote to arrays that both of them have.

    Parameters
    ----------
    updated : mapping of str to sequence of tuple
        Chunks that were written, by path.
    """

    updated: Mapping[str, Sequence[tuple[int, ...]]]

    def chunks(self, path: str) -> Sequence[tuple[int, ...]]:
        """Return the chunks of an array."""
        return self.updated.get(f"/{path}", [])

    def touches(self, info: LabelsInfo) -> bool:
        """Whether anything of labels was written."""
        start = f"/{FIELDS}/{info.field.name}/{LABELS}/{info.class_name}/"
        return any(path.startswith(start) for path in self.updated)


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
        self._diff = lru_cache(maxsize=64)(self._read_diff)
        self._pinned = pinned
        self._vouched = Vouched(repository, location)

    @property
    def location(self) -> str:
        """The folder or URL."""
        return self._location.text

    def fields(self, round: int | None = None) -> list[FieldInfo]:
        """Return what is known of each field, by name, as of a round or the last commit.

        Raises
        ------
        UnknownRoundError
        """
        with translated("read", self._location):
            fields = child_group(self._root(round), FIELDS)
            return [read_field(group) for _, group in sorted(fields.groups())]

    def all_labels(self, round: int | None = None) -> list[LabelsInfo]:
        """Return what is known of the labels of each class in each field.

        Raises
        ------
        UnknownRoundError
        """
        return [each for info in self.fields(round) for each in labels_of(info)]

    def field(self, name: str, round: int | None = None) -> FieldView:
        """Return a field as of a round or the last commit; later commits do not change it.

        Raises
        ------
        UnknownFieldError, UnknownRoundError
        """
        with translated("read", self._location):
            return field_in(child_group(self._root(round), FIELDS), name, self._location)

    def labels(self, address: str, round: int | None = None) -> LabelsView:
        """Return the labels of a class in a field as of a round or the last commit.

        Parameters
        ----------
        address : str
            ``FIELD:CLASS``, or ``FIELD`` where that has one class.
        round : int, optional

        Raises
        ------
        UnknownFieldError, UnknownRoundError
        """
        with translated("read", self._location):
            return labels_in(child_group(self._root(round), FIELDS), address, self._location)

    def views(self, round: int | None = None) -> list[LabelsView]:
        """Return the labels of each class in each field, by name.

        Raises
        ------
        UnknownRoundError
        """
        with translated("read", self._location):
            fields = child_group(self._root(round), FIELDS)
            return [
                LabelsView(group, info, self._location)
                for _, group in sorted(fields.groups())
                for info in labels_of(read_field(group))
            ]

    def copies(self, name: str | None = None, progress: Progress = no_progress) -> list[Copy]:
        """Return which fields hold voxels of others, found when they were added.

        Equal slices of any channel and time point, whatever their dtype; and volumes that are
        another's by their content, even if they were turned by 90°, mirrored, cropped, resampled a
        little, or changed in contrast. Fields that an earlier version of this toolkit added are
        looked at now, each time, until a field is added.

        Parameters
        ----------
        name : str, optional
            Only of this field.
        progress : callable, optional

        Returns
        -------
        list of Copy
        """
        with translated("read", self._location):
            root = self._root(None)
            number = None if name is None else self.field(name).info.number
            return copies_in(root, number, fields_made(root), self._location, progress)

    def looks_at_copies_again(self) -> bool:
        """Whether `copies` has to describe fields that an earlier version of this toolkit added."""
        with translated("read", self._location):
            root = self._root(None)
            return undescribed(root, fields_made(root))

    def log(self) -> list[LogEntry]:
        """Return all commits, newest first."""
        return list(self._entries())

    def entries(self) -> Iterator[LogEntry]:
        """Yield the commits, newest first, each read when it is asked for."""
        return self._entries()

    def holds_commit(self, snapshot: str) -> bool:
        """Whether a snapshot is one of this store's."""
        try:
            self._repository.lookup_snapshot(snapshot)
        except (icechunk.IcechunkError, ValueError):
            return False
        return True

    def rounds(self) -> list[LogEntry]:
        """Return all rounds, oldest first; a tag that is missing loses none."""
        return [entry for entry in self._entries() if entry.round is not None][::-1]

    def head(self) -> str:
        """Return Icechunk's snapshot id of the last commit."""
        with translated("read", self._location):
            return self._tip()

    def last_round(self) -> int:
        """Return the number of the last round, -1 before any."""
        with translated("read", self._location):
            return rounds_in(self._root(None)) - 1

    def round_snapshot(self, number: int) -> str:
        """Return Icechunk's snapshot id of a round.

        Raises
        ------
        UnknownRoundError
        """
        if not 0 <= number <= self.last_round():
            raise unknown_round(number, self.last_round() + 1)
        with translated("read", self._location):
            try:
                return str(self._repository.lookup_tag(tag_name(number)))
            except icechunk.IcechunkError:
                # A killed writer did not get to the tag: the history has the round all the same.
                return next(e.snapshot for e in self._entries() if e.round == number)

    def labels_at(self, key: str, snapshot: str) -> LabelsView | None:
        """Return labels as one commit has them, None where it does not hold them."""
        with translated("read", self._location):
            fields = child_group(self._root_at(snapshot), FIELDS)
            try:
                return labels_in(fields, key, self._location)
            except UnknownFieldError:
                return None

    def changes_between(self, older: str, newer: str) -> Written:
        """Return what commits after one and up to another wrote.

        Nothing is read but what Icechunk noted of each commit.

        Parameters
        ----------
        older, newer : str
            Snapshots; the first must be an ancestor of the second.
        """
        return self._diff(older, newer)

    def _read_diff(self, older: str, newer: str) -> Written:
        if older == newer:
            return Written({})
        with translated("read", self._location):
            self._vouched.logs(older, newer)
            found = self._repository.diff(from_snapshot_id=older, to_snapshot_id=newer)
        updated = {
            path: [tuple(chunk) for chunk in chunks]
            for path, chunks in found.updated_chunks.items()
        }
        for path in found.updated_arrays:
            updated.setdefault(path, [])
        return Written(updated)

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


def field_in(fields: zarr.Group, name: str, location: Location) -> FieldView:
    """Return a field of a commit's fields; UnknownFieldError when there is none."""
    found = fields.get(name) if is_name(name) else None
    if not isinstance(found, zarr.Group):
        raise unknown_field(name, fields.group_keys())
    return FieldView(found, read_field(found), location)


def labels_in(fields: zarr.Group, address: str, location: Location) -> LabelsView:
    """Return the labels that an address names; else UnknownFieldError."""
    name, class_name = split_address(address)
    found = field_in(fields, name, location)
    classes = [each.name for each in found.info.classes]
    if class_name is None:
        if len(classes) != 1:
            raise several_classes(name, classes)
        class_name = classes[0]
    if class_name not in classes:
        raise unknown_class(name, class_name, classes)
    return found.labels(class_name)
