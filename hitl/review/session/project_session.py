"""A session at a project's field: where it comes from, its draft, and the round it becomes."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from itertools import takewhile
from time import monotonic
from typing import Self

import filelock
import numpy as np

from annotations.store import AnnotationStore
from annotations.views import LabelsView
from hitl.preprocess.grey import one_channel
from hitl.project.folder import Project
from hitl.review.errors import DraftConflictError, DraftError, ReviewError
from hitl.review.session.channels import SeenChannel, seen_channels
from hitl.review.session.commit import Committed, Summary, commit_session, summarise
from hitl.review.session.draft import (
    Draft,
    draft_of,
    draft_path,
    read_draft,
    sweep_unfinished,
    write_draft,
)
from hitl.review.session.review_session import ReviewSession
from hitl.review.session.work_timer import WorkTimer
from hitl.review.session.worklist import WorklistEntry

DRAFT_KEY = "draft"
"""In a round's config: the id of the draft that it came from."""


class ProjectSession(AbstractContextManager["ProjectSession"]):
    """One person at one field of a project; `open` makes it, and leaving it saves the draft.

    Attributes
    ----------
    session : ReviewSession
        A new one after each commit.
    channels : tuple of SeenChannel
        What the person sees.
    base : str
        Snapshot of the store that it began with.
    notice : str
        What opening found: a draft that was taken up, or one that was committed already.
    """

    session: ReviewSession
    channels: tuple[SeenChannel, ...]
    base: str

    def __init__(
        self,
        project: Project,
        field: str,
        time: int | None,
        annotator: str,
        queue: Sequence[WorklistEntry] | None,
        clock: Callable[[], float],
    ) -> None:
        view = time_point(project, field, time)
        self.project = project
        self.info, self.name, self.time = view.info, view.name, view.time or 0
        self.annotator = annotator
        self.notice = ""
        self.draft_file = draft_path(project.folder, self.info, self.time, annotator)
        self._queue = queue
        self._clock = clock
        self._lock = filelock.FileLock(self.draft_file.with_suffix(".lock"))
        self._saved: tuple[int, int, str] | None = None
        self._begin()

    @classmethod
    def open(
        cls,
        project: Project,
        field: str,
        *,
        annotator: str,
        time: int | None = None,
        queue: Sequence[WorklistEntry] | None = None,
        clock: Callable[[], float] = monotonic,
    ) -> Self:
        """Begin a session, or take up the draft of one that was left or killed.

        Parameters
        ----------
        project : Project
        field : str
            Address of the labels.
        annotator : str
            The person; each has a draft of their own.
        time : int, optional
            Time point, from 0; needed where there are several.
        queue : sequence of WorklistEntry, optional
        clock : callable
            Returns seconds that never go back.

        Raises
        ------
        UnknownFieldError
        ReviewError
            A time point that is not there, none named where there are several, or labels of an
            area, which has no objects.
        DraftConflictError
            Somebody else changed voxels or objects of the draft in the store meanwhile; the draft
            is kept.
        DraftError
            The draft cannot be read, or a window of the same person is open at the field.
        """
        opened = cls(project, field, time, annotator, queue, clock)
        opened._acquire()
        try:
            opened._take_up_draft()
        except BaseException:
            opened._lock.release()
            raise
        return opened

    def save_draft(self) -> bool:
        """Write the draft when something has changed since it was written last.

        Returns
        -------
        bool
            Whether it was written.

        Raises
        ------
        DraftError
            The folder cannot be written to.
        """
        state = (self.session.revision, self.session.worklist.row, self._draft_id)
        if self.session.revision == 0 or state == self._saved:
            return False
        write_draft(self.draft_file, self._draft())
        self._saved = state
        return True

    def begin_again(self) -> None:
        """Remove the draft, drop what was not committed, and begin again from the store."""
        self.draft_file.unlink(missing_ok=True)
        self._begin()

    def summarise(self) -> Summary:
        """Return what was done so far, as its commit would say it."""
        labels = self.project.store().labels(self.info.key)
        return summarise(self.session, labels, self.time)

    def commit(self, message: str = "") -> Committed:
        """Make a round of the session, remove its draft, and begin a new one.

        Parameters
        ----------
        message : str
            One line for people; says what was done when empty.

        Raises
        ------
        ReviewError
            There is nothing to commit.
        DraftConflictError
            Somebody else changed the same voxels or objects meanwhile; nothing is committed, the
            draft is kept.
        ConflictError
            Somebody else is committing right now; nothing is committed, try again.
        StoreError
            The store cannot be written; nothing is committed, the draft is kept.
        """
        self.save_draft()
        self._follow()
        done = commit_session(
            self.project.store(read_only=False),
            self.info.key,
            self.session,
            time=self.time,
            annotator=self.annotator,
            message=message,
            config={DRAFT_KEY: self._draft_id},
            base=self.base,
        )
        worklist = self.session.worklist
        left = [row for row in range(len(worklist.entries)) if not worklist.is_done(row)]
        if self._queue is not None:
            self._queue = [worklist.entries[row] for row in left]
        self.begin_again()
        self.session.worklist.go(sum(row < worklist.row for row in left))
        return done

    def close(self) -> None:
        """Save the draft and let others have the field."""
        try:
            self.save_draft()
        finally:
            self._lock.release()

    def __exit__(self, *_: object) -> None:
        self.close()

    def _draft(self) -> Draft:
        return draft_of(
            self.session,
            self.info,
            self.time,
            id=self._draft_id,
            annotator=self.annotator,
            base=self.base,
        )

    def _onto(self, draft: Draft, session: ReviewSession) -> None:
        try:
            draft.apply(session)
        except DraftConflictError as error:
            raise DraftConflictError(
                f"{error}. Nothing was overwritten and the draft is kept at {self.draft_file}: "
                "move it away to work on what is in the store now, or `hitl rollback` that round "
                "first"
            ) from error

    def _follow(self) -> None:
        """Bring the session onto what others have committed since it began."""
        if self.project.store().head() == self.base:
            return
        draft = self._draft()
        session, base = self._load()
        session.timer = self.session.timer
        self._onto(draft, session)
        session.revision = self.session.revision + 1
        self.session, self.base = session, base

    def _begin(self) -> None:
        self._draft_id = uuid.uuid4().hex
        self.session, self.base = self._load()

    def _load(self) -> tuple[ReviewSession, str]:
        store = self.project.store()
        # The snapshot is asked for before and after: a commit in between would not be the base.
        base, after = "", store.head()
        while base != after:
            base = after
            view = store.labels(self.info.key).at(self.time)
            self.channels = seen_channels(view)
            session = self._read(view)
            after = store.head()
        return session, base

    def _read(self, view: LabelsView) -> ReviewSession:
        depth, height, width = view.labels.chunks
        return ReviewSession(
            one_channel(np.stack([channel.voxels for channel in self.channels])),
            np.require(view.labels[...], np.uint32, ["C", "W"]),
            np.require(view.verified[...], np.uint8, ["C", "W"]),
            view.objects,
            view.info.spacing_um,
            self._queue,
            chunks=(depth, height, width),
            timer=WorkTimer(now=self._clock),
        )

    def _acquire(self) -> None:
        try:
            self.draft_file.parent.mkdir(parents=True, exist_ok=True)
            self._lock.acquire(timeout=0)
        except filelock.Timeout as error:
            raise DraftError(
                f"field {self.name!r} is open in another window of {self.annotator!r}; close it, "
                "or say who you are with --annotator"
            ) from error
        except OSError as error:
            raise DraftError(
                f"{self.draft_file.parent}: drafts cannot be kept there ({error.strerror}); make "
                "the project's folder writable"
            ) from error
        sweep_unfinished(self.draft_file)

    def _take_up_draft(self) -> None:
        draft = read_draft(self.draft_file)
        if draft is None:
            return
        header = draft.header
        if (header.field, header.class_name, header.time) != (
            self.info.field.name,
            self.info.class_name,
            self.time,
        ):
            raise DraftError(
                f"{self.draft_file}: expected a draft of {self.name}, got that of {draft.name}; "
                "move it away to start afresh"
            )
        if _was_committed(self.project.store(), draft):
            self.draft_file.unlink()
            self.notice = "the last session was committed; nothing was left to take up"
            return
        session = self.session
        session.timer = WorkTimer(seconds=header.seconds, now=self._clock)
        self._onto(draft, session)
        self._draft_id = header.id
        session.revision = 1
        self._saved = (1, session.worklist.row, self._draft_id)
        self.notice = f"took up the draft of {header.saved_at.replace('T', ' ')[:19]} UTC"


def time_point(project: Project, field: str, time: int | None) -> LabelsView:
    """Return the view of the time point that a person wants to correct.

    Raises
    ------
    UnknownFieldError, ReviewError
        As `ProjectSession.open`.
    """
    view = project.store().labels(field)
    address, last = view.info.address, view.info.times - 1
    if view.info.label_class.kind == "area":
        raise ReviewError(
            f"{address} is an area, which has no objects to correct one by one; correct it in "
            "another tool: hitl export, hitl import"
        )
    if time is None and last:
        raise ReviewError(
            f"{address} has time points 0 to {last}; say which one to correct, as in --time 0"
        )
    if not 0 <= (time or 0) <= last:
        raise ReviewError(f"--time {time}: expected a time point of {address}, 0 to {last}")
    return view.at(time or 0)


def _was_committed(store: AnnotationStore, draft: Draft) -> bool:
    """Whether a commit since the draft's base came from it."""
    since = takewhile(lambda entry: entry.snapshot != draft.header.base, store.entries())
    return any(entry.config.get(DRAFT_KEY) == draft.header.id for entry in since)
