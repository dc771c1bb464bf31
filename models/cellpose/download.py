"""One file from the network, whole or not at all."""

from __future__ import annotations

import http.client
import urllib.request
import zipfile
from pathlib import Path
from typing import Any

from labels.progress import Progress
from models.errors import WeightsUnavailableError

TIMEOUT_S = 10.0
"""Longest wait for a connection or for the next bytes."""

_BLOCK = 1 << 20


def download(url: str, target: Path, progress: Progress) -> None:
    """Save a checkpoint of torch's zip format; `target` appears only when it is complete.

    Cellpose's own downloader turns certificate checks off for the whole process, waits for ever
    and keeps what a broken connection has left; hence this one, for the same file and place.

    Parameters
    ----------
    url : str
    target : Path
        Its folder is made when it does not exist.
    progress : callable
        Called per MiB; raising in it cancels, and leaves nothing behind.

    Raises
    ------
    WeightsUnavailableError
        No network, an answer that is not a checkpoint, a broken connection, or no place to write.
    """
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with _locked(target, progress):
            # Another process may have brought the file while this one waited.
            if not target.is_file():
                _fetch(url, target, progress)
    except (OSError, http.client.HTTPException) as error:
        raise WeightsUnavailableError(str(error) or type(error).__name__) from error


def _fetch(url: str, target: Path, progress: Progress) -> None:
    part = target.with_name(f".{target.name}.part")
    try:
        _receive(url, part, progress, f"downloading {target.name} (MiB)")
        part.replace(target)
    finally:
        part.unlink(missing_ok=True)


def _receive(url: str, part: Path, progress: Progress, what: str) -> None:
    # The address is a constant of this package.
    with urllib.request.urlopen(url, timeout=TIMEOUT_S) as answer, part.open("wb") as file:  # noqa: S310
        expected = int(answer.headers.get("Content-Length", 0))
        got = 0
        while block := answer.read(_BLOCK):
            got += file.write(block)
            progress(got // _BLOCK, max(expected, got) // _BLOCK, what)
    if got < expected:
        raise WeightsUnavailableError(f"the connection broke after {got} of {expected} bytes")
    if not zipfile.is_zipfile(part):
        raise WeightsUnavailableError(f"{url} answered with {got} bytes that are no checkpoint")


def _locked(target: Path, progress: Progress) -> Any:
    """Return the held lock of one download per file and machine."""
    import filelock

    lock = filelock.FileLock(target.with_name(f".{target.name}.lock"))
    while True:
        try:
            return lock.acquire(timeout=1.0)
        except filelock.Timeout:
            progress(0, 1, f"waiting for another process that downloads {target.name}")
