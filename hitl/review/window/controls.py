"""What keys and clicks do in the correction window.

Every handler calls one method of the session and shows what it did.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, Literal

from annotations.errors import AnnotationError
from hitl.project.errors import HitlError
from hitl.review.session.project_session import ProjectSession
from hitl.review.session.undo import Operation
from hitl.review.session.worklist import Worklist, WorklistEntry
from labels.errors import LabelImageError

if TYPE_CHECKING:
    from hitl.review.session.model_errors import ModelErrors
    from hitl.review.session.review_session import ReviewSession
    from hitl.review.session.worklist import ViewedWorklist
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
    "No evaluation has scored this stack. `hitl evaluate PROJECT --split …` scores stacks that are "
    "labelled by hand everywhere; then open it again."
)
CHANGED = (
    "Only the places are shown: the labels, or what the model predicted, have changed since "
    "evaluation"
)
LOCKED = (
    "A test stack: its labels are only looked at beside a model's errors. E goes back to the queue."
)
_JITTER_PX = 4.0


class ReviewControls:
    """Handlers of the keys and the mouse, and what a click means just now."""

    viewer: Any
    project_session: ProjectSession
    layers: ReviewLayers
    widget: ReviewDock
    model_errors: ModelErrors | None = None
    error_worklist: ViewedWorklist
    error_layers: ErrorLayers | None = None
    shows_errors: bool = False
    _open_errors: Callable[[ModelErrors], None]
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
        return self.error_worklist if self.shows_errors else self.session.worklist

    @property
    def is_locked(self) -> bool:
        """Whether nothing can be edited: a test stack is not corrected towards a model."""
        return self.shows_errors and self.model_errors is not None and self.model_errors.read_only

    def toggle_errors(self) -> None:
        """Change between the errors of a model and what to correct."""
        if self.model_errors is None:
            self.widget.say(NO_ERRORS, alert=True)
            return
        self._leave()
        if self.error_layers is None:
            try:
                self._open_errors(self.model_errors)
            except (HitlError, AnnotationError, LabelImageError, OSError) as error:
                self.widget.say(f"What {self.model_errors.model} predicted: {error}", alert=True)
                return
            assert self.error_layers is not None
        self.shows_errors = not self.shows_errors
        self.layers.labels.editable = not self.is_locked
        self.error_layers.show(self.shows_errors)
        # What was scored is checked everywhere: its tint would only hide the outlines.
        self.layers.show_checked(not self.shows_errors)
        self._list()
        self.go_to(self.worklist.row)
        if self.is_locked:
            self.widget.say(LOCKED)
        if self.shows_errors and self.error_layers.predicted is None:
            self.widget.say(f"{CHANGED} {self.model_errors.evaluation}.", alert=True)

    def accept(self) -> None:
        """Accept the selected object and go on."""
        if self._do(lambda: self.session.accept(self.selected)):
            self._advance()

    def reject(self) -> None:
        """Delete the selected object and go on."""
        if self._do(lambda: self.session.reject(self.selected)):
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
        if self._do(lambda: self.session.split(target, points)):
            self._leave(keep_text=True)

    def new_object(self) -> None:
        """Begin to paint a new object, or end it."""
        if self.mode == "paint":
            self._leave()
            return
        if not self._enter("paint"):
            return
        self.layers.activate()
        self.layers.labels.selected_label = self.session.new_id()
        self.layers.labels.mode = "paint"

    def interpolate(self) -> None:
        """Fill the slices that the selected object lacks."""
        target = self.layers.labels.selected_label if self.mode == "paint" else self.selected
        self._do(lambda: self.session.interpolate(int(target), self.layers.slice))

    def check_slice(self) -> None:
        """Mark the slice in view as checked."""
        self._do(lambda: self.session.check_slice(self.layers.slice))

    def check_box(self) -> None:
        """Begin to click two corners."""
        self._enter("box")

    def undo(self) -> None:
        """Take the last edit back and show where it was."""
        self._do(lambda: self.session.undo(), said="undone: ")

    def redo(self) -> None:
        """Do it again and show where it was."""
        self._do(lambda: self.session.redo(), said="redone: ")

    def next(self) -> None:
        """Go to the next object of the queue that nobody has seen to."""
        self._show(self.worklist.next())

    def previous(self) -> None:
        """Go one object back."""
        self._show(self.worklist.previous())

    def go_to(self, row: int) -> None:
        """Go to a row of the queue."""
        self._show(self.worklist.go(row))

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
            self.widget.say(str(error), alert=True)
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
            self.widget.say("That is background; click on an object.", alert=True)
            return
        self.picked.append(found)
        self.select(found)
        if len(self.picked) < 2:
            self.widget.say(f"Merge {found} with …: click on the second object.")
            return
        first, second = self.picked
        if operation := self._do(lambda: self.session.merge(first, second)):
            self.select(operation.ids[0])
        self._leave(keep_text=True)

    def _pick_point(self, voxel: tuple[int, int, int], found: int) -> None:
        if not self.picked and found:
            self.select(found)
        if found != self.selected or not found:
            self.widget.say(f"That is not in object {self.selected}; click inside it.", alert=True)
            return
        self.picked.append(voxel)
        self.layers.mark(self.picked)
        count = len(self.picked)
        self.widget.say(f"Split {found}: {count} point{'s' * (count > 1)}; S or Enter splits.")

    def _pick_corner(self, voxel: tuple[int, int, int]) -> None:
        self.picked.append(voxel)
        self.layers.mark(self.picked)
        if len(self.picked) < 2:
            self.widget.say(f"Box from slice {voxel[0]}: click on the opposite corner.")
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

    def _enter(self, mode: Mode) -> bool:
        self._leave()
        if self._refuses():
            return False
        self.mode = mode
        self.widget.say(PROMPTS[mode])
        return True

    def _list(self) -> None:
        """Fill the table with the list that is looked at."""
        if self.model_errors is not None and self.shows_errors:
            from hitl.review.window.error_layers import listing_of

            self.widget.show_queue(self.error_worklist, listing_of(self.model_errors))
        else:
            self.widget.show_queue(self.session.worklist)

    def _refuses(self) -> bool:
        if self.is_locked:
            self.widget.say(LOCKED, alert=True)
        return self.is_locked

    def _leave(self, *, keep_text: bool = False) -> None:
        self.mode = "look"
        self.picked = []
        self.layers.labels.mode = "pan_zoom"
        self.layers.mark([])
        if not keep_text:
            self.widget.say(PROMPTS["look"])

    def _do(self, edit: Callable[[], Operation], said: str = "") -> Operation | None:
        if self._refuses():
            return None
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
        self.widget.show_progress(self.worklist)
        self._refresh_text()

    def _advance(self) -> None:
        current = self.worklist.current
        if current is not None and current.id == self.selected:
            text = self.widget.prompt.text()
            self.next()
            self.widget.say(text)
        elif self.selected not in self.session.boxes:
            self.select(0)

    def _show(self, entry: WorklistEntry | None) -> None:
        self._leave()
        self.widget.show_progress(self.worklist)
        if entry is None:
            self.select(0)
            return
        self.layers.look_at(entry.position_zyx)
        if self.shows_errors and self.error_layers is not None:
            self.error_layers.point_out(self.worklist.row)
        elif entry.id is None:
            self.layers.mark([entry.position_zyx])
        self.select(self._meant(entry))

    def _meant(self, entry: WorklistEntry) -> int:
        """Return the id of an entry's object, or of what is where one may be missing."""
        stale = (
            self.shows_errors
            and self.error_layers is not None
            and self.error_layers.predicted is None
        )
        # Ids of labels that have changed since may be those of others now.
        here = int(self.session.labels[entry.position_zyx])
        return here if entry.id is None or stale else entry.id

    def _refresh_text(self) -> None:
        session = self.session
        self.widget.object_line.setText(session.describe(self.selected))
        entry = self.worklist.current
        listed = entry is not None and self._meant(entry) == self.selected
        self.widget.why_line.setText(entry.why if entry is not None and listed else "")
        done = ", ".join(f"{count} {kind}" for kind, count in session.changes().items())
        self.widget.changes.setText(
            f"{done or 'Nothing changed yet'} · {session.timer.minutes:.1f} min of work"
        )
