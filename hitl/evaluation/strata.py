"""Whether a model is worse than the one in use on some kind of objects, beyond noise.

Each truth object is an item: the evaluation score that the candidate gives it beside the one that
the model in use gives it. So is each spurious object: -1 when only the candidate has it, +1 when
only the other has it, 0 when both have.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hitl.evaluation.metrics.overlap_score import overlap_scores
from hitl.evaluation.paired import ItemPairs, compare_items
from hitl.project.errors import MetricError
from labels.numbers import number_of
from labels.overlaps import Contingency, Floats, count_overlaps
from labels.spacing import Spacing

ALPHA = 0.05
"""Chance, at most, that a model that is as good is found worse: overall, and in any stratum."""

TOLERANCE = 0.01
"""A mean score lower by no more than this is no regression, however certain."""

FLIPS = 9999
"""Ways in which items change sides at random in a test."""


@dataclass(frozen=True, eq=False)
class ObjectPairs:
    """The items of one field, or of several.

    Parameters
    ----------
    in_use, candidate : ndarray of float64, shape (N,)
        Evaluation score of each truth object under both models.
    volume_um3, depth_um : ndarray of float64, shape (N,)
        Depth: z of the centre below the first slice.
    neighbours : ndarray of float64, shape (N,)
        Objects no further from it, surface to surface, than its own diameter (both taken as
        spheres of their volume).
    spurious : ndarray of float64, shape (M,)
        Per spurious object -1 (only the candidate has it), 1 (only the other) or 0.
    """

    in_use: Floats
    candidate: Floats
    volume_um3: Floats
    depth_um: Floats
    neighbours: Floats
    spurious: Floats

    @classmethod
    def joined(cls, parts: Sequence[ObjectPairs]) -> ObjectPairs:
        """Return the items of several fields as one."""
        return cls(
            **{
                name: np.concatenate([getattr(part, name) for part in parts])
                for name in cls.__dataclass_fields__
            }
        )


@dataclass(frozen=True)
class Stratum:
    """One group of items.

    Parameters
    ----------
    name : str
        As in "small objects".
    objects : int
        Items in it.
    in_use, candidate : float
        Mean scores; for spurious objects how many each model has.
    difference, low, high : float
        Mean difference, and its 95 % interval from resampling the items (percentiles).
    p : float
        One-sided, of the sign-flip test that the candidate is worse.
    worse : bool
        Worse beyond noise; strata after Holm's correction for their number.
    """

    name: str
    objects: int
    in_use: float
    candidate: float
    difference: float
    low: float
    high: float
    p: float
    worse: bool = False

    def figures(self) -> str:
        """Return what a message says of it."""
        scores = f"{self.candidate:.3f} against {self.in_use:.3f}"
        if self.name == SPURIOUS:
            scores = f"{self.candidate:.0f} against {self.in_use:.0f}"
        return (
            f"{self.name}: {scores}, difference {self.difference:+.3f} "
            f"[{self.low:+.3f}, {self.high:+.3f}] over {number_of(self.objects, 'item')}, "
            f"p = {self.p:.4f}"
        )


EVERYTHING = "all objects"
SPURIOUS = "spurious objects"


def pair_objects(
    truth: NDArray[np.integer[Any]],
    counts: NDArray[np.bool_],
    in_use: NDArray[np.integer[Any]],
    candidate: NDArray[np.integer[Any]],
    spacing_um: Spacing,
) -> ObjectPairs:
    """Score two predictions of one field on the objects that count.

    An object counts where more than half of its voxels do. Objects are compared whole, also
    where they reach out of the voxels that count. A predicted object is spurious when it
    counts and less than half of it lies on truth objects.

    Parameters
    ----------
    truth, in_use, candidate : ndarray of integer, shape (Z, Y, X)
        Instance labels, 0 for background.
    counts : ndarray of bool, shape (Z, Y, X)
        Voxels of which a person knows what is there.
    spacing_um : (float, float, float)
        Voxel size (z, y, x) in µm.

    Raises
    ------
    MetricError
        Shapes differ, or not labels.
    """
    if counts.shape != truth.shape:
        raise MetricError(
            f"expected a mask of the truth's shape {truth.shape}, got {counts.shape}: "
            "give both of one field"
        )
    mask = np.ascontiguousarray(counts, dtype=np.uint32)
    tables = [count_overlaps(truth, labels) for labels in (in_use, candidate)]
    scores, spurious = [], []
    for table, labels in zip(tables, (in_use, candidate), strict=True):
        scores.append(overlap_scores(table, labels).score)
        spurious.append(_spurious(table, labels, mask))
    counted = _counted(count_overlaps(truth, mask))
    spacing = np.asarray(spacing_um, np.float64)
    centres: Floats = np.asarray(tables[0].truth.centroids * spacing, np.float64)
    volumes: Floats = np.asarray(tables[0].truth.sizes * np.prod(spacing), np.float64)
    neighbours = _neighbours(centres, volumes)
    return ObjectPairs(
        in_use=scores[0][counted],
        candidate=scores[1][counted],
        volume_um3=volumes[counted],
        depth_um=centres[counted, 0],
        neighbours=neighbours[counted],
        spurious=_pair_spurious(in_use, candidate, *spurious),
    )


def count_objects(truth: NDArray[np.integer[Any]], counts: NDArray[np.bool_]) -> int:
    """Return how many objects `pair_objects` would compare, whatever the models find."""
    mask = np.ascontiguousarray(counts, dtype=np.uint32)
    return int(np.count_nonzero(_counted(count_overlaps(truth, mask))))


def compare_strata(classes: Mapping[str, ObjectPairs]) -> tuple[Stratum, ...]:
    """Compare two models overall and by stratum; the first stratum is all items.

    Strata: each class, where there are several; terciles of volume, of depth and of the number of
    neighbours (where values tie, a tercile may be smaller or missing), and the spurious objects. A
    stratum is worse when its mean is lower by more than `TOLERANCE` and p is below `ALPHA` (all
    items), or below it after Holm's correction for the number of strata.

    Parameters
    ----------
    classes : mapping of str to ObjectPairs
        The items of each class.
    """
    items = ObjectPairs.joined(list(classes.values()))
    difference = items.candidate - items.in_use
    whole = _all_of(EVERYTHING, items)
    known = {name: own for name, own in classes.items() if own.in_use.size}
    several = known.items() if len(known) > 1 else ()
    strata = [_all_of(f"class {name}", own) for name, own in several]
    strata += [
        _stratum(name, difference[part], items.in_use[part].mean(), items.candidate[part].mean())
        for name, part in _terciles(items)
    ]
    if items.spurious.size:
        numbers = (np.count_nonzero(items.spurious >= 0), np.count_nonzero(items.spurious <= 0))
        strata.append(_stratum(SPURIOUS, items.spurious, *map(float, numbers)))
    unlikely = [whole.p < ALPHA, *_holm([stratum.p for stratum in strata])]
    return tuple(
        replace(stratum, worse=below and stratum.difference < -TOLERANCE)
        for stratum, below in zip([whole, *strata], unlikely, strict=True)
    )


def _all_of(name: str, items: ObjectPairs) -> Stratum:
    differences = np.concatenate([items.candidate - items.in_use, items.spurious])
    return _stratum(name, differences, items.in_use.mean(), items.candidate.mean())


def _terciles(items: ObjectPairs) -> Iterator[tuple[str, NDArray[np.bool_]]]:
    for values, names in (
        (items.volume_um3, ("small objects", "objects of middle size", "large objects")),
        (items.depth_um, ("shallow objects", "objects at middle depth", "deep objects")),
        (items.neighbours, ("isolated objects", "objects with neighbours", "crowded objects")),
    ):
        if not values.size:
            continue
        third = np.searchsorted(np.quantile(values, [1 / 3, 2 / 3]), values)
        for number, name in enumerate(names):
            chosen = third == number
            if 0 < chosen.sum() < values.size:
                yield name, chosen


def _stratum(name: str, differences: Floats, in_use: float, candidate: float) -> Stratum:
    """Test whether the mean of some items' differences is below zero beyond noise."""
    rows = np.stack([differences, np.ones_like(differences)], axis=1)
    pairs = {"": {"": [ItemPairs(rows * (0, 1), rows)]}}
    (found,) = compare_items(pairs, _mean, one_sided=True, flips=FLIPS).tolist()
    return Stratum(name, differences.size, float(in_use), float(candidate), *found[2:])


def _mean(sums: Floats) -> Floats:
    return sums[:, :1] / sums[:, 1:]


def _holm(p: list[float]) -> list[bool]:
    """Which of several tests are below `ALPHA` together (Holm, Scand. J. Stat. 1979)."""
    below = [False] * len(p)
    for rank, test in enumerate(np.argsort(p, kind="stable").tolist()):
        if p[test] >= ALPHA / (len(p) - rank):
            break
        below[test] = True
    return below


def _counted(table: Contingency) -> NDArray[np.bool_]:
    """Which truth objects of a table lie mostly on the other image's objects."""
    inside = np.zeros(table.n_truth, np.int64)
    np.add.at(inside, table.i, table.count)
    return np.asarray(2 * inside > table.truth.sizes, np.bool_)


def _neighbours(centres: Floats, volumes: Floats) -> Floats:
    if not centres.size:
        return np.zeros(0)
    from scipy.spatial import cKDTree

    radii = np.cbrt(volumes * 3 / (4 * np.pi))
    tree = cKDTree(centres)
    # The largest object's surface may be as near as its radius.
    near = tree.query_ball_point(centres, 3 * radii + radii.max())
    found = [
        np.count_nonzero(
            np.linalg.norm(centres[others] - centres[i], axis=1)
            <= 3 * radii[i] + radii[np.asarray(others)]
        )
        - 1
        for i, others in enumerate(near)
    ]
    return np.asarray(found, np.float64)


def _spurious(
    table: Contingency, labels: NDArray[np.integer[Any]], mask: NDArray[np.uint32]
) -> NDArray[np.int64]:
    """Ids of the predicted objects that count and lie mostly on no truth object."""
    on_truth = np.zeros(table.n_pred, np.int64)
    np.add.at(on_truth, table.j, table.count)
    counted = _counted(count_overlaps(labels, mask))
    return np.asarray(table.pred.ids[counted & (2 * on_truth < table.pred.sizes)])


def _pair_spurious(
    in_use: NDArray[np.integer[Any]],
    candidate: NDArray[np.integer[Any]],
    ids_in_use: NDArray[np.int64],
    ids_candidate: NDArray[np.int64],
) -> Floats:
    table = count_overlaps(in_use, candidate)
    old, new = table.truth.ids[table.i], table.pred.ids[table.j]
    smaller = np.minimum(table.truth.sizes[table.i], table.pred.sizes[table.j])
    both = (2 * table.count > smaller) & np.isin(old, ids_in_use) & np.isin(new, ids_candidate)
    common_old, common_new = np.unique(old[both]).size, np.unique(new[both]).size
    common = min(common_old, common_new)
    return np.repeat(
        np.array([1.0, 0.0, -1.0]),
        [ids_in_use.size - common, common, ids_candidate.size - common],
    )
