"""Runs `hitl correct` under Xvfb with somebody at the mouse and the keys who knows the truth.

Usage: python -m tests.hitl.review.window.rounds_child PROJECT FIELD TRUTH SCREENSHOTS first|second

Prints one JSON object: what was corrected, by what it should count as.
"""

from __future__ import annotations

import json
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import tifffile
from numpy.typing import NDArray
from qtpy.QtCore import Qt
from scipy import ndimage

from annotations.objects import Status
from hitl.cli import run
from hitl.review.window import review_window
from labels.overlaps import Contingency, count_overlaps
from tests.hitl.review.window.person import CONTROL, Person, send

RIGHT_IOU = 0.7
NEAR, BRUSH = 4, 3


class Reviewer:
    """Corrects labels towards the truth and counts what was done."""

    def __init__(self, person: Person, truth: NDArray) -> None:
        self.person = person
        self.truth = truth
        self.done: Counter[str] = Counter()

    @property
    def labels(self) -> NDArray[np.uint32]:
        return self.person.window.session.labels

    def overlaps(self) -> Contingency:
        return count_overlaps(self.truth, self.labels)

    def select(self, object_id: int) -> None:
        """Click on an object's row in the queue, or on itself."""
        entries = self.person.window.session.worklist.entries
        rows = [row for row, entry in enumerate(entries) if entry.id == object_id]
        if rows:
            self.person.click_row(rows[0])
        else:
            self.person.click(*deepest(self.labels == object_id))
        assert self.person.window.selected == object_id

    def unjudged(self, ids: NDArray) -> list[int]:
        """Those of some objects that nobody has judged yet."""
        session = self.person.window.session
        rows = session.objects
        proposed = set(rows.id[rows.status == Status.PROPOSED].tolist())
        return [i for i in map(int, ids) if i in proposed and i not in session.handled]

    def accept(self, how_many: int) -> None:
        found = self.overlaps()
        for object_id in self.unjudged(found.pred.ids[found.j[found.iou >= RIGHT_IOU]])[:how_many]:
            self.select(object_id)
            self.person.press(Qt.Key.Key_A)
            self.expect(f"Accepted {object_id}.", "accepted")

    def delete(self, how_many: int) -> None:
        """Delete what holds next to no nucleus."""
        found = self.overlaps()
        inside = np.bincount(found.j, found.count, found.n_pred)
        for object_id in self.unjudged(found.pred.ids[inside <= 0.01 * found.pred.sizes])[
            :how_many
        ]:
            self.select(object_id)
            self.person.press(Qt.Key.Key_X)
            self.expect(f"Deleted {object_id}.", "deleted")

    def merge(self) -> None:
        """Join two objects that lie mostly in the same nucleus."""
        found = self.overlaps()
        mostly = found.count > 0.7 * found.pred.sizes[found.j]
        nuclei, counts = np.unique(found.i[mostly], return_counts=True)
        nucleus = nuclei[counts == 2][0]
        pair = found.pred.ids[found.j[mostly & (found.i == nucleus)]].tolist()
        large, small = sorted(pair, key=lambda i: -np.count_nonzero(self.labels == i))
        self.person.press(Qt.Key.Key_M)
        self.person.click(*deepest(self.labels == small))
        self.person.click(*deepest(self.labels == large))
        self.expect(f"Merged {small} into {large}.", "merged")

    def split(self) -> None:
        """Part a nucleus from the background that hangs on it."""
        found = self.overlaps()
        whole = (found.count > 0.9 * found.truth.sizes[found.i]) & (found.iou < 0.3)
        pair = np.flatnonzero(whole)[found.count[whole].argmax()]
        target = int(found.pred.ids[found.j[pair]])
        nucleus = self.truth == found.truth.ids[found.i[pair]]
        mask = self.labels == target
        self.person.press(Qt.Key.Key_S)
        self.person.click(*deepest(mask & nucleus))
        self.person.click(*deepest(mask & ~ndimage.binary_dilation(nucleus, iterations=NEAR)))
        assert self.person.said() == f"Split {target}: 2 points; S or Enter splits."
        self.person.shot("split")
        self.person.press(Qt.Key.Key_S)
        self.expect(f"Split {target} into ", "split")

    def add(self) -> None:
        """Paint the largest nucleus that no object touches, in a few slices."""
        found = self.overlaps()
        covered = np.bincount(found.i, found.count, found.n_truth)
        nucleus = found.truth.ids[np.where(covered == 0, found.truth.sizes, 0).argmax()]
        mask = self.truth == nucleus
        middle = deepest(mask)
        self.person.click(*middle)
        self.person.press(Qt.Key.Key_N)
        self.person.window.layers.labels.brush_size = BRUSH
        new = int(self.person.window.layers.labels.selected_label)
        slices = np.flatnonzero(mask.any(axis=(1, 2)))
        for z in (int(slices[0]), middle[0], int(slices[-1])):
            self.person.stroke(z, hatching(mask[z]))
        assert self.person.said() == f"Painted {new}.", self.person.said()
        self.person.press(Qt.Key.Key_I)
        self.expect(f"Filled {new} in slice ", "added")
        self.person.press(Qt.Key.Key_N)
        painted = self.labels == new
        shared = np.count_nonzero(painted & mask)
        assert shared / np.count_nonzero(painted | mask) > 0.6, (painted.sum(), mask.sum(), shared)

    def change_mind(self) -> None:
        """Delete a good object and take it back."""
        before = self.labels.copy()
        found = self.overlaps()
        object_id = int(found.pred.ids[found.j[found.iou.argmax()]])
        self.select(object_id)
        self.person.press(Qt.Key.Key_X)
        assert not np.any(self.labels == object_id)
        self.person.press(Qt.Key.Key_Z, CONTROL)
        assert self.person.said() == f"Undone: deleted {object_id}.", self.person.said()
        assert np.array_equal(self.labels, before)

    def expect(self, said: str, kind: str) -> None:
        assert self.person.said().startswith(said), self.person.said()
        self.done[kind] += 1


def deepest(mask: NDArray[np.bool_]) -> tuple[int, int, int]:
    """Return the voxel that is farthest from the rim."""
    distance = ndimage.distance_transform_edt(np.pad(mask, 1))
    z, y, x = (int(i) - 1 for i in np.unravel_index(distance.argmax(), distance.shape))
    return z, y, x


def hatching(outline: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """Return a way to and fro through a nucleus in one slice, a brush's breadth apart."""
    points = []
    for number, y in enumerate(np.flatnonzero(outline.any(axis=1))[1::BRUSH].tolist()):
        across = np.flatnonzero(outline[y])
        ends = [(y, int(across[0])), (y, int(across[-1]))]
        points += ends[::-1] if number % 2 else ends
    return points


def look_at_missing(person: Person) -> None:
    """The queue's places without an object are marked and say why."""
    window = person.window
    entries = window.session.worklist.entries
    (row, entry), *_ = [(row, e) for row, e in enumerate(entries) if e.id is None]
    person.click_row(row)
    assert window.dock.why_line.text() == entry.why
    assert window.layers.points.data.tolist() == [list(entry.position_zyx)]
    assert window.layers.slice == entry.position_zyx[0]
    assert not window.session.worklist.is_done(row)
    person.shot("first_missing")


def first(reviewer: Reviewer) -> None:
    person = reviewer.person
    person.shot("first_opened")
    look_at_missing(person)
    reviewer.accept(3)
    reviewer.delete(3)
    reviewer.change_mind()
    reviewer.merge()
    reviewer.split()
    reviewer.add()
    person.shot("first_edited")
    person.window.viewer.dims.ndisplay = 3
    person.shot("first_volume")
    person.window.viewer.dims.ndisplay = 2
    person.commit("first look", "first_dialog")
    assert person.said().startswith("Round 1 is committed"), person.said()
    person.shot("first_committed")


def second(reviewer: Reviewer) -> None:
    person = reviewer.person
    person.shot("second_opened")
    reviewer.accept(99)
    reviewer.delete(99)
    person.shot("second_edited")
    person.commit("second look", "second_dialog")
    assert person.said().startswith("Round 3 is committed"), person.said()


def main() -> None:
    project, field, truth, shots, what = sys.argv[1:]
    review_window.AUTOSAVE_S = 0.3

    def correct(person: Person) -> None:
        reviewer = Reviewer(person, tifffile.imread(truth))
        {"first": first, "second": second}[what](reviewer)
        print(json.dumps(reviewer.done), flush=True)

    send(correct, Path(shots))
    # The second time without the ranking, which takes its time.
    limit = {"first": "20", "second": "0"}[what]
    sys.exit(run(["correct", project, field, "--annotator", "ann", "--limit", limit]))


if __name__ == "__main__":
    main()
