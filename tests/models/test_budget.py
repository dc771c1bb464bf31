"""How the time of a training is shared out, on a clock of the tests' own."""

from __future__ import annotations

import pytest

from labels.progress import no_progress, part_of
from models.budget import CHOOSE, JUDGE, Budget
from tests.models.clock import Clock


@pytest.fixture
def clock(monkeypatch):
    return Clock(monkeypatch)


def pieces(clock, seconds, count=10):
    """Work in pieces of so many seconds each."""

    def work(progress):
        for number in range(count):
            progress(number, count, "working")
            clock.now += seconds
        progress(count, count, "working")
        return "done"

    return work


def train(budget, clock, *, step, judging, planned=1000, epochs=1000):
    """Train as the trainers do; return how many steps each epoch had."""
    taken = []
    while len(taken) < epochs and (not taken or budget.has_room()):
        steps = 0
        for _ in budget.epoch(range(planned)):
            clock.now += step
            steps += 1
        taken.append(steps)
        budget.attempt(JUDGE, pieces(clock, judging / 10), no_progress)
    return taken


def test_without_a_limit_nothing_depends_on_the_time(clock):
    budget = Budget(None)
    budget.keep(1e9)
    clock.now = 1e6
    budget.begin(0)
    assert train(budget, clock, step=1e5, judging=1e5, planned=7, epochs=3) == [7, 7, 7]
    assert budget.done == 0
    assert budget.attempt(CHOOSE, pieces(clock, 1e6), no_progress) == "done"
    assert budget.notes(3) == []


def test_all_is_done_within_the_limit(clock):
    budget = Budget(1.0)
    clock.now = 10
    budget.begin(0)
    budget.keep(6.0)
    taken = train(budget, clock, step=0.5, judging=2.0)
    assert len(taken) > 2 and sum(taken) * 0.5 > 25
    assert 50 < clock.now <= 54
    budget.keep(0)
    assert budget.attempt(CHOOSE, pieces(clock, 0.6), no_progress) == "done"
    assert clock.now <= 60
    assert budget.notes(len(taken)) == [f"stopped by max_minutes=1 in epoch {len(taken)}"]


def test_an_epoch_as_planned_is_left_as_it_is(clock):
    budget = Budget(10.0)
    budget.begin(0)
    assert train(budget, clock, step=1, judging=1, planned=5, epochs=4) == [5, 5, 5, 5]
    assert budget.notes(4) == []


def test_preparing_that_takes_all_the_time_leaves_one_step_and_says_so(clock):
    budget = Budget(0.5)
    clock.now = 41
    budget.begin(0)
    assert train(budget, clock, step=3, judging=5) == [1]
    budget.keep(0)
    assert budget.attempt(CHOOSE, pieces(clock, 1), no_progress) is None
    assert clock.now == 44
    assert budget.notes(1) == [
        "stopped by max_minutes=0.5 in epoch 1: of 30 s given, preparing took 41 s, 1 step 3 s and "
        "all else 0 s; no time was left to judge every epoch and to choose thresholds, so that the "
        "usual ones are kept"
    ]


def test_work_that_will_not_be_done_in_time_ends_early(clock):
    budget = Budget(1.0)
    budget.begin(0)

    # The first piece takes 10 s, as what compiles does, and would foretell 100 s.
    def compiles(progress):
        clock.now += 9
        return pieces(clock, 1)(progress)

    assert budget.attempt(JUDGE, compiles, no_progress) == "done"
    assert clock.now == 19
    assert budget.attempt(JUDGE, pieces(clock, 10), no_progress) is None
    assert clock.now < 45


def test_parts_of_a_work_are_foreseen_as_a_whole(clock):
    budget = Budget(1.0)
    budget.begin(0)

    def work(progress):
        for number in range(5):
            pieces(clock, 4, 4)(part_of(progress, number, 5))

    assert budget.attempt(JUDGE, work, no_progress) is None
    assert clock.now <= 12


def test_the_rest_takes_no_more_than_its_share(clock):
    budget = Budget(1.0)
    budget.begin(0)
    budget.keep(15)
    assert budget.left == pytest.approx(45)
    assert budget.attempt(JUDGE, pieces(clock, 2), no_progress, share=1 / 3) is None
    assert clock.now < 16


def test_no_time_is_kept_for_what_would_take_most_of_it(clock):
    budget = Budget(1.0)
    budget.keep(21)
    assert budget.left == 60


def test_judging_that_is_slow_comes_less_often(clock):
    budget = Budget(5.0)
    budget.begin(0)
    taken = train(budget, clock, step=1, judging=60)
    # The first epoch is short, and tells how long judging takes; the next fills what is left.
    assert len(taken) == 2 and taken[1] > 100
    assert clock.now <= 300


def test_earlier_sessions_count(clock):
    budget = Budget(1.0)
    clock.now = 5
    budget.begin(50.0)
    assert budget.elapsed == 55
    taken = train(budget, clock, step=1, judging=0.1)
    assert sum(taken) <= 5
    assert budget.notes(9)[0].startswith("stopped by max_minutes=1 in epoch 9")


def test_the_share_that_is_done_is_of_the_time_for_steps(clock):
    budget = Budget(1.0)
    clock.now = 20
    budget.begin(0)
    budget.keep(10)
    assert budget.done == 0
    clock.now = 35
    assert budget.done == pytest.approx(0.5)
    clock.now = 99
    assert budget.done == 1


def test_a_step_that_takes_too_long_is_told(clock):
    budget = Budget(1.0)
    budget.begin(0)
    assert train(budget, clock, step=75, judging=1) == [1]
    assert "1 step 75 s" in budget.notes(1)[0]
