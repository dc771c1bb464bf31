"""What an object looks like: size, shape, contact and outline of all objects in one pass each."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from labels.spacing import Spacing

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class ObjectFeatures:
    """Measurements of every object, in the order of `ids`.

    Parameters
    ----------
    ids : ndarray of int64, shape (n,)
        Ascending.
    voxels : ndarray of int64, shape (n,)
    centre_um : ndarray of float64, shape (n, 3)
        Centroid (z, y, x).
    inside_zyx : ndarray of int64, shape (n, 3)
        The object's own voxel that is nearest to its centroid.
    volume_um3 : ndarray of float64, shape (n,)
    fill : ndarray of float64, shape (n,)
        Volume over that of the ellipsoid of equal second moments: 1 for an ellipsoid, less for
        what is notched, hollow or two nuclei.
    elongation : ndarray of float64, shape (n,)
        Longest over shortest axis of that ellipsoid, at least 1.
    contact : ndarray of float64, shape (n,)
        Share of the surface that touches another object.
    border : ndarray of float64, shape (n,)
        Share of the surface that lies on the field's border.
    brightness : ndarray of float64, shape (n,)
        Mean intensity above the field's 5th percentile.
    fall : ndarray of float64, shape (n,)
        Fall of intensity across the free surface as a share of the object's contrast, in [0, 1].
    pieces : ndarray of int64, shape (n,)
        Face-connected parts.
    """

    ids: Ints
    voxels: Ints
    centre_um: Floats
    inside_zyx: Ints
    volume_um3: Floats
    fill: Floats
    elongation: Floats
    contact: Floats
    border: Floats
    brightness: Floats
    fall: Floats
    pieces: Ints

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def size_z(self) -> Floats:
        """How unusual each volume is, shape (n,): see `robust_z`."""
        return robust_z(np.log(np.maximum(self.volume_um3, 1e-12)))


def measure(labels: NDArray[np.uint32], image: NDArray[Any], spacing_um: Spacing) -> ObjectFeatures:
    """Measure all objects of a label image.

    Parameters
    ----------
    labels : ndarray of uint32, shape (Z, Y, X)
    image : ndarray of integer or float, shape (Z, Y, X)
    spacing_um : (float, float, float)
        Voxel size (z, y, x) in µm.

    Returns
    -------
    ObjectFeatures
    """
    where = np.flatnonzero(labels)
    ids, row = np.unique(labels.ravel()[where], return_inverse=True)
    n = len(ids)
    dense = np.zeros(labels.shape, np.int32)
    dense.ravel()[where] = row + 1
    voxels = np.bincount(row, minlength=n)
    places = np.stack(np.unravel_index(where, labels.shape), axis=1)
    centre, fill, elongation = ellipsoids(places, row, n, spacing_um, flat=len(labels) == 1)
    light = above_background(image)
    own = np.bincount(row, light.ravel()[where], n) / voxels
    contact, border = _surface(dense, n, spacing_um)
    return ObjectFeatures(
        ids=ids.astype(np.int64),
        voxels=voxels.astype(np.int64),
        centre_um=centre,
        inside_zyx=_nearest_voxel(places, row, centre, spacing_um),
        volume_um3=voxels.astype(np.float64) * math.prod(spacing_um),
        fill=fill,
        elongation=elongation,
        contact=contact,
        border=border,
        brightness=own,
        fall=_fall(dense, light, own, voxels, spacing_um),
        pieces=_pieces(dense, n),
    )


def above_background(image: NDArray[Any]) -> NDArray[np.float32]:
    """Return intensities above the image's 5th percentile, shape (Z, Y, X)."""
    light = image.astype(np.float32)
    return np.asarray(light - np.float32(np.percentile(light, 5)), np.float32)


def ellipsoids(
    places: Ints, row: Ints, n: int, spacing_um: Spacing, *, flat: bool = False
) -> tuple[Floats, Floats, Floats]:
    """Compare objects with the ellipsoids of equal second moments.

    Parameters
    ----------
    places : ndarray of int64, shape (v, 3)
        Voxels (z, y, x).
    row : ndarray of int64, shape (v,)
        Which object each belongs to, 0 … n - 1; every object has a voxel.
    n : int
    spacing_um : (float, float, float)
        Voxel size (z, y, x) in µm.
    flat : bool
        The image has one slice: outlines are compared with ellipses.

    Returns
    -------
    centre_um : ndarray of float64, shape (n, 3)
    fill, elongation : ndarray of float64, shape (n,)
        As in `ObjectFeatures`.
    """
    if n == 0:
        return np.zeros((0, 3)), np.zeros(0), np.zeros(0)
    places_um = places * np.asarray(spacing_um)
    voxels = np.bincount(row, minlength=n)
    centre = np.stack([np.bincount(row, c, n) for c in places_um.T], axis=1) / voxels[:, None]
    away = places_um - centre[row]
    spread = np.empty((n, 3, 3))
    for a in range(3):
        for b in range(a, 3):
            spread[:, a, b] = spread[:, b, a] = np.bincount(row, away[:, a] * away[:, b], n)
    spread /= voxels[:, None, None]
    # A voxel is a box, not a point: its own second moment.
    spread += np.diag(np.square(spacing_um) / 12)
    # Semi-axes of what is filled evenly: √5 standard deviations in space, 2 in a plane.
    if flat:
        axes = 2 * np.sqrt(np.linalg.eigvalsh(spread[:, 1:, 1:]))
        size, whole = voxels * math.prod(spacing_um[1:]), math.pi
    else:
        axes = np.sqrt(5 * np.linalg.eigvalsh(spread))
        size, whole = voxels * math.prod(spacing_um), 4 / 3 * math.pi
    fill = size / (whole * np.prod(axes, axis=1))
    return centre, np.asarray(fill), np.asarray(axes[:, -1] / axes[:, 0])


def _nearest_voxel(places: Ints, row: Ints, centre_um: Floats, spacing_um: Spacing) -> Ints:
    away = np.square(places * np.asarray(spacing_um) - centre_um[row]).sum(axis=1)
    order = np.lexsort((away, row))
    first = np.flatnonzero(np.diff(row[order], prepend=-1))
    return np.asarray(places[order[first]], np.int64)


def _surface(dense: NDArray[np.int32], n: int, spacing_um: Spacing) -> tuple[Floats, Floats]:
    """Return the shares of each object's surface that touch another object and the border."""
    total, shared, border = np.zeros((3, n + 1))
    for axis in range(3):
        area = math.prod(spacing_um) / spacing_um[axis]
        lines = np.moveaxis(dense, axis, 0)
        one, other = lines[:-1], lines[1:]
        differ = one != other
        for mine, theirs in ((one[differ], other[differ]), (other[differ], one[differ])):
            total += area * np.bincount(mine, minlength=n + 1)
            shared += area * np.bincount(mine[theirs > 0], minlength=n + 1)
        if len(lines) > 1:
            for end in (lines[0], lines[-1]):
                border += area * np.bincount(end.ravel(), minlength=n + 1)
    surface = np.maximum(total + border, 1e-12)[1:]
    return shared[1:] / surface, border[1:] / surface


def _fall(
    dense: NDArray[np.int32],
    light: NDArray[np.float32],
    own: Floats,
    voxels: Ints,
    spacing_um: Spacing,
) -> Floats:
    """Return how far intensity falls 0.15 of a typical diameter beyond the free surface."""
    n = len(voxels)
    if n == 0:
        return np.zeros(0)
    usual = float(np.median(voxels))
    if len(dense) == 1:
        diameter = (4 / math.pi * usual * math.prod(spacing_um[1:])) ** (1 / 2)
    else:
        diameter = (6 / math.pi * usual * math.prod(spacing_um)) ** (1 / 3)
    outside, faces = np.zeros((2, n + 1))
    for axis, step in enumerate(spacing_um):
        reach = max(1, round(0.15 * diameter / step))
        ids, values = np.moveaxis(dense, axis, 0), np.moveaxis(light, axis, 0)
        if reach >= len(ids):
            continue
        near, far = slice(None, -reach), slice(reach, None)
        for here, there in ((near, far), (far, near)):
            leaves = (ids[here] > 0) & (ids[there] == 0)
            mine = ids[here][leaves]
            outside += np.bincount(mine, values[there][leaves], n + 1)
            faces += np.bincount(mine, minlength=n + 1)
    level = outside[1:] / np.maximum(faces[1:], 1)
    fall = (own - level) / np.maximum(own, 1e-6)
    return np.where(faces[1:] > 0, np.clip(fall, 0, 1), 0.0)


def _pieces(dense: NDArray[np.int32], n: int) -> Ints:
    import cc3d

    parts = cc3d.connected_components(dense, connectivity=6)
    owner = np.zeros(int(parts.max()) + 1, np.int64)
    owner[parts.ravel()] = dense.ravel()
    return np.bincount(owner, minlength=n + 1)[1:].astype(np.int64)


def robust_z(values: Floats) -> Floats:
    """Return distances from the median in robust standard deviations (1.4826 MAD).

    With fewer than five values there is no telling what is usual: all are 0.
    """
    if len(values) < 5:
        return np.zeros(len(values))
    away = values - np.median(values)
    spread = 1.4826 * float(np.median(np.abs(away)))
    # Objects as alike as two voxels differ by rounding only.
    return np.asarray(away / max(spread, 0.05 * max(abs(float(np.median(values))), 1.0)))
