"""What a disk may hold after a power cut: what was waited for, and any part of the rest.

A file's content is sure once the file was synced; a name (made, renamed or removed) once its folder
was. Everything else may be lost, may be there, or may be there with half its content.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from labels import files

Key = tuple[int, int]
"""A file on the disk: its inode, and when it was written."""


class Disk:
    """Records what is sure to be on the disk, at each moment that something was waited for.

    Parameters
    ----------
    root : Path
        What lies in it when the recording begins is on the disk.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.points: list[tuple[str, State]] = []
        self._content: dict[Key, bytes] = {}
        self._names: dict[Path, dict[str, Key | None]] = {}
        for folder, _, names in os.walk(root):
            self._sync_folder(Path(folder))
            for name in names:
                self._sync_file(Path(folder, name))

    def record(self, patch: pytest.MonkeyPatch) -> None:
        """Watch the functions that everything of the toolkit's syncs and renames with."""
        flush, replace = files.flush_to_disk, os.replace

        def flushed(handle: int) -> None:
            path = Path(f"/proc/self/fd/{handle}").readlink()
            self._note(f"before sync of {path.name}")
            flush(handle)
            if path.is_relative_to(self.root):
                self._sync_folder(path) if path.is_dir() else self._sync_file(path)
            self._note(f"after sync of {path.name}")

        def replaced(new: Path, path: Path) -> None:
            self._note(f"before rename to {path}")
            replace(new, path)
            self._moved(new.relative_to(self.root), path.relative_to(self.root))
            self._note(f"after rename to {path}")

        patch.setattr(files, "flush_to_disk", flushed)
        patch.setattr(os, "replace", replaced)

    def state(self) -> State:
        """Return what is there now, and what of it is sure."""
        there = {f.relative_to(self.root): key(f) for f in self.root.rglob("*") if f.is_file()}
        content = {k: (self.root / f).read_bytes() for f, k in there.items()}
        names = {folder: dict(found) for folder, found in self._names.items()}
        return State(there, content, dict(self._content), names)

    def _note(self, what: str) -> None:
        self.points.append((what, self.state()))

    def _moved(self, new: Path, path: Path) -> None:
        """A folder takes along what is sure of the names in it."""
        for folder in [f for f in self._names if f.is_relative_to(new)]:
            self._names[path / folder.relative_to(new)] = self._names[folder]

    def _sync_file(self, path: Path) -> None:
        self._content[key(path)] = path.read_bytes()

    def _sync_folder(self, path: Path) -> None:
        self._names[path.relative_to(self.root)] = {
            entry.name: None if entry.is_dir() else key(entry) for entry in path.iterdir()
        }


class State:
    """The disk at one moment."""

    def __init__(
        self,
        there: dict[Path, Key],
        content: dict[Key, bytes],
        synced: dict[Key, bytes],
        names: dict[Path, dict[str, Key | None]],
    ) -> None:
        self.there, self.content, self.synced, self.names = there, content, synced, names

    def sure(self) -> dict[Path, Key]:
        """Return the files whose names are on the disk for certain."""
        return {
            folder / name: found
            for folder, names in self.names.items()
            for name, found in names.items()
            if found is not None and self._reached(folder)
        }

    def after_power_loss(self) -> Iterator[tuple[str, dict[Path, bytes]]]:
        """Give what may be found: nothing, all, or half of what was not waited for."""
        lost: Callable[[bytes], bytes]
        for what, lost in (("empty", lambda _: b""), ("half", lambda data: data[: len(data) // 2])):
            for names, files_there in (("sure", self.sure()), ("all", self.there)):
                yield f"{names} names, {what} content", self._files(files_there, lost)
        yield "all of it", self._files(self.there, lambda data: data)

    def _files(self, there: dict[Path, Key], lost: Callable[[bytes], bytes]) -> dict[Path, bytes]:
        return {
            path: self.synced[k] if k in self.synced else lost(self.content.get(k, b""))
            for path, k in there.items()
        }

    def _reached(self, folder: Path) -> bool:
        return all(
            parent.name in self.names.get(parent.parent, {})
            for parent in (folder, *folder.parents)
            if parent != Path()
        )


def key(path: Path) -> Key:
    """Return which file a name stands for."""
    about = path.stat()
    return about.st_ino, about.st_mtime_ns


def write_tree(folder: Path, contents: dict[Path, bytes]) -> None:
    """Write files into a new folder."""
    for path, data in contents.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(data)
