"""Who lies beside whom, how far apart, and how deep in the sample."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from hitl.measure.shapes import Column, Shapes
from labels.progress import Progress

TRIED_FIRST = 8
ROWS_AT_ONCE = 256


def neighbour_columns(shapes: Shapes, within_um: float, progress: Progress) -> dict[str, Column]:
    """Return the neighbours of each object in its own field.

    Parameters
    ----------
    shapes : Shapes
    within_um : float
        Centroids nearer than this count as neighbours.
    progress : callable
    """
    from scipy.spatial import cKDTree

    n = len(shapes)
    name = f"neighbours_within_{within_um:g}um"
    touching = np.bincount(shapes.touching.ravel(), minlength=n)
    columns: dict[str, Column] = {"neighbours_touching": touching}
    centres = shapes.centres * shapes.spacing_um
    nearest = np.full(n, np.nan)
    around = np.zeros(n, np.int64)
    if n > 1:
        tree = cKDTree(centres)
        nearest = tree.query(centres, k=2)[0][:, 1]
        around = tree.query_ball_point(centres, within_um, return_length=True) - 1
    columns[name] = around
    columns["nearest_centroid_um"] = nearest
    distance, row = nearest_rows(shapes, shapes, True, progress)
    columns["nearest_surface_um"] = distance
    columns["nearest_surface_id"] = _ids(shapes, row)
    return columns


def nearest_rows(
    mine: Shapes, theirs: Shapes, same: bool, progress: Progress, start: NDArray[Any] | None = None
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Return for each object the distance to the nearest other and that one's row.

    The distance is that between the centres of the two nearest voxels, one of each object: it is
    exact, and one voxel where objects touch by a face.

    Parameters
    ----------
    mine, theirs : Shapes
    same : bool
        They are the same, and no object is its own neighbour.
    progress : callable
    start : ndarray of float64, shape (N, 2), optional
        Squared distances and rows that are known already.

    Returns
    -------
    distance : ndarray of float64, shape (N,)
        In µm; NaN where there is no other object.
    row : ndarray of int64, shape (N,)
        -1 where there is none.
    """
    from scipy.spatial import cKDTree

    from hitl.measure import _distances

    n, spacing = len(mine), np.asarray(mine.spacing_um)
    found = np.column_stack([np.full(n, np.inf), np.full(n, -1.0)]) if start is None else start
    if n and len(theirs):
        k = min(TRIED_FIRST + same, len(theirs))
        tree = cKDTree(theirs.centres * spacing)
        candidates = tree.query(mine.centres * spacing, k=k)[1].reshape(n, k)
        for first in range(0, n, ROWS_AT_ONCE):
            rows = np.arange(first, min(first + ROWS_AT_ONCE, n))
            _distances.nearest_objects(
                rows, mine.bodies, theirs.bodies, candidates[rows], spacing, same, found
            )
            progress(int(rows[-1]) + 1, n, "distances")
    row = found[:, 1].astype(np.int64)
    return np.where(row >= 0, np.sqrt(found[:, 0]), np.nan), row


def other_columns(
    shapes: Shapes,
    others: dict[str, tuple[Shapes, NDArray[np.int64]]],
    progress: Progress,
) -> dict[str, Column]:
    """Return the nearest object of another class in the same field and time point.

    Parameters
    ----------
    shapes : Shapes
    others : mapping of str to (Shapes, ndarray of int64, shape (M, 2))
        By name of the class: its objects, and the rows of mine and theirs that share voxels.
    progress : callable
    """
    best = np.full(len(shapes), np.nan)
    ids = np.zeros(len(shapes), np.uint64)
    names = np.full(len(shapes), None, object)
    for name, (theirs, shared) in others.items():
        start = np.column_stack([np.full(len(shapes), np.inf), np.full(len(shapes), -1.0)])
        start[shared[:, 0]] = np.column_stack([np.zeros(len(shared)), shared[:, 1]])
        distance, row = nearest_rows(shapes, theirs, False, progress, start)
        nearer = (row >= 0) & ~(best <= distance)
        best[nearer] = distance[nearer]
        ids[nearer] = theirs.ids[row[nearer]]
        names[nearer] = name
    return {"other_distance_um": best, "other_class": names, "other_id": ids}


def depth_columns(shapes: Shapes) -> dict[str, Column]:
    """Return how deep each centroid lies: below the first slice, and inside the sample's hull."""
    z = shapes.centres[:, 0] * shapes.spacing_um[0]
    return {"depth_z_um": z, "depth_hull_um": _hull_depth(shapes)}


def _hull_depth(shapes: Shapes) -> Column:
    from scipy.spatial import ConvexHull

    if not len(shapes):
        return np.zeros(0)
    scale = np.asarray(shapes.spacing_um)
    z, y, side = np.nonzero(shapes.ends >= 0)
    corners = np.column_stack([z, y, shapes.ends[z, y, side] + side - 0.5])
    outline = []
    for plane in np.unique(z):
        points = corners[z == plane]
        # The corners of the voxels at both ends of each row, so that no hull is flat.
        points = _both_sides(points, (0, 0.5, 0))
        outline.append(points[ConvexHull(points[:, 1:]).vertices])
    points = np.concatenate(outline)
    points = _both_sides(points, (0.5, 0, 0)) * scale
    planes = ConvexHull(points).equations
    centres = shapes.centres * scale
    depth = np.empty(len(centres))
    for first in range(0, len(centres), ROWS_AT_ONCE):
        part = centres[first : first + ROWS_AT_ONCE]
        depth[first : first + ROWS_AT_ONCE] = -(part @ planes[:, :3].T + planes[:, 3]).max(axis=1)
    return np.maximum(depth, 0)


def _both_sides(points: NDArray[np.float64], step: tuple[float, ...]) -> NDArray[np.float64]:
    return np.concatenate([points - np.array(step), points + np.array(step)])


def _ids(shapes: Shapes, row: NDArray[np.int64]) -> Column:
    ids = np.zeros(len(row), np.uint64)
    ids[row >= 0] = shapes.ids[row[row >= 0]]
    return ids
