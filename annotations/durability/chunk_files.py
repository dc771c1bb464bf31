"""The chunk files of a local store: which ones commits refer to, and whether they are there."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import google_crc32c

from annotations.durability.manifests import ArrayChunks, file_name, read_manifest
from annotations.durability.sums import CHUNKS, MANIFESTS
from labels.progress import Progress, no_progress


@dataclass(frozen=True)
class ChunkFile:
    """A chunk that lies in a file of its own.

    Parameters
    ----------
    identity : bytes
        Icechunk's id of the chunk.
    node : str
        Icechunk's id of the array.
    index : tuple of int
        Position in the array's grid.
    """

    identity: bytes
    node: str
    index: tuple[int, ...]

    @property
    def name(self) -> str:
        """Name of the file."""
        return file_name(self.identity)


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
        self._of: dict[bytes, tuple[int, ArrayChunks]] = {}
        for _, array in arrays_in(folder, manifests):
            for identity, size in array.sizes.items():
                self._of.setdefault(identity, (size, array))

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
        _, array = self._of[identity]
        return ChunkFile(identity, array.node, array.index(identity))


def arrays_in(folder: Path, manifests: Iterable[str]) -> Iterator[tuple[str, ArrayChunks]]:
    """Read manifests, and give each with the arrays that it has chunks of."""
    for manifest in manifests:
        for array in read_manifest((folder / MANIFESTS / manifest).read_bytes()):
            yield manifest, array


def chunk_ids(folder: Path, manifests: Iterable[str]) -> set[bytes]:
    """Return the ids of the chunk files that some manifests refer to."""
    return {identity for _, array in arrays_in(folder, manifests) for identity in array.sizes}


def manifests_by_chunk(folder: Path, manifests: Iterable[str]) -> dict[bytes, list[str]]:
    """Return the manifests that refer to each chunk file, by its id."""
    found: dict[bytes, list[str]] = {}
    for manifest, array in arrays_in(folder, manifests):
        for identity in array.sizes:
            found.setdefault(identity, []).append(manifest)
    return found


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
