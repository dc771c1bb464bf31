"""Means of all metrics over the fields of each class, and over classes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from hitl.evaluation.metrics.resampling import ByField
from hitl.evaluation.metrics.scores import Scores
from hitl.project.errors import MetricError


@dataclass(frozen=True)
class AverageScores:
    """Means over the fields of each class, and over classes.

    Parameters
    ----------
    classes : dict of str to dict
        Per class the mean of each of `Scores.flat`'s values over its fields (each the mean of its
        time points); those where it is None are left out, and it is None where it is so in all.
    mean : dict of str to (float or None)
        Mean over classes, likewise: each class counts once, however many fields it has.
    left_out : dict of str to int
        Number of scores whose value was None, for keys where there are any.
    """

    classes: dict[str, dict[str, float | None]]
    mean: dict[str, float | None]
    left_out: dict[str, int]


def average(found: ByField[Scores]) -> AverageScores:
    """Average over the fields of each class, then over classes.

    Parameters
    ----------
    found : mapping of str to (mapping of str to sequence of Scores)
        Per field and class the scores of each time point.

    Returns
    -------
    AverageScores

    Raises
    ------
    MetricError
        No field, or a field without scores.
    """
    empty = [name for name, each in found.items() if not each or not all(each.values())]
    if not found or empty:
        raise MetricError(f"expected scores of every field, got none in {empty or 'any'}")
    by_class: dict[str, list[dict[str, float | None]]] = {}
    rows: list[Mapping[str, float | None]] = []
    for classes in found.values():
        for name, parts in classes.items():
            flat = [scores.flat() for scores in parts]
            rows += flat
            by_class.setdefault(name, []).append(mean_by_key(flat))
    means = {name: mean_by_key(each) for name, each in by_class.items()}
    left_out = {key: sum(row.get(key) is None for row in rows) for key in _keys(rows)}
    return AverageScores(
        classes=means,
        mean=mean_by_key(list(means.values())),
        left_out={key: n for key, n in left_out.items() if n},
    )


def _keys(rows: Sequence[Mapping[str, float | None]]) -> list[str]:
    return list(dict.fromkeys(key for row in rows for key in row))


def mean_by_key(rows: Sequence[Mapping[str, float | None]]) -> dict[str, float | None]:
    """Return the mean of each key's known values, None where there is none."""
    means: dict[str, float | None] = {}
    for key in _keys(rows):
        known = [value for row in rows if (value := row.get(key)) is not None]
        means[key] = float(np.mean(known)) if known else None
    return means
