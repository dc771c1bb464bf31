"""A damaged local store set back to what is whole of it; nothing is deleted."""

from __future__ import annotations

import time
from pathlib import Path

import icechunk

from annotations._repository import not_a_store
from annotations._storage import Location, exclusive, parse_location, translated
from annotations.durability.chunk_files import chunk_ids
from annotations.durability.head import newest_whole, what_tore
from annotations.durability.refs import REFS, branch_file, read_ref, tag_file, tags, write_ref
from annotations.durability.sums import Sums
from annotations.durability.vouched import entry_of
from annotations.errors import DamagedStoreError, StoreError
from annotations.rounds import tag_name
from labels.files import replace_durably, sync_folder

ASIDE = "set-aside"
"""Folder of the store that holds tags of commits that were torn."""


def repair(location: str | Path, *, lock_timeout_s: float | None = None) -> list[str]:
    """Set the branch to the newest commit that is whole, and make lost checksums and tags anew.

    Parameters
    ----------
    location : str or Path
        A local folder.
    lock_timeout_s : float, optional
        How long to wait for another process.

    Returns
    -------
    list of str
        What was done, one line each; empty when there was nothing to do.

    Raises
    ------
    StoreError
        It is no store, lies on object storage, is locked, or cannot be written.
    DamagedStoreError
        No commit is whole.
    """
    place = parse_location(location)
    if place.folder is None:
        raise StoreError(f"{place.text}: only stores in a local folder can be repaired")
    if not (place.folder / REFS).is_dir():
        raise not_a_store(place)
    with exclusive(place, lock_timeout_s), translated("repair", place):
        done = _set_branch(place.folder)
        repository = icechunk.Repository.open(place.storage())
        return [*done, *_make_sums(place, repository), *_make_tags(place, repository)]


def _set_branch(folder: Path) -> list[str]:
    sums, file = Sums(folder), branch_file(folder)
    try:
        tip: str | None = read_ref(file)
    except (DamagedStoreError, FileNotFoundError):
        tip = None
    torn = what_tore(sums, tip) if tip is not None else f"{file.relative_to(folder)} is damaged"
    if torn is None:
        return []
    found = newest_whole(sums, tip)
    if found is None:
        raise DamagedStoreError(
            f"{folder}: {torn}, and no commit is whole; restore the store from a copy"
        )
    file.parent.mkdir(parents=True, exist_ok=True)
    write_ref(file, found)
    return [f"the newest commit is now {found}, the newest that is whole ({torn})"]


def _make_sums(place: Location, repository: icechunk.Repository) -> list[str]:
    """Write the checksums that are lost, of commits that can be read all the same."""
    assert place.folder is not None
    sums = Sums(place.folder)
    done = []
    for commit in reversed(
        list(repository.ancestry(snapshot_id=read_ref(branch_file(place.folder))))
    ):
        try:
            sums.manifests(commit.id)
        except DamagedStoreError as error:
            # That they can be read is all that is left to ask of them.
            repository.inspect_snapshot(commit.id)
            chunk_ids(place.folder, {file.id for file in commit.manifests})
            sums.write(commit)
            done.append(f"{error}: made anew from the files as they are")
    return done


def _make_tags(place: Location, repository: icechunk.Repository) -> list[str]:
    assert place.folder is not None
    folder = place.folder
    done = []
    history = repository.ancestry(snapshot_id=read_ref(branch_file(folder)))
    rounds = {
        tag_name(entry.round): entry.snapshot
        for commit in history
        for entry in entry_of(commit)
        if entry.round is not None
    }
    tagged = tags(folder)
    for name, snapshot in tagged.items():
        if snapshot is not None and snapshot != rounds.get(name):
            aside = folder / ASIDE / f"{name}.{time.time_ns()}"
            aside.parent.mkdir(exist_ok=True)
            replace_durably(tag_file(folder, name).parent, aside)
            sync_folder(folder / REFS)
            done.append(f"tag {name} named another commit ({snapshot}); it lies in {ASIDE} now")
    for name, snapshot in rounds.items():
        if tagged.get(name) != snapshot:
            write_ref(tag_file(folder, name), snapshot)
            done.append(f"tag {name} was made anew")
    return done
