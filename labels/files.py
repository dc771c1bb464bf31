"""Files that are written whole or not at all, and are on the disk before they are told of.

What is read whole is a plain file, and no larger than what is kept in it.
"""

from __future__ import annotations

import os
import stat
import sys
import tempfile
import zipfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO


class UnfitFileError(ValueError):
    """What is no plain file, leads elsewhere, or is larger than what belongs there."""


def read_plain(path: Path, most_bytes: int, *, linked: bool = False) -> bytes:
    """Return what a file holds.

    Parameters
    ----------
    path : Path
    most_bytes : int
        A larger file is not read.
    linked : bool
        Whether it may be a link that leads out of its folder.

    Raises
    ------
    UnfitFileError
        A folder, a pipe or another thing in its place, a link to elsewhere, or too large.
    OSError
    """
    # Not `Path.resolve`, which has no patience with a link to itself.
    if not linked and Path(os.path.realpath(path)).parent != Path(os.path.realpath(path.parent)):
        raise UnfitFileError("a link that leads out of its folder; put the file itself there")
    # Not blocking: a pipe would be waited for without end.
    handle = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0))
    try:
        found = os.fstat(handle)
        if not stat.S_ISREG(found.st_mode):
            raise UnfitFileError("no file, but a folder, a pipe or a device")
        if found.st_size > most_bytes:
            raise UnfitFileError(
                f"{found.st_size:,} bytes, where at most {most_bytes:,} were expected"
            )
        with os.fdopen(handle, "rb", closefd=False) as file:
            return file.read(most_bytes)
    finally:
        os.close(handle)


@contextmanager
def open_zip(path: Path) -> Iterator[zipfile.ZipFile]:
    """Open an archive whose members are not packed, so that nothing grows beyond the file.

    Raises
    ------
    UnfitFileError
        No plain file, or members that are packed or lie above each other.
    zipfile.BadZipFile, OSError
    """
    if path.exists() and not path.is_file():
        raise UnfitFileError("no file, but a folder, a pipe or a device")
    with zipfile.ZipFile(path) as archive:
        members = archive.infolist()
        packed = any(member.compress_type != zipfile.ZIP_STORED for member in members)
        if packed or sum(member.file_size for member in members) > path.stat().st_size:
            raise UnfitFileError("members that are packed, as none that is written here")
        yield archive


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
