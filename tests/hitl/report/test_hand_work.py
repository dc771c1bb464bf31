"""Scores against the hand work that they took."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from annotations.rounds import EditCounts, LogEntry
from hitl.project.ranking import Scored
from hitl.report.hand_work import gains, points, work_by_round


def entry(number: int, kind: str, minutes: float | None, changed: int) -> LogEntry:
    return LogEntry(
        snapshot=str(number), when=datetime.now(UTC), kind=kind, message="m", round=number,
        counts={"s": EditCounts(reshaped=changed)}, minutes=minutes,
    )  # fmt: skip


def test_hand_work_adds_up_and_gains_are_per_hour() -> None:
    rounds = [
        entry(0, "bootstrap", None, 50),
        entry(1, "correct", 30.0, 10),
        entry(2, "propose", None, 40),
        entry(3, "import", 15.0, 5),
        entry(4, "correct", None, 5),
    ]
    work = work_by_round(rounds)
    assert [work[n].objects for n in (-1, 0, 1, 2, 3, 4)] == [0, 0, 10, 10, 15, 20]
    assert [work[n].minutes for n in (0, 1, 3, 4)] == [0, 30, 45, 45]
    cards = [{"run": f"m-000{n}", "model": "m", "round": n} for n in (1, 3, 4)]
    scored = [
        Scored(
            f"m-000{n}", "0001", "", {"mean": {"evaluation_score": s, "f1": s}, "fields": {}}, True
        )
        for n, s in ((1, 0.5), (3, 0.6), (4, 0.7))
    ]
    first, second = gains(points(scored, cards, rounds))
    assert (first.objects, first.minutes) == (5, 15)
    assert first.per_hour == pytest.approx(0.4)
    assert (second.objects, second.minutes, second.per_hour) == (5, None, None)
