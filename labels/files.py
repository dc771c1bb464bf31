"""Files that are written whole or not at all, and are on the disk before they are told of."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO


@contextmanager
def replacing(path: Path) -> Iterator[IO[bytes]]:
    """Give a file that takes the place of `path` once all of it is on the disk."""
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            yield file
            file.flush()
            flush_to_disk(file.fileno())
        Path(name).chmod(0o644)
        replace_durably(Path(name), path)
    finally:
        Path(name).unlink(missing_ok=True)


def write_atomically(path: Path, data: bytes) -> None:
    """Write a file whole or not at all."""
    with replacing(path) as file:
        file.write(data)


def replace_durably(new: Path, path: Path) -> None:
    """Let a file or folder that is on the disk take the place of another, name and all."""
    os.replace(new, path)  # noqa: PTH105  # Path.replace does the same, and the tests watch this one
    sync_folder(path.parent)


def flush_to_disk(handle: int) -> None:
    """Wait until the disk has what was written to an open file or folder."""
    if sys.platform == "darwin":
        import fcntl

        # There `fsync` leaves the data in the disk's own memory.
        fcntl.fcntl(handle, fcntl.F_FULLFSYNC)
    else:
        os.fsync(handle)


def sync_file(path: Path) -> None:
    """Wait until the disk has a file that somebody else wrote."""
    _on_open(path, flush_to_disk)


def sync_files(paths: Iterable[Path]) -> None:
    """Wait until the disk has all of some files, which is faster than one by one."""
    every = list(paths)
    if hasattr(os, "posix_fadvise") and len(every) > 1:
        for path in every:
            # The disk begins with all of them before the first one is waited for.
            _on_open(path, lambda file: os.posix_fadvise(file, 0, 0, os.POSIX_FADV_DONTNEED))
    for path in every:
        sync_file(path)


def sync_folder(folder: Path) -> None:
    """Wait until the disk has the names that were made, changed or removed in a folder."""
    if sys.platform != "win32":  # Windows keeps no such names apart from the files
        _on_open(folder, flush_to_disk)


def sync_tree(folder: Path) -> None:
    """Wait until the disk has a folder with all that is in it."""
    for parent, _, names in os.walk(folder, topdown=False):
        sync_files(Path(parent, name) for name in names)
        sync_folder(Path(parent))


def _on_open(path: Path, action: Callable[[int], None]) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        action(handle)
    finally:
        os.close(handle)
