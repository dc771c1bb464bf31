"""Commits to a local store: all of it is on the disk before the branch moves."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import icechunk

from annotations._storage import Location, conflict
from annotations.durability.chunk_files import chunk_ids
from annotations.durability.manifests import file_name
from annotations.durability.refs import BRANCH, branch_file, read_ref, write_ref
from annotations.durability.sums import CHUNKS, MANIFESTS, SNAPSHOTS, TRANSACTIONS, Sums
from labels.files import sync_files, sync_folder


def commit_durably(
    repository: icechunk.Repository,
    location: Location,
    session: icechunk.Session,
    message: str,
    metadata: dict[str, Any],
) -> str:
    """Commit; return the new commit's id once a power cut cannot take it back.

    On object storage that is Icechunk's own commit. In a local folder, whose lock the caller
    holds, the files are written and waited for, then their sums, then the branch moves.

    Raises
    ------
    ConflictError
        Somebody else committed meanwhile.
    icechunk.IcechunkError, OSError
        It was not written; the branch is where it was.
    """
    folder = location.folder
    if folder is None:
        return session.commit(message, metadata)
    base = session.snapshot_id
    snapshot = session.flush(message, metadata)
    if read_ref(branch_file(folder)) != base:
        raise conflict(location)
    sums = Sums(folder)
    commit = repository.lookup_snapshot(snapshot)
    manifests = {file.id for file in commit.manifests}
    _sync_commit(folder, snapshot, manifests, set(sums.manifests(base)))
    sums.write(commit)
    write_ref(branch_file(folder), snapshot)
    return snapshot


def start_sums(repository: icechunk.Repository, folder: Path) -> None:
    """Write the sums of the commit that every new repository has."""
    first = repository.lookup_branch(BRANCH)
    sync_files([folder / SNAPSHOTS / first])
    sync_folder(folder / SNAPSHOTS)
    Sums(folder).write(repository.lookup_snapshot(first))


def _sync_commit(folder: Path, snapshot: str, new: set[str], old: set[str]) -> None:
    """Wait until the disk has the files that a commit brought, and their names."""
    chunks = chunk_ids(folder, new - old) - chunk_ids(folder, old - new)
    sync_files(
        [
            *(folder / CHUNKS / file_name(identity) for identity in chunks),
            *(folder / MANIFESTS / name for name in new - old),
            folder / TRANSACTIONS / snapshot,
            folder / SNAPSHOTS / snapshot,
        ]
    )
    for name in (CHUNKS, MANIFESTS, TRANSACTIONS, SNAPSHOTS):
        if (folder / name).is_dir():
            sync_folder(folder / name)
    sync_folder(folder)
