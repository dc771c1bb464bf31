"""Means of all metrics over the fields of each group, and over groups."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from hitl.evaluation.metrics.scores import Scores
from hitl.project.errors import MetricError


@dataclass(frozen=True)
class AverageScores:
    """Means over the fields of each group, and over groups.

    Parameters
    ----------
    groups : dict of str to dict
        Per group (such as a field of view) the mean of each of `Scores.flat`'s values over its
        fields; fields where it is None are left out, and it is None where it is so in all.
    mean : dict of str to (float or None)
        Mean over groups, likewise: each group counts once, however many fields it has.
    left_out : dict of str to int
        Number of fields whose value was None, for keys where there are any.
    """

    groups: dict[str, dict[str, float | None]]
    mean: dict[str, float | None]
    left_out: dict[str, int]


def average(groups: Mapping[str, Sequence[Scores]]) -> AverageScores:
    """Average over the fields of each group (such as the channels of a field), then over groups.

    Parameters
    ----------
    groups : mapping of str to sequence of Scores
        For instance ``{"field 1": [...], "field 2": [...]}``.

    Returns
    -------
    AverageScores

    Raises
    ------
    MetricError
        No group, or a group without a field.
    """
    empty = [name for name, fields in groups.items() if not fields]
    if not groups or empty:
        raise MetricError(f"expected scores in every group, got none in {empty or 'any'}")
    flat = {name: [scores.flat() for scores in fields] for name, fields in groups.items()}
    means = {name: mean_by_key(rows) for name, rows in flat.items()}
    rows = [row for group in flat.values() for row in group]
    left_out = {key: sum(row.get(key) is None for row in rows) for key in _keys(rows)}
    return AverageScores(
        groups=means,
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
