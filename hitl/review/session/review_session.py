"""One sitting of a person at one field: every edit is a method, and every edit can be undone."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from annotations.objects import Status
from hitl.review.errors import ReviewError
from hitl.review.session.boxes import Box, grown
from hitl.review.session.interpolation import interpolate_slices, missing_runs
from hitl.review.session.picking import as_voxel
from hitl.review.session.splitting import split_by_points
from hitl.review.session.state import ReviewState
from hitl.review.session.undo import Kind, Operation

_MARGIN = 4


class ReviewSession(ReviewState):
    """The edits that a person can make; nothing here knows Qt, the store or a file.

    Made like `ReviewState`: from image, labels, verified voxels, objects, spacing and a queue.
    """

    def accept(self, object_id: int) -> Operation:
        """Say that an object is right as it is.

        Raises
        ------
        ReviewError
            No such object, or it was accepted already.
        """
        self.boxes[object_id]
        if self.verdicts.get(object_id) == Status.ACCEPTED:
            raise ReviewError(f"object {object_id} is accepted already; go on with the next one")
        return self._do(
            "accepted", f"accepted {object_id}", [object_id], (), {object_id: Status.ACCEPTED}
        )

    def reject(self, object_id: int) -> Operation:
        """Say that an object is none: its voxels become background.

        Raises
        ------
        ReviewError
            No such object.
        """
        box = self.boxes[object_id]
        block = self.labels[box]
        cleared = np.where(block == object_id, 0, block)
        verdict = {object_id: Status.REJECTED}
        return self._do(
            "deleted", f"deleted {object_id}", [object_id], [("labels", box, cleared)], verdict
        )

    def merge(self, a: int, b: int) -> Operation:
        """Make one object of two; the larger one keeps its id.

        Raises
        ------
        ReviewError
            No such object, or twice the same.
        """
        boxes = {object_id: self.boxes[object_id] for object_id in (a, b)}
        if a == b:
            raise ReviewError(f"expected two objects to merge, got {a} twice; click on another one")
        volumes = {i: int(np.count_nonzero(self.labels[box] == i)) for i, box in boxes.items()}
        kept, gone = (a, b) if volumes[a] >= volumes[b] else (b, a)
        block = self.labels[boxes[gone]]
        joined = np.where(block == gone, np.uint32(kept), block)
        text = f"merged {gone} into {kept}"
        return self._do("merged", text, [kept, gone], [("labels", boxes[gone], joined)])

    def split(self, object_id: int, points: ArrayLike) -> Operation:
        """Cut an object into as many parts as there are points; the largest keeps the id.

        Parameters
        ----------
        object_id : int
        points : array, shape (N, 3)
            Voxels (z, y, x) in the object, one per part.

        Raises
        ------
        ReviewError
            No such object, fewer than two different points, or a point beside the object.
        """
        box = self.boxes[object_id]
        seeds = [as_voxel(point, self.labels.shape) for point in np.asarray(points, float)]
        if len(set(seeds)) < 2:
            raise ReviewError(
                f"split {object_id}: expected two or more different points, got {len(set(seeds))}; "
                "click once in each part"
            )
        for seed in seeds:
            if self.labels[seed] != object_id:
                raise ReviewError(
                    f"split {object_id}: expected points in it, got {seed} (z, y, x), which is "
                    "not; click inside the object"
                )
        return self._split(object_id, box, list(dict.fromkeys(seeds)))

    def _split(self, object_id: int, box: Box, seeds: list[tuple[int, int, int]]) -> Operation:
        block = self.labels[box]
        corner = np.array([part.start for part in box])
        mask = block == object_id
        parts = split_by_points(mask, self.image[box], np.array(seeds) - corner, self.spacing_um)
        largest = int(np.bincount(parts[mask]).argmax())
        after = block.copy()
        ids = [object_id]
        for part in range(1, len(seeds) + 1):
            if part != largest:
                ids.append(self.new_id())
                after[parts == part] = ids[-1]
        text = f"split {object_id} into {', '.join(map(str, ids))}"
        return self._do("split", text, ids, [("labels", box, after)])

    def paint(self, values: ArrayLike, box: Box | None = None) -> Operation | None:
        """Take over labels that a person painted; whatever differs is the edit.

        Parameters
        ----------
        values : array of uint32, shape of the box
        box : (slice, slice, slice), optional
            The whole field when not given.

        Returns
        -------
        Operation or None
            None when nothing differs.

        Raises
        ------
        ReviewError
            Values of another shape.
        """
        place = box or tuple(slice(0, size) for size in self.labels.shape)
        before, after = self.labels[place], np.asarray(values)
        if after.shape != before.shape:
            raise ReviewError(f"paint: expected values of shape {before.shape}, got {after.shape}")
        differs = before != after
        if not differs.any():
            return None
        painted = sorted(map(int, np.unique(after[differs])))
        ids = sorted({*painted, *map(int, np.unique(before[differs]))} - {0})
        new = [i for i in painted if i and i not in self.boxes]
        kind: Kind = "added" if new else "painted"
        text = f"added {new[0]}" if new else f"painted {', '.join(map(str, ids))}"
        return self._do(kind, text, ids, [("labels", place, after)])  # type: ignore[list-item]

    def interpolate(self, object_id: int, z: int | None = None) -> Operation:
        """Fill the slices that an object lacks between two that it has; only background is taken.

        Parameters
        ----------
        object_id : int
        z : int, optional
            Fill only the gap around this slice; all gaps when not given or not in one.

        Raises
        ------
        ReviewError
            No such object, or it has no gap.
        """
        tight = self.boxes[object_id]
        box = grown(tight, (0, _MARGIN, _MARGIN), self.labels.shape)
        block = self.labels[box]
        mask = block == object_id
        first = box[0].start
        runs = missing_runs(mask.any(axis=(1, 2)))
        around = [run for run in runs if z is not None and run[0] <= z - first < run[1]]
        if not runs:
            raise ReviewError(
                f"object {object_id} lacks no slice from {first} to {box[0].stop - 1}; paint it "
                "in a slice below and one above the missing ones"
            )
        after, slices = block.copy(), []
        for start, stop in around or runs:
            filled = interpolate_slices(
                mask[start - 1], mask[stop], stop - start, self.spacing_um[1:]
            )
            after[start:stop][filled & (block[start:stop] == 0)] = object_id
            slices += [str(first + i) for i in range(start, stop)]
        text = f"filled {object_id} in slice {', '.join(slices)}"
        return self._do("interpolated", text, [object_id], [("labels", box, after)])

    def check_slice(self, z: int) -> Operation:
        """Say that everything in a slice is right, the background included.

        Raises
        ------
        ReviewError
            No such slice, or it was checked already.
        """
        _, height, width = self.labels.shape
        return self.check_box((z, 0, 0), (z, height - 1, width - 1))

    def check_box(self, corner: ArrayLike, opposite: ArrayLike) -> Operation:
        """Say that everything in a box is right, the background included.

        Parameters
        ----------
        corner, opposite : (int, int, int)
            Voxels (z, y, x), both inside the box.

        Raises
        ------
        ReviewError
            A corner outside the field, or all of it was checked already.
        """
        ends = np.sort(
            [as_voxel(np.asarray(end), self.labels.shape) for end in (corner, opposite)], axis=0
        )
        z, y, x = (slice(int(low), int(high) + 1) for low, high in ends.T)
        name = f"slice {z.start}" if z.stop - z.start == 1 else f"slices {z.start}–{z.stop - 1}"
        if (y.stop - y.start, x.stop - x.start) != self.labels.shape[1:]:
            name = f"a box in {name}"
        if self.verified[z, y, x].all():
            raise ReviewError(f"{name} is checked already; nothing to do there")
        ones = np.ones_like(self.verified[z, y, x])
        return self._do("checked", f"checked {name}", [], [("verified", (z, y, x), ones)])
