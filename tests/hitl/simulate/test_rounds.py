"""Simulated rounds: what they cost, and which order is best."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hitl.evaluation.metrics.all_metrics import score
from hitl.project.errors import ConfigError, MetricError, NothingToDoError
from hitl.queue.alternatives import classical_segmentations
from hitl.simulate.oracle import Bench, Case
from hitl.simulate.rounds import simulate
from hitl.simulate.strategies import STRATEGIES
from scripts.simulate_budget import SPHEROID
from tests.conftest import RealStack
from tests.hitl.simulate.box_cases import boxes, case_of, fields
from tests.hitl.simulate.spheroid_cases import spheroid


@given(case=fields(), strategy=st.sampled_from(tuple(STRATEGIES)), per_round=st.integers(1, 12))
@settings(max_examples=60, deadline=None)
def test_all_corrected_is_the_truth_and_costs_only_rise(
    case: Case, strategy: str, per_round: int
) -> None:
    done = simulate([case], strategies=[strategy], objects_per_round=per_round, repeats=1)
    points = done.curves[strategy][0].points
    assert points[-1].f1 == 1 and points[-1].score == pytest.approx(1)
    for before, after in pairwise(points):
        assert after.objects > before.objects
        assert after.voxels >= before.voxels
        assert after.round >= before.round
    per = np.bincount([p.round for p in points[1:]])
    assert per.max() <= per_round


def test_the_points_are_scored_as_everywhere_else() -> None:
    truth = boxes((slice(2, 10), slice(2, 8)), (slice(2, 10), slice(8, 18)))
    labels = (truth > 0) * 5
    case = case_of(truth, labels)
    found = simulate([case, case], strategies=["random"], repeats=1)
    first = found.curves["random"][0].points[0]
    expected = score(case.truth, case.labels)
    assert first.f1 == pytest.approx(expected.at_half.f1)
    assert first.score == pytest.approx(expected.evaluation_score)
    assert found.curves["random"][0].points[-1].objects == 4


@pytest.mark.slow
def test_the_queue_needs_at_most_half_of_what_random_choice_needs() -> None:
    case = spheroid(31, SPHEROID)
    done = simulate([case], strategies=["queue", "random", "informed", "oracle"], repeats=2)
    costs = done.costs()
    assert done.curves["queue"][0].points[0].f1 < 0.95
    assert all((row.of_random or 1.0) <= 0.5 for row in costs["queue"])
    assert all((row.of_random or 1.0) < 0.4 for row in costs["oracle"])
    # Also when random choice is told where nuclei are missed.
    for queue, informed in zip(costs["queue"], costs["informed"], strict=True):
        assert queue.objects is not None and informed.objects is not None
        assert queue.objects <= 0.5 * informed.objects


@pytest.mark.slow
@pytest.mark.real
@pytest.mark.parametrize("name", ["gonuclear_1136", "qcanet_16cell"])
def test_the_queue_never_needs_more_than_random_choice_on_real_stacks(
    name: str, real_stack: Callable[[str], RealStack]
) -> None:
    image, truth, spacing_um = real_stack(name)
    first, others = classical_segmentations(image, spacing_um)
    case = Case(
        name=name,
        image=image,
        spacing_um=spacing_um,
        truth=truth,
        labels=first.labels,
        confidence=first.confidence,
        others=others,
    )
    done = simulate([case], strategies=["queue", "random"], repeats=2)
    half, three_quarters, most = (row.of_random or 2.0 for row in done.costs()["queue"])
    assert half <= 1 and three_quarters <= 1
    # The last scraps, cut off by the crop, are found by neither before the final look-through.
    assert most <= 1.05


def test_the_same_seed_gives_the_same_result_and_another_does_not() -> None:
    arguments = {"strategies": ["queue", "random"], "repeats": 2, "rounds": 2}
    a, b = (simulate([spheroid(0)], seed=3, **arguments).curves for _ in range(2))
    assert a == b
    other = simulate([spheroid(0)], seed=4, **arguments).curves
    assert [c.points for c in a["random"]] != [c.points for c in other["random"]]
    assert a["random"][0].points != a["random"][1].points


def test_after_each_round_new_proposals_may_come() -> None:
    case = spheroid(0)
    seen = []

    def perfect(benches: Sequence[Bench], seed: int) -> None:
        seen.append(seed)
        for bench in benches:
            free = np.where(bench.labels > 0, 0, case.truth) * (~bench.checked)
            bench.replace_labels(
                np.where(free > 0, free + 10_000, bench.labels).astype(np.uint32), {}
            )

    done = simulate([case], rounds=2, strategies=["queue"], repeats=1, retrain=perfect)
    assert len(seen) == 2
    points = done.curves["queue"][0].points
    assert [p.round for p in points if p.objects == points[-1].objects] == [2, 2]


def test_bad_requests_are_refused() -> None:
    truth = boxes((slice(2, 10), slice(2, 8)))
    case = case_of(truth, truth)
    with pytest.raises(NothingToDoError, match="at least one field"):
        simulate([])
    with pytest.raises(ConfigError, match="strategies"):
        simulate([case], strategies=["luck"])
    with pytest.raises(ConfigError, match="rounds: expected at least 1, got 0"):
        simulate([case], rounds=0)
    with pytest.raises(ConfigError, match="number of rounds"):
        simulate([case], retrain=lambda benches, seed: None)
    with pytest.raises(MetricError, match="one"):
        case_of(truth, truth[1:])
    with pytest.raises(MetricError, match="objects"):
        case_of(truth * 0, truth)
