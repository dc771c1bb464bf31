"""Runs `hitl correct --errors` under Xvfb with somebody who steps through a model's errors, thrice.

Usage: python -m tests.hitl.review.window.errors_child PROJECT SCREENSHOTS
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from napari.utils.colormaps.standardize_color import transform_color
from qtpy.QtCore import Qt

from hitl.cli import run
from hitl.review.window.controls import CHANGED, LOCKED
from hitl.review.window.error_layers import COLOURS, SIGNS
from hitl.review.window.review_window import ReviewWindow
from tests.hitl.queue.error_project import MODEL
from tests.hitl.review.window.person import Person, send


def held(person: Person) -> None:
    """Look at all errors on a test field; nothing can be edited until the queue is back."""
    window = person.window
    entries, points = window.errors.found.entries, window.errors.points
    assert points.data.tolist() == [list(m.position_zyx) for m in entries]
    assert np.allclose(points.face_color, [transform_color(COLOURS[m.kind])[0] for m in entries])
    assert points.visible and window.errors.predicted.visible
    person.shot("held_opened")
    seen = [look(person, 0)]
    for row in range(1, len(entries)):
        person.press(Qt.Key.Key_Space)
        seen.append(look(person, row))
    assert set(seen) == set(COLOURS)
    assert window.dock.left.text() == f"5 of 5 errors of {MODEL} looked at"
    person.press(Qt.Key.Key_Space, Qt.KeyboardModifier.ShiftModifier)
    look(person, len(entries) - 2)
    person.click_row([m.kind for m in entries].index("merged"))
    assert (window.selected, window.worklist.row) == (2, look_row(window, "merged"))
    person.shot("held_merged")
    refuses(person)
    person.window.viewer.dims.ndisplay = 3
    assert not window.errors.predicted.visible and points.visible
    person.shot("held_volume")
    person.window.viewer.dims.ndisplay = 2
    person.press(Qt.Key.Key_E)
    assert not points.visible and not window.errors.predicted.visible
    assert window.layers.labels.editable and window.layers.checked.visible
    assert window.dock.left.text() == "The queue is empty"
    assert window.dock.table.rowCount() == 0


def refuses(person: Person) -> None:
    window = person.window
    before = window.session.labels.copy()
    for key in (Qt.Key.Key_X, Qt.Key.Key_N, Qt.Key.Key_M, Qt.Key.Key_S, Qt.Key.Key_C):
        person.press(key)
        assert person.said() == LOCKED, (key, person.said())
        assert window.mode == "look"
    window.commit()
    assert person.said() == LOCKED
    window.layers.labels.mode = "paint"
    assert str(window.layers.labels.mode) == "pan_zoom"
    assert window.session.revision == 0
    assert np.array_equal(window.session.labels, before)


def look(person: Person, row: int) -> str:
    """Check that an error is in view, in the table and among the predicted objects."""
    window = person.window
    error = window.errors.found.entries[row]
    assert window.worklist.row == row
    assert window.layers.slice == error.position_zyx[0]
    assert window.dock.why_line.text() == error.why
    assert window.dock.table.item(row, 1).text() == f"{SIGNS[error.kind]} {error.kind}"
    sizes = window.errors.points.size
    assert int(np.argmax(sizes)) == row
    assert window.selected == (error.id or 0)
    colours = window.errors.predicted.colormap.color_dict
    for pred in error.pred_ids:
        assert np.allclose(colours[pred], transform_color(COLOURS[error.kind])[0])
    return error.kind


def look_row(window: ReviewWindow, kind: str) -> int:
    return [m.kind for m in window.errors.found.entries].index(kind)


def seen(person: Person) -> None:
    """A train field may be corrected from its errors: what the model missed was none."""
    window = person.window
    person.click_row(look_row(window, "missed"))
    assert window.selected == 6
    person.press(Qt.Key.Key_X)
    assert person.said() == "Deleted 6.", person.said()
    assert window.worklist.row != look_row(window, "missed")
    person.commit("6 was debris", "seen_dialog")
    assert person.said().startswith("Round "), person.said()
    assert window.shown_errors is not None
    person.shot("seen_committed")


def stale(person: Person) -> None:
    window = person.window
    assert person.said() == f"{CHANGED} 0002."
    assert window.errors.predicted is None
    # Nucleus 6 is no more; what is there now is selected, not what has that id.
    assert (window.worklist.current.id, window.selected) == (6, 0)
    assert len(window.errors.points.data) == 5
    person.shot("stale")


def main() -> None:
    project, shots = sys.argv[1:]
    for act, field in ((held, "held"), (seen, "seen"), (stale, "seen")):
        send(act, Path(shots))
        if code := run(["correct", project, field, "--annotator", "ann", "--errors"]):
            sys.exit(code)
        print(act.__name__, flush=True)


if __name__ == "__main__":
    main()
