"""The correction window: napari with the session's layers, keys and dock."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from annotations.errors import AnnotationError
from annotations.rounds import EditCounts
from hitl.project.errors import HitlError
from hitl.project.folder import Project
from hitl.review.session.commit import Summary, summarise
from hitl.review.session.model_errors import ModelErrors
from hitl.review.session.project_session import ProjectSession
from hitl.review.session.worklist import WorklistEntry
from hitl.review.window.controls import ReviewControls
from hitl.review.window.display import check_display

AUTOSAVE_S = 3.0
"""Seconds between two looks at whether the draft must be written."""


def open_window(
    project: Project,
    stack: str,
    *,
    annotator: str,
    queue: Sequence[WorklistEntry] | None = None,
    model_errors: ModelErrors | None = None,
) -> ReviewWindow:
    """Open the correction window at a stack; call `run` on it to wait until it is closed.

    Parameters
    ----------
    project : Project
    stack : str
    annotator : str
        The person.
    queue : sequence of WorklistEntry, optional
        What to look at; the proposed objects by confidence when not given.
    model_errors : ModelErrors, optional
        A model's errors on the stack; a key changes between them and the queue.

    Raises
    ------
    WindowError
        No napari, or no display.
    UnknownStackError, DraftError, DraftConflictError
        As `ProjectSession.open`.
    """
    check_display()
    opened = ProjectSession.open(project, stack, annotator=annotator, queue=queue)
    try:
        return ReviewWindow(opened, model_errors)
    except BaseException:
        opened.close()
        raise


class ReviewWindow(ReviewControls):
    """The window of one session.

    Parameters
    ----------
    opened : ProjectSession
        Open; closing the window closes it.
    model_errors : ModelErrors, optional
    """

    def __init__(self, opened: ProjectSession, model_errors: ModelErrors | None = None) -> None:
        import napari
        from qtpy.QtCore import QTimer

        from hitl.review.window.dock import Action, ReviewDock
        from hitl.review.window.layers import ReviewLayers

        self.project_session = opened
        super().__init__()
        title = f"{opened.stack} — {opened.annotator}"
        self.viewer = napari.Viewer(title=f"Correct {title}")
        self.layers = ReviewLayers(self.viewer, opened.session)
        self.model_errors = model_errors
        self.actions = [Action(*row) for row in self._actions()]
        self.widget = ReviewDock(title, self.actions, self.go_to, self.commit)
        self.dock = self.viewer.window.add_dock_widget(
            self.widget, name="Correct", area="right", add_vertical_stretch=False
        )
        self._bind_keys([self.viewer, *self.layers.all])
        self._bind()
        self._list()
        self.go_to(self.worklist.row)
        if opened.notice:
            self.widget.say(f"{opened.notice[0].upper()}{opened.notice[1:]}.")
        self._timer = QTimer()
        self._timer.timeout.connect(self._tick)
        # napari deletes its widgets before the event loop ends.
        self.widget.destroyed.connect(self._timer.stop)
        self._timer.start(int(AUTOSAVE_S * 1000))

    def run(self) -> None:
        """Wait until the window is closed; the draft is saved on any way out."""
        import napari

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
        from hitl.review.window.dock import CommitDialog

        self._leave()
        if self._refuses():
            return
        try:
            summary = summarise(self.session)
            if summary.is_empty:
                self.widget.say("There is nothing to commit yet.", alert=True)
                return
            dialog = CommitDialog(summary_lines(summary), self.widget)
            if not dialog.exec():
                self.widget.say("Not committed; the draft is kept.")
                return
            done = self.project_session.commit(dialog.message.text())
        except (HitlError, AnnotationError) as error:
            self.widget.say(str(error), alert=True)
            return
        self.layers.show(self.session)
        self.widget.saved.setText("")
        self._list()
        self.go_to(self.worklist.row)
        self.widget.say(f"Round {done.round} is committed: {done.summary.sentence()}.")

    def _actions(self) -> Iterator[tuple[str, tuple[str, ...], str, Callable[[], None]]]:
        yield "Accept", ("A",), "The selected object is right", self.accept
        yield "Reject", ("X",), "The selected object is none: delete it", self.reject
        yield "Merge", ("M",), "Click on two objects that are one", self.merge
        yield "Split", ("S",), "Click once in each part, then S or Enter", self.split
        yield "New object", ("N",), "Paint an object that is missing", self.new_object
        yield "Interpolate", ("I",), "Fill slices between two painted ones", self.interpolate
        yield "Slice checked", ("C",), "All of this slice is right", self.check_slice
        yield "Box checked", ("B",), "All of a box is right: click two corners", self.check_box
        yield "Undo", ("Control-Z",), "Take the last edit back", self.undo
        yield "Redo", ("Control-Shift-Z",), "Do it again", self.redo
        yield "Next", ("Space",), "The next object that nobody has seen to", self.next
        yield "Previous", ("Shift-Space",), "One object back", self.previous
        yield "Errors", ("E",), "What a model got wrong here, and back", self.toggle_errors
        yield "2D / 3D", ("D",), "Change between slices and the volume", self.toggle_3d
        yield "Cancel", ("Escape",), "Leave what was begun", self.cancel

    def _open_errors(self, found: ModelErrors) -> None:
        from hitl.review.session.worklist import ViewedWorklist
        from hitl.review.window.error_layers import ErrorLayers

        spacing_um = self.session.spacing_um
        self.error_layers = ErrorLayers(self.viewer, found, spacing_um)
        self.error_worklist = ViewedWorklist(found.entries)
        self._bind_keys(self.error_layers.all)
        self.layers.activate()

    def _bind_keys(self, owners: Sequence[Any]) -> None:
        keys = {key: action.run for action in self.actions for key in action.keys}
        keys["Enter"] = keys["Return"] = self.confirm
        # The active layer's keys come before the viewer's: both get them.
        for owner in owners:
            for key, run in keys.items():
                owner.bind_key(key, _ignoring_owner(run), overwrite=True)

    def _bind(self) -> None:
        self.layers.labels.events.paint.connect(self._painted)
        self.viewer.mouse_drag_callbacks.append(self._on_press)
        for source in (self.viewer.mouse_move_callbacks, self.viewer.mouse_wheel_callbacks):
            source.append(lambda _viewer, _event: self.session.timer.touch())
        self.viewer.dims.events.current_step.connect(lambda: self.session.timer.touch())

    def _tick(self) -> None:
        try:
            if self.project_session.save_draft():
                self.widget.saved.setText("Draft saved.")
        except HitlError as error:
            self.widget.saved.setText(str(error))
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
    counts: EditCounts = summary.counts
    names = ("accepted", "added", "deleted", "split", "merged", "reshaped")
    lines = [(name, str(getattr(counts, name))) for name in names if getattr(counts, name)]
    if summary.checked_voxels:
        lines.append(("voxels checked", f"{summary.checked_voxels:,}"))
    return [*lines, ("minutes of work", f"{summary.minutes:.1f}")]


def _ignoring_owner(run: Callable[[], None]) -> Callable[[Any], None]:
    return lambda _owner: run()
