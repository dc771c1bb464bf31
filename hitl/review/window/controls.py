"""What keys and clicks do in the correction window.

Every handler calls one method of the session and shows what it did.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any, Literal

from annotations.errors import AnnotationError
from hitl.project.errors import HitlError
from hitl.review.session.project_session import ProjectSession
from hitl.review.session.review_session import ReviewSession
from hitl.review.session.undo import Operation
from hitl.review.session.worklist import Worklist, WorklistEntry
from labels.numbers import number_of

if TYPE_CHECKING:
    from hitl.review.window.dock import ReviewDock
    from hitl.review.window.error_layers import ErrorLayers
    from hitl.review.window.layers import ReviewLayers

Mode = Literal["look", "merge", "split", "paint", "box"]
"""What a click means."""

PROMPTS: dict[Mode, str] = {
    "look": "Click on an object to select it.",
    "merge": "Merge: click on the first object, then on the second. Esc cancels.",
    "split": "Split: click once in each part, in any slice, then press S or Enter. Esc cancels.",
    "paint": "New object: paint it in each slice, or in some and press I. N or Esc ends.",
    "box": "Checked box: click on a corner, go to another slice, click on the opposite one.",
}
NO_ERRORS = (
    "No evaluation has scored this field. `hitl evaluate PROJECT --split …` scores fields that are "
    "labelled by hand everywhere; then open it again."
)
CHANGED = (
    "Only the places are shown: the labels, or what the model predicted, have changed since "
    "evaluation"
)
LOCKED = (
    "A test field: its labels are only looked at beside a model's errors. E goes back to the queue."
)
_JITTER_PX = 4.0


class ReviewControls:
    """Handlers of the keys and the mouse, and what a click means just now."""

    viewer: Any
    project_session: ProjectSession
    layers: ReviewLayers
    dock: ReviewDock
    errors: ErrorLayers | None = None
    """A model's errors; None where no evaluation has scored the field."""
    shown_errors: ErrorLayers | None = None
    """The same while they are looked at; None while labels are corrected."""
    mode: Mode = "look"
    selected: int = 0

    def __init__(self) -> None:
        self.picked: list[Any] = []

    @property
    def session(self) -> ReviewSession:
        """What is edited; another one after each commit."""
        return self.project_session.session

    @property
    def worklist(self) -> Worklist:
        """The list that is shown: of the errors, or of what to correct."""
        return (self.shown_errors or self.session).worklist

    @property
    def is_locked(self) -> bool:
        """Whether nothing can be edited: a test field is not corrected towards a model."""
        return self.shown_errors is not None and self.shown_errors.found.read_only

    def keys(self) -> Iterator[tuple[str, str, str, Callable[[], None]]]:
        """Yield each button's name, its key as napari writes it, a hint, and what it does."""
        yield "Accept", "A", "The selected object is right", self._accept
        yield "Reject", "X", "The selected object is none: delete it", self._reject
        yield "Merge", "M", "Click on two objects that are one", self._merge
        yield "Split", "S", "Click once in each part, then S or Enter", self._split
        yield "New object", "N", "Paint an object that is missing", self._new_object
        yield "Interpolate", "I", "Fill slices between two painted ones", self._interpolate
        yield "Slice checked", "C", "All of this slice is right", self._check_slice
        yield "Box checked", "B", "All of a box is right: click two corners", self._check_box
        yield "Undo", "Control-Z", "Take the last edit back", self._undo
        yield "Redo", "Control-Shift-Z", "Do it again", self._redo
        yield "Next", "Space", "The next object that nobody has seen to", self._next
        yield "Previous", "Shift-Space", "One object back", self._previous
        yield "Errors", "E", "What a model got wrong here, and back", self.toggle_errors
        yield "2D / 3D", "D", "Change between slices and the volume", self._toggle_3d
        yield "Cancel", "Escape", "Leave what was begun", self._leave

    def toggle_errors(self) -> None:
        """Change between the errors of a model and what to correct."""
        errors = self.errors
        if errors is None:
            self.dock.say(NO_ERRORS, alert=True)
            return
        self._leave()
        try:
            opened = errors.open()
        except (HitlError, AnnotationError, OSError) as error:
            self.dock.say(f"What {errors.found.model} predicted: {error}", alert=True)
            return
        self._bind_keys(opened)
        self.layers.activate()
        self.shown_errors = None if self.shown_errors else errors
        self.layers.labels.editable = not self.is_locked
        errors.show(self.shown_errors is not None)
        # What was scored is checked everywhere: its tint would only hide the outlines.
        self.layers.show_checked(self.shown_errors is None)
        self._list()
        self.go_to(self.worklist.row)
        if self.is_locked:
            self.dock.say(LOCKED)
        if self.shown_errors and errors.predicted is None:
            self.dock.say(f"{CHANGED} {errors.found.evaluation}.", alert=True)

    def go_to(self, row: int) -> None:
        """Go to a row of the list that is shown."""
        self._show(self.worklist.go(row))

    def confirm(self) -> None:
        """Finish a split."""
        if self.mode == "split":
            self._split()

    def select(self, object_id: int) -> None:
        """Select an object, 0 for none."""
        self.selected = object_id
        self.layers.outline(object_id)
        if object_id:
            # What napari's own brush and eraser work on.
            self.layers.labels.selected_label = object_id
        self._refresh_text()

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
            self.dock.say(str(error), alert=True)
            return
        if voxel is None:
            return
        found = int(self.session.labels[voxel])
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
            self.dock.say("That is background; click on an object.", alert=True)
            return
        self.picked.append(found)
        self.select(found)
        if len(self.picked) < 2:
            self.dock.say(f"Merge {found} with …: click on the second object.")
            return
        first, second = self.picked
        if operation := self._do(lambda: self.session.merge(first, second)):
            self.select(operation.ids[0])
        self._leave(keep_text=True)

    def _pick_point(self, voxel: tuple[int, int, int], found: int) -> None:
        if not self.picked and found:
            self.select(found)
        if found != self.selected or not found:
            self.dock.say(f"That is not in object {self.selected}; click inside it.", alert=True)
            return
        self.picked.append(voxel)
        self.layers.mark(self.picked)
        points = number_of(len(self.picked), "point")
        self.dock.say(f"Split {found}: {points}; S or Enter splits.")

    def _pick_corner(self, voxel: tuple[int, int, int]) -> None:
        self.picked.append(voxel)
        self.layers.mark(self.picked)
        if len(self.picked) < 2:
            self.dock.say(f"Box from slice {voxel[0]}: click on the opposite corner.")
            return
        corner, opposite = self.picked
        self._do(lambda: self.session.check_box(corner, opposite))
        self._leave(keep_text=True)

    def _painted(self, event: Any) -> None:
        values, box = self.layers.painted(event.value)
        operation = self.session.paint(values, box)
        if operation is None:
            return
        if self.mode == "paint":
            self.select(int(self.layers.labels.selected_label))
        self._changed(operation)

    def _accept(self) -> None:
        if self._do(lambda: self.session.accept(self.selected)):
            self._advance()

    def _reject(self) -> None:
        if self._do(lambda: self.session.reject(self.selected)):
            self._advance()

    def _merge(self) -> None:
        self._enter("merge")

    def _split(self) -> None:
        """Begin to click points, or split by those clicked."""
        if self.mode != "split":
            self._enter("split")
        elif self._do(lambda: self.session.split(self.selected, self.picked)):
            self._leave(keep_text=True)

    def _new_object(self) -> None:
        """Begin to paint a new object, or end it."""
        if self.mode == "paint":
            self._leave()
        elif self._enter("paint"):
            self.layers.activate()
            self.layers.labels.selected_label = self.session.new_id()
            self.layers.labels.mode = "paint"

    def _interpolate(self) -> None:
        target = self.layers.labels.selected_label if self.mode == "paint" else self.selected
        self._do(lambda: self.session.interpolate(int(target), self.layers.slice))

    def _check_slice(self) -> None:
        self._do(lambda: self.session.check_slice(self.layers.slice))

    def _check_box(self) -> None:
        self._enter("box")

    def _undo(self) -> None:
        self._do(lambda: self.session.undo(), said="undone: ")

    def _redo(self) -> None:
        self._do(lambda: self.session.redo(), said="redone: ")

    def _next(self) -> None:
        self._show(self.worklist.next())

    def _previous(self) -> None:
        self._show(self.worklist.previous())

    def _toggle_3d(self) -> None:
        self.viewer.dims.ndisplay = 2 if self.viewer.dims.ndisplay == 3 else 3

    def _enter(self, mode: Mode) -> bool:
        self._leave()
        if self._refuses():
            return False
        self.mode = mode
        self.dock.say(PROMPTS[mode])
        return True

    def _list(self) -> None:
        """Fill the table with the list that is looked at."""
        listing = self.shown_errors.listing if self.shown_errors else None
        self.dock.show_list(self.worklist, listing)

    def _bind_keys(self, owners: Iterable[Any]) -> None:
        bound = {key: run for _, key, _, run in self.keys()}
        bound["Enter"] = bound["Return"] = self.confirm
        # The active layer's keys come before the viewer's: both get them.
        for owner in owners:
            for key, run in bound.items():
                owner.bind_key(key, _without_owner(run), overwrite=True)

    def _refuses(self) -> bool:
        if self.is_locked:
            self.dock.say(LOCKED, alert=True)
        return self.is_locked

    def _leave(self, *, keep_text: bool = False) -> None:
        self.mode = "look"
        self.picked = []
        self.layers.labels.mode = "pan_zoom"
        self.layers.mark([])
        if not keep_text:
            self.dock.say(PROMPTS["look"])

    def _do(self, edit: Callable[[], Operation], said: str = "") -> Operation | None:
        if self._refuses():
            return None
        try:
            operation = edit()
        except HitlError as error:
            self.dock.say(str(error), alert=True)
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
        self.dock.say(text[0].upper() + text[1:] + ".")
        self.dock.show_progress(self.worklist)
        self._refresh_text()

    def _advance(self) -> None:
        current = self.worklist.current
        if current is not None and current.id == self.selected:
            text = self.dock.prompt.text()
            self._next()
            self.dock.say(text)
        elif self.selected not in self.session.boxes:
            self.select(0)

    def _show(self, entry: WorklistEntry | None) -> None:
        self._leave()
        self.dock.show_progress(self.worklist)
        if entry is None:
            self.select(0)
            return
        self.layers.look_at(entry.position_zyx)
        if self.shown_errors:
            self.shown_errors.point_out(self.worklist.row)
        elif entry.id is None:
            self.layers.mark([entry.position_zyx])
        self.select(self._meant(entry))

    def _meant(self, entry: WorklistEntry) -> int:
        """Return the id of an entry's object, or of what is where one may be missing."""
        stale = self.shown_errors is not None and self.shown_errors.predicted is None
        # Ids of labels that have changed since may be those of others now.
        here = int(self.session.labels[entry.position_zyx])
        return here if entry.id is None or stale else entry.id

    def _refresh_text(self) -> None:
        session = self.session
        self.dock.object_line.setText(session.describe(self.selected))
        entry = self.worklist.current
        listed = entry is not None and self._meant(entry) == self.selected
        self.dock.why_line.setText(entry.why if entry is not None and listed else "")
        done = ", ".join(f"{count} {kind}" for kind, count in session.changes().items())
        self.dock.changes.setText(
            f"{done or 'Nothing changed yet'} · {session.timer.minutes:.1f} min of work"
        )


def _without_owner(run: Callable[[], None]) -> Callable[[Any], None]:
    return lambda _owner: run()
