"""The correction window: napari with the session's layers, keys and dock.

Every handler calls one method of the session or the desk and shows what it did.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Literal

from annotations.errors import AnnotationError
from annotations.rounds import EditCounts
from hitl.errors import HitlError
from hitl.project import Project
from hitl.review.agenda import QueueEntry
from hitl.review.commit import Summary
from hitl.review.desk import DeskOptions, ReviewDesk
from hitl.review.errors import WindowError
from hitl.review.history import Operation

AUTOSAVE_S = 3.0
"""Seconds between two looks at whether the draft must be written."""

Mode = Literal["look", "merge", "split", "paint", "box"]
"""What a click means."""

_PROMPTS: dict[Mode, str] = {
    "look": "Click on an object to select it.",
    "merge": "Merge: click on the first object, then on the second. Esc cancels.",
    "split": "Split: click once in each part, in any slice, then press S or Enter. Esc cancels.",
    "paint": "New object: paint it in each slice, or in some and press I. N or Esc ends.",
    "box": "Checked box: click on a corner, go to another slice, click on the opposite one.",
}
_JITTER_PX = 4.0


def open_window(
    project: Project,
    stack: str,
    *,
    annotator: str,
    queue: Sequence[QueueEntry] | None = None,
    options: DeskOptions | None = None,
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
        return ReviewWindow(desk)
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
            "`pip install 'hitl-nuclei[gui]'`, or correct by files: hitl export, hitl import"
        ) from error
    wanted = ("DISPLAY", "WAYLAND_DISPLAY", "QT_QPA_PLATFORM")
    if sys.platform == "linux" and not any(os.environ.get(name) for name in wanted):
        raise WindowError(
            "the correction window needs a display, got none (DISPLAY is not set); log in with a "
            "desktop or `ssh -X`, or correct by files: hitl export, hitl import"
        )


class ReviewWindow:
    """The window of one desk.

    Parameters
    ----------
    desk : ReviewDesk
        Open; closing the window closes it.
    """

    def __init__(self, desk: ReviewDesk) -> None:
        import napari
        from qtpy.QtCore import QTimer

        from hitl.review.layers import ReviewLayers
        from hitl.review.widget import Action, ReviewWidget

        self.desk = desk
        self.mode: Mode = "look"
        self.picked: list[Any] = []
        self.selected = 0
        title = f"{desk.stack} — {desk.annotator}"
        self.viewer = napari.Viewer(title=f"Correct {title}")
        self.layers = ReviewLayers(self.viewer, desk.session)
        self.actions = [Action(*row) for row in self._actions()]
        self.widget = ReviewWidget(title, self.actions, self.go_to, self.commit)
        self.dock = self.viewer.window.add_dock_widget(
            self.widget, name="Correct", area="right", add_vertical_stretch=False
        )
        self._bind()
        self.widget.show_queue(desk.session.agenda)
        self.widget.say(desk.notice or _PROMPTS["look"])
        self.go_to(desk.session.agenda.row)
        self._timer = QTimer(self.widget)
        self._timer.timeout.connect(self._tick)
        self._timer.start(int(AUTOSAVE_S * 1000))

    def run(self) -> None:
        """Wait until the window is closed; the draft is saved on any way out."""
        import napari

        try:
            with self._signals():
                napari.run()
        finally:
            self.close()

    def close(self) -> None:
        """Save the draft and close the window."""
        self._timer.stop()
        try:
            self.desk.close()
        finally:
            self.viewer.close()

    def accept(self) -> None:
        """Accept the selected object and go on."""
        if self._do(lambda: self.desk.session.accept(self.selected)):
            self._advance()

    def reject(self) -> None:
        """Delete the selected object and go on."""
        if self._do(lambda: self.desk.session.reject(self.selected)):
            self._advance()

    def merge(self) -> None:
        """Begin to pick two objects."""
        self._enter("merge")

    def split(self) -> None:
        """Begin to click points, or split by those clicked."""
        if self.mode != "split":
            self._enter("split")
            return
        points, target = self.picked, self.selected
        if self._do(lambda: self.desk.session.split(target, points)):
            self._leave()

    def new_object(self) -> None:
        """Begin to paint a new object, or end it."""
        if self.mode == "paint":
            self._leave()
            return
        self._enter("paint")
        self.layers.activate()
        self.layers.labels.selected_label = self.desk.session.new_id()
        self.layers.labels.mode = "paint"

    def interpolate(self) -> None:
        """Fill the slices that the selected object lacks."""
        target = self.layers.labels.selected_label if self.mode == "paint" else self.selected
        self._do(lambda: self.desk.session.interpolate(int(target), self.layers.slice))

    def check_slice(self) -> None:
        """Mark the slice in view as checked."""
        self._do(lambda: self.desk.session.check_slice(self.layers.slice))

    def check_box(self) -> None:
        """Begin to click two corners."""
        self._enter("box")

    def undo(self) -> None:
        """Take the last edit back and show where it was."""
        self._do(lambda: self.desk.session.undo(), said="undone: ")

    def redo(self) -> None:
        """Do it again and show where it was."""
        self._do(lambda: self.desk.session.redo(), said="redone: ")

    def next(self) -> None:
        """Go to the next object of the queue that nobody has seen to."""
        self._show(self.desk.session.agenda.next())

    def previous(self) -> None:
        """Go one object back."""
        self._show(self.desk.session.agenda.previous())

    def go_to(self, row: int) -> None:
        """Go to a row of the queue."""
        self._show(self.desk.session.agenda.go(row))

    def cancel(self) -> None:
        """Leave what was begun."""
        self._leave()

    def confirm(self) -> None:
        """Finish a split."""
        if self.mode == "split":
            self.split()

    def toggle_3d(self) -> None:
        """Change between slices and the volume."""
        self.viewer.dims.ndisplay = 2 if self.viewer.dims.ndisplay == 3 else 3

    def select(self, object_id: int) -> None:
        """Select an object, 0 for none."""
        self.selected = object_id
        self.layers.outline(object_id)
        self._refresh_text()

    def commit(self) -> None:
        """Show what was done, and make it a round when the person says so."""
        from hitl.review.widget import CommitDialog

        self._leave()
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
        self.widget.show_queue(self.desk.session.agenda)
        self.go_to(self.desk.session.agenda.row)
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
        yield "2D / 3D", ("D",), "Change between slices and the volume", self.toggle_3d
        yield "Cancel", ("Escape",), "Leave what was begun", self.cancel

    def _bind(self) -> None:
        keys = {key: action.run for action in self.actions for key in action.keys}
        keys["Enter"] = keys["Return"] = self.confirm
        # The active layer's keys come before the viewer's: both get them.
        for owner in (self.viewer, *self.layers.all):
            for key, run in keys.items():
                owner.bind_key(key, _ignoring_owner(run), overwrite=True)
        self.layers.labels.events.paint.connect(self._painted)
        self.viewer.mouse_drag_callbacks.append(self._on_press)
        for source in (self.viewer.mouse_move_callbacks, self.viewer.mouse_wheel_callbacks):
            source.append(lambda _viewer, _event: self.desk.session.clock.touch())
        self.viewer.dims.events.current_step.connect(lambda: self.desk.session.clock.touch())

    def _on_press(self, _viewer: Any, event: Any) -> Iterator[None]:
        if event.button != 1 or str(self.layers.labels.mode) != "pan_zoom":
            return
        start = event.pos
        yield
        while event.type == "mouse_move":
            yield
        if sum((a - b) ** 2 for a, b in zip(event.pos, start, strict=True)) < _JITTER_PX**2:
            self._clicked(event)

    def _clicked(self, event: Any) -> None:
        try:
            voxel = self.layers.voxel_at(event)
        except HitlError as error:
            self.widget.say(str(error), alert=True)
            return
        if voxel is None:
            return
        found = int(self.desk.session.labels[voxel])
        match self.mode:
            case "merge":
                self._pick_object(found)
            case "split":
                self._pick_point(voxel, found)
            case "box":
                self._pick_corner(voxel)
            case _:
                self.select(found)

    def _pick_object(self, found: int) -> None:
        if not found:
            self.widget.say("That is background; click on an object.", alert=True)
            return
        self.picked.append(found)
        self.select(found)
        if len(self.picked) < 2:
            self.widget.say(f"Merge {found} with …: click on the second object.")
            return
        first, second = self.picked
        if operation := self._do(lambda: self.desk.session.merge(first, second)):
            self.select(operation.ids[0])
        self._leave(keep_text=True)

    def _pick_point(self, voxel: tuple[int, int, int], found: int) -> None:
        if not self.picked and found:
            self.select(found)
        if found != self.selected or not found:
            self.widget.say(f"That is not in object {self.selected}; click inside it.", alert=True)
            return
        self.picked.append(voxel)
        self.layers.points.data = self.picked
        self.layers.activate()
        count = len(self.picked)
        self.widget.say(f"Split {found}: {count} point{'s' * (count > 1)}; S or Enter splits.")

    def _pick_corner(self, voxel: tuple[int, int, int]) -> None:
        self.picked.append(voxel)
        self.layers.points.data = self.picked
        self.layers.activate()
        if len(self.picked) < 2:
            self.widget.say(f"Box from slice {voxel[0]}: click on the opposite corner.")
            return
        corner, opposite = self.picked
        self._do(lambda: self.desk.session.check_box(corner, opposite))
        self._leave(keep_text=True)

    def _painted(self, event: Any) -> None:
        values, box = self.layers.painted(event.value)
        operation = self.desk.session.paint(values, box)
        if operation is not None:
            self._changed(operation)

    def _enter(self, mode: Mode) -> None:
        self._leave()
        self.mode = mode
        self.widget.say(_PROMPTS[mode])

    def _leave(self, *, keep_text: bool = False) -> None:
        if self.mode == "paint" and self.layers.labels.selected_label in self.desk.session.index:
            self.select(int(self.layers.labels.selected_label))
        self.mode = "look"
        self.picked = []
        self.layers.points.data = []
        self.layers.labels.mode = "pan_zoom"
        self.layers.activate()
        if not keep_text:
            self.widget.say(_PROMPTS["look"])

    def _do(self, edit: Callable[[], Operation], said: str = "") -> Operation | None:
        try:
            operation = edit()
        except HitlError as error:
            self.widget.say(str(error), alert=True)
            return None
        self.layers.follow(operation)
        if said:
            self.layers.show_slice_of(operation)
        self._changed(operation, said)
        return operation

    def _changed(self, operation: Operation, said: str = "") -> None:
        if self.selected:
            self.layers.outline(self.selected)
        text = f"{said}{operation.text}"
        self.widget.say(text[0].upper() + text[1:] + ".")
        self.widget.show_progress(self.desk.session.agenda)
        self._refresh_text()

    def _advance(self) -> None:
        current = self.desk.session.agenda.current
        if current is not None and current.id == self.selected:
            text = self.widget.prompt.text()
            self.next()
            self.widget.say(text)
        elif self.selected not in self.desk.session.index:
            self.select(0)

    def _show(self, entry: QueueEntry | None) -> None:
        self._leave()
        self.widget.show_progress(self.desk.session.agenda)
        if entry is None:
            self.select(0)
            return
        self.layers.look_at(entry.position_zyx)
        here = int(self.desk.session.labels[entry.position_zyx])
        self.select(entry.id if entry.id is not None else here)

    def _refresh_text(self) -> None:
        session = self.desk.session
        self.widget.object_line.setText(session.describe(self.selected))
        entry = session.agenda.current
        listed = entry is not None and entry.id == self.selected
        self.widget.why_line.setText(entry.why if entry is not None and listed else "")
        done = ", ".join(f"{count} {kind}" for kind, count in session.changes().items())
        self.widget.changes.setText(
            f"{done or 'Nothing changed yet'} · {session.clock.minutes:.1f} min of work"
        )

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
