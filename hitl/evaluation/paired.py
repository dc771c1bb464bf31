"""Whether two models differ on the same objects, by more than chance.

Of each object there are two results, one of each model. That their metrics differ by chance is
tested by letting objects' results change sides at random (Fisher's paired randomisation test: if
the models were equally good, either side would be as likely), in all ways where few differ.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np

from hitl.evaluation.metrics.items import METRICS, Items, metrics_of
from hitl.evaluation.metrics.matching import match
from hitl.evaluation.metrics.resampling import (
    LEVEL,
    RESAMPLES,
    ByField,
    Difference,
    MetricsOf,
    check_fields,
    chunks,
    draw,
    mean_of_classes,
    percentiles,
    value_or_none,
)
from hitl.project.errors import MetricError
from labels.blocks import LabelImage
from labels.overlaps import Floats, count_overlaps

EVERY_WAY = 12
"""With no more objects that differ, they change sides in all 2**12 ways, not at random."""


@dataclass(frozen=True, eq=False)
class ItemPairs:
    """Rows of two models on one field; row n of one belongs to row n of the other.

    Parameters
    ----------
    first, second : ndarray of float64, shape (n, columns)
        Each truth object; then each predicted object without a match that both models have; then
        those that only one has, with a row of zeros for the other.
    """

    first: Floats
    second: Floats


def pair_items(
    first: Items, second: Items, first_pred: LabelImage, second_pred: LabelImage
) -> ItemPairs:
    """Put the rows of two models that were scored against the same truth side by side.

    Predicted objects without a match are the same where their IoU with each other is at least
    0.5; were they taken for different ones, two equal models would seem to differ by chance.

    Parameters
    ----------
    first, second : Items
    first_pred, second_pred : ndarray, memmap or zarr array, integers
        The label images that they are of.

    Raises
    ------
    MetricError
        The items are of different truth objects, or the images of different shapes.
    """
    if len(first.truth) != len(second.truth):
        raise MetricError(
            f"expected two models on the same truth objects, got {len(first.truth)} and "
            f"{len(second.truth)}: score both against the same labels"
        )
    table = count_overlaps(first_pred, second_pred)
    same = match(table, 0.5)
    a, b = table.truth.ids[same.truth_index], table.pred.ids[same.pred_index]
    both = np.isin(a, first.spurious_ids) & np.isin(b, second.spurious_ids)
    in_first = np.searchsorted(first.spurious_ids, a[both])
    in_second = np.searchsorted(second.spurious_ids, b[both])
    only_first = np.delete(first.spurious, in_first, axis=0)
    only_second = np.delete(second.spurious, in_second, axis=0)
    nothing = np.zeros_like
    return ItemPairs(
        np.concatenate([first.truth, first.spurious[in_first], only_first, nothing(only_second)]),
        np.concatenate(
            [second.truth, second.spurious[in_second], nothing(only_first), only_second]
        ),
    )


def compare_models(
    found: ByField[ItemPairs], *, resamples: int = RESAMPLES, seed: int = 0
) -> dict[str, Difference]:
    """Compare every metric of two models on the same truth objects; arguments as `compare_items`.

    Returns
    -------
    dict of str to Difference
        By the names in `hitl.evaluation.metrics.items.METRICS`.
    """
    rows = compare_items(found, metrics_of, resamples=resamples, flips=resamples, seed=seed)
    return {
        name: Difference(*map(value_or_none, row))
        for name, row in zip(METRICS, rows.tolist(), strict=True)
    }


def compare_items(
    found: ByField[ItemPairs],
    metrics: MetricsOf,
    *,
    one_sided: bool = False,
    resamples: int = RESAMPLES,
    flips: int = RESAMPLES,
    seed: int = 0,
) -> Floats:
    """Compare metrics of two models whose items are side by side.

    Parameters
    ----------
    found : mapping of str to (mapping of str to sequence of ItemPairs)
        Per field, class and time point the items of the first and the second model.
    metrics : callable
        Takes sums of rows, shape (n, columns), and returns metrics, shape (n, metrics).
    one_sided : bool
        Test whether the second is worse, not whether it differs.
    resamples, flips : int
        Of the bootstrap, and of the randomisation test.
    seed : int
        The same one gives the same numbers.

    Returns
    -------
    ndarray of float64, shape (metrics, 6)
        The fields of `Difference`; NaN where a metric is not defined.

    Raises
    ------
    MetricError
        No field, a field without a class, or no resamples.
    """
    check_fields(found, resamples, LEVEL)
    fields = {
        name: {each: [(pair.first, pair.second) for pair in pairs] for each, pairs in of.items()}
        for name, of in found.items()
    }
    sums = mean_of_classes(fields, metrics, lambda rows: [r.sum(axis=0)[None] for r in rows])
    first, second = (model[0] for model in sums)
    drawn = draw(fields, metrics, resamples, seed)
    by_chance, in_every_way = _change_sides(fields, metrics, flips, seed)
    if one_sided:
        as_far = (by_chance <= second - first + 1e-12).sum(axis=0)
    else:
        as_far = (np.abs(by_chance) >= np.abs(second - first) - 1e-12).sum(axis=0)
    # Among ways that were drawn, the one that was seen counts as one more.
    seen = not in_every_way
    known = np.count_nonzero(~np.isnan(by_chance), axis=0)
    p = (seen + as_far) / np.maximum(1, seen + known)
    p[np.isnan(second - first)] = np.nan
    low, high = percentiles(drawn[1] - drawn[0], LEVEL)
    return np.stack([first, second, second - first, low, high, p], axis=1)


def _change_sides(
    fields: ByField[tuple[Floats, Floats]], metrics: MetricsOf, flips: int, seed: int
) -> tuple[Floats, bool]:
    """Differences of the metrics when items change sides, and whether in every way there is."""
    random = np.random.default_rng(seed)
    every_part = [rows for of in fields.values() for parts in of.values() for rows in parts]
    n = sum(len(_moves(*rows)) for rows in every_part)
    every = np.array(list(product((0.0, 1.0), repeat=n if n <= EVERY_WAY else 0)))
    at = 0

    def swap(rows: Sequence[Floats]) -> list[Floats]:
        nonlocal at
        moves = _moves(*rows)
        if n <= EVERY_WAY:
            sums = [every[:, at : at + len(moves)] @ moves]
            at += len(moves)
        else:
            sums = [
                random.integers(0, 2, (size, len(moves)), dtype=np.int8).astype(float) @ moves
                for size in chunks(flips, len(moves))
            ]
        moved = np.concatenate(sums)
        return [rows[0].sum(axis=0) + moved, rows[1].sum(axis=0) - moved]

    first, second = mean_of_classes(fields, metrics, swap)
    return second - first, n <= EVERY_WAY


def _moves(first: Floats, second: Floats) -> Floats:
    """Return what changes where an item changes sides, of the items for which that is anything."""
    moves = second - first
    return moves[moves.any(axis=1)]
