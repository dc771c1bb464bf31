"""Whether everything that was committed is still what was written, and what to do when not."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import icechunk
import zarr

from annotations._repository import not_a_store
from annotations._storage import Location, parse_location, translated
from annotations.damage import Finding, damage_in
from annotations.durability.audit import Audit, region_text
from annotations.durability.refs import BRANCH, REFS
from annotations.durability.vouched import entry_of
from annotations.errors import StoreWarning
from annotations.store import AnnotationStore
from labels.progress import Progress, no_progress


@dataclass(frozen=True, kw_only=True)
class Verification:
    """What was compared, and what is damaged.

    Parameters
    ----------
    location : str
    deep : bool
        Whether every chunk was read.
    commits, chunks, bytes : int
        How many were compared; chunks and their bytes of the newest commit, of all when deep.
    findings : tuple of Finding
    whole_rounds : tuple of int
        Rounds of which nothing is damaged, as far as was compared.
    """

    location: str
    deep: bool
    commits: int
    chunks: int
    bytes: int
    findings: tuple[Finding, ...]
    whole_rounds: tuple[int, ...]


def verify(
    location: str | Path, *, deep: bool = False, progress: Progress = no_progress
) -> Verification:
    """Compare a store with its checksums.

    Parameters
    ----------
    location : str or Path
        As for `AnnotationStore.open`.
    deep : bool
        Read every chunk of every commit once; otherwise only look whether the chunk files of the
        newest commit are there. Icechunk's own files are read in both cases.
    progress : callable, optional

    Raises
    ------
    StoreError
        There is no store, or it cannot be read at all.

    Notes
    -----
    Object storage keeps checksums of its own: there, the history is read, and with `deep` each
    chunk once, by the commit that wrote it.
    """
    place = parse_location(location)
    with translated("verify", place):
        if place.folder is None:
            return _verify_remote(place, deep, progress)
        if not (place.folder / REFS).is_dir():
            raise not_a_store(place)
        return _verify_folder(place, place.folder, deep, progress)


def _verify_folder(place: Location, folder: Path, deep: bool, progress: Progress) -> Verification:
    audit = Audit(folder, _repository(place))
    chunks = size = 0
    if audit.commits:
        audit.check_commits()
        audit.check_tags()
        found = audit.check_chunks(progress, deep=deep)
        chunks, size = len(found), found.size
    if (folder / "config.yaml").exists():
        audit.findings.append(
            Finding(file="config.yaml", problem="not this toolkit's", holds="Icechunk's settings")
        )
    damaged = {number for finding in audit.findings for number in finding.rounds}
    rounds = sorted(c.round for c in audit.commits if c.round is not None)
    return Verification(
        location=place.text,
        deep=deep,
        commits=len(audit.commits),
        chunks=chunks,
        bytes=size,
        findings=tuple(audit.findings),
        whole_rounds=tuple(number for number in rounds if number not in damaged),
    )


def _repository(place: Location) -> icechunk.Repository | None:
    """Open a local repository; None where its branch cannot be read, which the audit finds."""
    try:
        return icechunk.Repository.open(place.storage())
    except icechunk.IcechunkError:
        return None


def _verify_remote(place: Location, deep: bool, progress: Progress) -> Verification:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", StoreWarning)
        AnnotationStore.open(place.text, read_only=True)
    repository = icechunk.Repository.open(place.storage())
    commits = list(repository.ancestry(branch=BRANCH))
    entries = [entry for commit in commits for entry in entry_of(commit)]
    rounds = sorted(entry.round for entry in entries if entry.round is not None)
    findings: list[Finding] = []
    read = 0
    for done, commit in enumerate(commits if deep else ()):
        progress(done, len(commits), "read chunks")
        for finding in _read_chunks(repository, commit):
            read += 1
            findings += [finding] if finding is not None else []
    return Verification(
        location=place.text,
        deep=deep,
        commits=len(commits),
        chunks=read,
        bytes=0,
        findings=tuple(findings),
        whole_rounds=() if findings else tuple(rounds),
    )


def _read_chunks(
    repository: icechunk.Repository, commit: icechunk.SnapshotInfo
) -> Iterator[Finding | None]:
    """Read the chunks that a commit wrote; give what is wrong with each, None for nothing."""
    if commit.parent_id is None:
        return
    written = repository.diff(from_snapshot_id=commit.parent_id, to_snapshot_id=commit.id)
    store = repository.readonly_session(snapshot_id=commit.id).store
    for path, indices in written.updated_chunks.items():
        array = zarr.open_array(store, path=path.strip("/"), mode="r")
        for index in map(tuple, indices):
            problem = _problem_of(array, index)
            where = f"{path.strip('/')}{region_text(array, index)}"
            by = f"written by the commit {commit.message!r}"
            yield Finding(file=where, problem=problem, holds=by) if problem else None


def _problem_of(array: zarr.Array[Any], index: tuple[int, ...]) -> str | None:
    corner = zip(index, array.chunks, strict=True)
    try:
        array[tuple(slice(i * c, (i + 1) * c) for i, c in corner)]
    except (icechunk.IcechunkError, ValueError) as error:
        problem = damage_in(error)
        if problem is None:
            raise
        return problem
    return None
