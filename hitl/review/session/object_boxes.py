"""Where each object lies, so that an edit reads its box and not the whole stack."""

from __future__ import annotations

import fastremap
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from hitl.review.errors import ReviewError
from hitl.review.session.boxes import Box, bounds, shifted, union


class ObjectBoxes:
    """Boxes of all objects of a label array that is edited in place.

    Parameters
    ----------
    labels : ndarray of uint32, shape (Z, Y, X)
    """

    def __init__(self, labels: NDArray[np.uint32]) -> None:
        self._labels = labels
        self._boxes = _all_boxes(labels)

    def __contains__(self, object_id: int) -> bool:
        return object_id in self._boxes

    @property
    def ids(self) -> list[int]:
        """Ids that have voxels, ascending."""
        return sorted(self._boxes)

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
            loose = union(self._boxes.pop(object_id, box), box)
            tight = bounds(self._labels[loose] == object_id)
            if tight is not None:
                self._boxes[object_id] = shifted(tight, tuple(part.start for part in loose))


def _all_boxes(labels: NDArray[np.uint32]) -> dict[int, Box]:
    # Boxes are listed up to the highest id, which may be far above the number of objects.
    dense, numbers = fastremap.renumber(labels, in_place=False)
    boxes = ndimage.find_objects(dense)
    return {int(old): boxes[new - 1] for old, new in numbers.items() if new}
