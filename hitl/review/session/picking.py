"""Which voxel a click means."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from hitl.review.errors import ReviewError


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
        Outside the field.
    """
    z, y, x = (int(np.rint(part)) for part in point)
    if not all(0 <= i < n for i, n in zip((z, y, x), shape, strict=True)):
        raise ReviewError(
            f"expected a point inside the field of shape {shape} (z, y, x), got {(z, y, x)}; "
            "click on the image"
        )
    return z, y, x
