"""What became of the objects, as a list of places: each object with those it was confused with."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from hitl.evaluation.metrics.exclusion import Kept
from hitl.evaluation.metrics.matching import Matching
from hitl.evaluation.metrics.taxonomy import LOCATED_IOU, Taxonomy
from labels.overlaps import Contingency, Ints, first_of_each
from labels.spacing import Spacing

Triple = tuple[float, float, float]
_Found = tuple[str, Ints, Ints]


@dataclass(frozen=True)
class Case:
    """Objects of truth and prediction that belong together, and what became of them.

    Parameters
    ----------
    kind : str
        matched, split, merged, shifted, missed or spurious; see `Taxonomy`.
    truth_ids, pred_ids : tuple of int
        One truth object and its match; one and its fragments (split); several and their merger
        (merged); one and the object that it overlaps best (shifted); one alone.
    centroid_zyx : (float, float, float)
        In voxels: of the truth object, of the merger where there are several, else of the
        predicted one.
    centroid_um : (float, float, float) or None
        In µm; None where no spacing was given.
    """

    kind: str
    truth_ids: tuple[int, ...]
    pred_ids: tuple[int, ...]
    centroid_zyx: Triple
    centroid_um: Triple | None


def list_cases(
    table: Contingency,
    taxonomy: Taxonomy,
    matching: Matching,
    kept: Kept,
    spacing_um: Spacing | None,
) -> tuple[Case, ...]:
    """List the objects that count, worst kinds first; every one of them is in a case of its kind.

    Parameters
    ----------
    table : Contingency
    taxonomy : Taxonomy
        Of `table` and `matching`.
    matching : Matching
    kept : Kept
        Cases of which no object counts are left out.
    spacing_um : (float, float, float), optional
        Voxel size (z, y, x) in µm.
    """
    found = (
        _case(table, case, spacing_um)
        for case in _found(table, taxonomy, matching)
        if kept.truth[case[1]].any() or kept.pred[case[2]].any()
    )
    order = ("merged", "split", "missed", "spurious", "shifted", "matched")
    return tuple(sorted(found, key=lambda case: order.index(case.kind)))


def _found(table: Contingency, taxonomy: Taxonomy, matching: Matching) -> Iterator[_Found]:
    nothing = np.zeros(0, np.int64)
    pairs = taxonomy.merging
    for j in np.unique(table.j[pairs]):
        yield "merged", table.i[pairs[table.j[pairs] == j]], np.array([j])
    pairs = taxonomy.splitting
    # A merged object may hold fragments too: they are listed with it.
    own = (taxonomy.truth_kinds[table.i[pairs]] == "split") | (
        taxonomy.pred_kinds[table.j[pairs]] == "split"
    )
    for i in np.unique(table.i[pairs[own]]):
        yield "split", np.array([i]), table.j[pairs[table.i[pairs] == i]]
    for kind, i, j in _couples(table, taxonomy, matching):
        yield kind, np.array([i]), np.array([j])
    for i in np.flatnonzero(taxonomy.truth_kinds == "missed"):
        yield "missed", np.array([i]), nothing
    for j in np.flatnonzero(taxonomy.pred_kinds == "spurious"):
        yield "spurious", nothing, np.array([j])


def _couples(
    table: Contingency, taxonomy: Taxonomy, matching: Matching
) -> Iterator[tuple[str, int, int]]:
    """Pair matched and shifted objects of either side with their partners of whatever kind."""
    i, j = matching.truth_index, matching.pred_index
    matched = (taxonomy.truth_kinds[i] == "matched") | (taxonomy.pred_kinds[j] == "matched")
    for a, b in zip(i[matched].tolist(), j[matched].tolist(), strict=True):
        yield "matched", a, b
    located = np.flatnonzero(table.iou >= LOCATED_IOU)
    shifted = []
    for index, kinds in ((table.i, taxonomy.truth_kinds), (table.j, taxonomy.pred_kinds)):
        pairs = located[kinds[index[located]] == "shifted"]
        shifted.append(pairs[first_of_each(index[pairs], -table.iou[pairs], pairs)])
    pairs = np.unique(np.concatenate(shifted))
    for a, b in zip(table.i[pairs].tolist(), table.j[pairs].tolist(), strict=True):
        yield "shifted", a, b


def _case(table: Contingency, found: _Found, spacing_um: Spacing | None) -> Case:
    kind, i, j = found
    at = table.truth.centroids[i[0]] if len(i) == 1 else table.pred.centroids[j[0]]
    z, y, x = at.tolist()
    um = None
    if spacing_um is not None:
        um = (z * spacing_um[0], y * spacing_um[1], x * spacing_um[2])
    return Case(
        kind,
        tuple(table.truth.ids[i].tolist()),
        tuple(table.pred.ids[j].tolist()),
        (z, y, x),
        um,
    )
