"""Masks to cleaner masks, and masks to classes, slice by slice."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from hitl.postprocess.labels import check_labels
from labels.blocks import available_processors

if TYPE_CHECKING:
    from hitl.postprocess.kernels import SliceObjects

Contact = Literal["edge", "nucleus"]


def clean_masks(
    labels: NDArray[Any],
    *,
    min_area_px: int = 20,
    smooth_kernel_px: int = 3,
    close_radius_px: int = 1,
    fill_holes: bool = True,
    open_radius_px: int = 1,
    workers: int | None = None,
) -> NDArray[np.uint32]:
    """Clean every object in every z slice, keeping its id.

    Each object is taken alone from the input slice, in this order:

    1. dropped when its area in the slice is under `min_area_px`;
    2. smoothed: a pixel stays or becomes the object's when it has the majority in a square window
       (the image's border pixels count as repeated outwards);
    3. closed with a disk, which joins fragments;
    4. holes filled (background that no path over pixel faces joins to the image's border);
    5. opened with a disk, which removes thin convex artefacts;
    6. pieces (8-connected) that are still under `min_area_px` dropped.

    A pixel that several objects then claim goes to the one that had it in the input, else to the
    lowest id. Slices do not depend on one another, so a stack may be cut along z at will. Pixels
    outside the image neither erode nor dilate.

    Parameters
    ----------
    labels : ndarray of integer, shape (Z, Y, X)
        Object ids, 0 is background; ids may be sparse and large.
    min_area_px : int
        Smallest area in a slice, in pixels; 0 keeps all.
    smooth_kernel_px : int
        Odd width of the smoothing window; 1 leaves smoothing out.
    close_radius_px, open_radius_px : int
        Radii of the disks (dy² + dx² ≤ r²); 0 leaves the step out.
    fill_holes : bool
    workers : int, optional
        Threads; by default one per available processor.

    Returns
    -------
    ndarray of uint32, shape (Z, Y, X)
        A new array. An object whose every slice was dropped is gone.

    Raises
    ------
    LabelImageError
        When `labels` are not ZYX integer ids.
    ValueError
        When an option is negative or `smooth_kernel_px` is even.

    Notes
    -----
    Area filter, smoothing and opening follow the post-processing of Cellpose masks of the FUCCI
    spheroid work, which loops over objects and slices. Closing before opening, rather than
    last, keeps fragments that the opening would remove before they could be joined.
    """
    check_labels(labels)
    _check_options(min_area_px, smooth_kernel_px, close_radius_px, open_radius_px)
    from hitl.postprocess.kernels import CleanOptions, clean_slice

    out = np.zeros(labels.shape, dtype=np.uint32)
    options = CleanOptions(
        min_area=min_area_px,
        half_window=smooth_kernel_px // 2,
        pad=close_radius_px + 1,
        fill_holes=fill_holes,
        closing=disk_offsets(close_radius_px),
        opening=disk_offsets(open_radius_px),
    )

    def clean(z: int) -> None:
        plane = np.array(labels[z], dtype=np.uint32, order="C")
        clean_slice(plane, _objects_of(plane), options, out[z])

    _for_each_slice(clean, labels.shape[0], workers)
    return out


def edge_class(
    labels: NDArray[Any],
    *,
    width_px: int = 1,
    contact: Contact = "edge",
    workers: int | None = None,
) -> NDArray[np.uint8]:
    """Turn objects into classes: 0 background, 1 edge, 2 nucleus.

    An object's edge is its dilation by a disk in its slice minus the object itself.

    Parameters
    ----------
    labels : ndarray of integer, shape (Z, Y, X)
        Object ids, 0 is background.
    width_px : int
        Radius of the disk (dy² + dx² ≤ r²), so that the edge is that many pixels wide.
    contact : {"edge", "nucleus"}
        The class of an object's pixel that lies in another object's edge. ``"edge"`` takes it
        from both, so that nuclei which touch in a slice are apart; ``"nucleus"`` keeps every
        object whole.
    workers : int, optional
        Threads; by default one per available processor.

    Returns
    -------
    ndarray of uint8, shape (Z, Y, X)

    Raises
    ------
    LabelImageError
        When `labels` are not ZYX integer ids.
    ValueError
        When `width_px` is under 1 or `contact` is neither of the two.
    """
    check_labels(labels)
    if width_px < 1:
        raise ValueError(f"width_px: expected 1 or more, got {width_px}")
    if contact not in ("edge", "nucleus"):
        raise ValueError(f"contact: expected 'edge' or 'nucleus', got {contact!r}")
    from hitl.postprocess.kernels import edge_slice

    out = np.zeros(labels.shape, dtype=np.uint8)
    disk = disk_offsets(width_px)

    def mark(z: int) -> None:
        plane = np.array(labels[z], dtype=np.uint32, order="C")
        out[z][plane != 0] = 2
        edge_slice(plane, disk, contact == "edge", out[z])

    _for_each_slice(mark, labels.shape[0], workers)
    return out


def disk_offsets(radius: int) -> NDArray[np.int64]:
    """Return the (dy, dx) with dy² + dx² ≤ radius², shape (K, 2); none when `radius` is 0."""
    if radius == 0:
        return np.empty((0, 2), dtype=np.int64)
    span = np.arange(-radius, radius + 1)
    y, x = np.nonzero(span[:, None] ** 2 + span**2 <= radius**2)
    return np.stack([y - radius, x - radius], axis=1).astype(np.int64)


def _check_options(min_area_px: int, smooth_kernel_px: int, *radii: int) -> None:
    if min_area_px < 0 or min(radii) < 0:
        raise ValueError(
            f"expected areas and radii of 0 or more, got min_area_px {min_area_px}, radii {radii}"
        )
    if smooth_kernel_px < 1 or smooth_kernel_px % 2 == 0:
        raise ValueError(
            f"smooth_kernel_px: expected an odd width (1, 3, 5, …), got {smooth_kernel_px}"
        )


def _objects_of(plane: NDArray[np.uint32]) -> SliceObjects:
    """Return the runs of each object of a slice; no search over the slice per object."""
    from hitl.postprocess.kernels import SliceObjects

    first = plane != 0
    last = first.copy()
    differs = plane[:, 1:] != plane[:, :-1]
    first[:, 1:] &= differs
    last[:, :-1] &= differs
    starts, stops = np.flatnonzero(first), np.flatnonzero(last)
    ids, owner, counts = np.unique(plane.ravel()[starts], return_inverse=True, return_counts=True)
    y, x = np.divmod(starts, plane.shape[1])
    runs = np.stack([y, x, x + stops - starts + 1], axis=1)
    bounds = np.concatenate([[0], np.cumsum(counts)])
    return SliceObjects(ids, bounds, runs[np.argsort(owner, kind="stable")])


def _for_each_slice(work: Callable[[int], None], slices: int, workers: int | None) -> None:
    """Call `work` with every slice index; compiled loops and NumPy release the interpreter."""
    threads = min(workers or available_processors(), slices)
    if threads <= 1:
        for z in range(slices):
            work(z)
        return
    with ThreadPoolExecutor(threads) as pool:
        for _ in pool.map(work, range(slices)):
            pass
