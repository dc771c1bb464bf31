"""The random share of the queue, and the estimate from it."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hitl.project.errors import NothingToDoError
from hitl.queue.entries import Entry, QueueOptions
from hitl.queue.sampling import Outcome, estimate_error, select


def entries_with(scores: list[float]) -> list[Entry]:
    return [
        Entry(
            field="s",
            kind="object",
            id=n,
            position_zyx=(0, 0, n),
            score=score,
            confidence=None,
            reasons=(),
            voxels=1,
        )
        for n, score in enumerate(sorted(scores, reverse=True), start=1)
    ]


@given(
    count=st.integers(1, 60),
    limit=st.integers(1, 70),
    share=st.floats(0, 1),
    seed=st.integers(0, 1000),
)
@settings(max_examples=60, deadline=None)
def test_the_random_share_is_honoured(count: int, limit: int, share: float, seed: int) -> None:
    ranked = entries_with([n / count for n in range(count)])
    options = QueueOptions(random_share=share, seed=seed)
    listed = select(ranked, limit, options)
    ids = [e.id for e in listed]
    assert len(set(ids)) == len(ids) == min(limit, count)
    drawn = [e.id for e in listed if e.chosen == "random"]
    if limit >= count:
        assert ids == [e.id for e in ranked] and not drawn
        return
    assert len(drawn) == int(np.ceil(share * limit - 1e-9))
    best = [e.id for e in listed if e.chosen != "random"]
    assert best == [e.id for e in ranked[: limit - len(drawn)]]
    assert select(ranked, limit, options) == listed


def test_random_entries_are_drawn_evenly_from_all_that_is_not_listed() -> None:
    ranked = entries_with([n / 30 for n in range(30)])
    hits = np.zeros(31)
    for seed in range(600):
        for entry in select(ranked, 10, QueueOptions(seed=seed)):
            if entry.chosen == "random":
                hits[entry.id or 0] += 1
    assert hits[1:10].sum() == 0
    # 600 draws over 21 entries: 28.6 each, standard deviation 5.2.
    assert hits[10:].min() > 8 and hits[10:].max() < 52


def test_the_error_of_the_rest_is_estimated_from_random_entries_only() -> None:
    worst, *_ = entries_with([0.9])
    drawn = worst.at_random()
    outcomes = [Outcome(worst, 1.0)] * 50 + [Outcome(drawn, 0.0)] * 18 + [Outcome(drawn, 1.0)] * 2
    found = estimate_error(outcomes, rest=200)
    assert found.estimate == pytest.approx(0.1)
    # Wilson's interval for 2 of 20, from R's binom.confint.
    assert (found.low, found.high) == pytest.approx((0.02786648, 0.3010336), abs=1e-6)
    assert (found.sample, found.rest) == (20, 200)


@pytest.mark.parametrize("error", [0.0, 1.0])
def test_an_interval_holds_its_estimate_at_the_ends(error: float) -> None:
    (entry,) = entries_with([0.5])
    found = estimate_error([Outcome(entry.at_random(), error)] * 3, rest=10)
    assert 0 <= found.low <= found.estimate <= found.high <= 1
    assert found.high - found.low > 0.3


def test_the_interval_covers_the_true_error_of_the_rest() -> None:
    rng = np.random.default_rng(0)
    ranked = entries_with([n / 200 for n in range(200)])
    wrong = {e.id: float(rng.random() < 0.5 * e.score) for e in ranked}
    covered, estimates = 0, []
    for seed in range(200):
        listed = select(ranked, 60, QueueOptions(random_share=0.4, seed=seed))
        best = {e.id for e in listed if e.chosen != "random"}
        rest = [wrong[e.id] for e in ranked if e.id not in best]
        found = estimate_error([Outcome(e, wrong[e.id]) for e in listed], len(rest))
        estimates.append(found.estimate - np.mean(rest))
        covered += found.low <= np.mean(rest) <= found.high
    assert abs(np.mean(estimates)) < 0.02
    assert covered >= 186


def test_no_random_outcome_is_no_estimate() -> None:
    (entry,) = entries_with([0.5])
    with pytest.raises(NothingToDoError, match="drawn at random"):
        estimate_error([Outcome(entry, 1.0)], rest=3)
    with pytest.raises(NothingToDoError, match="from 0"):
        estimate_error([Outcome(entry.at_random(), 1.5)], rest=3)
