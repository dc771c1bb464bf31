"""The correction window: napari with the session's layers, keys and dock."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import napari
from qtpy.QtCore import QTimer

from annotations.errors import AnnotationError
from hitl.project.errors import HitlError
from hitl.review.session.commit import Summary
from hitl.review.session.field_errors import FieldErrors
from hitl.review.session.project_session import ProjectSession
from hitl.review.window.controls import ReviewControls
from hitl.review.window.dock import CommitDialog, ReviewDock
from hitl.review.window.error_layers import ErrorLayers
from hitl.review.window.layers import ReviewLayers

AUTOSAVE_S = 3.0
"""Seconds between two looks at whether the draft must be written."""


class ReviewWindow(ReviewControls):
    """The window of one session.

    Parameters
    ----------
    opened : ProjectSession
        Open; closing the window closes it.
    errors : FieldErrors, optional
    """

    def __init__(self, opened: ProjectSession, errors: FieldErrors | None = None) -> None:
        self.project_session = opened
        super().__init__()
        title = f"{opened.name} — {opened.annotator}"
        self.viewer = napari.Viewer(title=f"Correct {title}")
        self.layers = ReviewLayers(self.viewer, opened.session, opened.channels)
        if errors is not None:
            self.errors = ErrorLayers(self.viewer, errors, opened.session.spacing_um)
        self.dock = ReviewDock(title, list(self.keys()), self.go_to, self.commit)
        self.viewer.window.add_dock_widget(
            self.dock, name="Correct", area="right", add_vertical_stretch=False
        )
        self._bind_keys([self.viewer, *self.layers.all])
        self._bind_mouse()
        self._list()
        self.go_to(self.worklist.row)
        if opened.notice:
            self.dock.say(f"{opened.notice[0].upper()}{opened.notice[1:]}.")
        self._timer = QTimer()
        self._timer.timeout.connect(self._tick)
        # napari deletes its widgets before the event loop ends.
        self.dock.destroyed.connect(self._timer.stop)
        self._timer.start(int(AUTOSAVE_S * 1000))

    def run(self) -> None:
        """Wait until the window is closed; the draft is saved on any way out."""
        try:
            with self._signals():
                napari.run()
        finally:
            # The window is gone by now, and its widgets with it.
            self._timer.stop()
            self.project_session.close()

    def close(self) -> None:
        """Save the draft and close the window."""
        self._timer.stop()
        try:
            self.project_session.close()
        finally:
            self.viewer.close()

    def commit(self) -> None:
        """Show what was done, and make it a round when the person says so."""
        self._leave()
        if self._refuses():
            return
        try:
            summary = self.project_session.summarise()
            if summary.is_empty:
                self.dock.say("There is nothing to commit yet.", alert=True)
                return
            dialog = CommitDialog(summary_lines(summary), self.dock)
            if not dialog.exec():
                self.dock.say("Not committed; the draft is kept.")
                return
            done = self.project_session.commit(dialog.message.text())
        except (HitlError, AnnotationError) as error:
            self.dock.say(str(error), alert=True)
            return
        self.layers.show(self.session)
        self.dock.saved.setText("")
        self._list()
        self.go_to(self.worklist.row)
        self.dock.say(f"Round {done.round} is committed: {done.summary.sentence()}.")

    def _bind_mouse(self) -> None:
        self.layers.labels.events.paint.connect(self._painted)
        self.viewer.mouse_drag_callbacks.append(self._on_press)
        for source in (self.viewer.mouse_move_callbacks, self.viewer.mouse_wheel_callbacks):
            source.append(lambda _viewer, _event: self.session.timer.touch())
        self.viewer.dims.events.current_step.connect(lambda: self.session.timer.touch())

    def _tick(self) -> None:
        try:
            if self.project_session.save_draft():
                self.dock.saved.setText("Draft saved.")
        except HitlError as error:
            self.dock.saved.setText(str(error))
        self._refresh_text()

    @contextmanager
    def _signals(self) -> Iterator[None]:
        """Save the draft when the process is told to end."""

        def leave(_number: int, _frame: Any) -> None:
            self.viewer.close()

        names = ("SIGINT", "SIGTERM", "SIGHUP")
        numbers = [getattr(signal, name) for name in names if hasattr(signal, name)]
        before = {number: signal.signal(number, leave) for number in numbers}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


def summary_lines(summary: Summary) -> list[tuple[str, str]]:
    """Return what a commit would hold, line by line."""
    counts = summary.counts
    names = ("accepted", "added", "deleted", "split", "merged", "reshaped")
    lines = [(name, str(getattr(counts, name))) for name in names if getattr(counts, name)]
    if summary.checked_voxels:
        lines.append(("voxels checked", f"{summary.checked_voxels:,}"))
    return [*lines, ("minutes of work", f"{summary.minutes:.1f}")]
