"""What a killed writer leaves in and beside a local store, and no commit refers to."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from annotations.durability.refs import REFS
from annotations.durability.sums import CHUNKS, MANIFESTS, SNAPSHOTS, SUMS, TRANSACTIONS


def draft_of(folder: Path, mark: str) -> Path:
    """Return where a new store is made before it takes its place."""
    return folder.with_name(f".{folder.name}.{mark}.new")


def remove_leftovers(
    folder: Path, older_than: datetime | None = None, *, dry_run: bool = False
) -> int:
    """Remove files that were never finished, and checksums of commits that are no more.

    The caller holds the store's lock, so nobody is writing them.

    Parameters
    ----------
    folder : Path
        The store.
    older_than : datetime, optional
        Leave younger ones alone.
    dry_run : bool
        Only count.

    Returns
    -------
    int
        Bytes.
    """
    limit = (older_than or datetime.now(UTC)).timestamp()
    total = 0
    for path in _leftovers(folder):
        if path.stat().st_mtime <= limit:
            total += _size(path)
            if not dry_run:
                shutil.rmtree(path) if path.is_dir() else path.unlink()
    return total


def _leftovers(folder: Path) -> Iterator[Path]:
    # Icechunk writes "ID#1" and renames it to "ID"; our own files begin with a dot until then.
    for name in (CHUNKS, MANIFESTS, TRANSACTIONS, SNAPSHOTS):
        yield from (folder / name).glob("*#*")
    yield from (folder / REFS).glob("*/*#*")
    yield from (folder / REFS).glob("*/.*")
    for file in (folder / SUMS).glob("*"):
        if not (folder / SNAPSHOTS / file.name).exists():
            yield file
    yield from folder.parent.glob(draft_of(folder, "*").name)


def _size(path: Path) -> int:
    files = path.rglob("*") if path.is_dir() else [path]
    return sum(file.stat().st_size for file in files if file.is_file())
