"""Simulated corrections: what the oracle changes, what it costs, and which order is best."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Sequence
from functools import cache
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from hitl.evaluation.metrics.summary import score
from hitl.project.errors import ConfigError, MetricError, NothingToDoError
from hitl.queue.alternatives import classical_segmentations
from hitl.simulate import STRATEGIES, Bench, Case, Target, simulate
from hitl.simulate.report import markdown_table, save_plot
from hitl.simulate.spheroids import SpheroidGenerator
from tests.conftest import RealStack

SPACING_UM = (2.0, 1.0, 1.0)
SHAPE = (6, 20, 20)


def case_of(truth: NDArray, labels: NDArray, others: dict[str, NDArray] | None = None) -> Case:
    return Case(
        name="case",
        image=(truth > 0) * 100.0 + np.arange(truth.size).reshape(truth.shape) % 7,
        spacing_um=SPACING_UM,
        truth=truth.astype(np.uint32),
        labels=labels.astype(np.uint32),
        confidence={int(i): 0.5 for i in np.unique(labels)},
        others={} if others is None else others,
    )


def boxes(*where: tuple[slice, slice]) -> NDArray[np.uint32]:
    labels = np.zeros(SHAPE, np.uint32)
    for label, (y, x) in enumerate(where, start=1):
        labels[1:5, y, x] = label
    return labels


def same_objects(a: NDArray, b: NDArray) -> bool:
    """Whether two label images are equal but for the ids."""
    pairs = np.unique(np.stack([a.ravel(), b.ravel()]), axis=1)
    return all(len(set(side.tolist())) == pairs.shape[1] for side in pairs) and bool(
        np.array_equal(a > 0, b > 0)
    )


@st.composite
def stacks(draw: st.DrawFn) -> Case:
    """Two unrelated partitions of a small stack, and a third as another segmentation."""
    seed = draw(st.integers(0, 2**31))
    rng = np.random.default_rng(seed)

    def blobs(count: int) -> NDArray[np.uint32]:
        labels = np.zeros(SHAPE, np.uint32)
        for label in range(1, count + 1):
            z, y, x = (int(rng.integers(0, n - 3)) for n in SHAPE)
            d, h, w = rng.integers(1, (4, 9, 9))
            labels[z : z + d, y : y + h, x : x + w] = label * 3
        return labels

    truth = blobs(draw(st.integers(1, 8)))
    labels = draw(st.sampled_from([truth, blobs(6)]))
    noisy = np.where(rng.random(SHAPE) < 0.1, 0, labels)
    return case_of(truth, noisy, {"other": blobs(6)})


@given(case=stacks(), strategy=st.sampled_from(tuple(STRATEGIES)), per_round=st.integers(1, 12))
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


@given(case=stacks(), seed=st.integers(0, 1000))
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
    assert bench.stumbled_upon() == [1]
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


SMALL = SpheroidGenerator(shape=(20, 72, 72), nuclei=45)


@cache
def spheroid(seed: int, maker: SpheroidGenerator = SMALL) -> Case:
    drawn = maker.make(seed)
    first, others = classical_segmentations(drawn.image, drawn.spacing_um)
    return Case(
        name=f"spheroid {seed}",
        image=drawn.image,
        spacing_um=drawn.spacing_um,
        truth=drawn.labels,
        labels=first.labels,
        confidence=first.confidence,
        others=others,
    )


def test_the_queue_needs_at_most_half_of_what_random_choice_needs() -> None:
    case = spheroid(0, SpheroidGenerator())
    done = simulate([case], strategies=["queue", "random", "informed", "oracle"], repeats=2)
    costs = done.costs()
    assert done.curves["queue"][0].points[0].f1 < 0.95
    assert all((row.of_random or 1.0) <= 0.5 for row in costs["queue"])
    assert all((row.of_random or 1.0) < 0.4 for row in costs["oracle"])
    # Also when random choice is told where nuclei are missed.
    for queue, informed in zip(costs["queue"], costs["informed"], strict=True):
        assert queue.objects is not None and informed.objects is not None
        assert queue.objects <= 0.5 * informed.objects


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
    a, b = (simulate([spheroid(0)], seed=3, **arguments).to_dict() for _ in range(2))
    assert a == b
    other = simulate([spheroid(0)], seed=4, **arguments).to_dict()
    assert a["curves"]["random"] != other["curves"]["random"]
    assert a["curves"]["random"][0] != a["curves"]["random"][1]


def test_results_are_written_as_json_csv_table_and_plot(tmp_path: Path) -> None:
    done = simulate([spheroid(0)], rounds=2, strategies=["size", "random"], repeats=2)
    json.dumps(done.to_dict(), allow_nan=False)
    rows = list(csv.DictReader(io.StringIO(done.to_csv())))
    assert len(rows) == sum(len(c.points) for cs in done.curves.values() for c in cs)
    assert rows[0]["objects"] == "0" and {r["strategy"] for r in rows} == {"size", "random"}
    assert done.table().row_count == 2
    text = markdown_table({"small": done})
    assert text.count("\n") == 4 and "| small | random |" in text
    save_plot(tmp_path / "plot.png", {"small": done})
    assert (tmp_path / "plot.png").stat().st_size > 10_000


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
    with pytest.raises(NothingToDoError, match="at least one stack"):
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


def test_spheroids_are_crowded_dim_in_depth_and_reproducible() -> None:
    a, b = SMALL.make(5), SMALL.make(5)
    np.testing.assert_array_equal(a.image, b.image)
    np.testing.assert_array_equal(a.labels, b.labels)
    assert not np.array_equal(a.image, SMALL.make(6).image)
    assert a.image.dtype == np.uint16 and a.labels.dtype == np.uint32
    assert a.labels.max() > 30
    inside = [a.image[z][a.labels[z] > 0].mean() for z in (4, 15)]
    assert inside[1] < 0.8 * inside[0]
    touching = (a.labels[:, :, 1:] != a.labels[:, :, :-1]) & (a.labels[:, :, 1:] > 0)
    assert np.sum(touching & (a.labels[:, :, :-1] > 0)) > 50
