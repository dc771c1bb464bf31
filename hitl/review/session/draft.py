"""A session on disk while it lasts: one file, replaced whole, without pickles."""

from __future__ import annotations

import json
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from dataclasses import field as default
from functools import partial
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import quote

import numpy as np
from annotated_types import Ge, Le
from pydantic import StringConstraints

from annotations.fields import LabelsInfo
from annotations.names import key_of
from annotations.objects import Status
from hitl.project.folder import now
from hitl.project.records import Number, Whole
from hitl.review.errors import DraftError
from hitl.review.session.boxes import box_shape
from hitl.review.session.changed_chunks import ChunkData, ChunkIndex, Planes
from hitl.review.session.draft_merge import check_rows, merge_chunks, renumbered
from hitl.review.session.review_session import ReviewSession
from labels.files import open_zip, replacing
from labels.json_files import parse_json, shaped

DRAFT_FORMAT = 1
"""Version of the file."""

_HEADER = "draft.json"
_WHEN = ("before", "after")


Id = Annotated[int, Ge(0), Le(2**32 - 1)]
IdText = Annotated[str, StringConstraints(pattern=r"^[0-9]{1,10}$")]
"""An id as a key of JSON."""

Position = Annotated[str, StringConstraints(pattern=r"^[0-9]{1,9}(\.[0-9]{1,9}){2}$")]
"""Of a chunk, as `dotted` gives it."""


@dataclass(frozen=True, kw_only=True)
class DraftHeader:
    """What a draft says of itself.

    Parameters
    ----------
    id : str
        Goes into the round that the draft becomes, so that it is not taken up twice.
    field, class_name : str
    time : int
    annotator : str
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
    rounds : mapping of str to int
        By id of each object of the base that the session is about: the round that last
        changed it.
    base_highest_id : int
        Ids above it are the session's own.
    chunks : tuple of str
        Positions of the chunks in the draft, ``"z.y.x"``.
    """

    id: str
    field: str
    class_name: str
    time: Whole
    annotator: str
    base: str
    shape: tuple[Whole, Whole, Whole]
    saved_at: str
    seconds: Number
    row: Whole
    highest_id: Id
    verdicts: Mapping[IdText, str] = default(default_factory=dict)
    counts: Mapping[str, Whole] = default(default_factory=dict)
    handled: tuple[Id, ...] = ()
    rounds: Mapping[IdText, int] = default(default_factory=dict)
    base_highest_id: Id = 0
    chunks: tuple[Position, ...] = ()


@dataclass(frozen=True)
class Draft:
    """A draft in memory: its header, and its chunks before and after."""

    header: DraftHeader
    chunks: Mapping[ChunkIndex, tuple[ChunkData, ChunkData]]

    @property
    def name(self) -> str:
        """For messages."""
        header = self.header
        at = f"{key_of(header.field, header.class_name)} t{header.time}"
        return f"draft of {header.annotator!r} for {at}"

    def apply(self, session: ReviewSession) -> None:
        """Bring a session that has just begun to where the draft was saved.

        The session may begin with what somebody else has committed since; what both changed
        is kept, as long as it is not the same voxel or object.

        Raises
        ------
        DraftConflictError
            The same voxel or object was changed.
        DraftError
            Another field's draft, or a chunk that is not of its size.
        """
        header = self.header
        if header.shape != session.labels.shape:
            raise DraftError(
                f"{self.name}: expected one of shape {session.labels.shape} (Z, Y, X), got "
                f"{header.shape}; move it away to start afresh"
            )
        check_rows({int(i): r for i, r in header.rounds.items()}, session.objects, self.name)
        own = header.base_highest_id
        new = partial(renumbered, above=own, by=max(session.highest_id - own, 0))
        merged = merge_chunks(self._sides(session, new), self.name)
        session.restore(
            merged,
            verdicts={int(new(int(i))): Status[name] for i, name in header.verdicts.items()},
            counts=header.counts,  # type: ignore[arg-type]
            handled=new(np.array(header.handled, np.uint32)).tolist(),
            highest_id=int(new(header.highest_id)),
        )
        session.worklist.go(header.row)

    def _sides(
        self, session: ReviewSession, new: Callable[[Any], Any]
    ) -> Iterator[tuple[ChunkIndex, Planes, Planes, Planes]]:
        for index, pair in self.chunks.items():
            box = session.chunks.box(index)
            try:
                if min(box_shape(box)) < 1:
                    raise ValueError("it lies outside")
                base, (labels, verified) = (data.unpacked(box_shape(box)) for data in pair)
            except (ValueError, zlib.error) as error:
                raise DraftError(
                    f"{self.name}: block {index} cannot be read ({error}); move it away to start "
                    "afresh"
                ) from error
            theirs = session.labels[box], session.verified[box]
            yield index, base, (new(labels), verified), theirs


def draft_path(folder: Path, info: LabelsInfo, time: int, annotator: str) -> Path:
    """Return where a person's draft of one time point of labels lies.

    ``drafts/<field>/<class>/<time>/<annotator>.zip``
    """
    at = folder / "drafts" / info.field.name / info.class_name / str(time)
    return at / f"{quote(annotator, safe=' ')}.zip"


def draft_of(
    session: ReviewSession, info: LabelsInfo, time: int, *, id: str, annotator: str, base: str
) -> Draft:
    """Return a session at one time point of labels as a draft; for the others see its header."""
    rounds = dict(zip(session.objects.id.tolist(), session.objects.round.tolist(), strict=True))
    changed = session.chunks.changed()
    chunks = {index: (session.chunks.base(index), after) for index, after in changed.items()}
    header = DraftHeader(
        id=id,
        field=info.field.name,
        class_name=info.class_name,
        time=time,
        annotator=annotator,
        base=base,
        shape=session.labels.shape,
        saved_at=now(),
        seconds=session.timer.seconds,
        row=session.worklist.row,
        highest_id=session.highest_id,
        verdicts={str(i): status.name for i, status in session.verdicts.items()},
        counts={str(kind): count for kind, count in session.changes().items()},
        handled=tuple(session.handled),
        rounds={str(i): rounds[i] for i in session.handled if i in rounds},
        base_highest_id=session.base_highest_id,
        chunks=tuple(map(dotted, chunks)),
    )
    return Draft(header, chunks)


def write_draft(path: Path, draft: Draft) -> None:
    """Write a draft whole or not at all; the one before stays until the new one is on disk.

    Raises
    ------
    DraftError
        The folder cannot be written to.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as file, zipfile.ZipFile(file, "w") as archive:
            header = {"format": DRAFT_FORMAT, **asdict(draft.header)}
            archive.writestr(_HEADER, json.dumps(header))
            for index, pair in draft.chunks.items():
                for when, data in zip(_WHEN, pair, strict=True):
                    for plane, packed in vars(data).items():
                        archive.writestr(f"{when}/{dotted(index)}/{plane}", packed)
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
        with open_zip(path) as archive:
            fields = parse_json(archive.read(_HEADER))
            if not isinstance(fields, dict):
                raise ValueError("no header")
            version = fields.pop("format", None)
            if version != DRAFT_FORMAT:
                raise DraftError(
                    f"{path}: expected a draft of format {DRAFT_FORMAT}, got {version}; open it "
                    "with the version of this toolkit that wrote it, or move it away"
                )
            header = shaped(DraftHeader, fields)
            if unknown := set(header.verdicts.values()) - set(Status.__members__):
                raise ValueError(f"a verdict {min(unknown)!r}")
            chunks = {_index(name): _read(archive, name) for name in header.chunks}
    except (
        OSError, EOFError, RuntimeError, zipfile.BadZipFile, KeyError, ValueError
    ) as error:  # fmt: skip
        # A RuntimeError is zipfile's for what is locked with a password.
        raise DraftError(
            f"{path}: the draft cannot be read ({error}); it is kept, move it away to start afresh"
        ) from error
    return Draft(header, chunks)


def sweep_unfinished(path: Path) -> None:
    """Remove what killed writers left beside a draft; only while nobody else writes there."""
    if path.parent.is_dir():
        for leftover in path.parent.iterdir():
            if leftover.name.startswith(_unfinished(path)):
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


def _read(archive: zipfile.ZipFile, name: str) -> tuple[ChunkData, ChunkData]:
    before, after = (
        ChunkData(*(archive.read(f"{when}/{name}/{plane}") for plane in ("labels", "verified")))
        for when in _WHEN
    )
    return before, after


def _unfinished(path: Path) -> str:
    return f".{path.name}."
