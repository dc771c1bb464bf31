"""From the network's maps to instance labels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import Annotated, Any, Literal

import numpy as np
from annotated_types import Ge, Gt, Le, Lt
from numpy.typing import NDArray

from labels.progress import Progress, no_progress
from labels.spacing import Spacing
from models.objects import cut_by_border, saddles

Method = Literal["watershed", "components"]

BACKGROUND_MAP, EDGE_MAP, NUCLEUS_MAP, INSIDE_MAP, DISTANCE_MAP = range(5)

CONTACT_PX = 1.5
"""How far, in xy pixels, a component grows back into the contact it was parted from."""


@dataclass(frozen=True)
class InstanceSettings:
    """How maps become objects.

    Parameters
    ----------
    method : {"watershed", "components"}
        Seeded watershed on nucleus probability × distance, or 6-connected components of the
        nucleus class.
    foreground : float
        Least probability of an object's voxel.
    depth : float
        Two peaks are one object unless the saddle between them is lower than the lower peak by
        this fraction of it.
    min_volume_um3 : float
        Smaller objects are dropped.
    """

    method: Method = "watershed"
    foreground: Annotated[float, Gt(0), Lt(1)] = 0.5
    depth: Annotated[float, Ge(0), Lt(1)] = 0.25
    min_volume_um3: Annotated[float, Ge(0), Le(1e15)] = 0.0


def label_objects(
    maps: NDArray[np.float32], spacing_um: Spacing, settings: InstanceSettings
) -> NDArray[np.uint32]:
    """Return instance labels.

    Parameters
    ----------
    maps : ndarray of float32, shape (5, Z, Y, X)
        Probabilities of background, edge, nucleus and "in an object"; relative distance.
    spacing_um : (float, float, float)
        Voxel size (z, y, x) in µm.
    settings : InstanceSettings

    Returns
    -------
    ndarray of uint32, shape (Z, Y, X)
        Consecutive from 1, 0 is background.
    """
    if settings.method == "components":
        labels = nucleus_components(maps, spacing_um, settings.foreground)
    else:
        labels = Basins(maps, spacing_um, settings.foreground).merged(settings.depth)
    return drop_small(labels, settings.min_volume_um3 / float(np.prod(spacing_um)))


def foreground_probability(maps: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the probability of an object's voxel: the higher of "nucleus" and "in an object".

    The nucleus class is learned first but leaves out contacts between objects.

    Parameters
    ----------
    maps : ndarray of float32, shape (5, Z, Y, X)

    Returns
    -------
    ndarray of float32, shape (Z, Y, X)
    """
    higher: NDArray[np.float32] = np.maximum(maps[NUCLEUS_MAP], maps[INSIDE_MAP])
    return higher


def nucleus_components(
    maps: NDArray[np.float32], spacing_um: Spacing, foreground: float
) -> NDArray[np.uint32]:
    """Return 6-connected components of the nucleus class, grown back into their contacts.

    Parameters
    ----------
    maps : ndarray of float32, shape (5, Z, Y, X)
    spacing_um : (float, float, float)
        Voxel size (z, y, x) in µm.
    foreground : float
        Least probability of an object's voxel.

    Returns
    -------
    ndarray of uint32, shape (Z, Y, X)
    """
    import cc3d
    from skimage.segmentation import expand_labels

    nucleus = maps[NUCLEUS_MAP] > np.maximum(maps[BACKGROUND_MAP], maps[EDGE_MAP])
    parts = cc3d.connected_components(nucleus, connectivity=6, out_dtype=np.uint32)
    grown = expand_labels(parts, CONTACT_PX * spacing_um[2], spacing=spacing_um)
    inside = foreground_probability(maps) > foreground
    return np.where(nucleus | inside, grown, 0).astype(np.uint32)


class Basins:
    """Watershed basins of one volume, and the saddles between them.

    The watershed is the slow part and does not depend on the merging depth, so one set of basins
    serves all depths.

    Parameters
    ----------
    maps : ndarray of float32, shape (5, Z, Y, X)
    spacing_um : (float, float, float)
        Voxel size (z, y, x) in µm.
    foreground : float
        Least probability of an object's voxel.
    """

    def __init__(self, maps: NDArray[np.float32], spacing_um: Spacing, foreground: float) -> None:
        from scipy import ndimage
        from skimage.segmentation import watershed

        inside = foreground_probability(maps) > foreground
        height = maps[NUCLEUS_MAP] * maps[DISTANCE_MAP]
        # Smoothing by one pixel, less along coarse z, removes peaks that are noise.
        sigma = [0.7 * min(1.0, spacing_um[2] / s) for s in spacing_um]
        height = ndimage.gaussian_filter(height, sigma)
        self.labels = watershed(-height, _peaks(height, inside), mask=inside)
        flat = self.labels.ravel()
        self.peaks = np.zeros(int(flat.max(initial=0)) + 1, np.float32)
        np.maximum.at(self.peaks, flat, height.ravel())
        low, high, self.saddles = saddles(self.labels, height)
        self.pairs = np.stack((low, high), axis=1)

    def merged(self, depth: float) -> NDArray[np.uint32]:
        """Return labels after joining basins whose saddle is not `depth` below the lower peak."""
        parent = np.arange(len(self.peaks))
        peak = self.peaks.copy()

        def root(index: int) -> int:
            while parent[index] != index:
                parent[index] = parent[parent[index]]
                index = int(parent[index])
            return index

        for edge in np.argsort(-self.saddles, kind="stable"):
            one, other = (root(int(i)) for i in self.pairs[edge])
            low = min(peak[one], peak[other])
            if one != other and self.saddles[edge] > (1 - depth) * low:
                keep, lose = min(one, other), max(one, other)
                peak[keep] = max(peak[one], peak[other])
                parent[lose] = keep
        roots = np.array([root(i) for i in range(len(parent))], np.uint32)
        merged: NDArray[np.uint32] = roots[self.labels]
        return merged


def _peaks(height: NDArray[np.float32], inside: NDArray[np.bool_]) -> NDArray[np.uint32]:
    import cc3d
    from scipy import ndimage

    highest = ndimage.maximum_filter(height, size=3)
    top = inside & (height >= highest) & (height > 0)
    return cc3d.connected_components(top, connectivity=26).astype(np.uint32, copy=False)


CUT_SHARE = 1 / 3
"""Objects that the stack's border cuts may be smaller by this factor."""


def drop_small(labels: NDArray[np.integer[Any]], min_voxels: float) -> NDArray[np.uint32]:
    """Return labels without objects of fewer voxels, numbered from 1.

    Of an object that touches the stack's border only a part is seen: `CUT_SHARE` of the voxels
    suffices.

    Parameters
    ----------
    labels : ndarray of integer, shape (Z, Y, X)
    min_voxels : float

    Returns
    -------
    ndarray of uint32, shape (Z, Y, X)
    """
    sizes = np.bincount(labels.ravel())
    least = np.full(len(sizes), float(min_voxels))
    least[cut_by_border(labels)] = CUT_SHARE * min_voxels
    keep = (sizes > 0) & (sizes >= least)
    keep[0] = False
    new = np.zeros(len(sizes), np.uint32)
    new[keep] = np.arange(1, keep.sum() + 1)
    kept: NDArray[np.uint32] = new[labels]
    return kept


def detection_f1(
    truth: NDArray[np.integer[Any]],
    predicted: NDArray[np.integer[Any]],
    known: NDArray[np.bool_],
    thresholds: Sequence[float] = (0.5,),
) -> float:
    """Return the mean F1 of objects over IoU thresholds, judged where the truth is known.

    Parameters
    ----------
    truth, predicted : ndarray of integer, shape (Z, Y, X)
    known : ndarray of bool, shape (Z, Y, X)
        Predicted objects that lie mostly elsewhere are not judged.
    thresholds : sequence of float
        Each at least 0.5, so that an object matches one other at most.

    Returns
    -------
    float
        1 when there is no object in either.
    """
    whole = np.bincount(predicted.ravel())
    t, p = truth[known].astype(np.int64), predicted[known].astype(np.int64)
    width = len(whole)
    pairs, both = np.unique(t * width + p, return_counts=True)
    t_ids, p_ids = np.divmod(pairs, width)
    t_sizes, p_sizes = np.bincount(t, minlength=1), np.bincount(p, minlength=width)
    judged = p_sizes > 0.5 * whole
    judged[0] = False
    objects = (t_ids > 0) & judged[p_ids]
    iou = both / (t_sizes[t_ids] + p_sizes[p_ids] - both)
    total = int((t_sizes[1:] > 0).sum() + judged.sum())
    if total == 0:
        return 1.0
    return float(np.mean([2 * (objects & (iou > level)).sum() / total for level in thresholds]))


@dataclass(frozen=True)
class Labelled:
    """Maps of a volume whose labels are known.

    Parameters
    ----------
    maps : ndarray of float32, shape (5, Z, Y, X)
    truth : ndarray of integer, shape (Z, Y, X)
    known : ndarray of bool, shape (Z, Y, X)
    """

    maps: NDArray[np.float32]
    truth: NDArray[np.integer[Any]]
    known: NDArray[np.bool_]


FOREGROUNDS = (0.35, 0.5, 0.65, 0.8)
DEPTHS = (0.1, 0.2, 0.3, 0.45)
TUNING_IOU = (0.5, 0.6, 0.7)


def mean_f1(
    volumes: Sequence[Labelled],
    spacing_um: Spacing,
    settings: InstanceSettings,
    thresholds: Sequence[float] = TUNING_IOU,
) -> float:
    """Return the F1 of objects, averaged over labelled volumes and IoU thresholds.

    Parameters
    ----------
    volumes : sequence of Labelled
    spacing_um : (float, float, float)
        Voxel size (z, y, x) in µm.
    settings : InstanceSettings
    thresholds : sequence of float
        Of the IoU.
    """
    found = [(v, label_objects(v.maps, spacing_um, settings)) for v in volumes]
    return float(np.mean([detection_f1(v.truth, x, v.known, thresholds) for v, x in found]))


def tune(
    volumes: Sequence[Labelled],
    spacing_um: Spacing,
    usual: InstanceSettings,
    progress: Progress = no_progress,
) -> tuple[InstanceSettings, float]:
    """Return settings whose mean F1 over `TUNING_IOU` on labelled volumes is as good as the best.

    They are the usual ones where no others are better.

    Parameters
    ----------
    volumes : sequence of Labelled
    spacing_um : (float, float, float)
        Voxel size (z, y, x) in µm.
    usual : InstanceSettings
        Method and least volume are kept; its thresholds are preferred where objects do not decide.
    progress : callable, optional

    Returns
    -------
    settings : InstanceSettings
    f1 : float
        Mean F1 reached.
    """
    method = usual.method
    depths = DEPTHS if method == "watershed" else (usual.depth,)
    scores = dict.fromkeys(product(FOREGROUNDS, depths), 0.0)
    smallest = usual.min_volume_um3 / float(np.prod(spacing_um))
    total = len(volumes) * len(FOREGROUNDS)
    for number, (volume, foreground) in enumerate(product(volumes, FOREGROUNDS)):
        progress(number, total, "choosing thresholds")
        basins = Basins(volume.maps, spacing_um, foreground) if method == "watershed" else None
        for depth in depths:
            labels = (
                basins.merged(depth)
                if basins
                else nucleus_components(volume.maps, spacing_um, foreground)
            )
            f1 = detection_f1(volume.truth, drop_small(labels, smallest), volume.known, TUNING_IOU)
            scores[foreground, depth] += f1 / len(volumes)
    # Few objects cannot tell settings apart: of those within one standard error of the best, the
    # one nearest to the usual is the safer choice.
    objects = sum(len(np.unique(v.truth[v.known & (v.truth > 0)])) for v in volumes)
    highest = max(scores.values())
    share = (highest * objects + 1) / (objects + 2)
    least = highest - float(np.sqrt(share * (1 - share) / (objects + 2)))
    close = [s for s, value in scores.items() if value >= least]
    best = min(
        close,
        key=lambda s: (abs(s[0] - usual.foreground) + abs(s[1] - usual.depth), -scores[s]),
    )
    as_usual = mean_f1(volumes, spacing_um, usual)
    if scores[best] <= as_usual:
        return usual, as_usual
    return replace(usual, foreground=best[0], depth=best[1]), scores[best]
