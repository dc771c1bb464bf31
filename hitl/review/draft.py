"""A session on disk while it lasts: one file, replaced whole, without pickles."""

from __future__ import annotations

import json
import os
import tempfile
import uuid
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
from numpy.typing import NDArray

from annotations.objects import Status
from hitl.review.errors import DraftError
from hitl.review.history import box_shape, unpack
from hitl.review.session import ReviewSession
from hitl.review.touched import ChunkData, ChunkIndex

DRAFT_FORMAT = 1
"""Version of the file."""

_HEADER = "draft.json"
_UNFINISHED = ".draft-"


@dataclass(frozen=True, kw_only=True)
class DraftHeader:
    """What a draft says of itself.

    Parameters
    ----------
    id : str
        Goes into the round that the draft becomes, so that it is not taken up twice.
    stack, annotator : str
    base : str
        Snapshot of the store that the session began with.
    shape : tuple of int
        (Z, Y, X).
    saved_at : str
        UTC.
    seconds : float
        Of hand work.
    row : int
        Of the queue.
    highest_id : int
    verdicts, counts : mapping
        As in the session; verdicts by name of `Status`.
    handled : tuple of int
    base_digests : mapping of str to str
        Of each chunk in the draft, as it was in the base, by its position ``"z.y.x"``.
    """

    id: str
    stack: str
    annotator: str
    base: str
    shape: tuple[int, ...]
    saved_at: str
    seconds: float
    row: int
    highest_id: int
    verdicts: Mapping[str, str] = field(default_factory=dict)
    counts: Mapping[str, int] = field(default_factory=dict)
    handled: tuple[int, ...] = ()
    base_digests: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Draft:
    """A draft in memory: its header and its packed chunks."""

    header: DraftHeader
    chunks: Mapping[ChunkIndex, tuple[bytes, bytes]]

    def apply(self, session: ReviewSession) -> None:
        """Bring a session of the same stack to where the draft was saved.

        Raises
        ------
        DraftError
            A chunk that is not of its size.
        """
        session.restore(
            self._unpacked(session),
            verdicts={int(i): Status[name] for i, name in self.header.verdicts.items()},
            counts=self.header.counts,  # type: ignore[arg-type]
            handled=self.header.handled,
            highest_id=self.header.highest_id,
        )
        session.agenda.go(self.header.row)

    def _unpacked(
        self, session: ReviewSession
    ) -> Iterator[tuple[ChunkIndex, NDArray[np.uint32], NDArray[np.uint8]]]:
        for index, (labels, verified) in self.chunks.items():
            shape = box_shape(session.touched.box(index))
            try:
                yield (
                    index,
                    unpack(labels, session.labels.dtype, shape),
                    unpack(verified, session.verified.dtype, shape),
                )
            except (ValueError, zlib.error) as error:
                raise DraftError(f"draft of {self.header.stack}: chunk {index}: {error}") from error


def draft_path(folder: Path, stack: str, annotator: str) -> Path:
    """Return where a person's draft of a stack lies: ``drafts/<stack>/<annotator>.zip``."""
    return folder / "drafts" / stack / f"{quote(annotator, safe=' ')}.zip"


def new_draft_id() -> str:
    """Return an id that no other draft has."""
    return uuid.uuid4().hex


def write_draft(path: Path, header: DraftHeader, chunks: Mapping[ChunkIndex, ChunkData]) -> None:
    """Write a draft whole or not at all; the one before stays until the new one is on disk.

    Raises
    ------
    DraftError
        The folder cannot be written to.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=_UNFINISHED)
        try:
            with os.fdopen(handle, "wb") as stream:
                with zipfile.ZipFile(stream, "w") as archive:
                    archive.writestr(
                        _HEADER, json.dumps({"format": DRAFT_FORMAT, **asdict(header)})
                    )
                    for index, data in chunks.items():
                        archive.writestr(f"labels/{dotted(index)}", data.labels)
                        archive.writestr(f"verified/{dotted(index)}", data.verified)
                stream.flush()
                os.fsync(stream.fileno())
            Path(name).replace(path)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise
    except OSError as error:
        raise DraftError(
            f"{path}: the draft cannot be written ({error.strerror}); make room there, and do not "
            "close the window before it is saved"
        ) from error


def read_draft(path: Path) -> Draft | None:
    """Return the draft, or None when there is none.

    Raises
    ------
    DraftError
        It is damaged, or of a later version.
    """
    if not path.exists():
        return None
    try:
        with zipfile.ZipFile(path) as archive:
            fields: dict[str, Any] = json.loads(archive.read(_HEADER))
            version = fields.pop("format", None)
            if version != DRAFT_FORMAT:
                raise DraftError(
                    f"{path}: expected a draft of format {DRAFT_FORMAT}, got {version}; open it "
                    "with the version of this toolkit that wrote it, or move it away"
                )
            fields["shape"] = tuple(fields["shape"])
            fields["handled"] = tuple(fields["handled"])
            header = DraftHeader(**fields)
            chunks = {
                _index(name): (archive.read(f"labels/{name}"), archive.read(f"verified/{name}"))
                for name in header.base_digests
            }
    except (OSError, zipfile.BadZipFile, KeyError, ValueError, TypeError) as error:
        raise DraftError(
            f"{path}: the draft cannot be read ({error}); it is kept, move it away to start afresh"
        ) from error
    return Draft(header, chunks)


def sweep_unfinished(path: Path) -> None:
    """Remove what killed writers left beside a draft; only while nobody else writes there."""
    for leftover in path.parent.glob(f"{_UNFINISHED}*"):
        leftover.unlink(missing_ok=True)


def dotted(index: ChunkIndex) -> str:
    """Return a chunk's position as text.

    >>> dotted((0, 1, 2))
    '0.1.2'
    """
    return ".".join(map(str, index))


def _index(name: str) -> ChunkIndex:
    z, y, x = (int(part) for part in name.split("."))
    return z, y, x
