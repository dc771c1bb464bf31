"""Icechunk's references (branch and tags) of a local store, moved only to what is on the disk.

Icechunk writes a reference without waiting for the disk: after a power cut it may be empty. The
lock file gives a local store one writer at a time, so that no comparison by Icechunk is needed.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

from annotations.errors import DamagedStoreError
from labels.files import sync_folder, write_atomically

BRANCH = "main"
"""The branch that holds the history."""

REFS = "refs"
_SNAPSHOT_ID = re.compile(r"[0-9A-Za-z]{20}")


def branch_file(folder: Path) -> Path:
    """Return the file that says which commit is the newest."""
    return folder / REFS / f"branch.{BRANCH}" / "ref.json"


def tag_file(folder: Path, name: str) -> Path:
    """Return the file of a tag."""
    return folder / REFS / f"tag.{name}" / "ref.json"


def read_ref(file: Path) -> str:
    """Return the id of the commit that a reference names.

    Raises
    ------
    FileNotFoundError
    DamagedStoreError
        It names none.
    """
    try:
        found = json.loads(file.read_bytes())["snapshot"]
    except (ValueError, KeyError, TypeError):
        found = None
    if not isinstance(found, str) or _SNAPSHOT_ID.fullmatch(found) is None:
        raise DamagedStoreError(f"{file}: expected the id of a commit, got something else")
    return found


def write_ref(file: Path, snapshot: str) -> None:
    """Let a reference name a commit; the disk has it when this returns."""
    new = not file.parent.is_dir()
    file.parent.mkdir(exist_ok=True)
    write_atomically(file, json.dumps({"snapshot": snapshot}, separators=(",", ":")).encode())
    if new:
        sync_folder(file.parent.parent)


def tag_names(folder: Path) -> set[str]:
    """Return the names of the tags that are there, whole or not."""
    # Icechunk's own list takes a hundred times as long, and each write wants it.
    places = (folder / REFS).glob("tag.*/ref.json")
    return {place.parent.name.removeprefix("tag.") for place in places}


def tags(folder: Path) -> dict[str, str | None]:
    """Return the commit that each tag names, None for a tag that is damaged."""
    found: dict[str, str | None] = {}
    for place in sorted((folder / REFS).glob("tag.*")):
        try:
            found[place.name.removeprefix("tag.")] = read_ref(place / "ref.json")
        except FileNotFoundError:
            continue
        except DamagedStoreError:
            found[place.name.removeprefix("tag.")] = None
    return found
