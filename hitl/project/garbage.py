"""What killed commands leave in a project, and nothing refers to."""

from __future__ import annotations

import re
import shutil
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

from annotations.status import Garbage
from hitl.project.folder import Project

_UNFINISHED = re.compile(r"\.(.+\.)?[0-9a-f]{32}\.partial")
_ABANDONED_AFTER = timedelta(days=1)
"""Files beside the store have no lock: younger ones may be being written."""


def collect_garbage(
    project: Project, older_than: timedelta | None = None, *, dry_run: bool = False
) -> Garbage:
    """Remove what no commit refers to from the store, and exports that were never finished.

    Parameters
    ----------
    project : Project
    older_than : timedelta, optional
        Leave younger files alone; unfinished exports are left alone for a day in any case.
    dry_run : bool
        Only count.

    Raises
    ------
    StoreError
        The store is damaged, locked or cannot be written.
    """
    found = project.store(read_only=False).collect_garbage(older_than, dry_run=dry_run)
    size = 0
    for path in list(_unfinished(project.folder, max(older_than or timedelta(), _ABANDONED_AFTER))):
        size += sum(f.stat().st_size for f in (path, *path.rglob("*")) if f.is_file())
        if not dry_run:
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    return replace(found, bytes=found.bytes + size)


def _unfinished(folder: Path, age: timedelta) -> Iterator[Path]:
    limit = time.time() - age.total_seconds()
    for path in folder.rglob(".*.partial"):
        if _UNFINISHED.fullmatch(path.name) and path.stat().st_mtime < limit:
            yield path
