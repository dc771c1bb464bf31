"""Scores against the hand work that they took: by round, by objects settled, by minutes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Any

from annotations.rounds import LogEntry
from hitl.project.ranking import Scored

HAND_WORK = ("correct", "import", "simulate")
"""Kinds of rounds in which a person (or a simulated one) settles objects."""


@dataclass(frozen=True)
class Work:
    """Hand work up to and with a round.

    Parameters
    ----------
    round : int
        -1 before any.
    objects : int
        Objects that people added, deleted, split, merged, reshaped or accepted.
    minutes : float
        Of the rounds that have them.
    untimed : int
        Rounds of hand work without minutes.
    """

    round: int
    objects: int
    minutes: float
    untimed: int


@dataclass(frozen=True)
class Point:
    """One run's score, and the hand work in the labels that it learned from.

    Parameters
    ----------
    run : str
    model : str
        What kind of model it is, such as "unet3d".
    work : Work
    score, f1 : float or None
    score_low, score_high : float or None
        95 % interval.
    """

    run: str
    model: str
    work: Work
    score: float | None
    f1: float | None
    score_low: float | None
    score_high: float | None


@dataclass(frozen=True)
class Gain:
    """What hand work between two runs of one kind of model brought.

    Parameters
    ----------
    model : str
    first, second : str
        Runs.
    rounds : (int, int)
        Whose labels they learned from.
    objects : int
    minutes : float or None
        None where a round in between has none.
    difference : float
        In score.
    per_hour : float or None
        None without minutes.
    within_noise : bool
        The intervals of the two scores overlap.
    """

    model: str
    first: str
    second: str
    rounds: tuple[int, int]
    objects: int
    minutes: float | None
    difference: float
    per_hour: float | None
    within_noise: bool


def settled(entry: LogEntry) -> int:
    """Return how many objects a round of hand work changed or accepted; 0 for a model's round."""
    return sum(asdict(entry.total).values()) if entry.kind in HAND_WORK else 0


def work_by_round(rounds: Sequence[LogEntry]) -> dict[int, Work]:
    """Return the work up to each round; work that was rolled back was done all the same."""
    done = Work(-1, 0, 0.0, 0)
    found = {-1: done}
    for entry in rounds:
        assert entry.round is not None
        by_hand = entry.kind in HAND_WORK
        done = Work(
            entry.round,
            done.objects + settled(entry),
            done.minutes + ((entry.minutes or 0.0) if by_hand else 0.0),
            done.untimed + int(by_hand and entry.minutes is None),
        )
        found[entry.round] = done
    return found


def points(
    scored: Sequence[Scored], cards: Sequence[dict[str, Any]], rounds: Sequence[LogEntry]
) -> list[Point]:
    """Return the comparable scores of finished runs, by the round they learned from."""
    work = work_by_round(rounds)
    by_run = {card["run"]: card for card in cards}
    found = []
    for one in scored:
        card = by_run.get(one.model)
        if card is None or not one.comparable or card["round"] not in work:
            continue
        mean, between = one.found["mean"], one.found.get("intervals", {})
        span = between.get("evaluation_score") or {}
        found.append(
            Point(
                one.model,
                card["model"],
                work[card["round"]],
                mean.get("evaluation_score"),
                mean.get("f1"),
                span.get("low"),
                span.get("high"),
            )
        )
    return sorted(found, key=lambda point: (point.work.round, point.run))


def gains(found: Sequence[Point]) -> list[Gain]:
    """Return the gain from round to round, for the best run of each kind of model on each."""
    listed = []
    for model in dict.fromkeys(point.model for point in found):
        best: dict[int, Point] = {}
        for point in found:
            known = best.get(point.work.round)
            if point.model != model or point.score is None:
                continue
            if known is None or point.score > (known.score or 0.0):
                best[point.work.round] = point
        ordered = [best[number] for number in sorted(best)]
        listed += [_gain(a, b) for a, b in pairwise(ordered)]
    return sorted(listed, key=lambda gain: (gain.rounds[1], gain.model))


def _gain(a: Point, b: Point) -> Gain:
    assert a.score is not None and b.score is not None
    timed = a.work.untimed == b.work.untimed
    minutes = b.work.minutes - a.work.minutes if timed else None
    difference = b.score - a.score
    ends = (a.score_low, a.score_high, b.score_low, b.score_high)
    overlap = any(end is None for end in ends) or bool(
        (a.score_low or 0) <= (b.score_high or 0) and (b.score_low or 0) <= (a.score_high or 0)
    )
    return Gain(
        a.model,
        a.run,
        b.run,
        (a.work.round, b.work.round),
        b.work.objects - a.work.objects,
        minutes,
        difference,
        difference / (minutes / 60) if minutes else None,
        overlap,
    )
