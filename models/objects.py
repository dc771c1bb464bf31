"""Measures of labelled objects: sizes, the size that the starter models know, confidence."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from labels.spacing import Spacing
from models.errors import ImageError

NOMINAL_DIAMETER = 14.0
"""Diameter of a typical nucleus, in units of `NOMINAL_SPACING`."""

NOMINAL_KEY = "nominal_diameter"
"""Key in `model.json` of runs that know nuclei of one size only."""

SMALLEST_SHARE = 0.2
"""Share of a nominal nucleus's volume below which an object is taken for debris."""

FEWEST_WHOLE = 3

ENOUGH_WHOLE = 10
"""Objects that no border cuts from which they alone tell the size."""

NOMINAL_SPACING: Spacing = (2.0, 1.0, 1.0)
"""Voxel size (z, y, x) that the starter models were trained at; 1 is a fourteenth of a nucleus."""


def check_diameter(diameter_um: float, shape: Sequence[int], spacing_um: Spacing) -> None:
    """Refuse a diameter that no object in an image has.

    Parameters
    ----------
    diameter_um : float
    shape : (int, int, int)
        Of the image (Z, Y, X) in voxels.
    spacing_um : (float, float, float)
        Voxel size (z, y, x) in µm.

    Raises
    ------
    ImageError
        Less than a tenth of a voxel, or more than ten times as much as the image is wide.
    """
    voxel = max(spacing_um[1:])
    width = max(n * step for n, step in zip(shape[1:], spacing_um[1:], strict=True))
    if not voxel / 10 <= diameter_um <= 10 * width:
        raise ImageError(
            f"diameter_um={diameter_um:g}: expected about {voxel:g} to {width:g} µm, a voxel to "
            "the width of this image; check the diameter and the voxel size"
        )


def spacing_for(diameter_um: float) -> Spacing:
    """Return the voxel size (z, y, x) in µm at which nuclei of a diameter have nominal size."""
    z, y, x = (s * diameter_um / NOMINAL_DIAMETER for s in NOMINAL_SPACING)
    return z, y, x


def relative_spacing(spacing_um: Spacing, diameter_um: float) -> Spacing:
    """Return a voxel size (z, y, x) in units in which the nuclei have nominal size."""
    z, y, x = (s * NOMINAL_DIAMETER / diameter_um for s in spacing_um)
    return z, y, x


def median_diameter(
    labels: NDArray[np.integer[Any]], spacing_um: Spacing, mask: NDArray[np.bool_] | None = None
) -> float | None:
    """Return the typical diameter of the balls that have the objects' volumes; in one slice, disks.

    Parameters
    ----------
    labels : ndarray of integer, shape (Z, Y, X)
    spacing_um : (float, float, float)
        Voxel size (z, y, x) in µm.
    mask : ndarray of bool, shape (Z, Y, X), optional
        Only voxels that count are labels.

    Returns
    -------
    float or None
        In µm, see `typical_diameter`; None without an object.
    """
    return typical_diameter([ball_diameters(labels, spacing_um, mask)])


Diameters = tuple[NDArray[np.float64], NDArray[np.bool_]]
"""Of objects in µm, and which of them the stack's border does not cut."""


def ball_diameters(
    labels: NDArray[np.integer[Any]], spacing_um: Spacing, mask: NDArray[np.bool_] | None = None
) -> Diameters:
    """Measure the objects of a stack; see `median_diameter`."""
    known = labels if mask is None else np.where(mask, labels, 0)
    sizes = np.bincount(known.ravel(), minlength=1)
    whole = np.ones(len(sizes), bool)
    whole[cut_by_border(known)] = False
    there = np.flatnonzero(sizes[1:]) + 1
    if labels.shape[0] == 1:
        return np.sqrt(4 * sizes[there] * float(np.prod(spacing_um[1:])) / np.pi), whole[there]
    return np.cbrt(6 * sizes[there] * float(np.prod(spacing_um)) / np.pi), whole[there]


def typical_diameter(parts: Sequence[Diameters]) -> float | None:
    """Return the median diameter of all parts' objects that no border cuts.

    Where they are few, large nuclei are hardly ever whole: then it is the median of all, each
    weighing as much as its volume, so that fragments hardly count.
    """
    diameters = np.concatenate([found for found, _ in parts])
    whole = np.concatenate([uncut for _, uncut in parts])
    if len(diameters) == 0:
        return None
    if whole.sum() >= ENOUGH_WHOLE:
        return float(np.median(diameters[whole]))
    return weighted_median(diameters, diameters**3)


def weighted_median(values: NDArray[np.float64], weights: NDArray[np.float64]) -> float:
    """Return the value at which half of the weight is reached."""
    order = np.argsort(values)
    reached = np.cumsum(weights[order])
    return float(values[order][np.searchsorted(reached, reached[-1] / 2)])


def whole_sizes(labels: NDArray[np.integer[Any]]) -> NDArray[np.integer[Any]]:
    """Return the voxels of each object that the stack's border does not cut.

    Of all objects, where fewer than three are whole. A single slice cuts every object along z;
    only its sides are asked then.
    """
    sizes = np.bincount(labels.ravel())
    sizes[0] = 0
    whole = sizes.copy()
    whole[cut_by_border(labels)] = 0
    kept = whole if (whole > 0).sum() >= FEWEST_WHOLE else sizes
    return kept[kept > 0]


def cut_by_border(labels: NDArray[np.integer[Any]]) -> NDArray[np.integer[Any]]:
    """Return the ids at the stack's faces, 0 among them; a single slice cuts nothing along z."""
    faces = [
        np.unique(np.take(labels, face, axis=axis))
        for axis in range(3)
        if labels.shape[axis] > 1
        for face in (0, -1)
    ]
    return np.unique(np.concatenate([labels.ravel()[:0], *faces]))


def mean_inside(
    labels: NDArray[np.integer[Any]], probability: NDArray[np.float32]
) -> dict[int, float]:
    """Return each object's mean probability, slice by slice so that memory stays small."""
    count = int(labels.max(initial=0)) + 1
    voxels, total = np.zeros(count), np.zeros(count)
    for ids, values in zip(labels, probability, strict=True):
        voxels += np.bincount(ids.ravel(), minlength=count)
        total += np.bincount(ids.ravel(), weights=values.ravel(), minlength=count)
    found = np.flatnonzero(voxels[1:]) + 1
    return {int(i): float(min(1.0, total[i] / voxels[i])) for i in found}


def saddles(
    labels: NDArray[np.integer[Any]], height: NDArray[np.float32]
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.floating[Any]]]:
    """Return the pairs of touching objects, and the highest pass between the two of each.

    Parameters
    ----------
    labels : ndarray of integer, shape (Z, Y, X)
    height : ndarray of float32, shape (Z, Y, X)

    Returns
    -------
    low, high : ndarray of int64, shape (P,)
        Ids, the lower first; pairs ascend.
    passes : ndarray of float32, shape (P,)
        Height of the pass: that of the lower of its two voxels.
    """
    low, high, passes = [], [], []
    for axis in range(3):
        ids, level = np.moveaxis(labels, axis, 0), np.moveaxis(height, axis, 0)
        touch = (ids[1:] != ids[:-1]) & (ids[1:] > 0) & (ids[:-1] > 0)
        low.append(np.minimum(ids[1:], ids[:-1])[touch].astype(np.int64))
        high.append(np.maximum(ids[1:], ids[:-1])[touch].astype(np.int64))
        passes.append(np.minimum(level[1:], level[:-1])[touch])
    return highest_passes(np.concatenate(low), np.concatenate(high), np.concatenate(passes))


def highest_passes(
    low: NDArray[np.int64], high: NDArray[np.int64], passes: NDArray[np.floating[Any]]
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.floating[Any]]]:
    """Keep one entry, the highest, for each pair of ids."""
    base = int(high.max(initial=0)) + 1
    keys, inverse = np.unique(low * base + high, return_inverse=True)
    best = np.full(len(keys), -np.inf, passes.dtype)
    np.maximum.at(best, inverse, passes)
    return keys // base, keys % base, best
