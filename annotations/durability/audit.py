"""Everything in a local store compared with its checksums, and what each damaged file held."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import icechunk
import zarr

from annotations.damage import Damage, Finding
from annotations.durability.chunk_files import ChunkFile, ChunkFiles, manifests_by_chunk
from annotations.durability.head import newest_whole
from annotations.durability.refs import REFS, branch_file, read_ref, tags
from annotations.durability.sums import CHUNKS, MANIFESTS, SNAPSHOTS, SUMS, Sums
from annotations.durability.vouched import entry_of, head_entry, nodes_of
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
        self._compare = lru_cache(maxsize=None)(self._compare_manifest)
        self._nodes = lru_cache(maxsize=None)(self._read_nodes)
        self._array = lru_cache(maxsize=None)(self._open_array)

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
        for manifest in self._known:
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
        used = self._known if deep else self.commits[0].manifests
        files = ChunkFiles(self.folder, (m for m in used if self._compare(m) is None))
        problems = files.damaged(progress) if deep else files.absent()
        for chunk, problem in problems:
            holding = self._holding.get(chunk.identity, ())
            needing = [c for c in self.commits if not c.manifests.keys().isdisjoint(holding)]
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

    @cached_property
    def _known(self) -> dict[str, str]:
        """The digests of all manifests."""
        return {m: known for commit in self.commits for m, known in commit.manifests.items()}

    @cached_property
    def _holding(self) -> dict[bytes, list[str]]:
        """The manifests that refer to each chunk, of those that are whole."""
        whole = (manifest for manifest in self._known if self._compare(manifest) is None)
        return manifests_by_chunk(self.folder, whole)

    def _compare_manifest(self, manifest: str) -> Damage | None:
        return self._sums.damage_of(f"{MANIFESTS}/{manifest}", self._known[manifest])

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
            for node in self._nodes(commit.snapshot).values()
            if manifest in {ref["id"] for ref in node.get("manifest_refs") or ()}
        ]
        return ", ".join(paths) or "an array"

    def _read_nodes(self, snapshot: str) -> dict[str, dict[str, Any]]:
        """Return what a commit says of its arrays and groups, by their ids."""
        if self._repository is None or self._look_up(snapshot) is None:
            return {}
        return {node["id"]: node for node in nodes_of(self._repository, snapshot)}

    def _region_of(self, chunk: ChunkFile, needing: list[Commit]) -> str:
        """Say which array a chunk belongs to, and where in it."""
        for commit in needing:
            node = self._nodes(commit.snapshot).get(chunk.node)
            if node is not None:
                path = str(node["path"]).strip("/")
                return f"{path}{region_text(self._array(commit.snapshot, path), chunk.index)}"
        return "an array"

    def _open_array(self, snapshot: str, path: str) -> zarr.Array[Any]:
        assert self._repository is not None, "the nodes came from it"
        session = self._repository.readonly_session(snapshot_id=snapshot)
        return zarr.open_array(session.store, path=path, mode="r")


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
