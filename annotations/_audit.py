"""Everything in a local store compared with its checksums, and what each damaged file held."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, cast

import icechunk
import zarr

from annotations._chunk_files import ChunkFile, ChunkFiles, manifests_with
from annotations._head import newest_whole
from annotations._refs import REFS, branch_file, read_ref, tags
from annotations._sums import CHUNKS, MANIFESTS, SNAPSHOTS, SUMS, Damage, Sums
from annotations._vouched import entry_of, head_entry
from annotations.damage import Finding
from annotations.errors import DamagedStoreError
from annotations.rounds import LogEntry, tag_name
from labels.progress import Progress, no_progress


@dataclass
class Commit:
    """One commit of the history.

    Parameters
    ----------
    snapshot : str
        Its id.
    manifests : mapping of str to str
        Digests of the manifests it refers to, by id; empty where its checksums are damaged.
    round : int, optional
    message : str
    sums : Damage, optional
        What is wrong with its checksums.
    """

    snapshot: str
    manifests: dict[str, str]
    round: int | None
    message: str
    sums: Damage | None

    def __str__(self) -> str:
        """Return how a person knows it."""
        number = "" if self.round is None else f"round {self.round}, "
        return f"the commit of {number}{self.message!r}" if self.message else "a commit"


class Audit:
    """Compares the files of a local store; `findings` grows as it goes.

    Parameters
    ----------
    folder : Path
    repository : icechunk.Repository, optional
        None where the branch cannot be read; the files are compared all the same.
    """

    def __init__(self, folder: Path, repository: icechunk.Repository | None) -> None:
        self.folder = folder
        self.findings: list[Finding] = []
        self._repository = repository
        self._sums = Sums(folder)
        self._manifest_damage: dict[str, Damage | None] = {}

    @cached_property
    def commits(self) -> list[Commit]:
        """The history, newest first, as far as it can be followed."""
        found: list[Commit] = []
        at = self._start()
        while at is not None:
            commit, parent = self._read(at)
            found.append(commit)
            at = parent
        return found

    def check_commits(self) -> None:
        """Compare every commit's own files, and the manifests, each once."""
        for commit in self.commits:
            found = [commit.sums] if commit.sums else self._sums.damaged_files(commit.snapshot)
            for own in found:
                self._tell(own, str(commit), [commit])
        for manifest in self._all_manifests():
            damage = self._compare(manifest)
            if damage is not None:
                needing = [c for c in self.commits if manifest in c.manifests]
                self._tell(damage, self._arrays_in(manifest, needing), needing)

    def check_newest(self) -> None:
        """Look for what the newest commit needs, and not further back."""
        at = self._start()
        if at is not None:
            self.commits = [self._read(at)[0]]
            self.check_commits()
            self.check_chunks(no_progress, deep=False)

    def check_tags(self) -> None:
        """Compare the tags with the rounds that they name."""
        named = tags(self.folder)
        for commit in self.commits:
            if commit.round is None:
                continue
            name = tag_name(commit.round)
            if named.get(name, commit.snapshot) != commit.snapshot:
                damage = Damage(f"{REFS}/tag.{name}/ref.json", "damaged")
                self._tell(damage, f"the tag of round {commit.round}", [])

    def check_chunks(self, progress: Progress, *, deep: bool) -> ChunkFiles:
        """Look for the chunk files of the newest commit, or read those of all commits."""
        used = self._all_manifests() if deep else list(self.commits[0].manifests)
        files = ChunkFiles(self.folder, (m for m in used if self._compare(m) is None))
        problems = files.damaged(progress) if deep else files.absent()
        for chunk, problem in problems:
            whole = {m: m for m in self._all_manifests() if self._compare(m) is None}
            holding = manifests_with(self.folder, chunk.name, whole)
            needing = [c for c in self.commits if holding & c.manifests.keys()]
            damage = Damage(f"{CHUNKS}/{chunk.name}", problem)
            self._tell(damage, self._region_of(chunk, needing), needing)
        return files

    def _start(self) -> str | None:
        file = branch_file(self.folder)
        problem = "gone"
        try:
            tip = read_ref(file)
            if any((self.folder / part / tip).exists() for part in (SNAPSHOTS, SUMS)):
                return tip
            problem = f"damaged (there is no commit {tip})"
        except FileNotFoundError:
            pass
        except DamagedStoreError:
            problem = "damaged"
        self._tell(Damage(str(file.relative_to(self.folder)), problem), "the branch", [])
        return newest_whole(self._sums)

    def _read(self, snapshot: str) -> tuple[Commit, str | None]:
        manifests: dict[str, str] = {}
        damage = None
        entries: list[LogEntry] = []
        parent: str | None = None
        try:
            head = self._sums.head(snapshot)
            entries, parent = head_entry(snapshot, head), head.parent
            manifests = self._sums.manifests(snapshot)
        except DamagedStoreError:
            there = (self.folder / SUMS / snapshot).exists()
            damage = Damage(f"{SUMS}/{snapshot}", "damaged" if there else "gone")
            about = self._look_up(snapshot)
            if about is not None:
                parent, entries = about.parent_id, entry_of(about)
        number, message = (entries[0].round, entries[0].message) if entries else (None, "")
        return Commit(snapshot, manifests, number, message, damage), parent

    def _look_up(self, snapshot: str) -> icechunk.SnapshotInfo | None:
        """Return what Icechunk knows of a commit whose snapshot is whole."""
        file = f"{SNAPSHOTS}/{snapshot}"
        try:
            whole = self._sums.damage_of(file, self._sums.head(snapshot).files[file]) is None
        except DamagedStoreError:
            whole = True
        if self._repository is None or not whole:
            return None
        try:
            return self._repository.lookup_snapshot(snapshot)
        except icechunk.IcechunkError:
            return None

    def _all_manifests(self) -> list[str]:
        return list(self._known)

    @cached_property
    def _known(self) -> dict[str, str]:
        """The digests of all manifests."""
        return {m: known for commit in self.commits for m, known in commit.manifests.items()}

    def _compare(self, manifest: str) -> Damage | None:
        if manifest not in self._manifest_damage:
            found = self._sums.damage_of(f"{MANIFESTS}/{manifest}", self._known[manifest])
            self._manifest_damage[manifest] = found
        return self._manifest_damage[manifest]

    def _tell(self, damage: Damage, holds: str, needing: list[Commit]) -> None:
        rounds = sorted({c.round for c in needing if c.round is not None})
        newest = bool(needing) and needing[0] is self.commits[0]
        self.findings.append(
            Finding(
                file=damage.file,
                problem=damage.problem,
                holds=holds,
                rounds=tuple(rounds),
                newest=newest,
            )
        )

    def _arrays_in(self, manifest: str, needing: list[Commit]) -> str:
        paths = [
            node["path"].strip("/")
            for commit in needing[:1]
            for node in self._nodes(commit)
            if manifest in {ref["id"] for ref in node.get("manifest_refs") or ()}
        ]
        return ", ".join(paths) or "an array"

    def _nodes(self, commit: Commit) -> list[dict[str, Any]]:
        if self._repository is None or self._look_up(commit.snapshot) is None:
            return []
        found = json.loads(self._repository.inspect_snapshot(commit.snapshot, pretty=False))
        return cast("list[dict[str, Any]]", found["nodes"])

    def _region_of(self, chunk: ChunkFile, needing: list[Commit]) -> str:
        """Say which array a chunk belongs to, and where in it."""
        for commit in needing:
            for node in self._nodes(commit):
                if node["id"] == chunk.node:
                    path = str(node["path"]).strip("/")
                    return f"{path}{self._box(commit, path, chunk.index)}"
        return "an array"

    def _box(self, commit: Commit, path: str, index: tuple[int, ...]) -> str:
        assert self._repository is not None
        session = self._repository.readonly_session(snapshot_id=commit.snapshot)
        array = zarr.open_array(session.store, path=path, mode="r")
        return region_text(array, index)


def region_text(array: zarr.Array[Any], index: tuple[int, ...]) -> str:
    """Return where a chunk of an array lies, as in " z 0-15, y 0-127"."""
    names = getattr(array.metadata, "dimension_names", None) or ()
    parts = []
    for axis, (position, chunk, size) in enumerate(
        zip(index, array.chunks, array.shape, strict=True)
    ):
        name = names[axis] if axis < len(names) and names[axis] else f"axis {axis}"
        if chunk < size:
            last = min((position + 1) * chunk, size) - 1
            parts.append(f"{name} {position * chunk}-{last}")
    return f" {', '.join(parts)}" if parts else ""
