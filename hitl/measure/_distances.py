"""Compiled search for the nearest object; exact, by the boundary voxels of both."""

from __future__ import annotations

from typing import Any

import numpy as np

from labels.compiled import compiled


@compiled
def _gap2(p: Any, q: Any, s: Any) -> Any:
    dz, dy, dx = (p[0] - q[0]) * s[0], (p[1] - q[1]) * s[1], (p[2] - q[2]) * s[2]
    return dz * dz + dy * dy + dx * dx


@compiled
def _nearest(points: Any, z: Any, y: Any, x: Any, s: Any) -> Any:
    best, where = np.inf, 0
    for n in range(points.shape[0]):
        dz = (points[n, 0] - z) * s[0]
        dy = (points[n, 1] - y) * s[1]
        dx = (points[n, 2] - x) * s[2]
        d = dz * dz + dy * dy + dx * dx
        if d < best:
            best, where = d, n
    return where


@compiled
def _spread(points: Any, u: Any, s: Any) -> Any:
    """Smallest and largest projection of points on the direction u."""
    low, high = np.inf, -np.inf
    a, b, c = u[0] * s[0], u[1] * s[1], u[2] * s[2]
    for n in range(points.shape[0]):
        t = points[n, 0] * a + points[n, 1] * b + points[n, 2] * c
        low = min(low, t)
        high = max(high, t)
    return low, high


@compiled
def _projected(points: Any, u: Any, s: Any, low: Any, high: Any) -> Any:
    """Points whose projection lies between two bounds, and the projections."""
    where = np.empty(points.shape[0], np.int64)
    t = np.empty(points.shape[0], np.float64)
    a, b, c = u[0] * s[0], u[1] * s[1], u[2] * s[2]
    count = 0
    for n in range(points.shape[0]):
        along = points[n, 0] * a + points[n, 1] * b + points[n, 2] * c
        if low <= along <= high:
            where[count] = n
            t[count] = along
            count += 1
    return where[:count], t[:count]


@compiled
def _direction(p: Any, q: Any, s: Any) -> Any:
    u = np.empty(3)
    length = 0.0
    for axis in range(3):
        u[axis] = (q[axis] - p[axis]) * s[axis]
        length += u[axis] * u[axis]
    return u / np.sqrt(length) if length > 0 else u


@compiled
def _between(mine: Any, theirs: Any, s: Any, limit2: Any, centres: Any) -> Any:
    """Squared distance between two sets of voxels; infinite where it is `limit2` or more.

    A pair of voxels that are nearest to each other bounds the distance from above; the
    projections on the line through them leave few voxels that could be nearer still.
    """
    u = _direction(centres[0], centres[1], s)
    gap = _spread(theirs, u, s)[0] - _spread(mine, u, s)[1]
    if gap > 0 and gap * gap >= limit2:
        return np.inf
    i = _nearest(mine, centres[1, 0], centres[1, 1], centres[1, 2], s)
    j = _nearest(theirs, mine[i, 0], mine[i, 1], mine[i, 2], s)
    for _ in range(8):
        again = _nearest(mine, theirs[j, 0], theirs[j, 1], theirs[j, 2], s)
        if again == i:
            break
        i = again
        j = _nearest(theirs, mine[i, 0], mine[i, 1], mine[i, 2], s)
    best = _gap2(mine[i], theirs[j], s)
    if best == 0:
        return best
    u = _direction(mine[i], theirs[j], s)
    # A hair wider than the bound, so that rounding of the projections loses no voxel.
    reach = np.sqrt(min(best, limit2)) * (1 + 1e-9) + 1e-9
    nearest_theirs = _spread(theirs, u, s)[0]
    nearest_mine = _spread(mine, u, s)[1]
    a_rows, a_along = _projected(mine, u, s, nearest_theirs - reach, np.inf)
    b_rows, b_along = _projected(theirs, u, s, -np.inf, nearest_mine + reach)
    order = np.argsort(b_along)
    for m in range(a_rows.shape[0]):
        for k in range(order.shape[0]):
            n = order[k]
            if b_along[n] - a_along[m] > reach:
                break
            best = min(best, _gap2(mine[a_rows[m]], theirs[b_rows[n]], s))
    return best if best < limit2 else np.inf


@compiled
def _box_gap2(a: Any, b: Any, s: Any) -> Any:
    """Squared distance between the voxel centres of two bounding boxes."""
    total = 0.0
    for axis in range(3):
        d = max(b[axis] - (a[axis + 3] - 1), a[axis] - (b[axis + 3] - 1), 0) * s[axis]
        total += d * d
    return total


@compiled
def nearest_objects(
    rows: Any, mine: Any, theirs: Any, candidates: Any, spacing: Any, same: Any, found: Any
) -> None:
    """Write the squared distance to, and the row of, the nearest of `theirs` for each of `rows`.

    `mine` and `theirs` are (points, starts, boxes, centres); `candidates` (rows, k) are tried
    first, then all whose bounding box could hold something nearer. Where `found` holds a smaller
    distance already, it stays.
    """
    points, starts, boxes, centres = mine
    others, other_starts, other_boxes, other_centres = theirs
    pair = np.empty((2, 3))
    tried = np.full(other_starts.shape[0] - 1, -1, np.int64)
    for n in range(rows.shape[0]):
        a = rows[n]
        best, where = found[a, 0], found[a, 1]
        own = points[starts[a] : starts[a + 1]]
        pair[0] = centres[a]
        k = candidates.shape[1]
        for c in range(k + other_starts.shape[0] - 1):
            b = candidates[n, c] if c < k else c - k
            if b < 0 or tried[b] == n or (same and a == b):
                continue
            if _box_gap2(boxes[a], other_boxes[b], spacing) >= best:
                continue
            tried[b] = n
            pair[1] = other_centres[b]
            d = _between(own, others[other_starts[b] : other_starts[b + 1]], spacing, best, pair)
            if d < best:
                best, where = d, b
        found[a, 0] = best
        found[a, 1] = where
