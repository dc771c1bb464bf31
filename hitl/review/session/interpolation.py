"""Slices that an object lacks between slices that it has."""

from __future__ import annotations

from itertools import pairwise
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage


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
