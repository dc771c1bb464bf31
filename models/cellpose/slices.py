"""Paired 2D slices of a labelled stack along three views, with square pixels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from labels.spacing import Spacing
from models.errors import TrainingDataError

View = Literal["xy", "xz", "yz"]

ALONG: dict[View, int] = {"xy": 0, "xz": 1, "yz": 2}
"""Axis of (Z, Y, X) that a view's slices are stacked along."""


@dataclass(frozen=True)
class PairedSlice:
    """One slice: image, labels and what of them counts, pixel by pixel.

    Parameters
    ----------
    view : {"xy", "xz", "yz"}
    index : int
        Position along the third axis, in voxels of the stack.
    image : ndarray of float32, shape (C, H, W)
        For xz and yz, H runs along z.
    labels : ndarray of uint32, shape (H, W)
        The stack's ids; 0 outside the mask.
    mask : ndarray of bool, shape (H, W)
        True where label or background is known.
    pixel_um : float
        Edge of the square pixels in µm.
    """

    view: View
    index: int
    image: NDArray[np.float32]
    labels: NDArray[np.uint32]
    mask: NDArray[np.bool_]
    pixel_um: float


def paired_slices(
    image: NDArray[Any],
    labels: NDArray[Any],
    mask: NDArray[np.bool_],
    spacing_um: Spacing,
    views: Sequence[View] = ("xy", "xz", "yz"),
    *,
    pixel_um: float | None = None,
    min_objects: int = 1,
) -> list[PairedSlice]:
    """Return all slices that show labelled objects, for training or for export to 2D files.

    Parameters
    ----------
    image : ndarray of integer or float, shape (C, Z, Y, X)
    labels : ndarray of integer, shape (Z, Y, X)
    mask : ndarray of bool, shape (Z, Y, X)
        Where the labels count; no label elsewhere is looked at.
    spacing_um : (float, float, float)
        Voxel size (z, y, x) in µm.
    views : sequence of {"xy", "xz", "yz"}
    pixel_um : float, optional
        Edge of the slices' square pixels; that of x and y when not given.
    min_objects : int
        Slices with fewer are left out.

    Returns
    -------
    list of PairedSlice
        Images interpolated linearly, labels and mask by the nearest voxel.

    Raises
    ------
    TrainingDataError
        Shapes that differ.
    """
    return [
        cut(image, labels, mask, spacing_um, view, index, pixel_um)
        for view, index in slices_with_objects(image, labels, mask, views, min_objects)
    ]


def slices_with_objects(
    image: NDArray[Any],
    labels: NDArray[Any],
    mask: NDArray[np.bool_],
    views: Sequence[View],
    min_objects: int = 1,
) -> list[tuple[View, int]]:
    """Return view and index of the slices with at least `min_objects` objects that count.

    An image of one slice is seen from above only: across it, it is a line.
    """
    if not image.shape[1:] == labels.shape == mask.shape or image.ndim != 4:
        raise TrainingDataError(
            "expected an image (C, Z, Y, X), and labels and mask of its ZYX shape, got "
            f"{image.shape}, {labels.shape} and {mask.shape}"
        )
    known = np.where(mask, labels, 0)
    found: list[tuple[View, int]] = []
    for view in views if len(known) > 1 else [view for view in views if view == "xy"]:
        for index, plane in enumerate(np.moveaxis(known, ALONG[view], 0)):
            ids = np.unique(plane)
            if np.count_nonzero(ids) >= min_objects:
                found.append((view, index))
    return found


def cut(
    image: NDArray[Any],
    labels: NDArray[Any],
    mask: NDArray[np.bool_],
    spacing_um: Spacing,
    view: View,
    index: int,
    pixel_um: float | None = None,
) -> PairedSlice:
    """Return one slice, resampled to square pixels; see `paired_slices`."""
    axis = ALONG[view]
    edge = pixel_um or float(np.sqrt(spacing_um[1] * spacing_um[2]))
    height_um, width_um = (size for i, size in enumerate(spacing_um) if i != axis)
    known = np.take(mask, index, axis)
    shape = tuple(
        max(1, round(n * size / edge))
        for n, size in zip(known.shape, (height_um, width_um), strict=True)
    )
    ids = np.where(known, np.take(labels, index, axis), 0).astype(np.uint32)
    near = np.ix_(*(_nearest(n, m) for n, m in zip(known.shape, shape, strict=True)))
    return PairedSlice(
        view,
        index,
        np.stack([_linear(np.take(one, index, axis).astype(np.float32), shape) for one in image]),
        ids[near],
        known[near],
        edge,
    )


def _nearest(old: int, new: int) -> NDArray[np.intp]:
    """Return the old pixel under each new one; both rows have the same two ends."""
    centres = (np.arange(new) + 0.5) * (old / new)
    return np.minimum(centres.astype(np.intp), old - 1)


def _linear(plane: NDArray[np.float32], shape: tuple[int, ...]) -> NDArray[np.float32]:
    if plane.shape == shape:
        return plane
    import cv2

    resized: NDArray[np.float32] = cv2.resize(plane, shape[::-1], interpolation=cv2.INTER_LINEAR)
    return resized
