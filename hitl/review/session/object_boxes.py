"""Where each object lies, so that an edit reads its box and not the whole stack."""

from __future__ import annotations

import cc3d
import fastremap
import numpy as np
from numpy.typing import NDArray

from hitl.review.errors import ReviewError
from hitl.review.session.undo import Box, bounds, shifted, union

_LARGEST_DENSE = 1 << 22


class ObjectBoxes:
    """Boxes of all objects of a label array that is edited in place.

    Parameters
    ----------
    labels : ndarray of uint32, shape (Z, Y, X)
    """

    def __init__(self, labels: NDArray[np.uint32]) -> None:
        self._labels = labels
        self._boxes = _all_boxes(labels)
        self._highest = max(self._boxes, default=0)

    def __contains__(self, object_id: int) -> bool:
        return object_id in self._boxes

    @property
    def ids(self) -> list[int]:
        """Ids that have voxels, ascending."""
        return sorted(self._boxes)

    @property
    def highest(self) -> int:
        """The highest id that was ever seen."""
        return self._highest

    def __getitem__(self, object_id: int) -> Box:
        """Return the smallest box around an object.

        Raises
        ------
        ReviewError
            It has no voxels.
        """
        if object_id not in self._boxes:
            what = "the background" if object_id == 0 else f"no object {object_id}"
            raise ReviewError(f"expected an object, got {what}; click on an object that is there")
        return self._boxes[object_id]

    def update(self, box: Box, before: NDArray[np.uint32], after: NDArray[np.uint32]) -> None:
        """Follow a change of the labels in a box, which holds `after` already."""
        old, new = (set(map(int, fastremap.unique(block))) - {0} for block in (before, after))
        for object_id in old | new:
            self._boxes[object_id] = union(self._boxes.get(object_id, box), box)
            self._highest = max(self._highest, object_id)
            self._tighten(object_id)

    def _tighten(self, object_id: int) -> None:
        loose = self._boxes[object_id]
        tight = bounds(self._labels[loose] == object_id)
        if tight is None:
            del self._boxes[object_id]
        else:
            self._boxes[object_id] = shifted(tight, tuple(part.start for part in loose))


def grown(box: Box, by: tuple[int, int, int], shape: tuple[int, ...]) -> Box:
    """Return a box with a margin of (z, y, x) voxels, cut at the stack's border."""
    z, y, x = (
        slice(max(part.start - more, 0), min(part.stop + more, size))
        for part, more, size in zip(box, by, shape, strict=True)
    )
    return z, y, x


def _all_boxes(labels: NDArray[np.uint32]) -> dict[int, Box]:
    if int(labels.max(initial=0)) <= _LARGEST_DENSE:
        names, dense = None, labels
    else:
        dense, mapping = fastremap.renumber(labels, in_place=False)
        names = {new: old for old, new in mapping.items()}
    found: dict[int, Box] = {}
    statistics = cc3d.statistics(dense, no_slice_conversion=True)
    corners = statistics["bounding_boxes"].astype(int)
    for row in np.flatnonzero(statistics["voxel_counts"]):
        if row:
            z0, z1, y0, y1, x0, x1 = map(int, corners[row])
            box = (slice(z0, z1 + 1), slice(y0, y1 + 1), slice(x0, x1 + 1))
            found[int(names[int(row)] if names else row)] = box
    return found
