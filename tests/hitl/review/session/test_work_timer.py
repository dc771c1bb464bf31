"""Minutes of hand work."""

from __future__ import annotations

from hitl.review.session.work_timer import WorkTimer
from tests.hitl.review.volumes import Clock


def test_idle_time_is_no_work():
    clock = Clock()
    found = WorkTimer(idle_after_s=60, seconds=30, now=clock)
    for now in (0, 20, 50, 50 + 61, 50 + 61 + 60):
        clock.now = now
        found.touch()
    assert found.seconds == 30 + 20 + 30 + 60
    clock.now += 1000
    assert found.minutes == 140 / 60
