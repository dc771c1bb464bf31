"""Cutting one object into parts, one per point."""

from __future__ import annotations

from typing import Any, cast

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

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

    if len(mask) == 1:
        # In one slice the way out is in the plane: nothing ends above and below.
        distance = edt.edt(mask[0], anisotropy=spacing_um[1:], black_border=True)[None]
    else:
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
    distances = [(((voxels - point) * scale) ** 2).sum(axis=1) for point in points]
    nearest = np.zeros(mask.shape, np.int32)
    nearest[mask] = np.argmin(distances, axis=0) + 1
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
