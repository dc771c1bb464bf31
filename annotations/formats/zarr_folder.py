"""The folder of a Zarr array, out of which nothing leads, and whose chunks stay in their bounds.

A folder from elsewhere may hold links to any file, pipes that are waited for without end, and
chunks of a few bytes that decode to more than any memory holds.
"""

from __future__ import annotations

import asyncio
import functools
import math
import os
import stat
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import zarr
from zarr.abc.store import ByteRequest
from zarr.core.array_spec import ArraySpec
from zarr.core.buffer import Buffer, BufferPrototype, NDBuffer
from zarr.core.codec_pipeline import BatchedCodecPipeline
from zarr.registry import register_pipeline
from zarr.storage import LocalStore

from annotations.errors import FormatError
from annotations.formats.packed import COMPRESSORS, unpacked_bytes
from labels.json_files import JsonError, read_json
from labels.memory import too_large

_ADVICE = "export it again as OME-Zarr 0.4 or 0.5"
_OTHER_CODECS = frozenset(
    [
        "bytes", "transpose", "sharding_indexed", "crc32c", "crc32", "adler32", "fletcher32",
        "jenkins_lookup3", "delta", "shuffle", "fixedscaleoffset", "quantize", "bitround", "astype",
    ]
)  # fmt: skip
"""Codecs that do not pack: what they give is about as large as what they take."""

_LARGE_BYTES = 1 << 26
_SLACK_BYTES = 1 << 16
_WIDER = 4
"""How much larger the numbers may be before such a codec makes them those of the array."""

FEW_CHUNKS = 100_000
MOST_MISSING = 1000
"""Chunks that may be missing, in all and for each that is there: each is looked for."""


def inside(root: Path, path: Path) -> Path:
    """Return a path of a folder, or refuse one that a link leads out of it, or no plain file.

    Raises
    ------
    FormatError
    """
    real = Path(os.path.realpath(path))
    if not real.is_relative_to(Path(os.path.realpath(root))):
        raise FormatError(
            f"{root}: a link in it ({path.relative_to(root)}) leads out of its own folder; do not "
            "trust it, or put the files themselves there"
        )
    try:
        found = path.stat()
    except (FileNotFoundError, NotADirectoryError):
        if path.is_symlink():
            raise FormatError(
                f"{root}: a link in it ({path.relative_to(root)}) leads nowhere; copy it again"
            ) from None
        return path
    if found.st_size > _LARGE_BYTES and (excess := too_large(2 * found.st_size)):
        raise FormatError(f"{root}: {path.relative_to(root)} {excess}; {_ADVICE}")
    if not stat.S_ISREG(found.st_mode) and not stat.S_ISDIR(found.st_mode):
        raise FormatError(
            f"{root}: {path.relative_to(root)} is a pipe, a socket or a device; {_ADVICE}"
        )
    return path


def metadata(root: Path, name: str) -> Mapping[str, Any] | None:
    """Return a JSON document of a folder, None where there is none.

    Raises
    ------
    FormatError
        Not JSON of a mapping, or led to by a link out of the folder.
    """
    path = inside(root, root / name)
    if not path.is_file():
        return None
    try:
        found = read_json(path, linked=True)
    except JsonError as exc:
        raise FormatError(f"{root}: its {name} cannot be read ({exc}); {_ADVICE}") from exc
    if not isinstance(found, dict):
        raise FormatError(f"{root}: its {name} is no mapping; {_ADVICE}")
    return found


def open_array(root: Path, inner: str) -> zarr.Array[Any]:
    """Open an array of a folder for reading, with what bounds its chunks.

    Raises
    ------
    FormatError
        Codecs that are not known, chunks beyond memory, or more of them than can be there.
    """
    for name in (f"{inner}/zarr.json", f"{inner}/.zarray"):
        _check_codecs(root, metadata(root, name) or {})
    with zarr.config.set({"codec_pipeline.path": _pipeline()}):
        array = zarr.open_array(store=_Folder(root, read_only=True), path=inner, mode="r")
    excess = too_large(2 * math.prod(array.chunks) * max(array.dtype.itemsize, 1))
    if excess is not None:
        raise FormatError(f"{root}: a chunk of {array.chunks} voxels {excess}; {_ADVICE}")
    _check_count(root / inner, array)
    return array


def read(array: zarr.Array[Any], index: tuple[slice, ...]) -> Any:
    """Return voxels of an array that `open_array` opened."""
    with zarr.config.set({"codec_pipeline.path": _pipeline()}):
        return array[index]


def _check_codecs(root: Path, document: Mapping[str, Any]) -> None:
    """Refuse codecs that may run code, are not known, or pack twice."""
    for names in _pipelines(document):
        unknown = [name for name in names if name not in {*COMPRESSORS, *_OTHER_CODECS}]
        if any("pickle" in name for name in unknown):
            raise FormatError(
                f"{root}: its voxels are stored as Python pickles, which may run code; {_ADVICE}"
            )
        if unknown:
            raise FormatError(
                f"{root}: expected voxels packed with {', '.join(sorted(COMPRESSORS))} or not at "
                f"all, got {unknown[0][:40]!r}; {_ADVICE}"
            )
        packing = [name for name in names if name in COMPRESSORS]
        if len(packing) > 1:
            raise FormatError(f"{root}: its voxels are packed {len(packing)} times; {_ADVICE}")


def _pipelines(document: Mapping[str, Any]) -> Iterable[list[str]]:
    """Names of the codecs of an array, and of those inside its shards."""
    stages = document.get("codecs")
    while isinstance(stages, list):
        yield [_name(stage) for stage in stages]
        shards = [s for s in stages if isinstance(s, dict) and _name(s) == "sharding_indexed"]
        configured = shards[0].get("configuration") if shards else None
        stages = configured.get("codecs") if isinstance(configured, dict) else None
    filters = document.get("filters")
    stages = [*filters] if isinstance(filters, list) else []
    if document.get("compressor") is not None:
        stages.append(document["compressor"])
    yield [_name(stage) for stage in stages]


def _name(stage: object) -> str:
    if not isinstance(stage, dict):
        return "unknown"
    return str(stage.get("name", stage.get("id", "unknown"))).lower().removeprefix("numcodecs.")


def _check_count(folder: Path, array: zarr.Array[Any]) -> None:
    """Refuse an array of more chunks than can have been stored."""
    sizes = array.shards or array.chunks
    if 0 in sizes:
        raise FormatError(f"{folder}: states chunks without voxels, {sizes}; {_ADVICE}")
    count = math.prod(-(-n // size) for n, size in zip(array.shape, sizes, strict=True))
    if count <= FEW_CHUNKS:
        return
    stored = 0
    for _, _, files in os.walk(folder):
        stored += len(files)
        if count <= MOST_MISSING * stored:
            return
    raise FormatError(
        f"{folder}: states {count:,} chunks, of which {stored:,} at most are there; copy it again "
        "from the original"
    )


class _Folder(LocalStore):
    """A folder whose files are read when they are plain ones and no link leads out of it."""

    async def get(
        self,
        key: str,
        prototype: BufferPrototype | None = None,
        byte_range: ByteRequest | None = None,
    ) -> Buffer | None:
        await asyncio.to_thread(self._check, key)
        return await super().get(key, prototype, byte_range)

    async def get_partial_values(
        self,
        prototype: BufferPrototype,
        key_ranges: Iterable[tuple[str, ByteRequest | None]],
    ) -> list[Buffer | None]:
        wanted = list(key_ranges)
        for key, _ in wanted:
            await asyncio.to_thread(self._check, key)
        return await super().get_partial_values(prototype, wanted)

    def _check(self, key: str) -> None:
        # Zarr would take a folder for a chunk that was never written.
        if inside(self.root, self.root / key).is_dir():
            raise FormatError(
                f"{self.root}: {key} is a folder, where a file is expected; {_ADVICE}"
            )


class _BoundedPipeline(BatchedCodecPipeline):
    """Decodes chunks, of which none may become much larger than the array's are."""

    async def decode_batch(
        self, chunk_bytes_and_specs: Iterable[tuple[Buffer | None, ArraySpec]]
    ) -> Iterable[NDBuffer | None]:
        batch = list(chunk_bytes_and_specs)
        for packed, spec in batch:
            if packed is not None:
                most = math.prod(spec.shape) * max(spec.dtype.to_native_dtype().itemsize, 1)
                await asyncio.to_thread(self._check, packed, _WIDER * most + _SLACK_BYTES)
        return await super().decode_batch(batch)

    def _check(self, packed: Buffer, most: int) -> None:
        name = next((n for n in self._names() if n in COMPRESSORS), None)
        if name is None:
            size = len(packed)
        else:
            size = unpacked_bytes(name, packed.as_numpy_array().data, most)
        if size > most:
            raise ValueError(f"a chunk holds {size:,} bytes or more, where {most:,} have room")

    def _names(self) -> Iterable[str]:
        for codec in self:
            compressor = getattr(codec, "compressor", None)
            if compressor is not None:
                yield str(compressor.codec_id)
            to_dict = getattr(codec, "to_dict", None)
            if to_dict is not None and not hasattr(codec, "compressor"):
                yield _name(to_dict())


@functools.cache
def _pipeline() -> str:
    """Make the pipeline known to Zarr; return its name."""
    register_pipeline(_BoundedPipeline)
    return f"{_BoundedPipeline.__module__}.{_BoundedPipeline.__qualname__}"
