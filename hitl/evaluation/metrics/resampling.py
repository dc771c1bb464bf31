"""How far scores may be trusted: intervals from drawing objects again at random.

Fields of view are drawn with replacement first, with all their classes and time points, then
objects within each of these (the hierarchical bootstrap of Saravanan, Berman and Sober, Neurons,
Behavior, Data Analysis and Theory 2020), since objects of one field resemble each other. Of a
single field only objects are drawn: such an interval says nothing about other fields of view.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np

from hitl.evaluation.metrics.items import METRICS, Items, metrics_of
from hitl.project.errors import MetricError
from labels.overlaps import Floats

RESAMPLES = 2000
LEVEL = 0.95
FEW_OBJECTS = 10
"""With fewer objects an interval by percentiles is too narrow to go by."""
_CHUNK = 1 << 21

T = TypeVar("T")
ByField = Mapping[str, Mapping[str, Sequence[T]]]
"""Per field and class, what there is of each of its time points."""
Fields = ByField[Sequence[Floats]]
"""The rows of one model or of several."""
MetricsOf = Callable[[Floats], Floats]
"""Takes sums of rows, shape (n, columns), and returns metrics, shape (n, metrics)."""


@dataclass(frozen=True)
class Interval:
    """Percentiles of resampled values; None where the metric is not defined."""

    low: float | None
    high: float | None


@dataclass(frozen=True)
class Difference:
    """One metric of two models on the same objects.

    Parameters
    ----------
    first, second : float or None
        The metric under both, averaged over the fields of each class, then over classes.
    difference : float or None
        Second minus first.
    low, high : float or None
        95 % interval of the difference from resampling fields and objects, both models at once.
    p : float or None
        Of the paired randomisation test: how often a difference as large (one-sided: as low)
        arises when each object's two results (and each unmatched prediction) change sides.
    """

    first: float | None
    second: float | None
    difference: float | None
    low: float | None
    high: float | None
    p: float | None


def bootstrap(
    found: ByField[Items],
    *,
    resamples: int = RESAMPLES,
    level: float = LEVEL,
    seed: int = 0,
) -> dict[str, Interval]:
    """Return the interval of each metric's mean over the fields of each class, then over classes.

    Parameters
    ----------
    found : mapping of str to (mapping of str to sequence of Items)
        Per field and class the items of each time point.
    resamples : int
    level : float
        In (0, 1).
    seed : int
        The same one gives the same intervals.

    Returns
    -------
    dict of str to Interval
        By the names in `hitl.evaluation.metrics.items.METRICS`.

    Raises
    ------
    MetricError
        No field, a field without a class, no resamples, or a level outside (0, 1).
    """
    check_fields(found, resamples, level)
    fields = {
        name: {each: [(part.rows,) for part in parts] for each, parts in classes.items()}
        for name, classes in found.items()
    }
    ends = percentiles(draw(fields, metrics_of, resamples, seed)[0], level)
    return {
        name: Interval(*map(value_or_none, pair))
        for name, pair in zip(METRICS, ends.T.tolist(), strict=True)
    }


def check_fields(found: ByField[Any], resamples: int, level: float) -> None:
    """Refuse what cannot be resampled.

    Raises
    ------
    MetricError
        No field, a field without a class, no resamples, or a level outside (0, 1).
    """
    empty = [name for name, each in found.items() if not each or not all(each.values())]
    if not found or empty:
        raise MetricError(f"expected items in every field, got none in {empty or 'any'}")
    if resamples < 1 or not 0 < level < 1:
        raise MetricError(
            f"expected at least one resample and a level between 0 and 1, got {resamples}, {level}"
        )


def mean_of_classes(
    fields: Fields, metrics: MetricsOf, summed: Callable[[Sequence[Floats]], Sequence[Floats]]
) -> list[Floats]:
    """Return the metrics of each model, averaged over the fields of each class, then over classes.

    Parameters
    ----------
    fields : mapping of str to (mapping of str to sequence of sequence of ndarray)
        Per field, class and time point the rows of each model.
    metrics : callable
        Takes sums of rows, shape (n, columns), and returns metrics, shape (n, metrics).
    summed : callable
        Takes the rows of each model in a field and returns their sums, shape (n, columns) each.
    """
    by_class: dict[str, list[list[Floats]]] = {}
    for classes in fields.values():
        for name, parts in classes.items():
            found = [[metrics(sums) for sums in summed(rows)] for rows in parts]
            by_class.setdefault(name, []).append(_over_first(found))
    return _over_first([_over_first(found) for found in by_class.values()])


def _over_first(found: Sequence[Sequence[Floats]]) -> list[Floats]:
    """Return the mean over the outer sequence, for each model."""
    return [_mean(np.stack(model)) for model in zip(*found, strict=True)]


def draw(fields: Fields, metrics: MetricsOf, resamples: int, seed: int) -> list[Floats]:
    """Return the metrics of each model in every resample, shape (resamples, metrics)."""
    random = np.random.default_rng(seed)
    drawn = random.integers(0, len(fields), (resamples, len(fields)))
    by_class: dict[str, list[Floats]] = {}
    for number, classes in enumerate(fields.values()):
        here = (drawn == number).T
        for name, parts in classes.items():
            means = _over_first(
                [
                    [metrics(sums) for sums in _drawn(rows, int(here.sum()), random)]
                    for rows in parts
                ]
            )
            # A field without the class has no say in its mean.
            empty = [np.full((*here.shape, mean.shape[1]), np.nan) for mean in means]
            for values, mean in zip(by_class.setdefault(name, empty), means, strict=True):
                values[here] = mean
    return _over_first([[_mean(values) for values in models] for models in by_class.values()])


def _mean(values: Floats) -> Floats:
    """Mean over the first axis of what is defined; NaN where nothing is."""
    known = ~np.isnan(values)
    total, n = np.where(known, values, 0).sum(axis=0), known.sum(axis=0)
    return np.asarray(np.divide(total, n, out=np.full(total.shape, np.nan), where=n > 0))


def _drawn(rows: Sequence[Floats], times: int, random: np.random.Generator) -> list[Floats]:
    """Draw resamples and sum their rows, the same rows for each model."""
    n = len(rows[0])
    parts = []
    for size in chunks(times, n):
        chosen = random.integers(0, n, (size, n)) if n else np.zeros((size, 0), np.int64)
        chosen += n * np.arange(size)[:, None]
        weights = np.bincount(chosen.ravel(), minlength=size * n).reshape(size, n).astype(float)
        parts.append([weights @ model for model in rows])
    if not parts:
        return [np.zeros((0, model.shape[1])) for model in rows]
    return [np.concatenate(model) for model in zip(*parts, strict=True)]


def chunks(times: int, n: int) -> Iterator[int]:
    """Yield sizes that add up to `times` and keep an array of size × n small."""
    most = max(1, _CHUNK // max(1, n))
    for start in range(0, times, most):
        yield min(most, times - start)


def percentiles(values: Floats, level: float) -> Floats:
    """Return both ends of the interval of each column, shape (2, columns); NaN for none."""
    out = np.full((2, values.shape[1]), np.nan)
    for k, column in enumerate(values.T):
        known = column[~np.isnan(column)]
        if len(known):
            out[:, k] = np.quantile(known, [(1 - level) / 2, (1 + level) / 2])
    return out


def value_or_none(value: float) -> float | None:
    """Return None for NaN, which JSON has no word for."""
    return None if np.isnan(value) else float(value)
