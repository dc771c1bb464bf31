"""Cleaning that looks at whole objects in 3D."""

from __future__ import annotations

from math import prod
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from hitl.postprocess.labels import MAX_ID, check_labels
from labels.errors import LabelImageError
from labels.numbers import number_of
from labels.spacing import Spacing, is_spacing

Pieces = Literal["keep", "largest", "split"]


def clean_objects(
    labels: NDArray[Any],
    spacing_um: Spacing,
    *,
    min_volume_um3: float = 0.0,
    pieces: Pieces = "keep",
    fill_holes: bool = False,
) -> NDArray[np.uint32]:
    """Settle disconnected pieces, fill enclosed holes and remove small objects, in this order.

    Parameters
    ----------
    labels : ndarray of integer, shape (Z, Y, X)
        Object ids, 0 is background.
    spacing_um : (float, float, float)
        Voxel size (z, y, x) in µm.
    min_volume_um3 : float
        Objects with less volume than this are removed.
    pieces : {"keep", "largest", "split"}
        What becomes of an object in several pieces (26-connected): left as it is; only its
        largest piece kept (the first in memory among equals); or every other piece a new object,
        with ids after the largest one of the image.
    fill_holes : bool
        Give background that one object encloses in 3D to that object.

    Returns
    -------
    ndarray of uint32, shape (Z, Y, X)
        A new array.

    Raises
    ------
    LabelImageError
        When `labels` are not ZYX integer ids, or splitting needs ids over 32 bits.
    ValueError
        When the spacing is not positive, the volume negative, or `pieces` none of the three.
    """
    check_labels(labels)
    if not is_spacing(spacing_um):
        raise ValueError(f"spacing_um: expected three positive numbers, got {spacing_um}")
    if min_volume_um3 < 0:
        raise ValueError(f"min_volume_um3: expected 0 or more, got {min_volume_um3}")
    if pieces not in ("keep", "largest", "split"):
        raise ValueError(f"pieces: expected 'keep', 'largest' or 'split', got {pieces!r}")
    out = np.array(labels, dtype=np.uint32, order="C")
    if not out.any():
        return out
    if pieces != "keep":
        out = _settle_pieces(out, split=pieces == "split")
    if fill_holes:
        _fill_enclosed(out)
    if min_volume_um3 > 0:
        out = _drop_small(out, min_volume_um3 / prod(spacing_um))
    return out


def _settle_pieces(labels: NDArray[np.uint32], *, split: bool) -> NDArray[np.uint32]:
    import cc3d

    pieces, count = cc3d.connected_components(labels, connectivity=26, return_N=True)
    sizes = cc3d.statistics(pieces)["voxel_counts"].astype(np.int64)
    owners = np.zeros(count + 1, dtype=np.uint32)
    owners[pieces.ravel()] = labels.ravel()
    # Sorted by owner, then from the largest: the first of each owner keeps the id.
    order = 1 + np.lexsort((-sizes[1:], owners[1:]))
    _, first = np.unique(owners[order], return_index=True)
    rest = np.delete(order, first)
    if split:
        top = int(labels.max())
        if top + rest.size > MAX_ID:
            raise LabelImageError(
                f"labels: expected room for {number_of(rest.size, 'new id')} after {top}; "
                "renumber them"
            )
        owners[rest] = np.arange(top + 1, top + 1 + rest.size, dtype=np.uint32)
    else:
        owners[rest] = 0
    return np.asarray(owners[pieces])


def _fill_enclosed(labels: NDArray[np.uint32]) -> None:
    import cc3d
    import fastremap
    import fill_voids

    dense, _ = fastremap.renumber(labels, in_place=False)
    boxes = cc3d.statistics(dense, no_slice_conversion=False)["bounding_boxes"]

    def extent(index: int) -> int:
        return prod(side.stop - side.start for side in boxes[index])

    # Largest first: a hole inside nested objects ends up with the innermost.
    for index in sorted(range(1, len(boxes)), key=extent, reverse=True):
        box = boxes[index]
        own = dense[box] == index
        enclosed = fill_voids.fill(own) & (dense[box] == 0)
        if enclosed.any():
            labels[box][enclosed] = labels[box][own][0]


def _drop_small(labels: NDArray[np.uint32], min_voxels: float) -> NDArray[np.uint32]:
    import fastremap

    ids, counts = fastremap.unique(labels, return_counts=True)
    small = ids[(counts < min_voxels) & (ids != 0)]
    return np.asarray(fastremap.mask(labels, list(small), in_place=True))
