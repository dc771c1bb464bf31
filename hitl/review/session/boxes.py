"""Boxes of voxels: around a mask, moved, joined, grown."""

from __future__ import annotations

import fastremap
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from hitl.review.errors import ReviewError

Box = tuple[slice, slice, slice]
"""Part of a field, (z, y, x), with explicit ends."""


def box_shape(box: Box) -> tuple[int, int, int]:
    """Return the shape of a box."""
    z, y, x = (part.stop - part.start for part in box)
    return z, y, x


def bounds(mask: NDArray[np.bool_]) -> Box | None:
    """Return the smallest box around True, or None."""
    hits = [np.flatnonzero(mask.any(axis=others)) for others in ((1, 2), (0, 2), (0, 1))]
    if not hits[0].size:
        return None
    z, y, x = (slice(int(hit[0]), int(hit[-1]) + 1) for hit in hits)
    return z, y, x


def shifted(box: Box, offset: tuple[int, ...]) -> Box:
    """Return a box moved by (z, y, x) voxels."""
    z, y, x = (slice(part.start + by, part.stop + by) for part, by in zip(box, offset, strict=True))
    return z, y, x


def union(a: Box, b: Box) -> Box:
    """Return the smallest box around both."""
    z, y, x = (slice(min(p.start, q.start), max(p.stop, q.stop)) for p, q in zip(a, b, strict=True))
    return z, y, x


def grown(box: Box, by: tuple[int, int, int], shape: tuple[int, ...]) -> Box:
    """Return a box with a margin of (z, y, x) voxels, cut at the field's border."""
    z, y, x = (
        slice(max(part.start - more, 0), min(part.stop + more, size))
        for part, more, size in zip(box, by, shape, strict=True)
    )
    return z, y, x


def overlap(box: Box, chunk: Box) -> tuple[Box, Box]:
    """Return where two boxes that meet do so, relative to the first and to the second."""
    common = [(max(p.start, q.start), min(p.stop, q.stop)) for p, q in zip(box, chunk, strict=True)]
    z, y, x = (slice(a - p.start, b - p.start) for (a, b), p in zip(common, box, strict=True))
    k, j, i = (slice(a - p.start, b - p.start) for (a, b), p in zip(common, chunk, strict=True))
    return (z, y, x), (k, j, i)


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
