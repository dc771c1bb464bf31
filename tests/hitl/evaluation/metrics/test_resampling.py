"""Intervals and paired comparisons, against what theory and hand-worked cases give."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hitl.evaluation.metrics.all_metrics import score
from hitl.evaluation.metrics.items import (
    COLUMNS,
    METRICS,
    N_PRED,
    N_TRUTH,
    SCORE,
    TP,
    Items,
    metrics_of,
)
from hitl.evaluation.metrics.resampling import bootstrap
from hitl.evaluation.paired import ItemPairs, compare_models, pair_items
from hitl.project.errors import MetricError
from hitl.project.plain import plain
from tests.hitl.evaluation.label_pairs import blobs, box, label_pairs

FEW = 300


def made_up(scores, matched):
    """Items of truth objects with these scores, matched or not; nothing spurious."""
    rows = np.zeros((len(scores), COLUMNS))
    rows[:, N_TRUTH], rows[:, SCORE] = 1, scores
    rows[:, N_PRED] = matched
    rows[:, TP:] = np.asarray(matched)[:, None]
    return Items(rows, np.zeros((0, COLUMNS)), np.zeros(0, np.int64))


def paired(truth, first, second):
    items = [score(truth, pred).items for pred in (first, second)]
    return pair_items(*items, first, second)


@settings(deadline=None, max_examples=30)
@given(label_pairs(max_id=6), st.booleans())
def test_items_add_up_to_the_metrics(images, empty_truth):
    truth, pred = images
    result = score(truth * (not empty_truth), pred)
    found = metrics_of(result.items.rows.sum(axis=0)[None])[0]
    flat = result.flat()
    for name, value in zip(METRICS, found.tolist(), strict=True):
        expected = np.nan if flat[name] is None else flat[name]
        assert value == pytest.approx(expected, nan_ok=True), name


def test_interval_of_a_share_is_that_of_the_binomial_distribution():
    from scipy.stats import binom

    items = made_up(np.zeros(200), np.arange(200) < 140)
    found = bootstrap({"a": {"": [items]}})["recall"]
    expected = binom.ppf([0.025, 0.975], 200, 0.7) / 200
    assert (found.low, found.high) == pytest.approx(tuple(expected), abs=0.011)


def test_interval_of_a_mean_is_that_of_the_normal_distribution():
    scores = np.random.default_rng(0).uniform(0, 1, 400)
    found = bootstrap({"a": {"": [made_up(scores, np.ones(400))]}})["evaluation_score"]
    half = 1.96 * scores.std() / np.sqrt(400)
    assert found.low == pytest.approx(scores.mean() - half, abs=0.004)
    assert found.high == pytest.approx(scores.mean() + half, abs=0.004)


def test_fields_of_view_are_drawn_too():
    good, bad = made_up(np.ones(500), np.ones(500)), made_up(np.zeros(500), np.zeros(500))
    fields = bootstrap({"1": {"": [good]}, "2": {"": [bad]}})["evaluation_score"]
    assert (fields.low, fields.high) == (0, 1)
    # Classes and time points of one field are always drawn together.
    for together in ({"Cy3": [good], "GFP": [bad]}, {"": [good, bad]}):
        found = bootstrap({"1": together, "2": together})["evaluation_score"]
        assert (found.low, found.high) == (0.5, 0.5)
    # A class that only one field has counts as much as the other.
    lone = bootstrap({"1": {"Cy3": [good]}, "2": {"Cy3": [good], "GFP": [bad]}}, level=0.2)
    assert lone["evaluation_score"].low == lone["evaluation_score"].high == 0.5
    # Each field counts once, however many objects it has.
    few = made_up(np.zeros(5), np.zeros(5))
    draws = bootstrap({"1": {"": [good]}, "2": {"": [few]}}, level=0.6)["evaluation_score"]
    assert (draws.low, draws.high) == (0, 1)


def test_a_seed_gives_the_same_numbers():
    truth, pred = blobs(0)
    groups = {"a": {"": [score(truth, pred).items]}}
    first = bootstrap(groups, resamples=FEW)
    assert bootstrap(groups, resamples=FEW) == first
    assert bootstrap(groups, resamples=FEW, seed=1) != first
    point = score(truth, pred).flat()
    for name in METRICS:
        assert first[name].low <= point[name] <= first[name].high, name


def test_nothing_to_resample_is_undefined():
    nothing = made_up(np.zeros(0), np.zeros(0))
    found = bootstrap({"a": {"": [nothing]}}, resamples=FEW)
    assert all((i.low, i.high) == (None, None) for i in found.values())
    same = compare_models({"a": {"": [ItemPairs(nothing.truth, nothing.truth)]}}, resamples=FEW)[
        "f1"
    ]
    assert (same.first, same.difference, same.low, same.p) == (None, None, None, None)


def test_equal_models_do_not_differ():
    truth, pred = blobs(0)
    found = compare_models({"a": {"": [paired(truth, pred, pred * 2)]}}, resamples=FEW)
    for name, difference in found.items():
        assert (difference.difference, difference.low, difference.high) == (0, 0, 0), name
        assert difference.p == 1


def test_a_better_model_is_found_better_and_the_other_way_round_worse():
    truth, worse = blobs(0)
    _, better = blobs(0, jitter=1)
    found = compare_models({"a": {"": [paired(truth, worse, better)]}}, resamples=FEW)
    turned = compare_models({"a": {"": [paired(truth, better, worse)]}}, resamples=FEW)
    for name in ("evaluation_score", "f1", "pq", "aji"):
        difference = found[name]
        points = [score(truth, pred).flat()[name] for pred in (worse, better)]
        assert [difference.first, difference.second] == pytest.approx(points)
        assert difference.difference == pytest.approx(points[1] - points[0])
        assert 0 < difference.low < difference.difference < difference.high
        assert difference.p < 0.02
        assert turned[name].difference == pytest.approx(-difference.difference)
        assert turned[name].high < 0
    json.dumps({name: plain(row) for name, row in found.items()}, allow_nan=False)


def test_p_of_three_equal_differences_by_hand():
    # Of the eight ways to change sides two give a difference as large: all, and none.
    first, second = made_up([0.2, 0.3, 0.4], np.ones(3)), made_up([0.4, 0.5, 0.6], np.ones(3))
    pairs = ItemPairs(first.truth, second.truth)
    found = compare_models({"a": {"": [pairs]}})["evaluation_score"]
    assert found.difference == pytest.approx(0.2)
    assert found.p == pytest.approx(2 / 8, abs=0.03)


def test_p_is_rarely_small_when_models_are_as_good():
    random = np.random.default_rng(0)
    p = []
    for _ in range(100):
        first, second = (made_up(random.uniform(0, 1, 30), np.ones(30)) for _ in range(2))
        pairs = ItemPairs(first.truth, second.truth)
        p.append(compare_models({"a": {"": [pairs]}}, resamples=99)["evaluation_score"].p)
    assert np.mean(np.array(p) <= 0.1) == pytest.approx(0.1, abs=0.08)


def test_spurious_objects_of_both_models_are_paired():
    truth = box((1, 4, 30), (0, 1, 0, 4, 0, 4))
    first = box((1, 4, 30), (0, 1, 0, 4, 0, 4), (0, 1, 0, 4, 10, 14), (0, 1, 0, 4, 26, 28))
    second = box((1, 4, 30), (0, 1, 0, 4, 11, 14), (0, 1, 0, 4, 0, 4), (0, 1, 0, 4, 20, 24))
    pairs = paired(truth, first, second)
    assert pairs.first[:, N_PRED].tolist() == [1, 1, 1, 0]
    assert pairs.second[:, N_PRED].tolist() == [1, 1, 0, 1]


def test_what_cannot_be_compared():
    truth, pred = blobs(0)
    other, _ = blobs(1, n=5)
    with pytest.raises(MetricError, match="the same truth objects"):
        pair_items(score(truth, pred).items, score(other, pred).items, pred, pred)
    items = score(truth, pred).items
    with pytest.raises(MetricError, match="got none in"):
        bootstrap({"a": {"": []}})
    with pytest.raises(MetricError, match="at least one resample"):
        bootstrap({"a": {"": [items]}}, resamples=0)
    with pytest.raises(MetricError, match="a level between 0 and 1"):
        bootstrap({"a": {"": [items]}}, level=95)
