"""The ranked entries of labels, kept until what they depend on has changed."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from annotations.fields import LabelsInfo
from annotations.store import AnnotationStore
from hitl import __version__
from hitl.project.folder import Project
from hitl.project.records import Shape, read_record, write_record
from hitl.project.reporter import Reporter
from hitl.queue.entries import Entry
from labels.hashing import values_sha256
from labels.json_files import shaped

FORMAT = 1
"""Goes up when entries are ranked in another way; what was kept is then made again."""

FOLDER = "queue"
"""In the project's folder: one file per labels, and one of commits."""

Ranked = tuple[tuple[Entry, ...], ...]
"""Entries of each time point."""


class _Kept(Shape):
    """What is read of ranked entries."""

    key: str
    entries: tuple[tuple[Entry, ...], ...]


class _Commits(Shape):
    """What is read of commits."""

    head: str
    commits: dict[str, str]


class KeptEntries:
    """Files of ranked entries; a damaged or outdated one is as good as none.

    What labels are is known without reading them: the commit that touched them last says it.

    Parameters
    ----------
    project : Project
    store : AnnotationStore
    reporter : Reporter
        Told where nothing can be kept.
    """

    def __init__(self, project: Project, store: AnnotationStore, reporter: Reporter) -> None:
        self._folder = project.folder / FOLDER
        self._reporter = reporter
        self._commits = self._last_commits(store, self._folder / "commits.json")

    def key(self, info: LabelsInfo, settings: str) -> str:
        """Return a digest of all that the entries of labels depend on.

        Parameters
        ----------
        info : LabelsInfo
        settings : str
            Of what they are compared with.
        """
        about = (info.key, info.address, info.field.digest, info.spacing_um, info.zyx, info.times)
        commit = self._commits[info.key]
        return values_sha256(repr((FORMAT, __version__, about, info.label_class, commit, settings)))

    def read(self, info: LabelsInfo, key: str) -> Ranked | None:
        """Return the entries that were kept under a key, None where there are none."""
        try:
            found = shaped(_Kept, read_record(self._file(info)))
        except (OSError, ValueError):
            return None
        return found.entries if found.key == key else None

    def write(self, info: LabelsInfo, key: str, ranked: Ranked) -> None:
        """Keep entries."""
        rows = [[vars(entry) for entry in entries] for entries in ranked]
        self._keep(self._file(info), {"key": key, "entries": rows})

    def _last_commits(self, store: AnnotationStore, file: Path) -> dict[str, str]:
        """Return the commit that touched each of the store's labels last, by ``FIELD:CLASS``.

        Only commits since this was asked last are looked at.
        """
        head, keys = store.head(), {info.key for info in store.all_labels()}
        known_head, known = _read_commits(file)
        found: dict[str, str] = {}
        for entry in store.entries():
            if entry.snapshot == known_head:
                found = {**known, **found}
            if keys <= found.keys():
                break
            found = {**dict.fromkeys(entry.labels, entry.snapshot), **found}
        # What no commit tells of may have been touched by any.
        found = {**dict.fromkeys(keys, head), **found}
        if head != known_head:
            self._keep(file, {"head": head, "commits": {key: found[key] for key in sorted(keys)}})
        return found

    def _keep(self, file: Path, data: Mapping[str, Any]) -> None:
        """Write a file whole or not at all; the queue is as good without it."""
        try:
            self._folder.mkdir(exist_ok=True)
            write_record(file, data)
        except OSError as error:
            self._reporter.note(
                f"{self._folder}: what is ranked cannot be kept there ({error.strerror}), so it is "
                "ranked anew each time"
            )

    def _file(self, info: LabelsInfo) -> Path:
        return self._folder / f"{info.file_name}.entries"


def _read_commits(file: Path) -> tuple[str, dict[str, str]]:
    try:
        read = shaped(_Commits, read_record(file))
    except (OSError, ValueError):
        return "", {}
    return read.head, read.commits
