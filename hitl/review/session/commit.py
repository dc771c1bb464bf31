"""From a session to a round: what it did, found by comparing, and only that is written."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from annotations.edits.partial import compare_regions
from annotations.edits.records import Edits
from annotations.edits.sources import ByBox, StableLabels
from annotations.edits.table import updated_objects
from annotations.edits.verified import shell_voxels, verified_mask_update
from annotations.errors import ConflictError
from annotations.rounds import EditCounts, RoundInfo
from annotations.store import AnnotationStore
from annotations.views import LabelsView
from hitl.labelling.corrections import Corrections, counted, elsewhere
from hitl.review.errors import ReviewError
from hitl.review.session.boxes import Box
from hitl.review.session.review_session import ReviewSession
from labels.numbers import number_of


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

    def sentence(self) -> str:
        """Return one line for people."""
        checked = (
            f"{number_of(self.checked_voxels, 'voxel')} checked" if self.checked_voxels else ""
        )
        return ", ".join(filter(None, (counted(self.counts), checked))) or "nothing changed"


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
class _Before(ByBox):
    """The labels that a session began with, without a second copy of them."""

    session: ReviewSession

    @property
    def shape(self) -> tuple[int, ...]:
        return self.session.labels.shape

    def read_region(self, region: Box) -> NDArray[np.uint32]:
        return self.session.chunks.base_labels(region)


def summarise(session: ReviewSession, labels: LabelsView, time: int = 0) -> Summary:
    """Return what a session has done so far, as its commit would say it.

    Parameters
    ----------
    session : ReviewSession
    labels : LabelsView
        Of all time points, as the store has them.
    time : int
        The time point that the session is at.
    """
    return _summary(session, find_edits(session), labels, time)


def _summary(session: ReviewSession, edits: Edits, labels: LabelsView, time: int) -> Summary:
    _, counts = updated_objects(
        session.objects,
        edits,
        annotator="nobody",
        round=0,
        accepted=session.accepted,
        elsewhere=elsewhere(labels, edits, time),
    )
    chunks = session.chunks
    boxes = map(chunks.box, chunks.changed())
    checked = sum(
        int(np.count_nonzero(session.verified[box] != chunks.base_verified(box))) for box in boxes
    )
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
    field: str,
    session: ReviewSession,
    *,
    time: int = 0,
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
    field : str
        Address of the labels.
    session : ReviewSession
        Of one time point of these labels, as their last commit has it.
    time : int
        The time point; nothing is written to the others.
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
        Somebody else has committed to the field since the session began.
    StoreError
        The store cannot be written.
    """
    edits = find_edits(session)
    labels = store.labels(field)
    summary = _summary(session, edits, labels, time)
    if summary.is_empty:
        raise ReviewError("there is nothing to commit: no object was changed or accepted")
    name = labels.at(time).name
    info = RoundInfo(
        kind="correct",
        message=message.strip() or f"corrected {name}: {summary.sentence()}",
        author=annotator,
        minutes=round(summary.minutes, 3),
        config={**(config or {}), "actions": dict(session.changes())},
    )
    corrections = Corrections(
        field=field,
        objects=session.objects,
        edits=edits,
        labels=StableLabels(session.labels, edits),
        accepted=session.accepted,
        annotator=annotator,
        time=time,
    )
    chunks, seen = session.chunks, _seen(session, edits)
    with store.begin_round(info) as txn:
        if base is not None and store.head() == base:
            corrections.write(
                txn, seen, labels_now=chunks.base_labels, verified_now=chunks.base_verified
            )
        else:
            _check_base(txn.labels(field).at(time), session)
            corrections.write(txn, seen)
        return Committed(round=txn.number, summary=summary)


def _seen(session: ReviewSession, edits: Edits) -> Iterator[tuple[Box, NDArray[np.uint8]]]:
    """Yield what was marked as checked, then what edits and accepted objects verify."""
    chunks = session.chunks
    for index, data in chunks.changed().items():
        if data.verified != chunks.base(index).verified:
            yield chunks.box(index), session.verified[chunks.box(index)]
    yield from verified_mask_update(
        _Before(session),
        session.labels,
        edits,
        session.accepted,
        shell=shell_voxels(session.spacing_um),
    )


def _check_base(view: LabelsView, session: ReviewSession) -> None:
    """Refuse to write over what others committed between the session's start and now."""
    chunks = session.chunks
    boxes = [chunks.box(index) for index in chunks.changed()]
    same = view.objects.equals(session.objects) and all(
        np.array_equal(chunks.base_labels(box), np.asarray(view.labels[box]))
        and np.array_equal(chunks.base_verified(box), np.asarray(view.verified[box]))
        for box in boxes
    )
    if not same:
        raise ConflictError(
            f"field {view.name!r}: somebody else has committed to it just now; nothing was "
            "written, commit again"
        )
