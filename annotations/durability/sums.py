"""Checksums of Icechunk's own files: it keeps none, and a flipped bit there may read as a value.

Each commit of a local store has a file in the store's folder ``sums``. Its first line is for the
commit: the digests of its snapshot and transaction log, and which commit came before. The lines
after it are for the manifests that the snapshot refers to. The line and the rest have digests too.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING, Any

from annotations.damage import Damage
from annotations.errors import DamagedStoreError
from labels.files import sync_folder, write_atomically

if TYPE_CHECKING:
    from icechunk import SnapshotInfo

SUMS = "sums"
SNAPSHOTS, MANIFESTS, TRANSACTIONS, CHUNKS = "snapshots", "manifests", "transactions", "chunks"

_KNOWN: dict[str, tuple[tuple[int, int, int], str]] = {}
"""Digests of files that this process has read, while they have the same time, size and place."""


@dataclass(frozen=True)
class Head:
    """What the first line of a commit's sums says.

    Parameters
    ----------
    parent : str, optional
        The commit before, None for the repository's first.
    number : int
        Commits before this one.
    files : mapping of str to str
        Digests of the commit's own files, by path in the store.
    manifests : str
        Digest of the lines that follow.
    written_at, message, metadata
        As Icechunk has them, so that the history can be told without reading all of each commit.
    """

    parent: str | None
    number: int
    files: Mapping[str, str]
    manifests: str
    written_at: str
    message: str
    metadata: Mapping[str, Any]


def digest(data: bytes) -> str:
    """Return what is kept of a file's content."""
    return blake2b(data, digest_size=8).hexdigest()


class Sums:
    """The sums of a local store.

    Parameters
    ----------
    folder : Path
        The store.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._prefix = f"{folder}{os.sep}"

    def commits(self) -> list[str]:
        """Return the commits that have sums, in no order."""
        place = self.folder / SUMS
        return [f.name for f in place.iterdir() if "." not in f.name] if place.is_dir() else []

    def head(self, snapshot: str) -> Head:
        """Return what the sums say of a commit itself.

        Raises
        ------
        DamagedStoreError
            They are gone or damaged; the message is a `Damage` as text.
        """
        with self._open(snapshot) as file:
            return self._parse(snapshot, file.readline())

    def manifests(self, snapshot: str) -> dict[str, str]:
        """Return the digests of the manifests that a commit refers to, by their ids.

        Raises
        ------
        DamagedStoreError
            The sums are gone or damaged.
        """
        with self._open(snapshot) as file:
            head, rest = self._parse(snapshot, file.readline()), file.read()
        if digest(rest) != head.manifests:
            raise DamagedStoreError(str(self._damaged(snapshot)))
        words = rest.decode().split()
        return dict(zip(words[::2], words[1::2], strict=True))

    def write(self, commit: SnapshotInfo) -> None:
        """Write the sums of a commit whose files are on the disk; they are when this returns.

        Parameters
        ----------
        commit : icechunk.SnapshotInfo
            The sums of its parent must be there.
        """
        snapshot, parent = commit.id, commit.parent_id
        number = 0 if parent is None else self.head(parent).number + 1
        known = {} if parent is None else self.manifests(parent)
        rest = "".join(
            f"{name} {known.get(name) or self._digest(f'{MANIFESTS}/{name}')}\n"
            for name in sorted(file.id for file in commit.manifests)
        ).encode()
        files = [f"{SNAPSHOTS}/{snapshot}", f"{TRANSACTIONS}/{snapshot}"]
        there = [file for file in files if (self.folder / file).is_file()]
        line = json.dumps(
            {
                "parent": parent,
                "number": number,
                "files": {file: self._digest(file) for file in there},
                "manifests": digest(rest),
                "written_at": commit.written_at.isoformat(),
                "message": commit.message,
                "metadata": commit.metadata,
            }
        ).encode()
        place = self.folder / SUMS
        if not place.is_dir():
            place.mkdir()
            sync_folder(self.folder)
        write_atomically(place / snapshot, digest(line).encode() + b" " + line + b"\n" + rest)

    def damage_of(self, file: str, expected: str) -> Damage | None:
        """Return what is wrong with a file that should have a digest."""
        try:
            return None if self._digest(file) == expected else Damage(file, "damaged")
        except FileNotFoundError:
            return Damage(file, "gone")
        except OSError as error:
            return Damage(file, f"unreadable ({error.strerror})")

    def damaged_files(self, snapshot: str) -> list[Damage]:
        """Return what is wrong with a commit's own files, its sums left aside."""
        files = self.head(snapshot).files.items()
        return [damage for file, known in files if (damage := self.damage_of(file, known))]

    def damaged_manifests(self, snapshot: str) -> dict[str, Damage]:
        """Return what is wrong with the manifests that a commit refers to, by their ids."""
        return {
            name: damage
            for name, known in self.manifests(snapshot).items()
            if (damage := self.damage_of(f"{MANIFESTS}/{name}", known))
        }

    def own_manifests(self, snapshot: str) -> set[str]:
        """Return the manifests that came with a commit."""
        parent = self.head(snapshot).parent
        before = self.manifests(parent) if parent is not None else {}
        return self.manifests(snapshot).keys() - before.keys()

    def _open(self, snapshot: str) -> Any:
        try:
            return (self.folder / SUMS / snapshot).open("rb")
        except FileNotFoundError:
            raise DamagedStoreError(str(Damage(f"{SUMS}/{snapshot}", "gone"))) from None

    def _parse(self, snapshot: str, line: bytes) -> Head:
        claimed, _, text = line.rstrip(b"\n").partition(b" ")
        if digest(text) != claimed.decode(errors="replace"):
            raise DamagedStoreError(str(self._damaged(snapshot)))
        return Head(**json.loads(text))

    @staticmethod
    def _damaged(snapshot: str) -> Damage:
        return Damage(f"{SUMS}/{snapshot}", "damaged")

    def _digest(self, file: str) -> str:
        # Thousands of files are compared: `Path` would take most of the time.
        path = f"{self._prefix}{file}"
        about = os.stat(path)  # noqa: PTH116
        state = (about.st_mtime_ns, about.st_size, about.st_ino)
        known = _KNOWN.get(path)
        if known is None or known[0] != state:
            with open(path, "rb", buffering=0) as opened:  # noqa: PTH123
                known = _KNOWN[path] = (state, digest(opened.read()))
        return known[1]
