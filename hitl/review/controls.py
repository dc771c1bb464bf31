"""What keys and clicks do in the correction window.

Every handler calls one method of the session and shows what it did.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, Literal

from annotations.errors import AnnotationError
from hitl.project.errors import HitlError
from hitl.review.agenda import Agenda, QueueEntry
from hitl.review.desk import ReviewDesk
from hitl.review.history import Operation

if TYPE_CHECKING:
    from hitl.review.evaluated import MistakeList
    from hitl.review.layers import ReviewLayers
    from hitl.review.mistakes import MistakeAgenda, MistakeLayers
    from hitl.review.widget import ReviewWidget

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
    desk: ReviewDesk
    layers: ReviewLayers
    widget: ReviewWidget
    mistakes: MistakeList | None = None
    mistake_agenda: MistakeAgenda
    mistake_layers: MistakeLayers | None = None
    shows_mistakes: bool = False
    _open_mistakes: Callable[[MistakeList], None]
    mode: Mode = "look"
    selected: int = 0

    def __init__(self) -> None:
        self.picked: list[Any] = []

    @property
    def agenda(self) -> Agenda:
        """The list that is shown: of the errors, or of what to correct."""
        return self.mistake_agenda if self.shows_mistakes else self.desk.session.agenda

    @property
    def is_locked(self) -> bool:
        """Whether nothing can be edited: a test stack is not corrected towards a model."""
        return self.shows_mistakes and self.mistakes is not None and self.mistakes.read_only

    def toggle_mistakes(self) -> None:
        """Change between the errors of a model and what to correct."""
        if self.mistakes is None:
            self.widget.say(NO_ERRORS, alert=True)
            return
        self._leave()
        if self.mistake_layers is None:
            try:
                self._open_mistakes(self.mistakes)
            except (HitlError, AnnotationError, OSError) as error:
                self.widget.say(f"What {self.mistakes.model} predicted: {error}", alert=True)
                return
            assert self.mistake_layers is not None
        self.shows_mistakes = not self.shows_mistakes
        self.layers.labels.editable = not self.is_locked
        self.mistake_layers.show(self.shows_mistakes)
        # What was scored is checked everywhere: its tint would only hide the outlines.
        self.layers.show_checked(not self.shows_mistakes)
        self._list()
        self.go_to(self.agenda.row)
        if self.is_locked:
            self.widget.say(LOCKED)
        if self.shows_mistakes and self.mistake_layers.predicted is None:
            self.widget.say(f"{CHANGED} {self.mistakes.evaluation}.", alert=True)

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
            self._leave(keep_text=True)

    def new_object(self) -> None:
        """Begin to paint a new object, or end it."""
        if self.mode == "paint":
            self._leave()
            return
        if not self._enter("paint"):
            return
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
        self._show(self.agenda.next())

    def previous(self) -> None:
        """Go one object back."""
        self._show(self.agenda.previous())

    def go_to(self, row: int) -> None:
        """Go to a row of the queue."""
        self._show(self.agenda.go(row))

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
        self._do(lambda: self.desk.session.check_box(corner, opposite))
        self._leave(keep_text=True)

    def _painted(self, event: Any) -> None:
        values, box = self.layers.painted(event.value)
        operation = self.desk.session.paint(values, box)
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
        if self.mistakes is not None and self.shows_mistakes:
            from hitl.review.mistakes import listing_of

            self.widget.show_queue(self.mistake_agenda, listing_of(self.mistakes))
        else:
            self.widget.show_queue(self.desk.session.agenda)

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
        self.widget.show_progress(self.agenda)
        self._refresh_text()

    def _advance(self) -> None:
        current = self.agenda.current
        if current is not None and current.id == self.selected:
            text = self.widget.prompt.text()
            self.next()
            self.widget.say(text)
        elif self.selected not in self.desk.session.index:
            self.select(0)

    def _show(self, entry: QueueEntry | None) -> None:
        self._leave()
        self.widget.show_progress(self.agenda)
        if entry is None:
            self.select(0)
            return
        self.layers.look_at(entry.position_zyx)
        if self.shows_mistakes and self.mistake_layers is not None:
            self.mistake_layers.point_out(self.agenda.row)
        elif entry.id is None:
            self.layers.mark([entry.position_zyx])
        self.select(self._meant(entry))

    def _meant(self, entry: QueueEntry) -> int:
        """Return the id of an entry's object, or of what is where one may be missing."""
        stale = (
            self.shows_mistakes
            and self.mistake_layers is not None
            and self.mistake_layers.predicted is None
        )
        # Ids of labels that have changed since may be those of others now.
        here = int(self.desk.session.labels[entry.position_zyx])
        return here if entry.id is None or stale else entry.id

    def _refresh_text(self) -> None:
        session = self.desk.session
        self.widget.object_line.setText(session.describe(self.selected))
        entry = self.agenda.current
        listed = entry is not None and self._meant(entry) == self.selected
        self.widget.why_line.setText(entry.why if entry is not None and listed else "")
        done = ", ".join(f"{count} {kind}" for kind, count in session.changes().items())
        self.widget.changes.setText(
            f"{done or 'Nothing changed yet'} · {session.clock.minutes:.1f} min of work"
        )
