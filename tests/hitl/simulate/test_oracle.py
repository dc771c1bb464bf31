"""What the oracle changes when it is shown an object, and what that costs."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from hitl.simulate.oracle import Bench, Case, Target
from tests.hitl.simulate.box_cases import SHAPE, boxes, case_of, fields, same_objects


@given(case=fields(), seed=st.integers(0, 1000))
@settings(max_examples=40, deadline=None)
def test_what_is_settled_is_true_and_stays(case: Case, seed: int) -> None:
    rng = np.random.default_rng(seed)
    bench = Bench(case)
    changed = 0
    for _ in range(60):
        pool = [Target(0, "object", i) for i in bench.open_objects()]
        pool += [Target(0, "truth", i) for i in bench.truth_ids if i not in bench.drawn]
        if not pool:
            break
        before, settled = bench.labels.copy(), set(bench.settled)
        cost = bench.correct(pool[int(rng.integers(len(pool)))])
        assert cost is not None and cost.objects >= 1
        assert cost.voxels == np.sum(before != bench.labels)
        changed += cost.voxels
        old = np.isin(before, list(settled))
        np.testing.assert_array_equal(bench.labels[old], before[old])
        mine = np.isin(bench.labels, list(bench.settled))
        assert same_objects(np.where(mine, bench.labels, 0), np.where(mine, case.truth, 0))
        right = bench.checked
        np.testing.assert_array_equal(bench.labels[right] > 0, case.truth[right] > 0)
    assert same_objects(bench.labels, case.truth)


def test_a_split_costs_one_object_whichever_part_is_shown() -> None:
    truth = boxes((slice(2, 10), slice(2, 14)))
    labels = boxes((slice(2, 10), slice(2, 7)), (slice(2, 10), slice(7, 14)))
    for shown in (1, 2):
        bench = Bench(case_of(truth, labels))
        cost = bench.correct(Target(0, "object", shown))
        assert cost is not None and cost.objects == 1
        assert cost.voxels == 4 * 8 * 5  # The smaller part takes the id of the larger.
        assert np.unique(bench.labels).tolist() == [0, 2]
        assert bench.correct(Target(0, "object", 3 - shown)) is None


def test_a_merge_costs_as_many_as_it_is_divided_into() -> None:
    truth = boxes((slice(2, 10), slice(2, 8)), (slice(2, 10), slice(8, 18)))
    bench = Bench(case_of(truth, (truth > 0) * 5))
    cost = bench.correct(Target(0, "object", 5))
    assert cost is not None and (cost.objects, cost.voxels) == (2, 4 * 8 * 6)
    assert same_objects(bench.labels, truth)
    assert 5 in bench.labels and bench.settled == {5, 6}


def test_spurious_goes_and_missed_comes() -> None:
    truth = boxes((slice(2, 10), slice(2, 8)))
    labels = np.zeros(SHAPE, np.uint32)
    labels[1:5, 12:18, 12:18] = 4
    other = truth * 7
    bench = Bench(case_of(truth, labels, {"other": other}))
    assert bench.hidden_truth() == [1]
    gone = bench.correct(Target(0, "object", 4))
    assert gone is not None and (gone.objects, gone.voxels) == (1, 4 * 36)
    assert bench.checked[labels == 4].all()
    found = bench.correct(Target(0, "missed", 7, "other"))
    assert found is not None and same_objects(bench.labels, truth)
    assert bench.correct(Target(0, "missed", 7, "other")) is None
    assert 4 not in bench.labels, "an id that was given is not given again"


def test_neighbours_that_are_right_keep_their_voxels() -> None:
    truth = boxes((slice(2, 10), slice(2, 8)), (slice(2, 10), slice(8, 18)))
    labels = truth.copy()
    labels[1:5, 2:10, 8:10] = 1  # The first reaches into the second.
    bench = Bench(case_of(truth, labels))
    bench.correct(Target(0, "object", 1))
    assert bench.drawn == {1}
    assert np.sum(bench.labels == 2) == 4 * 8 * 8
    bench.correct(Target(0, "object", 2))
    assert same_objects(bench.labels, truth)
