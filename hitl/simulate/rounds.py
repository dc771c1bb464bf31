"""Rounds of correction by an oracle, for every strategy and repeat."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass

import numpy as np

from hitl.evaluation.metrics.matching import match
from hitl.evaluation.metrics.overlap_score import overlap_scores
from hitl.project.errors import ConfigError, NothingToDoError
from hitl.project.reporter import Reporter, Silent
from hitl.simulate.curve import Curve, LevelCost, Point, costs_at_levels
from hitl.simulate.oracle import Bench, Case, Target
from hitl.simulate.strategies import STRATEGIES
from labels.names import did_you_mean

Retrain = Callable[[Sequence[Bench], int], None]
"""Called with the fields and a seed after each round: gives the benches new proposals."""


@dataclass(frozen=True)
class SimulationResult:
    """Score against corrections, for each strategy.

    Parameters
    ----------
    fields : tuple of str
    objects_per_round, seed : int
    retrained : str
        The model that was trained after each round; empty for none.
    curves : dict of str to tuple of Curve
        By strategy, one for each repeat.
    """

    fields: tuple[str, ...]
    objects_per_round: int
    seed: int
    retrained: str
    curves: dict[str, tuple[Curve, ...]]

    def costs(self) -> dict[str, tuple[LevelCost, ...]]:
        """Return what each strategy needs to come half, three quarters, 90 % of the way."""
        return costs_at_levels(self.curves)

    def to_csv(self) -> str:
        """Return one line for each point of each curve."""
        out = io.StringIO()
        writer = csv.writer(out, lineterminator="\n")
        writer.writerow(("strategy", "repeat", *Point.__dataclass_fields__))
        for repeats in self.curves.values():
            for curve in repeats:
                for point in curve.points:
                    writer.writerow((curve.strategy, curve.repeat, *asdict(point).values()))
        return out.getvalue()


def simulate(
    cases: Sequence[Case],
    *,
    rounds: int | None = None,
    objects_per_round: int = 10,
    strategies: Sequence[str] = tuple(STRATEGIES),
    repeats: int = 5,
    seed: int = 0,
    retrain: Retrain | None = None,
    retrained: str = "",
    reporter: Reporter | None = None,
) -> SimulationResult:
    """Let an oracle correct `objects_per_round` objects a round, and score after each one.

    When a strategy has nothing left to show, the person looks through the fields: what is still
    missed comes in any order, at the cost of one object each.

    Parameters
    ----------
    cases : sequence of Case
        Fields that share the budget; F1 is of all their objects together.
    rounds : int, optional
        Until everything is right when not given.
    objects_per_round : int
    strategies : sequence of str
        Keys of `STRATEGIES`.
    repeats : int
        With different random numbers.
    seed : int
    retrain : callable, optional
        Makes new proposals after each round; needs `rounds`.
    retrained : str
        What `retrain` trains, for the record.
    reporter : Reporter, optional

    Returns
    -------
    SimulationResult

    Raises
    ------
    NothingToDoError
        No field.
    ConfigError
        An unknown strategy, or a count that is not positive.
    """
    check_plan(strategies, rounds, objects_per_round, repeats, retrained=retrain is not None)
    if not cases:
        raise NothingToDoError("expected at least one field with known labels, got none")
    out = reporter or Silent()
    curves: dict[str, tuple[Curve, ...]] = {}
    for number, name in enumerate(strategies):
        found = []
        for repeat in range(repeats):
            out.progress(number * repeats + repeat, len(strategies) * repeats, f"simulates {name}")
            run = _Run(cases, name, np.random.default_rng((seed, repeat)), retrain)
            points = run.until(rounds, objects_per_round)
            found.append(Curve(name, repeat, points))
        curves[name] = tuple(found)
    names = tuple(case.name for case in cases)
    return SimulationResult(names, objects_per_round, seed, retrained, curves)


class _Run:
    """One repeat of one strategy."""

    def __init__(
        self,
        cases: Sequence[Case],
        strategy: str,
        rng: np.random.Generator,
        retrain: Retrain | None,
    ) -> None:
        self._benches = [Bench(case) for case in cases]
        self._order = STRATEGIES[strategy]
        self._rng = rng
        self._retrain = retrain
        self._scored: dict[int, tuple[int, int, int, float]] = {}
        self._points = [self._point(0, 0, 0)]

    def until(self, rounds: int | None, objects_per_round: int) -> tuple[Point, ...]:
        number = 0
        while rounds is None or number < rounds:
            number += 1
            if not self._round(number, objects_per_round):
                break
            if self._retrain is not None:
                self._retrain(self._benches, int(self._rng.integers(2**31)))
                self._scored.clear()
                last = self._points[-1]
                self._points.append(self._point(number, last.objects, last.voxels))
        return tuple(self._points)

    def _round(self, number: int, budget: int) -> bool:
        """Correct about `budget` objects; False when there is nothing left to correct."""
        spent = 0
        while spent < budget:
            targets = self._order(self._benches, budget - spent, self._rng) or self._left()
            if not targets:
                return False
            for target in targets:
                cost = self._benches[target.case].correct(target)
                if cost is None:
                    continue
                spent += cost.objects
                self._scored.pop(target.case, None)
                last = self._points[-1]
                self._points.append(
                    self._point(number, last.objects + cost.objects, last.voxels + cost.voxels)
                )
                if spent >= budget:
                    break
        return True

    def _left(self) -> list[Target]:
        """Return what looking through the fields still finds."""
        pool = []
        for number, bench in enumerate(self._benches):
            pool += [Target(number, "object", i) for i in bench.open_objects()]
            pool += [Target(number, "truth", i) for i in bench.truth_ids if i not in bench.drawn]
        return [pool[i] for i in self._rng.permutation(len(pool))]

    def _point(self, number: int, objects: int, voxels: int) -> Point:
        for case, bench in enumerate(self._benches):
            if case not in self._scored:
                table = bench.overlaps()
                overlap = overlap_scores(table, bench.labels, workers=1)
                tp = match(table, 0.5).tp
                self._scored[case] = (tp, table.n_truth, table.n_pred, float(overlap.score.sum()))
        tp, truth, pred, score = (
            sum(values) for values in zip(*self._scored.values(), strict=True)
        )
        return Point(number, objects, voxels, 2 * tp / (truth + pred), score / truth)


def check_plan(
    strategies: Sequence[str],
    rounds: int | None,
    objects_per_round: int,
    repeats: int,
    *,
    retrained: bool,
) -> None:
    """Refuse a simulation that cannot be, before anything is segmented for it.

    Raises
    ------
    ConfigError
        An unknown strategy, a count that is not positive, or training without end.
    """
    if not strategies:
        raise ConfigError(f"strategies: expected some of {', '.join(STRATEGIES)}, got none")
    for name in strategies:
        if name not in STRATEGIES:
            raise ConfigError(
                f"strategies: expected some of {', '.join(STRATEGIES)}, got {name!r}"
                f"{did_you_mean(name, STRATEGIES)}"
            )
    counts = {"rounds": rounds, "objects per round": objects_per_round, "repeats": repeats}
    for what, count in counts.items():
        if count is not None and count < 1:
            raise ConfigError(f"{what}: expected at least 1, got {count}")
    if retrained and rounds is None:
        raise ConfigError(
            "expected a number of rounds when a model is trained in each, got none; give it with "
            "--rounds N"
        )
