"""Make an Icechunk repository that is an annotation store, or find that it is none."""

from __future__ import annotations

import shutil
import uuid
from pathlib import Path

import icechunk
import zarr

from annotations._storage import Location
from annotations._twins import create_slices
from annotations.durability.commit import commit_durably, start_sums
from annotations.durability.head import Opening, find_opening
from annotations.durability.leftovers import draft_of
from annotations.durability.refs import BRANCH
from annotations.errors import StoreError
from annotations.layout import FIELDS
from annotations.rounds import create_metadata
from labels.files import replace_durably, sync_tree

FORMAT = 2
"""Version of the layout, in the root group's attributes."""

ROUNDS, FIELDS_MADE = "rounds", "fields_made"
"""How many rounds and fields there have been, in the root group's attributes."""


def create_repository(location: Location) -> None:
    """Make the repository and its first commit.

    Raises
    ------
    StoreError
        One is there already.
    """
    storage = location.storage()
    if icechunk.Repository.exists(storage):
        raise StoreError(
            f"{location.text}: expected nothing there, got a store; open it, or choose another"
        )
    repository = icechunk.Repository.create(storage)
    if location.folder is not None:
        start_sums(repository, location.folder)
    session = repository.writable_session(BRANCH)
    root = zarr.create_group(
        session.store, attributes={"hitl_format": FORMAT, ROUNDS: 0, FIELDS_MADE: 0}
    )
    root.create_group(FIELDS)
    create_slices(root)
    commit_durably(repository, location, session, "create store", create_metadata())


def create_folder(location: Location, folder: Path) -> None:
    """Make a local repository, whole or not at all.

    Raises
    ------
    StoreError
        The folder holds something, or is a file.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise StoreError(
            f"{location.text}: expected a new or empty folder, got one that holds something; "
            "choose another name"
        )
    # A process killed halfway must not leave a folder that is neither empty nor a store.
    draft = draft_of(folder, uuid.uuid4().hex[:8])
    try:
        create_repository(Location(str(draft), draft))
        sync_tree(draft)
        replace_durably(draft, folder)
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def check_format(root: zarr.Group, location: Location) -> None:
    """Refuse a repository that is not ours, or is of another version.

    Raises
    ------
    StoreError
    """
    version = root.attrs.get("hitl_format")
    if not isinstance(version, int):
        raise not_a_store(location)
    if version > FORMAT:
        raise StoreError(
            f"{location.text}: expected a store of format {FORMAT}, got {version}; "
            "update this toolkit"
        )
    if version < FORMAT:
        raise StoreError(
            f"{location.text}: expected a store of format {FORMAT}, got {version}, made by an "
            "earlier version of this toolkit; open it with that one, or make a new project"
        )


def opening_of(location: Location) -> Opening:
    """Return at which commit a store opens; object storage tears none.

    Raises
    ------
    StoreError
        Nothing is there, or no commit is whole.
    """
    if location.folder is None:
        return Opening()
    try:
        return find_opening(location.folder)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise not_a_store(location) from error


def not_a_store(location: Location) -> StoreError:
    """Return the error for a place that holds no annotation store."""
    return StoreError(
        f"{location.text}: expected an annotation store, got something else or nothing; give the "
        "folder of one, or create one"
    )


def rounds_in(root: zarr.Group) -> int:
    """Return how many rounds a store has."""
    return int(str(root.attrs[ROUNDS]))


def fields_made(root: zarr.Group) -> int:
    """Return how many fields a store has had, those that were removed included."""
    return int(str(root.attrs[FIELDS_MADE]))
