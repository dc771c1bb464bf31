"""Where other segmentations of the same image say something else."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from labels.overlaps import Objects, count_overlaps

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

AGREES_IOU = 0.5
"""Another segmentation has the object when one of its objects has at least this IoU with it."""
FREE_SHARE = 0.7
"""An object that lies at least this much outside all labels is one that they may have missed."""
SAME_PLACE_IOU = 0.2
"""Objects of two segmentations are one candidate from this IoU on."""


@dataclass(frozen=True, eq=False)
class Disagreement:
    """How the other segmentations see each object, in the order of `ids`.

    Parameters
    ----------
    ids : ndarray of int64, shape (n,)
    iou : ndarray of float64, shape (n, k)
        Best IoU with an object of each of the k others.
    parts : ndarray of int64, shape (n, k)
        How many of the other's objects lie mostly in it, each filling a tenth of it: 2 or more
        where the other splits it.
    partners : ndarray of int64, shape (n, k)
        How many of these objects lie mostly in the other's object that covers it: 2 or more
        where the other merges it.
    """

    ids: Ints
    iou: Floats
    parts: Ints
    partners: Ints


@dataclass(frozen=True, eq=False)
class MissedCandidate:
    """A place where others find an object and the labels have none.

    Parameters
    ----------
    source : str
        The segmentation whose outline represents it.
    label : int
        Its id there.
    inside_zyx : (int, int, int)
        A voxel of that outline, the nearest to its centroid.
    places : ndarray of int64, shape (voxels,)
        Flat indices of its voxels.
    names : tuple of str
        The segmentations that find it.
    """

    source: str
    label: int
    inside_zyx: tuple[int, int, int]
    places: Ints
    names: tuple[str, ...]


def compare(labels: NDArray[np.uint32], others: Mapping[str, NDArray[np.uint32]]) -> Disagreement:
    """Compare every object with each of the other segmentations.

    Parameters
    ----------
    labels : ndarray of uint32, shape (Z, Y, X)
    others : mapping of str to ndarray of uint32, shape (Z, Y, X)

    Returns
    -------
    Disagreement

    Raises
    ------
    LabelImageError
        Another shape, or not integers.
    """
    ids: Ints = np.unique(labels).astype(np.int64)
    ids = ids[ids > 0]
    iou = np.zeros((len(ids), len(others)))
    parts = np.zeros((len(ids), len(others)), np.int64)
    partners = np.zeros((len(ids), len(others)), np.int64)
    for column, other in enumerate(others.values()):
        table = count_overlaps(labels, other)
        np.maximum.at(iou[:, column], table.i, table.iou)
        of_mine = table.count / table.truth.sizes[table.i]
        of_theirs = table.count / table.pred.sizes[table.j]
        part = (of_theirs > 0.5) & (of_mine >= 0.1)
        parts[:, column] = np.bincount(table.i[part], minlength=len(ids))
        inside = (of_mine > 0.5) & (of_theirs >= 0.1)
        together = np.bincount(table.j[inside], minlength=table.n_pred)
        partners[table.i[inside], column] = together[table.j[inside]]
    return Disagreement(ids, iou, parts, partners)


def find_missed(
    labels: NDArray[np.uint32],
    others: Mapping[str, NDArray[np.uint32]],
    checked: NDArray[np.bool_] | None = None,
) -> list[MissedCandidate]:
    """Find objects of other segmentations that lie where the labels have none.

    Objects of several segmentations at one place are one candidate; the one that agrees best
    with the rest represents it.

    Parameters
    ----------
    labels : ndarray of uint32, shape (Z, Y, X)
    others : mapping of str to ndarray of uint32, shape (Z, Y, X)
    checked : ndarray of bool, shape (Z, Y, X), optional
        True where a person has looked already; candidates mostly there are left out.

    Returns
    -------
    list of MissedCandidate
        Those that most segmentations find first, then larger ones.
    """
    taken = labels > 0 if checked is None else (labels > 0) | checked
    found = []
    for name, other in others.items():
        table = count_overlaps(other, taken.astype(np.uint8))
        covered = np.zeros(table.n_truth)
        np.add.at(covered, table.i, table.count)
        free = table.truth[covered <= (1 - FREE_SHARE) * table.truth.sizes]
        found += [_candidate(name, other, free, row) for row in range(len(free))]
    return _grouped(found)


def _candidate(
    name: str, labels: NDArray[np.uint32], objects: Objects, row: int
) -> MissedCandidate:
    label, box = int(objects.ids[row]), objects.boxes[row]
    places = np.argwhere(labels[tuple(slice(a, b) for a, b in box)] == label) + box[:, 0]
    away = np.square(places - objects.centroids[row]).sum(axis=1)
    z, y, x = places[away.argmin()].tolist()
    flat = np.ravel_multi_index(tuple(places.T), labels.shape)
    return MissedCandidate(name, label, (z, y, x), flat, (name,))


def _grouped(found: list[MissedCandidate]) -> list[MissedCandidate]:
    """Join candidates of several segmentations that overlap, best supported first."""
    near = _overlaps(found)
    left = set(range(len(found)))
    out = []
    # The one that agrees best with the rest takes all that overlap it.
    for a in sorted(range(len(found)), key=lambda k: (-sum(near[k].values()), k)):
        if a not in left:
            continue
        group = [a, *(b for b, iou in near[a].items() if b in left and iou >= SAME_PLACE_IOU)]
        left.difference_update(group)
        names = tuple(dict.fromkeys(found[b].source for b in sorted(group)))
        out.append(replace(found[a], names=names))
    return sorted(out, key=lambda c: (-len(c.names), -len(c.places), c.source, c.label))


def _overlaps(found: list[MissedCandidate]) -> list[dict[int, float]]:
    """Return, for each candidate, those of other segmentations that overlap it and their IoU."""
    near: list[dict[int, float]] = [{} for _ in found]
    if not found:
        return near
    sizes = [len(candidate.places) for candidate in found]
    place = np.concatenate([candidate.places for candidate in found])
    order = np.argsort(place, kind="stable")
    place, owner = place[order], np.repeat(np.arange(len(found)), sizes)[order]
    shared: dict[tuple[int, int], int] = {}
    # A voxel has at most one owner per segmentation: sorted, owners of one voxel are neighbours.
    for step in range(1, len({candidate.source for candidate in found})):
        same = place[step:] == place[:-step]
        pairs, counts = np.unique(
            np.stack([owner[:-step][same], owner[step:][same]]), axis=1, return_counts=True
        )
        for a, b, count in zip(*pairs.tolist(), counts.tolist(), strict=True):
            shared[a, b] = shared.get((a, b), 0) + count
    for (a, b), count in shared.items():
        iou = count / (sizes[a] + sizes[b] - count)
        near[a][b] = near[b][a] = iou
    return near
