"""From a session to a round: what it did, found by comparing, and only that is written."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from annotations.edits import (
    Edits,
    StableLabels,
    compare_regions,
    shell_voxels,
    updated_objects,
    verified_mask_update,
)
from annotations.errors import ConflictError
from annotations.rounds import EditCounts, RoundInfo
from annotations.store import AnnotationStore
from annotations.transaction import RoundTransaction
from hitl.review.errors import ReviewError
from hitl.review.session.review_session import ReviewSession
from hitl.review.session.undo import Box, box_shape, unpack


@dataclass(frozen=True, kw_only=True)
class Summary:
    """What a session did.

    Parameters
    ----------
    counts : EditCounts
        Objects, by what became of them.
    checked_voxels : int
        Voxels that became verified because a slice or a box was marked as checked.
    minutes : float
    """

    counts: EditCounts
    checked_voxels: int
    minutes: float

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to commit."""
        return self.counts == EditCounts() and not self.checked_voxels

    def words(self) -> str:
        """Return one line for people."""
        said = [f"{count} {kind}" for kind, count in asdict(self.counts).items() if count]
        if self.checked_voxels:
            said.append(f"{self.checked_voxels} voxels checked")
        return ", ".join(said) or "nothing changed"


@dataclass(frozen=True, kw_only=True)
class Committed:
    """The round that a session became.

    Parameters
    ----------
    round : int
    summary : Summary
    """

    round: int
    summary: Summary


@dataclass(frozen=True)
class _Before:
    """The labels that a session began with, without a second copy of them."""

    session: ReviewSession

    @property
    def shape(self) -> tuple[int, ...]:
        return self.session.labels.shape

    def read(self, z_start: int, z_stop: int) -> NDArray[np.uint32]:
        _, height, width = self.session.labels.shape
        return self.read_region((slice(z_start, z_stop), slice(0, height), slice(0, width)))

    def read_region(self, region: Box) -> NDArray[np.uint32]:
        return self.session.chunks.base_labels(region)


def summarise(session: ReviewSession) -> Summary:
    """Return what a session has done so far, as its commit would say it."""
    return _summary(session, find_edits(session))


def _summary(session: ReviewSession, edits: Edits) -> Summary:
    _, counts = updated_objects(
        session.objects, edits, annotator="nobody", round=0, accepted=session.accepted
    )
    checked = 0
    for index in session.chunks.changed():
        box = session.chunks.box(index)
        base = unpack(session.chunks.base(index).verified, session.verified.dtype, box_shape(box))
        checked += int(np.count_nonzero(session.verified[box] != base))
    return Summary(counts=counts, checked_voxels=checked, minutes=session.timer.minutes)


def find_edits(session: ReviewSession) -> Edits:
    """Return what became of each object of a session, found by comparing before and after."""
    known = set(session.objects.live_ids.tolist())
    accepted = [i for i in session.accepted if i in known]
    return compare_regions(
        _Before(session),
        session.labels,
        [
            *session.chunks.changed_labels(),
            *(session.boxes[i] for i in session.accepted),
        ],
        objects=session.objects,
        follow=accepted,
    )


def commit_session(
    store: AnnotationStore,
    stack: str,
    session: ReviewSession,
    *,
    annotator: str,
    message: str = "",
    config: Mapping[str, Any] | None = None,
    base: str | None = None,
) -> Committed:
    """Make a session a round of kind ``"correct"``.

    Parameters
    ----------
    store : AnnotationStore
        Open for writing.
    stack : str
    session : ReviewSession
        Of that stack, as its last commit has it.
    annotator : str
    message : str
        One line for people; says what was done when empty.
    config : mapping, optional
        Kept with the round.
    base : str, optional
        Snapshot that the session began with. Where it is the last one still, what was touched
        need not be compared with the store.

    Returns
    -------
    Committed

    Raises
    ------
    ReviewError
        There is nothing to commit.
    ConflictError
        Somebody else has committed to the stack since the session began.
    StoreError
        The store cannot be written.
    """
    edits = find_edits(session)
    summary = _summary(session, edits)
    if summary.is_empty:
        raise ReviewError("there is nothing to commit: no object was changed or accepted")
    info = RoundInfo(
        kind="correct",
        message=message.strip() or f"corrected {stack}: {summary.words()}",
        author=annotator,
        minutes=round(summary.minutes, 3),
        config={**(config or {}), "actions": dict(session.changes())},
    )
    with store.begin_round(info) as txn:
        alone = base is not None and store.log()[0].snapshot == base
        if not alone:
            _check_base(txn, stack, session)
        _write(txn, stack, session, edits, annotator, alone=alone)
        number = txn.number
    return Committed(round=number, summary=summary)


def _write(
    txn: RoundTransaction,
    stack: str,
    session: ReviewSession,
    edits: Edits,
    annotator: str,
    *,
    alone: bool,
) -> None:
    """Write what differs; `alone`: nobody has committed since the session began."""
    touched = session.chunks
    txn.verify(stack, _seen(session, edits), touched.base_verified if alone else None)
    # Whole objects: a stable id can be another one than the session's.
    boxes = [change.box for change in edits.changes]
    stable = StableLabels(session.labels, edits)
    txn.copy_labels(stack, stable, boxes, touched.base_labels if alone else None)
    rows, counts = updated_objects(
        session.objects, edits, annotator=annotator, round=txn.number, accepted=session.accepted
    )
    txn.set_objects(stack, rows)
    txn.count(stack, counts)


def _seen(session: ReviewSession, edits: Edits) -> Iterator[tuple[Box, NDArray[np.uint8]]]:
    """Yield what was marked as checked, then what edits and accepted objects verify."""
    touched = session.chunks
    for index, data in touched.changed().items():
        if data.verified != touched.base(index).verified:
            yield touched.box(index), session.verified[touched.box(index)]
    yield from verified_mask_update(
        _Before(session),
        session.labels,
        edits,
        session.accepted,
        shell=shell_voxels(session.spacing_um),
    )


def _check_base(txn: RoundTransaction, stack: str, session: ReviewSession) -> None:
    """Refuse to write over what others committed between the session's start and now."""
    view = txn.stack(stack)
    moved = not view.objects.equals(session.objects)
    for index in session.chunks.changed():
        box, base = session.chunks.box(index), session.chunks.base(index)
        labels = unpack(base.labels, session.labels.dtype, box_shape(box))
        verified = unpack(base.verified, session.verified.dtype, box_shape(box))
        moved |= not np.array_equal(labels, np.asarray(view.labels[box]))
        moved |= not np.array_equal(verified, np.asarray(view.verified[box]))
    if moved:
        raise ConflictError(
            f"stack {stack!r}: somebody else has committed to it just now; nothing was written, "
            "commit again"
        )
