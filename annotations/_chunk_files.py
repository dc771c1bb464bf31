"""The chunk files of a local store: which ones commits refer to, and whether they are there."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import google_crc32c

from annotations._manifests import ArrayChunks, file_name, read_manifest
from annotations._sums import CHUNKS, MANIFESTS
from labels.progress import Progress, no_progress


@dataclass(frozen=True)
class ChunkFile:
    """A chunk that lies in a file of its own.

    Parameters
    ----------
    name : str
        Of the file.
    size : int
        In bytes.
    manifest : str
        The first one that refers to it.
    node : str
        Icechunk's id of the array.
    index : tuple of int
        Position in the array's grid.
    """

    name: str
    size: int
    manifest: str
    node: str
    index: tuple[int, ...]


class ChunkFiles:
    """All chunk files that some manifests refer to, each once.

    Parameters
    ----------
    folder : Path
        The store.
    manifests : iterable of str
        Ids; their files must be whole.
    """

    def __init__(self, folder: Path, manifests: Iterable[str]) -> None:
        self._folder = folder
        self._of: dict[bytes, tuple[int, str, ArrayChunks]] = {}
        for manifest in manifests:
            for array in read_manifest((folder / MANIFESTS / manifest).read_bytes()):
                for identity, size in array.sizes.items():
                    self._of.setdefault(identity, (size, manifest, array))

    def __len__(self) -> int:
        return len(self._of)

    @property
    def size(self) -> int:
        """Size of all of them."""
        return sum(size for size, *_ in self._of.values())

    def absent(self) -> Iterator[tuple[ChunkFile, str]]:
        """Give those that are gone or cut short, and which of the two."""
        there: dict[str, os.DirEntry[str]] = {}
        # A store without voxels has no such folder.
        if (self._folder / CHUNKS).is_dir():
            with os.scandir(self._folder / CHUNKS) as entries:
                there = {entry.name: entry for entry in entries}
        for identity, (size, *_) in self._of.items():
            entry = there.get(file_name(identity))
            found = None if entry is None else entry.stat().st_size
            if found is None:
                yield self._file(identity), "gone"
            elif found < size:
                yield self._file(identity), f"cut short ({found} of {size} bytes)"

    def damaged(self, progress: Progress = no_progress) -> Iterator[tuple[ChunkFile, str]]:
        """Read all of them, and give those that are gone or are not what their checksum says."""
        for done, (identity, (size, *_)) in enumerate(self._of.items()):
            progress(done, len(self._of), "read chunks")
            problem = _problem_of(self._folder / CHUNKS / file_name(identity), size)
            if problem is not None:
                yield self._file(identity), problem

    def _file(self, identity: bytes) -> ChunkFile:
        size, manifest, array = self._of[identity]
        return ChunkFile(file_name(identity), size, manifest, array.node, array.index(identity))


def manifests_with(folder: Path, name: str, manifests: Mapping[str, object]) -> set[str]:
    """Return those of some manifests that refer to a chunk file."""
    return {
        manifest
        for manifest in manifests
        for array in read_manifest((folder / MANIFESTS / manifest).read_bytes())
        if name in map(file_name, array.sizes)
    }


def _problem_of(file: Path, size: int) -> str | None:
    try:
        data = file.read_bytes()
    except FileNotFoundError:
        return "gone"
    except OSError as error:
        return f"unreadable ({error.strerror})"
    if len(data) < size:
        return f"cut short ({len(data)} of {size} bytes)"
    # Each codec chain of the store ends with the checksum, little-endian, of what is before it.
    checksum = google_crc32c.value(data[: size - 4]).to_bytes(4, "little")
    return None if checksum == data[size - 4 : size] else "damaged"
