"""Array code over all objects at once: merging of basins, their thresholds, cleaning, contrast."""

from __future__ import annotations

import cc3d
import fill_voids
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage as ndi

from models.objects import highest_passes, saddles

Floats = NDArray[np.float32]
Labels = NDArray[np.int32]
Values = NDArray[np.float64]

_LEVELS = 20


def label_maximum(labels: Labels, values: Floats, count: int) -> Values:
    """Return the largest value in each of the labels 0 … `count`; entry 0 is 0."""
    inside = labels > 0
    out = np.zeros(count + 1)
    np.maximum.at(out, labels[inside], values[inside])
    return out


def merge_shallow(
    labels: Labels, height: Floats, volumes: Values, *, depth: float, max_volume: float
) -> Labels:
    """Merge touching basins whose common pass is hardly lower than the lower of their peaks.

    The depth of a pass is 1 - pass / (lower peak). What depth still merges shrinks to nothing
    when the merged volume is from half of `max_volume` to all of it.

    Parameters
    ----------
    labels : ndarray of int32, shape (Z, Y, X)
        Basins 1 … n.
    height : ndarray of float32, shape (Z, Y, X)
        The landscape whose peaks the basins are.
    volumes : ndarray of float64, shape (n + 1,)
        Volume of each object in its basin, in the unit of `max_volume`.
    depth : float
        Largest depth that merges.
    max_volume : float
        Volume above which nothing is merged.

    Returns
    -------
    ndarray of int32, shape (Z, Y, X)
        Basins 1 … m, m ≤ n.
    """
    count = len(volumes) - 1
    volumes = volumes.copy()
    peaks = label_maximum(labels, height, count)
    low, high, passes = saddles(labels, height)
    final = np.arange(count + 1)
    while len(low):
        depths = 1 - passes / np.maximum(np.minimum(peaks[low], peaks[high]), 1e-9)
        room = np.clip(2 * (1 - (volumes[low] + volumes[high]) / max_volume), 0, 1)
        wanted = depths < depth * room
        best = np.full(count + 1, np.inf)
        np.minimum.at(best, low[wanted], depths[wanted])
        np.minimum.at(best, high[wanted], depths[wanted])
        # Only pairs that are each other's best, so that chains do not run away in one step.
        mutual = wanted & (depths <= best[low]) & (depths <= best[high])
        if not mutual.any():
            break
        step = np.arange(count + 1)
        step[high[mutual]] = low[mutual]
        while (step[step] != step).any():
            step = step[step]
        volumes = np.bincount(step, weights=volumes, minlength=count + 1).astype(np.float64)
        np.maximum.at(peaks, step, peaks)
        final = step[final]
        low, high = step[low], step[high]
        apart = low != high
        low, high = np.minimum(low, high)[apart], np.maximum(low, high)[apart]
        low, high, passes = highest_passes(low, high, passes[apart])
    return compact(final.astype(np.int32)[labels])


def typical_contrast(core: Values) -> float:
    """Return the median of entries 1 … n weighted by themselves, which faint seeds hardly move."""
    ordered = np.sort(core[1:])
    share = np.cumsum(ordered)
    return float(ordered[np.searchsorted(share, share[-1] / 2)])


def compact(labels: Labels) -> Labels:
    """Renumber labels to 1 … n in the order of their ids."""
    present = np.bincount(labels.ravel()) > 0
    present[0] = False
    table = np.where(present, np.cumsum(present), 0).astype(np.int32)
    return table[labels]


def steepest_level(
    labels: Labels, contrast: Floats, slope: Floats, core: Values, limits: tuple[float, float]
) -> Values:
    """Return, for each basin, the share of its core contrast at which intensity falls steepest.

    Parameters
    ----------
    labels : ndarray of int32, shape (Z, Y, X)
        Basins 1 … n.
    contrast : ndarray of float32, shape (Z, Y, X)
        Smoothed intensity above the local background.
    slope : ndarray of float32, shape (Z, Y, X)
        Gradient magnitude.
    core : ndarray of float64, shape (n + 1,)
        Contrast in the middle of each object.
    limits : (float, float)
        Lowest and highest share that is considered.

    Returns
    -------
    ndarray of float64, shape (n + 1,)
    """
    inside = labels > 0
    ids = labels[inside].astype(np.int64)
    share = contrast[inside] / np.maximum(core, 1e-9)[ids]
    bins = ids * _LEVELS + np.clip(share * _LEVELS, 0, _LEVELS - 1).astype(np.int64)
    size = len(core) * _LEVELS
    counts = np.bincount(bins, minlength=size).reshape(-1, _LEVELS).astype(np.float64)
    sums = np.bincount(bins, weights=slope[inside], minlength=size).reshape(-1, _LEVELS)
    counts, sums = (ndi.gaussian_filter1d(a, 1.5, axis=1) for a in (counts, sums))
    first, stop = (int(share * _LEVELS) for share in limits)
    steep = (sums / np.maximum(counts, 1e-3))[:, first:stop]
    return np.asarray((first + steep.argmax(axis=1) + 0.5) / _LEVELS)


def one_piece_each(labels: Labels, basins: Labels, min_voxels: float) -> Labels:
    """Keep the largest piece of each label, fill its holes, drop what is too small.

    Parameters
    ----------
    labels : ndarray of int32, shape (Z, Y, X)
        Subset of `basins`.
    basins : ndarray of int32, shape (Z, Y, X)
        Whose holes are whose.
    min_voxels : float
        Objects with fewer voxels are dropped.

    Returns
    -------
    ndarray of int32, shape (Z, Y, X)
        Same ids as `labels`.
    """
    pieces = cc3d.connected_components(labels, connectivity=6)
    owner = np.zeros(int(pieces.max()) + 1, np.int32)
    owner[pieces.ravel()] = labels.ravel()
    sizes = np.bincount(pieces.ravel(), minlength=len(owner))
    largest = np.zeros(int(labels.max()) + 1, np.int64)
    np.maximum.at(largest, owner, np.where(owner > 0, sizes, 0))
    keep = (owner > 0) & (sizes == largest[owner]) & (sizes >= min_voxels)
    # Of pieces of one size, the first.
    _, first = np.unique(np.where(keep, owner, 0), return_index=True)
    chosen = np.zeros(len(owner), np.int32)
    chosen[first] = np.where(keep, owner, 0)[first]
    kept = chosen[pieces]
    alive = np.zeros(int(basins.max()) + 1, bool)
    alive[chosen] = True
    holes = fill_voids.fill(kept > 0) & (kept == 0) & alive[basins]
    return np.where(holes, basins, kept)


def boundary_contrast(
    labels: Labels, contrast: Floats, core: Values, steps: tuple[int, int, int]
) -> Values:
    """Return how far intensity falls across each object's surface, as a share of its core.

    Parameters
    ----------
    labels : ndarray of int32, shape (Z, Y, X)
        Objects 1 … n.
    contrast : ndarray of float32, shape (Z, Y, X)
        Smoothed intensity above the local background.
    core : ndarray of float64, shape (n + 1,)
    steps : (int, int, int)
        How many voxels beyond the object its surroundings are read, along z, y and x.

    Returns
    -------
    ndarray of float64, shape (n + 1,)
        From 0 (no fall, or no surroundings in the image) to 1 (down to the background all round).
    """
    total = np.zeros(len(core))
    faces = np.zeros(len(core))
    for axis, step in enumerate(steps):
        ids, levels = (np.moveaxis(a, axis, 0) for a in (labels, contrast))
        if step >= len(ids):
            continue
        near, far = slice(None, -step), slice(step, None)
        for here, there in ((near, far), (far, near)):
            leaves = (ids[here] > 0) & (ids[here] != ids[there])
            own = ids[here][leaves]
            total += np.bincount(own, weights=levels[there][leaves], minlength=len(core))
            faces += np.bincount(own, minlength=len(core))
    outside = total / np.maximum(faces, 1)
    fall = 1 - np.maximum(outside, 0) / np.maximum(core, 1e-9)
    return np.where(faces > 0, np.clip(fall, 0, 1), 0.0)
