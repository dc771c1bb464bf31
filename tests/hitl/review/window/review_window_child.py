"""Runs in a process of its own under Xvfb: a person's mouse and keys in the correction window.

Usage: python -m tests.hitl.review.window.review_window_child PROJECT SCREENSHOTS first|second
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import numpy as np
from qtpy.QtCore import Qt, QTimer

from hitl.project.folder import Project
from hitl.review.window import review_window
from hitl.review.window.opening import open_window
from hitl.review.window.review_window import ReviewWindow
from tests.hitl.review.window.person import CONTROL, Person


def correct(person: Person) -> None:
    """Accept 1, merge 4 and 5, split 3, delete 2, add 7, check a slice and a box."""
    session, said = person.window.session, person.said
    person.shot("opened")
    person.click(4, 7, 7)
    assert person.window.selected == 1
    person.press(Qt.Key.Key_A)
    assert said() == "Accepted 1.", said()
    person.press(Qt.Key.Key_M)
    person.click(4, 24, 8)
    person.click(4, 24, 14)
    assert said() == "Merged 5 into 4.", said()
    person.press(Qt.Key.Key_S)
    person.click(3, 9, 21)
    person.click(4, 24, 8)
    assert "not in object 3" in said(), said()
    person.click(4, 8, 31)
    person.shot("split")
    person.press(Qt.Key.Key_S)
    assert said() == "Split 3 into 3, 6.", said()
    person.click(4, 26, 34)
    person.press(Qt.Key.Key_X)
    assert said() == "Deleted 2.", said()
    person.press(Qt.Key.Key_Z, CONTROL)
    assert said() == "Undone: deleted 2.", said()
    assert session.labels[4, 26, 34] == 2
    person.press(Qt.Key.Key_Z, CONTROL | Qt.KeyboardModifier.ShiftModifier)
    assert session.labels[4, 26, 34] == 0
    paint(person)
    person.to_slice(0)
    person.press(Qt.Key.Key_C)
    assert said() == "Checked slice 0.", said()
    person.press(Qt.Key.Key_B)
    person.click(6, 2, 2)
    person.click(7, 10, 12)
    assert said() == "Checked a box in slices 6–7.", said()
    person.shot("edited")
    person.press(Qt.Key.Key_Space)
    person.window.viewer.dims.ndisplay = 3
    person.shot("volume")
    person.window.viewer.dims.ndisplay = 2


def paint(person: Person) -> None:
    session = person.window.session
    person.press(Qt.Key.Key_N)
    person.window.layers.labels.brush_size = 4
    for z in (1, 3):
        person.stroke(z, [(18, 27), (18, 30), (20, 30)])
    assert session.labels[1, 18, 30] == session.labels[3, 20, 30] == 7
    assert session.labels[2, 18, 30] == 0
    person.to_slice(2)
    person.press(Qt.Key.Key_I)
    assert person.said() == "Filled 7 in slice 2.", person.said()
    person.press(Qt.Key.Key_N)
    assert person.window.selected == 7


def first(window: ReviewWindow, shots: Path) -> None:
    person = Person(window, shots)
    correct(person)
    labels = window.session.labels.copy()
    person.commit("by hand")
    assert person.said().startswith("Round 1 is committed"), person.said()
    # The commit numbers new objects by their first voxels: 7 was painted above the split-off 6.
    renumbered = np.array([0, 1, 2, 3, 4, 5, 7, 6])[labels]
    assert np.array_equal(window.session.labels, renumbered)
    person.shot("committed")
    person.click(4, 24, 8)
    person.press(Qt.Key.Key_X)
    while not window.project_session.draft_file.exists():
        person.wait(100)
    print("drafted", flush=True)
    person.wait(60_000)


def second(window: ReviewWindow, shots: Path) -> None:
    person = Person(window, shots)
    said = person.said()
    assert said.startswith("Took up the draft"), said
    assert 4 not in window.session.labels
    person.shot("reopened")
    person.click(4, 7, 7)
    person.press(Qt.Key.Key_X)
    QTimer.singleShot(300, lambda: os.kill(os.getpid(), signal.SIGTERM))
    window.run()
    print("closed", flush=True)


def main() -> None:
    project, shots, what = sys.argv[1:]
    review_window.AUTOSAVE_S = 0.3
    window = open_window(Project.open(Path(project)), "s", annotator="ann")
    {"first": first, "second": second}[what](window, Path(shots))


if __name__ == "__main__":
    main()
