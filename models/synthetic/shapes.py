"""The forms of nuclei: bent, uneven ellipsoids drawn into their own boxes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from labels.spacing import Spacing

Floats = NDArray[np.float32]
Box = tuple[slice, slice, slice]

_REACH = 1.25  # Uneven outlines go beyond the ellipsoid.


@dataclass(frozen=True)
class Bodies:
    """Ellipsoids in µm.

    Parameters
    ----------
    centres : ndarray, shape (N, 3)
        (z, y, x) in µm.
    frames : ndarray, shape (N, 3, 3)
        Each maps µm from the centre to the unit ball.
    bends : ndarray, shape (N,)
        How far the ends of the second axis are bent towards the first.
    reaches : ndarray, shape (N, 3)
        Half width (z, y, x) in µm of the box around each.
    """

    centres: NDArray[np.float64]
    frames: NDArray[np.float64]
    bends: NDArray[np.float64]
    reaches: NDArray[np.float64]


def make_bodies(
    rng: np.random.Generator,
    centres: NDArray[np.float64],
    axes_um: NDArray[np.float64],
    bend: float,
) -> Bodies:
    """Turn ellipsoids at random and bend them.

    Parameters
    ----------
    rng : numpy Generator
    centres : ndarray, shape (N, 3)
    axes_um : ndarray, shape (N, 3)
        Semi-axes of each ellipsoid.
    bend : float
        Standard deviation of the bend.
    """
    count = len(centres)
    turns, _ = np.linalg.qr(rng.normal(size=(count, 3, 3)))
    frames = turns.transpose(0, 2, 1) / axes_um[:, :, None]
    bends = np.clip(rng.normal(0, 1, count) * bend, -0.6, 0.6)
    grown = axes_um * _REACH * (1 + 0.5 * np.abs(bends))[:, None]
    reaches = np.sqrt(np.einsum("nij,nj->ni", turns**2, grown**2))
    return Bodies(centres, frames, bends, reaches)


def box_around(
    centre: NDArray[np.float64],
    reach: NDArray[np.float64],
    spacing_um: Spacing,
    shape: tuple[int, ...],
) -> tuple[Box, tuple[Floats, ...]] | None:
    """Return the box that holds a body, and its voxels' µm from the centre along each axis."""
    box, away = [], []
    for axis, step in enumerate(spacing_um):
        low = max(int(np.floor((centre[axis] - reach[axis]) / step)), 0)
        high = min(int(np.ceil((centre[axis] + reach[axis]) / step)) + 1, shape[axis])
        if low >= high:
            return None
        box.append(slice(low, high))
        away.append((np.arange(low, high) * step - centre[axis]).astype(np.float32))
    return (box[0], box[1], box[2]), np.ix_(*away)


def draw_bodies(
    bodies: Bodies, shape: tuple[int, int, int], spacing_um: Spacing, unevenness: Floats
) -> tuple[NDArray[np.uint32], Floats]:
    """Give each voxel to the body that it lies deepest in.

    Parameters
    ----------
    bodies : Bodies
    shape : (int, int, int)
    spacing_um : (float, float, float)
    unevenness : ndarray of float32, shape (Z, Y, X)
        Factor on the squared distance from a centre: outlines lie where the product is 1.

    Returns
    -------
    labels : ndarray of uint32, shape (Z, Y, X)
        Body number + 1; 0 outside all.
    depth : ndarray of float32, shape (Z, Y, X)
        Squared distance from the centre of its body in units of the outline's; 1 outside all.
    """
    labels = np.zeros(shape, np.uint32)
    nearest = np.ones(shape, np.float32)
    for number, (centre, frame, bend, reach) in enumerate(
        zip(bodies.centres, bodies.frames, bodies.bends, bodies.reaches, strict=True), start=1
    ):
        found = box_around(centre, reach, spacing_um, shape)
        if found is None:
            continue
        box, (z, y, x) = found
        rows = frame.astype(np.float32)
        first, second, third = (row[0] * z + row[1] * y + row[2] * x for row in rows)
        np.square(second, out=second)
        if bend:
            first += np.float32(bend) * (second - np.float32(0.3))
        distance = np.square(first, out=first)
        distance += second
        distance += np.square(third, out=third)
        distance *= unevenness[box]
        mine = distance < nearest[box]
        np.copyto(nearest[box], distance, where=mine)
        labels[box][mine] = number
    return labels, nearest


def keep_whole(labels: NDArray[np.uint32], least_voxels: int) -> NDArray[np.uint32]:
    """Keep the largest 6-connected piece of each label, drop specks, and return the old ids.

    Parameters
    ----------
    labels : ndarray of uint32, shape (Z, Y, X)
        Changed in place: ids become 1 … n in the order of the old ones.
    least_voxels : int
        Smaller ones are dropped.

    Returns
    -------
    ndarray of uint32, shape (n + 1,)
        Old id of each new one; entry 0 is 0.
    """
    import cc3d

    pieces, count = cc3d.connected_components(labels, connectivity=6, return_N=True)
    sizes = np.bincount(pieces.ravel(), minlength=count + 1)
    owner = np.zeros(count + 1, np.uint32)
    owner[pieces.ravel()] = labels.ravel()
    order = np.lexsort((sizes, owner))
    last = np.append(owner[order][1:] != owner[order][:-1], True)
    best = order[last]
    best = best[(owner[best] > 0) & (sizes[best] >= least_voxels)]
    old = np.concatenate([[0], owner[best]]).astype(np.uint32)
    new = np.zeros(count + 1, np.uint32)
    new[best] = np.arange(1, len(best) + 1)
    np.copyto(labels, new[pieces])
    return old
