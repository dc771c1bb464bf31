"""What a session holds and how it changes: arrays, verdicts, undo, and what was changed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from annotations.layout import CHUNKS
from annotations.objects import ObjectTable, Status
from hitl.review.errors import ReviewError
from hitl.review.session.boxes import Box, ObjectBoxes, box_shape
from hitl.review.session.changed_chunks import ChangedChunks, ChunkIndex
from hitl.review.session.undo import Kind, Operation, Patch, Plane, UndoHistory
from hitl.review.session.work_timer import WorkTimer
from hitl.review.session.worklist import Worklist, WorklistEntry, proposed_objects
from labels.numbers import number_of
from labels.spacing import Spacing

Change = tuple[Plane, Box, NDArray[Any]]
"""New values of a box of one array."""


class ReviewState:
    """Labels under correction, in memory, changed by operations that can be undone.

    Parameters
    ----------
    image : ndarray, shape (Z, Y, X)
    labels : ndarray of uint32, shape (Z, Y, X)
        Edited in place.
    verified : ndarray of uint8, shape (Z, Y, X)
        Edited in place.
    objects : ObjectTable
        Rows of `labels`.
    spacing_um : (float, float, float)
        Voxel size (z, y, x) in µm.
    queue : sequence of WorklistEntry, optional
        What to look at; the proposed objects by confidence when not given.
    chunks : (int, int, int)
        Of the store: what is changed is kept by chunk.
    timer : WorkTimer, optional

    Raises
    ------
    ReviewError
        Arrays of different shapes or types.
    """

    def __init__(
        self,
        image: NDArray[Any],
        labels: NDArray[np.uint32],
        verified: NDArray[np.uint8],
        objects: ObjectTable,
        spacing_um: Spacing,
        queue: Sequence[WorklistEntry] | None = None,
        *,
        chunks: tuple[int, int, int] = CHUNKS,
        timer: WorkTimer | None = None,
    ) -> None:
        _check_arrays(image, labels, verified)
        self.image = image
        self.labels = labels
        self.verified = verified
        self.objects = objects
        self.spacing_um = spacing_um
        self.timer = timer or WorkTimer()
        self.verdicts: dict[int, Status] = {}
        self.boxes = ObjectBoxes(labels)
        self.chunks = ChangedChunks(labels, verified, chunks)
        self._history = UndoHistory()
        self._counts: Counter[Kind] = Counter()
        self._handled: Counter[int] = Counter()
        self.base_highest_id = max(objects.highest_id, *self.boxes.ids, 0)
        self.highest_id = self.base_highest_id
        self.revision = 0
        entries = proposed_objects(objects, self.centre, self.boxes.ids) if queue is None else queue
        self.worklist = Worklist(entries, self._is_done)

    def undo(self) -> Operation:
        """Take back the last edit.

        Raises
        ------
        ReviewError
            There is none.
        """
        return self._apply(self._history.undo(), undo=True)

    def redo(self) -> Operation:
        """Do again what was undone last.

        Raises
        ------
        ReviewError
            There is nothing.
        """
        return self._apply(self._history.redo(), undo=False)

    def new_id(self) -> int:
        """Return an id that no object has or ever had."""
        self.highest_id += 1
        return self.highest_id

    def changes(self) -> dict[Kind, int]:
        """Return how often each kind of edit was made since the last commit, without the undone."""
        return {kind: count for kind, count in sorted(self._counts.items()) if count}

    def is_handled(self, object_id: int) -> bool:
        """Whether the person has accepted, rejected or edited an object since the session began."""
        return self._handled[object_id] > 0

    @property
    def accepted(self) -> list[int]:
        """Objects accepted since the session began that are still there, ascending."""
        return sorted(
            i for i, said in self.verdicts.items() if said == Status.ACCEPTED and i in self.boxes
        )

    @property
    def handled(self) -> list[int]:
        """Objects that the person has seen to since the session began, ascending."""
        return sorted(i for i, count in self._handled.items() if count > 0)

    def centre(self, object_id: int) -> tuple[int, int, int]:
        """Return the voxel (z, y, x) of an object that is nearest to the middle of its box.

        Raises
        ------
        ReviewError
            No such object.
        """
        box = self.boxes[object_id]
        voxels = np.argwhere(self.labels[box] == object_id)
        middle = (np.array(self.labels[box].shape) - 1) / 2
        distance = (((voxels - middle) * self.spacing_um) ** 2).sum(axis=1)
        nearest = voxels[int(distance.argmin())]
        z, y, x = (int(part.start + i) for part, i in zip(box, nearest, strict=True))
        return z, y, x

    def describe(self, object_id: int) -> str:
        """Return one line about an object, for people."""
        if object_id not in self.boxes:
            return "No object selected"
        box = self.boxes[object_id]
        voxels = int(np.count_nonzero(self.labels[box] == object_id))
        volume = voxels * float(np.prod(self.spacing_um))
        row = np.flatnonzero(self.objects.id == object_id)
        status = Status(int(self.objects.status[row[0]])).name.lower() if row.size else "new"
        if object_id in self.verdicts:
            status = self.verdicts[object_id].name.lower()
        elif self.is_handled(object_id):
            status = "edited"
        slices = number_of(box_shape(box)[0], "slice")
        return f"Object {object_id}: {status}, {volume:,.0f} µm³ in {slices}"

    def restore(
        self,
        chunks: Iterable[tuple[ChunkIndex, NDArray[np.uint32], NDArray[np.uint8]]],
        *,
        verdicts: Mapping[int, Status],
        counts: Mapping[Kind, int],
        handled: Iterable[int],
        highest_id: int,
    ) -> None:
        """Take up a session that was saved as a draft; what it did can no longer be undone."""
        for index, labels, verified in chunks:
            box = self.chunks.box(index)
            self.chunks.keep(box)
            before = self.labels[box].copy()
            self.labels[box], self.verified[box] = labels, verified
            self.boxes.update(box, before, labels)
        self.verdicts.update(verdicts)
        self._counts.update(counts)
        self._handled.update(handled)
        self.highest_id = max(self.highest_id, highest_id)

    def _do(
        self,
        kind: Kind,
        text: str,
        ids: Sequence[int],
        changes: Sequence[Change],
        verdicts: Mapping[int, Status] | None = None,
    ) -> Operation:
        patches = [
            Patch.between(plane, box, getattr(self, plane)[box], after)
            for plane, box, after in changes
        ]
        said = verdicts or {}
        operation = Operation(
            kind=kind,
            text=text,
            ids=tuple(ids),
            patches=tuple(patch for patch in patches if patch is not None),
            verdicts_before={i: self.verdicts.get(i) for i in said},
            verdicts_after=said,
        )
        self._history.push(operation)
        return self._apply(operation, undo=False)

    def _apply(self, operation: Operation, *, undo: bool) -> Operation:
        for patch in reversed(operation.patches) if undo else operation.patches:
            self.chunks.keep(patch.box)
            array = getattr(self, patch.plane)
            before = array[patch.box].copy()
            patch.apply(array, undo=undo)
            if patch.plane == "labels":
                self.boxes.update(patch.box, before, self.labels[patch.box])
        said = operation.verdicts_before if undo else operation.verdicts_after
        for object_id, status in said.items():
            if status is None:
                self.verdicts.pop(object_id, None)
            else:
                self.verdicts[object_id] = status
        step = -1 if undo else 1
        self._counts[operation.kind] += step
        for object_id in operation.ids:
            self._handled[object_id] += step
        self.revision += 1
        self.timer.touch()
        return operation

    def _is_done(self, entry: WorklistEntry) -> bool:
        if entry.id is not None:
            return self.is_handled(entry.id)
        # Where one may be missing: something was made of the place, or it was checked.
        place = entry.position_zyx
        return bool(self.verified[place]) or self.is_handled(int(self.labels[place]))


def _check_arrays(image: NDArray[Any], labels: NDArray[Any], verified: NDArray[Any]) -> None:
    shapes = [array.shape for array in (image, labels, verified)]
    if image.ndim != 3 or len(set(shapes)) != 1:
        raise ReviewError(
            f"expected image, labels and verified of one shape (Z, Y, X), got {shapes}; "
            "give those of one field and one channel"
        )
    if labels.dtype != np.uint32 or verified.dtype != np.uint8:
        raise ReviewError(
            f"expected labels of uint32 and verified of uint8, got {labels.dtype} and "
            f"{verified.dtype}; convert them first"
        )
