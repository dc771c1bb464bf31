"""The correction window: napari with the session's layers, keys and dock."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from annotations.errors import AnnotationError
from annotations.rounds import EditCounts
from hitl.project.errors import HitlError
from hitl.project.folder import Project
from hitl.review.agenda import QueueEntry
from hitl.review.commit import Summary
from hitl.review.controls import ReviewControls
from hitl.review.desk import DeskOptions, ReviewDesk
from hitl.review.errors import WindowError
from hitl.review.evaluated import MistakeList

AUTOSAVE_S = 3.0
"""Seconds between two looks at whether the draft must be written."""

_PROBE = "from qtpy.QtGui import QGuiApplication; QGuiApplication([])"
_PROBE_TIMEOUT_S = 30.0
_BY_FILES = "or correct by files: hitl export, hitl import"


def open_window(
    project: Project,
    stack: str,
    *,
    annotator: str,
    queue: Sequence[QueueEntry] | None = None,
    options: DeskOptions | None = None,
    mistakes: MistakeList | None = None,
) -> ReviewWindow:
    """Open the correction window at a stack; call `run` on it to wait until it is closed.

    Parameters
    ----------
    project : Project
    stack : str
    annotator : str
        The person.
    queue : sequence of QueueEntry, optional
        What to look at; the proposed objects by confidence when not given.
    options : DeskOptions, optional
    mistakes : MistakeList, optional
        A model's errors on the stack; a key changes between them and the queue.

    Raises
    ------
    WindowError
        No napari, or no display.
    UnknownStackError, DraftError, DraftConflictError
        As `ReviewDesk.open`.
    """
    check_display()
    desk = ReviewDesk.open(project, stack, annotator=annotator, queue=queue, options=options)
    try:
        return ReviewWindow(desk, mistakes)
    except BaseException:
        desk.close()
        raise


def check_display() -> None:
    """Refuse to open a window where there can be none; Qt would abort the process.

    Raises
    ------
    WindowError
    """
    try:
        import napari  # noqa: F401
        from qtpy import QtWidgets  # noqa: F401
    except (ImportError, RuntimeError) as error:
        raise WindowError(
            f"the correction window needs napari and Qt ({error}); install them with "
            f"`pip install 'hitl-nuclei[gui]'`, {_BY_FILES}"
        ) from error
    if sys.platform != "linux":
        return
    wanted = ("DISPLAY", "WAYLAND_DISPLAY", "QT_QPA_PLATFORM")
    if not any(os.environ.get(name) for name in wanted):
        raise WindowError(
            "the correction window needs a display, got none (DISPLAY is not set); log in with a "
            f"desktop or `ssh -X`, {_BY_FILES}"
        )
    complaint = _complaint()
    if complaint:
        raise WindowError(
            f"the correction window needs a display, got one where Qt cannot start ({complaint}); "
            f"log in with a desktop or `ssh -X`, install what it names, {_BY_FILES}"
        )


def _complaint() -> str:
    """Start Qt in a process of its own and return why it ended, an empty string if it did not."""
    command = [sys.executable, "-P", "-c", _PROBE]
    try:
        tried = subprocess.run(command, capture_output=True, text=True, timeout=_PROBE_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        display = os.environ.get("DISPLAY", "")
        return f"display {display!r} did not answer within {_PROBE_TIMEOUT_S:.0f} s"
    if tried.returncode == 0:
        return ""
    said = tried.stderr.strip().splitlines() or [f"it ended with {tried.returncode}"]
    # "qt.qpa.xcb: could not connect to display :0"; the lines after it guess at other causes.
    return said[0].removeprefix("qt.qpa.xcb: ").removeprefix("qt.qpa.plugin: ").rstrip(".")


class ReviewWindow(ReviewControls):
    """The window of one desk.

    Parameters
    ----------
    desk : ReviewDesk
        Open; closing the window closes it.
    mistakes : MistakeList, optional
    """

    def __init__(self, desk: ReviewDesk, mistakes: MistakeList | None = None) -> None:
        import napari
        from qtpy.QtCore import QTimer

        from hitl.review.layers import ReviewLayers
        from hitl.review.widget import Action, ReviewWidget

        self.desk = desk
        super().__init__()
        title = f"{desk.stack} — {desk.annotator}"
        self.viewer = napari.Viewer(title=f"Correct {title}")
        self.layers = ReviewLayers(self.viewer, desk.session)
        self.mistakes = mistakes
        self.actions = [Action(*row) for row in self._actions()]
        self.widget = ReviewWidget(title, self.actions, self.go_to, self.commit)
        self.dock = self.viewer.window.add_dock_widget(
            self.widget, name="Correct", area="right", add_vertical_stretch=False
        )
        self._bind_keys([self.viewer, *self.layers.all])
        self._bind()
        self._list()
        self.go_to(self.agenda.row)
        if desk.notice:
            self.widget.say(f"{desk.notice[0].upper()}{desk.notice[1:]}.")
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
            self.desk.close()

    def close(self) -> None:
        """Save the draft and close the window."""
        self._timer.stop()
        try:
            self.desk.close()
        finally:
            self.viewer.close()

    def commit(self) -> None:
        """Show what was done, and make it a round when the person says so."""
        from hitl.review.widget import CommitDialog

        self._leave()
        if self._refuses():
            return
        try:
            summary = self.desk.summary()
            if summary.is_empty:
                self.widget.say("There is nothing to commit yet.", alert=True)
                return
            dialog = CommitDialog(summary_lines(summary), self.widget)
            if not dialog.exec():
                self.widget.say("Not committed; the draft is kept.")
                return
            done = self.desk.commit(dialog.message.text())
        except (HitlError, AnnotationError) as error:
            self.widget.say(str(error), alert=True)
            return
        self.layers.show(self.desk.session)
        self.widget.saved.setText("")
        self._list()
        self.go_to(self.agenda.row)
        self.widget.say(f"Round {done.round} is committed: {done.summary.words()}.")

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
        yield "Errors", ("E",), "What a model got wrong here, and back", self.toggle_mistakes
        yield "2D / 3D", ("D",), "Change between slices and the volume", self.toggle_3d
        yield "Cancel", ("Escape",), "Leave what was begun", self.cancel

    def _open_mistakes(self, found: MistakeList) -> None:
        from hitl.review.mistakes import MistakeAgenda, MistakeLayers

        spacing_um = self.desk.session.spacing_um
        self.mistake_layers = MistakeLayers(self.viewer, found, spacing_um)
        self.mistake_agenda = MistakeAgenda(found.entries)
        self._bind_keys(self.mistake_layers.all)
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
            source.append(lambda _viewer, _event: self.desk.session.clock.touch())
        self.viewer.dims.events.current_step.connect(lambda: self.desk.session.clock.touch())

    def _tick(self) -> None:
        try:
            if self.desk.save_draft():
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
