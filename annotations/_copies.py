"""Which fields of a store hold the same: equal slices, and copies found by content."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import zarr

from annotations._storage import Location
from annotations._twins import shared_slices, told_in_full
from annotations.copies.catalogue import COPIES, Catalogue, Described
from annotations.copies.copy import Copy, copies_among
from annotations.fields import read_field
from annotations.layout import FIELDS, child_group
from annotations.views import FieldView
from labels.progress import Progress


class _Fields(Mapping[int, FieldView]):
    """Fields by their numbers, each read when it is asked for."""

    def __init__(self, root: zarr.Group, catalogue: Catalogue, location: Location) -> None:
        self._groups, self._location = child_group(root, FIELDS), location
        self._names = catalogue.names

    def __getitem__(self, number: int) -> FieldView:
        if not (0 <= number < len(self._names) and self._names[number]):
            raise KeyError(number)
        group = child_group(self._groups, self._names[number])
        return FieldView(group, read_field(group), self._location)

    def __contains__(self, number: object) -> bool:
        return isinstance(number, int) and number in iter(self)

    def __iter__(self) -> Iterator[int]:
        return (number for number, name in enumerate(self._names) if name)

    def __len__(self) -> int:
        return sum(map(bool, self._names))


def note_copies(
    root: zarr.Group,
    number: int,
    name: str,
    volumes: Sequence[Described],
    location: Location,
    progress: Progress,
) -> None:
    """Keep the landmarks of a new field, and of which others it is a copy."""
    catalogue = Catalogue.opened(root)
    _complete(root, catalogue, number, location, progress)
    catalogue.add(number, name, volumes)
    _search(root, catalogue, number, location)


def forget_copies(root: zarr.Group, number: int) -> None:
    """Take a field out of what is looked through."""
    if COPIES in root:
        Catalogue.opened(root).forget(number)


def copies_in(
    root: zarr.Group, number: int | None, made: int, location: Location, progress: Progress
) -> list[Copy]:
    """Return what fields have in common, of one or of all; nothing is written.

    Parameters
    ----------
    root : zarr group
    number : int, optional
        Only of this field.
    made : int
        How many fields there have been.
    location : Location
    progress : callable
    """
    if not made:
        return []
    catalogue = Catalogue.stored(root)
    if catalogue is None or len(catalogue.names) < made:
        catalogue = Catalogue.in_memory(root)
        _complete(root, catalogue, made, location, progress)
    slices = shared_slices(root, number)
    pairs = [(each, {each.mine[0], each.theirs[0]}) for each in catalogue.found()]
    found = [each for each, pair in pairs if number is None or number in pair]
    fields = _Fields(root, catalogue, location)
    named = {n for pair in slices for n in pair}.union(
        *({each.mine[0], each.theirs[0]} for each in found)
    )
    return copies_among({n: fields[n].info for n in named if n in fields}, slices, found)


def undescribed(root: zarr.Group, made: int) -> bool:
    """Return whether an earlier version of this toolkit added fields, which kept no landmarks."""
    catalogue = Catalogue.stored(root) if made else None
    return made > 0 and (catalogue is None or len(catalogue.names) < made)


def _complete(
    root: zarr.Group, catalogue: Catalogue, made: int, location: Location, progress: Progress
) -> None:
    """Describe the fields that an earlier version added, and look for copies among them."""
    from annotations.copies.search import describe

    first = len(catalogue.names)
    if first >= made:
        return
    groups = (group for _, group in child_group(root, FIELDS).groups())
    views = {
        view.info.number: view
        for view in (FieldView(group, read_field(group), location) for group in groups)
        if first <= view.info.number < made
    }
    for done, (number, view) in enumerate(sorted(views.items())):
        progress(done, len(views), "looking for copies among fields of an earlier version")
        catalogue.add(number, view.info.name, describe(view))
        _search(root, catalogue, number, location)
    # Those that were removed again count as looked at.
    catalogue.skip_to(made)


def _search(root: zarr.Group, catalogue: Catalogue, number: int, location: Location) -> None:
    from annotations.copies.search import find

    fields = _Fields(root, catalogue, location)
    catalogue.record(find(catalogue, fields, number, told_in_full(root, number)))
