"""What the editing keys compute, on arrays alone: splits, missing slices, picking along a ray."""

from __future__ import annotations

from itertools import pairwise
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from hitl.review.errors import ReviewError
from labels.spacing import Spacing

INTENSITY_WEIGHT = 0.5
"""How much a dark line counts in a split, against the distance to the surface."""

SMOOTHING_UM = 0.5
"""Blur of the image before it takes part in a split, in µm; less than any nucleus."""


def split_by_points(
    mask: NDArray[np.bool_],
    image: NDArray[Any],
    points: NDArray[np.intp],
    spacing_um: Spacing,
) -> NDArray[np.int32]:
    """Cut one object into as many parts as there are points.

    A seeded watershed (Meyer 1994) on distance to the surface, in µm, and brightness. Each point
    first climbs to the summit that it stands below, but not past half the way to the next point:
    a click beside a summit then means the summit, and two clicks below one summit share it.

    Parameters
    ----------
    mask : ndarray of bool, shape (Z, Y, X)
        The object, in a crop.
    image : ndarray, shape (Z, Y, X)
    points : ndarray of int, shape (N, 3)
        Voxels (z, y, x) of the crop, in the object.
    spacing_um : (float, float, float)

    Returns
    -------
    ndarray of int32, shape (Z, Y, X)
        1 to N in the object, in the order of the points; 0 outside.
    """
    from skimage.segmentation import watershed

    height = _height(mask, image, spacing_um)
    nearest = _nearest_point(mask, points, spacing_um)
    markers = np.zeros(mask.shape, np.int32)
    for number, point in enumerate(points, start=1):
        for voxel in _climb(height, nearest == number, tuple(int(i) for i in point)):
            markers[voxel] = number
    parts = cast("NDArray[np.int32]", watershed(-height, markers, mask=mask).astype(np.int32))
    # Pieces that no point can reach go to the nearest one.
    lost = mask & (parts == 0)
    parts[lost] = nearest[lost]
    return parts


def _height(
    mask: NDArray[np.bool_], image: NDArray[Any], spacing_um: Spacing
) -> NDArray[np.float32]:
    import edt

    distance = edt.edt(mask, anisotropy=spacing_um, black_border=True)
    height = distance / max(float(distance.max()), np.finfo(np.float32).tiny)
    sigma = [min(SMOOTHING_UM / step, 2.0) for step in spacing_um]
    smooth = ndimage.gaussian_filter(image.astype(np.float32), sigma)
    low, high = np.percentile(smooth[mask], [2, 98])
    if high > low:
        height = height + INTENSITY_WEIGHT * np.clip((smooth - low) / (high - low), 0, 1)
    return cast("NDArray[np.float32]", np.where(mask, height, -1).astype(np.float32))


def _nearest_point(
    mask: NDArray[np.bool_], points: NDArray[np.intp], spacing_um: Spacing
) -> NDArray[np.int32]:
    scale = np.asarray(spacing_um)
    voxels = np.argwhere(mask)
    best = np.full(len(voxels), np.inf)
    owner = np.zeros(len(voxels), np.int32)
    for number, point in enumerate(points, start=1):
        distance = (((voxels - point) * scale) ** 2).sum(axis=1)
        closer = distance < best
        best[closer], owner[closer] = distance[closer], number
    nearest = np.zeros(mask.shape, np.int32)
    nearest[mask] = owner
    return nearest


def _climb(
    height: NDArray[np.float32], allowed: NDArray[np.bool_], start: tuple[int, ...]
) -> list[tuple[int, ...]]:
    path = [start]
    while True:
        here = path[-1]
        window = tuple(
            slice(max(i - 1, 0), min(i + 2, n)) for i, n in zip(here, height.shape, strict=True)
        )
        around = np.where(allowed[window], height[window], -np.inf)
        best = np.unravel_index(int(around.argmax()), around.shape)
        top = tuple(int(part.start + i) for part, i in zip(window, best, strict=True))
        if height[top] <= height[here]:
            return path
        path.append(top)


def interpolate_slices(
    below: NDArray[np.bool_], above: NDArray[np.bool_], between: int, spacing_yx_um: Any
) -> NDArray[np.bool_]:
    """Fill the slices between two outlines (shape-based interpolation, Raya and Udupa 1990).

    The signed distances of both outlines are blended, after moving both to the centroid that
    lies between theirs: an object that drifts from slice to slice is followed.

    Parameters
    ----------
    below, above : ndarray of bool, shape (Y, X)
        Neither empty.
    between : int
        Slices that are missing between them.
    spacing_yx_um : (float, float)

    Returns
    -------
    ndarray of bool, shape (between, Y, X)
    """
    sampling = tuple(float(step) for step in spacing_yx_um)
    outlines = [_signed_distance(outline, sampling) for outline in (below, above)]
    centres = [np.argwhere(outline).mean(axis=0) for outline in (below, above)]
    filled = np.zeros((between, *below.shape), np.bool_)
    for index in range(between):
        share = (index + 1) / (between + 1)
        centre = centres[0] * (1 - share) + centres[1] * share
        moved = [
            ndimage.shift(outline, centre - own, order=1, mode="nearest")
            for outline, own in zip(outlines, centres, strict=True)
        ]
        filled[index] = moved[0] * (1 - share) + moved[1] * share < 0
    return filled


def _signed_distance(outline: NDArray[np.bool_], sampling: Any) -> NDArray[np.float64]:
    # Negative inside; half a voxel off on both sides, so that the border lies between voxels.
    outside = ndimage.distance_transform_edt(~outline, sampling)
    inside = ndimage.distance_transform_edt(np.pad(outline, 1), sampling)[1:-1, 1:-1]
    half = min(sampling) / 2
    return cast(
        "NDArray[np.float64]", np.where(outline, -(inside - half), outside - half).astype(float)
    )


def missing_runs(present: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """Return the runs [start, stop) of slices that an object lacks between slices that it has.

    >>> missing_runs(np.array([False, True, False, False, True, False]))
    [(2, 4)]
    """
    has = np.flatnonzero(present)
    return [(int(a) + 1, int(b)) for a, b in pairwise(has) if b - a > 1]


def first_along_ray(
    labels: NDArray[Any], start: NDArray[Any], stop: NDArray[Any]
) -> tuple[int, int, int] | None:
    """Return the first labelled voxel on the way from `start` to `stop`, (z, y, x); or None."""
    steps = max(int(np.ceil(np.abs(stop - start).max() * 2)), 1)
    share = np.linspace(0, 1, steps + 1)[:, None]
    voxels = np.rint(start * (1 - share) + stop * share).astype(np.intp)
    inside = np.all((voxels >= 0) & (voxels < labels.shape), axis=1)
    voxels = voxels[inside]
    hit = np.flatnonzero(labels[tuple(voxels.T)])
    if not hit.size:
        return None
    z, y, x = (int(i) for i in voxels[hit[0]])
    return z, y, x


def as_voxel(point: Any, shape: tuple[int, ...]) -> tuple[int, int, int]:
    """Return the voxel (z, y, x) that a point lies in.

    Raises
    ------
    ReviewError
        Outside the stack.
    """
    z, y, x = (int(np.rint(part)) for part in point)
    if not all(0 <= i < n for i, n in zip((z, y, x), shape, strict=True)):
        raise ReviewError(
            f"expected a point inside the stack of shape {shape} (z, y, x), got {(z, y, x)}; "
            "click on the image"
        )
    return z, y, x
