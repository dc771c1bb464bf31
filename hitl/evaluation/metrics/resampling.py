"""How far scores may be trusted: intervals from resampling, and tests of paired differences.

Groups of stacks (fields of view, whose stacks are their channels; mostly one stack each) are drawn
with replacement first, then objects within each of their stacks (the hierarchical bootstrap of
Saravanan, Berman and Sober, Neurons, Behavior, Data Analysis and Theory 2020), since objects of one
field resemble each other. Of a single group only objects are drawn: such an interval says nothing
about other fields of view.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hitl.evaluation.metrics.items import METRICS, ItemPairs, Items, metrics_of
from hitl.project.errors import MetricError
from labels.overlaps import Floats

RESAMPLES = 2000
LEVEL = 0.95
FEW_OBJECTS = 10
"""With fewer objects an interval by percentiles is too narrow to go by."""
_CHUNK = 1 << 21

Sums = tuple[Floats, ...]
"""Sums of the items' columns of each model, shape (n, columns) each."""


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
        The metric under both, averaged over stacks and groups.
    difference : float or None
        Second minus first.
    low, high : float or None
        95 % interval of the difference from resampling stacks and objects, both models at once.
    p : float or None
        Two-sided, of the paired permutation test: how often a difference as large arises when
        each object's two results (and each unmatched prediction) change sides at random.
    """

    first: float | None
    second: float | None
    difference: float | None
    low: float | None
    high: float | None
    p: float | None

    def to_dict(self) -> dict[str, Any]:
        """Return plain types for JSON."""
        return asdict(self)


def bootstrap(
    groups: Mapping[str, Sequence[Items]],
    *,
    resamples: int = RESAMPLES,
    level: float = LEVEL,
    seed: int = 0,
) -> dict[str, Interval]:
    """Return the interval of each metric's mean over stacks, then groups.

    Parameters
    ----------
    groups : mapping of str to sequence of Items
        Per group (such as a field of view) the items of each stack (such as a channel).
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
        No group, a group without a stack, no resamples, or a level outside (0, 1).
    """
    _check(groups, resamples, level)
    stacks = {name: [(part.rows,) for part in parts] for name, parts in groups.items()}
    values = _resampled(stacks, resamples, seed)[0]
    return {name: Interval(*_percentiles(values[:, k], level)) for k, name in enumerate(METRICS)}


def compare_runs(
    groups: Mapping[str, Sequence[ItemPairs]],
    *,
    resamples: int = RESAMPLES,
    level: float = LEVEL,
    seed: int = 0,
) -> dict[str, Difference]:
    """Compare two models on the same truth objects.

    Parameters
    ----------
    groups : mapping of str to sequence of ItemPairs
        Per group and stack the items of the first and the second model, side by side.
    resamples : int
        Of the bootstrap, and of the permutation test.
    level : float
        In (0, 1).
    seed : int
        The same one gives the same numbers.

    Returns
    -------
    dict of str to Difference
        By the names in `hitl.evaluation.metrics.items.METRICS`.

    Raises
    ------
    MetricError
        As `bootstrap`.
    """
    _check(groups, resamples, level)
    stacks = {name: [(pair.first, pair.second) for pair in pairs] for name, pairs in groups.items()}
    found = [_means(stacks, lambda rows: tuple(r.sum(0)[None] for r in rows))[k] for k in (0, 1)]
    first, second = found[0][0], found[1][0]
    drawn = _resampled(stacks, resamples, seed)
    swapped = _swapped(stacks, resamples, seed)
    out = {}
    for k, name in enumerate(METRICS):
        difference = second[k] - first[k]
        by_chance = swapped[1][:, k] - swapped[0][:, k]
        known = by_chance[~np.isnan(by_chance)]
        as_large = np.count_nonzero(np.abs(known) >= abs(difference) - 1e-12)
        p = None if np.isnan(difference) else float((1 + as_large) / (1 + len(known)))
        low, high = _percentiles(drawn[1][:, k] - drawn[0][:, k], level)
        out[name] = Difference(
            _number(first[k]), _number(second[k]), _number(difference), low, high, p
        )
    return out


def _check(groups: Mapping[str, Sequence[Any]], resamples: int, level: float) -> None:
    empty = [name for name, stacks in groups.items() if not stacks]
    if not groups or empty:
        raise MetricError(f"expected items in every group, got none in {empty or 'any'}")
    if resamples < 1 or not 0 < level < 1:
        raise MetricError(
            f"expected at least one resample and a level between 0 and 1, got {resamples}, {level}"
        )


def _means(
    stacks: Mapping[str, Sequence[Sums]], summed: Callable[[Sums], Sums]
) -> tuple[Floats, ...]:
    """Metrics of each model, averaged over the stacks of each group, then over groups."""
    by_group = []
    for parts in stacks.values():
        found = [tuple(map(metrics_of, summed(rows))) for rows in parts]
        by_group.append([_mean(np.stack(model)) for model in zip(*found, strict=True)])
    return tuple(_mean(np.stack(model)) for model in zip(*by_group, strict=True))


def _mean(values: Floats) -> Floats:
    """Mean over the first axis of what is defined; NaN where nothing is."""
    known = ~np.isnan(values)
    total, n = np.where(known, values, 0).sum(axis=0), known.sum(axis=0)
    return np.asarray(np.divide(total, n, out=np.full(total.shape, np.nan), where=n > 0))


def _resampled(
    stacks: Mapping[str, Sequence[Sums]], resamples: int, seed: int
) -> tuple[Floats, ...]:
    """Metrics of each model in every resample, shape (resamples, metrics)."""
    random = np.random.default_rng(seed)
    drawn = random.integers(0, len(stacks), (resamples, len(stacks)))
    models = [
        np.empty((len(stacks), resamples, len(METRICS))) for _ in next(iter(stacks.values()))[0]
    ]
    for number, parts in enumerate(stacks.values()):
        here = (drawn == number).T
        found = [
            [metrics_of(sums) for sums in _drawn(rows, int(here.sum()), random)] for rows in parts
        ]
        for values, by_stack in zip(models, zip(*found, strict=True), strict=True):
            values[here] = _mean(np.stack(by_stack))
    return tuple(_mean(values) for values in models)


def _drawn(rows: Sums, times: int, random: np.random.Generator) -> Sums:
    """Draw resamples and sum their rows, the same rows for each model."""
    n = len(rows[0])
    parts = []
    for size in _chunks(times, n):
        chosen = random.integers(0, n, (size, n)) if n else np.zeros((size, 0), np.int64)
        chosen += n * np.arange(size)[:, None]
        weights = np.bincount(chosen.ravel(), minlength=size * n).reshape(size, n).astype(float)
        parts.append([weights @ model for model in rows])
    if not parts:
        return tuple(np.zeros((0, model.shape[1])) for model in rows)
    return tuple(np.concatenate(model) for model in zip(*parts, strict=True))


def _swapped(stacks: Mapping[str, Sequence[Sums]], resamples: int, seed: int) -> tuple[Floats, ...]:
    """Metrics of two models whose items changed sides at random."""
    random = np.random.default_rng(seed)

    def swap(rows: Sums) -> Sums:
        first, second = rows
        total = (first + second).sum(axis=0)
        parts = []
        for size in _chunks(resamples, len(first)):
            side: NDArray[np.int8] = random.integers(0, 2, (size, len(first)), dtype=np.int8)
            parts.append(first.sum(axis=0) + side.astype(float) @ (second - first))
        mixed = np.concatenate(parts)
        return mixed, total - mixed

    return _means(stacks, swap)


def _chunks(times: int, n: int) -> Iterator[int]:
    """Sizes that add up to `times` and keep an array of size × n small."""
    most = max(1, _CHUNK // max(1, n))
    for start in range(0, times, most):
        yield min(most, times - start)


def _percentiles(values: Floats, level: float) -> tuple[float | None, float | None]:
    known = values[~np.isnan(values)]
    if not len(known):
        return None, None
    low, high = np.quantile(known, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def _number(value: float) -> float | None:
    return None if np.isnan(value) else float(value)
