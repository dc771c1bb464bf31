"""SHA-256 digests of files and of values, as they are written down beside results."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np


def file_sha256(path: Path) -> str:
    """Return the hex digest of a file's bytes, read in pieces."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def source_sha256(path: Path) -> str | None:
    """Return the digest of a file, or of a folder's files with their names; None for neither."""
    if path.is_file():
        return file_sha256(path)
    if not path.is_dir():
        return None
    inner = sorted(p for p in path.rglob("*") if p.is_file())
    return values_sha256(*(f"{p.relative_to(path).as_posix()}\0{file_sha256(p)}\n" for p in inner))


def values_sha256(*parts: object) -> str:
    """Return one hex digest of several values in a row.

    Parameters
    ----------
    *parts : str, ndarray or object
        Of text its UTF-8 bytes count, of arrays the values in C order (neither shape nor dtype),
        of anything else its ``repr``.
    """
    digest = hashlib.sha256()
    for part in parts:
        if isinstance(part, np.ndarray):
            digest.update(np.ascontiguousarray(part).data)
        else:
            digest.update((part if isinstance(part, str) else repr(part)).encode())
    return digest.hexdigest()
