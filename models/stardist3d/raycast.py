"""Distances to an object's border along rays, marched through the labels of a whole stack."""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray


@numba.njit(cache=True, nogil=True)
def march(labels: Any, cells: Any, rays: Any, distances: Any) -> None:
    """Fill `distances` with the border distances of cells inside objects, 0 elsewhere.

    StarDist measures inside the training patch, so that objects cut by the patch get a false
    border there; here rays run through the whole stack, and a rotated or stretched patch needs no
    resampled labels. A ray that leaves the stack inside its object gives minus the distance up to
    there: the object reaches at least so far.

    Parameters
    ----------
    labels : ndarray of int32, shape (Z, Y, X)
        Positive ids are objects.
    cells : ndarray of float32, shape (N, 3)
        Positions (z, y, x) in voxels of the stack.
    rays : ndarray of float32, shape (R, 3)
        Step in voxels of the stack that one voxel of the patch along each ray makes.
    distances : ndarray of float32, shape (N, R)
        In voxels of the patch, to the first voxel outside as StarDist counts.
    """
    depth, height, width = labels.shape
    for n in range(cells.shape[0]):
        z, y, x = cells[n]
        i, j, k = _nearest(z), _nearest(y), _nearest(x)
        inside = 0 <= i < depth and 0 <= j < height and 0 <= k < width
        own = labels[i, j, k] if inside else 0
        for r in range(rays.shape[0]):
            distances[n, r] = 0.0
            if own <= 0:
                continue
            dz, dy, dx = rays[r]
            t = 0.0
            while True:
                t += 1.0
                i, j, k = _nearest(z + t * dz), _nearest(y + t * dy), _nearest(x + t * dx)
                if not (0 <= i < depth and 0 <= j < height and 0 <= k < width):
                    distances[n, r] = -t
                    break
                if labels[i, j, k] != own:
                    t -= 0.5
                    i, j, k = _nearest(z + t * dz), _nearest(y + t * dy), _nearest(x + t * dx)
                    # Half a step back tells in which half of the step the border was crossed.
                    distances[n, r] = t + (0.75 if labels[i, j, k] == own else 0.25)
                    break


@numba.njit(cache=True, nogil=True, inline="always")
def _nearest(value: float) -> int:
    return int(np.floor(value + 0.5))


def star_distances(
    labels: NDArray[np.int32], cells: NDArray[np.float32], rays: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Return `march`'s distances, shape (N, R)."""
    distances = np.empty((len(cells), len(rays)), np.float32)
    march(labels, cells, rays, distances)
    return distances
