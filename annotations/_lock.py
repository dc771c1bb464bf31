"""Who may write to a local store: one process at a time, the others wait their turn."""

from __future__ import annotations

import errno
import os
import socket
import sys
import time
import warnings
from contextlib import suppress
from pathlib import Path

import filelock

from annotations.errors import StoreLockedError, StoreWarning

NOTE_AFTER_S = 2.0
"""A wait as long as this is told."""

_POLL_S = 0.01
_ABANDONED_AFTER_S = 10.0
_NO_LOCKS = {errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOLCK}


def acquire(file: Path, place: str, timeout_s: float | None) -> filelock.BaseFileLock:
    """Take a lock file; the operating system frees it when its holder ends, however it ends.

    Parameters
    ----------
    file : Path
    place : str
        What is locked, for the messages.
    timeout_s : float, optional
        How long to wait for another process; without end when None. A wait of over two
        seconds is told in a `StoreWarning`.

    Returns
    -------
    filelock.BaseFileLock
        Held; `release` frees it.

    Raises
    ------
    StoreLockedError
        Another process (or thread) held it for as long as that.
    OSError
        The file cannot be made.
    """
    lock = _wait(file, place, timeout_s)
    if not isinstance(lock, filelock.SoftFileLock):
        # Who holds it only helps those who wait: a full disk must not stop `gc`.
        with suppress(OSError):
            file.write_text(_myself(), encoding="utf-8")
    return lock


def _wait(file: Path, place: str, timeout_s: float | None) -> filelock.BaseFileLock:
    lock: filelock.BaseFileLock = filelock.FileLock(file)
    patience = NOTE_AFTER_S if timeout_s is None else min(timeout_s, NOTE_AFTER_S)
    started = time.monotonic()
    try:
        lock = _within(lock, patience)
    except filelock.Timeout:
        _forget_abandoned(file, lock)
        if timeout_s is None or timeout_s > patience:
            warnings.warn(f"{place}: {_holder(file)}; waiting for it", StoreWarning, stacklevel=5)
        left = -1.0 if timeout_s is None else timeout_s - (time.monotonic() - started)
        try:
            lock = _within(lock, left if timeout_s is None else max(left, 0.0))
        except filelock.Timeout as error:
            raise StoreLockedError(
                f"{place}: {_holder(file)} (it holds {file}; waited {timeout_s:g} s); wait until "
                "it is done, or close it, and try again"
            ) from error
    return lock


def _within(lock: filelock.BaseFileLock, timeout_s: float) -> filelock.BaseFileLock:
    """Acquire a lock; where the disk has none, a file that names its holder does it."""
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="flock not supported")
            lock.acquire(timeout=timeout_s, poll_interval=_POLL_S)
    except OSError as error:
        if isinstance(error, filelock.Timeout) or error.errno not in _NO_LOCKS:
            raise
        lock = filelock.SoftFileLock(lock.lock_file)
        lock.acquire(timeout=timeout_s, poll_interval=_POLL_S)
    return lock


def _forget_abandoned(file: Path, lock: filelock.BaseFileLock) -> None:
    """Remove a lock file without a holder's name where only its existence locks.

    A holder writes its name at once; one that was killed is found by its process id.
    """
    if isinstance(lock, filelock.SoftFileLock):
        with suppress(OSError):
            about = file.stat()
            if about.st_size == 0 and time.time() - about.st_mtime > _ABANDONED_AFTER_S:
                file.unlink()


def _myself() -> str:
    command = " ".join([Path(sys.argv[0]).name, *sys.argv[1:2]])
    return f"process {os.getpid()} on {socket.gethostname()} ({command})\n"


def _holder(file: Path) -> str:
    """Say who holds a lock file, in what it or `filelock` wrote there."""
    try:
        words = file.read_text(encoding="utf-8", errors="replace").split("\n")
    except OSError:
        words = []
    if words and words[0].startswith("process "):
        return f"another process is writing: {words[0]}"
    if len(words) > 1 and words[0].isdecimal():
        return f"another process is writing: process {words[0]} on {words[1]}"
    return "another process is writing"
