"""The queue: signals, ranking, random share and the estimate from it."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from hitl.project.errors import NothingToDoError
from hitl.queue import Entry, Outcome, QueueOptions, estimate_error, rank, select
from hitl.queue.disagreement import compare, find_missed
from hitl.queue.features import measure, robust_z
from labels.errors import LabelImageError

SPACING_UM = (2.0, 1.0, 1.0)
SHAPE = (16, 64, 64)
RADII = (4.0, 8.0, 8.0)  # Balls in µm.


def ball(
    labels: NDArray[np.uint32], centre: tuple[int, int, int], label: int, radii=RADII
) -> NDArray[np.uint32]:
    z, y, x = np.indices(labels.shape)
    far = sum(((a - c) / r) ** 2 for a, c, r in zip((z, y, x), centre, radii, strict=True))
    labels[far < 1] = label
    return labels


def four_balls() -> NDArray[np.uint32]:
    labels = np.zeros(SHAPE, np.uint32)
    for label, (y, x) in enumerate([(12, 12), (12, 48), (48, 12), (48, 48)], start=1):
        ball(labels, (8, y, x), label)
    return labels


def image_of(labels: NDArray[np.uint32]) -> NDArray[np.float32]:
    return (labels > 0).astype(np.float32) * 100 + 5


def test_a_ball_fills_its_ellipsoid_and_touches_nothing() -> None:
    labels = four_balls()
    found = measure(labels, image_of(labels), SPACING_UM)
    assert found.ids.tolist() == [1, 2, 3, 4]
    np.testing.assert_allclose(found.fill, 1, atol=0.05)
    np.testing.assert_allclose(found.elongation, 1, atol=0.08)
    np.testing.assert_array_equal(found.contact, 0)
    np.testing.assert_array_equal(found.border, 0)
    np.testing.assert_allclose(found.fall, 1)
    np.testing.assert_array_equal(found.pieces, 1)
    np.testing.assert_allclose(found.brightness, 100)
    np.testing.assert_allclose(found.volume_um3, np.bincount(labels.ravel())[1:] * 2)
    np.testing.assert_allclose(found.centre_um[0], (16, 12, 12), atol=1e-6)
    assert labels[tuple(found.inside_zyx[2])] == 3


def test_a_notched_long_or_broken_object_shows() -> None:
    labels = four_balls()
    ball(labels, (8, 48, 28), 3)  # A dumbbell of two nuclei.
    labels[:, 46:51, 17:23] = 0  # Now in two pieces but for its neighbours in x.
    found = measure(labels, image_of(labels), SPACING_UM)
    assert found.fill[2] < 0.8
    assert found.elongation[2] > 1.5
    ring = np.zeros(SHAPE, np.uint32)
    ring[2, 2, 2] = ring[9, 9, 9] = 7
    assert measure(ring, image_of(ring), SPACING_UM).pieces.tolist() == [2]


def test_contact_is_the_share_of_the_surface_in_um() -> None:
    labels = np.zeros((4, 6, 6), np.uint32)
    labels[1:3, 1:3, 1:3], labels[1:3, 1:3, 3:5] = 1, 2
    found = measure(labels, image_of(labels), SPACING_UM)
    # Faces of a 4 × 2 × 2 µm box: 2 × 4 and 4 × 8 µm²; one of 8 µm² is shared.
    np.testing.assert_allclose(found.contact, 8 / 40)
    labels[0, 1:3, 1:3] = 1
    assert measure(labels, image_of(labels), SPACING_UM).border[0] == pytest.approx(4 / 56)


def test_objects_that_shape_others_are_measured_the_same_however_ids_are_given() -> None:
    labels = four_balls()
    far = np.array([0, 40, 7, 4_000_000_000, 12], np.uint32)[labels]
    a, b = (measure(v, image_of(labels), SPACING_UM) for v in (labels, far))
    assert b.ids.tolist() == [7, 12, 40, 4_000_000_000]
    np.testing.assert_allclose(np.sort(a.fill), np.sort(b.fill))


def test_few_objects_have_no_outliers() -> None:
    np.testing.assert_array_equal(robust_z(np.array([1.0, 2.0, 900.0])), 0)
    assert robust_z(np.array([1.0, 1.1, 0.9, 1.0, 1.05, 5.0]))[-1] > 3


def test_splits_merges_and_absences_are_told_apart() -> None:
    labels = four_balls()
    other = labels.copy()
    other[(labels == 1) & (np.indices(SHAPE)[1] > 12)] = 9  # splits 1
    other[labels == 2] = 0  # has no 2
    ball(other, (8, 30, 12), 3)
    other[labels == 3] = 3
    joined = labels.copy()
    joined[labels == 4] = 3  # joins 3 and 4
    found = compare(labels, {"other": other, "joined": joined})
    assert found.parts[0].tolist() == [2, 1]
    assert found.iou[1].tolist() == [0, 1]
    assert found.partners[:, 1].tolist() == [1, 1, 2, 2]
    assert found.iou[3, 0] == 1


def test_a_missed_object_is_one_candidate_whoever_finds_it() -> None:
    truth = four_balls()
    labels = np.where(truth == 4, 0, truth).astype(np.uint32)
    shifted = np.roll(truth, 2, axis=2)
    others = {"a": truth, "b": shifted, "c": labels}
    (found,) = find_missed(labels, others)
    assert found.names == ("a", "b")
    assert truth[found.inside_zyx] == 4
    assert len(found.places) == np.sum(truth == 4)
    looked = truth == 4
    assert find_missed(labels, others, looked) == []


def test_the_wrong_come_first_and_say_why() -> None:
    truth = four_balls()
    for label, x in ((5, 30),):
        ball(truth, (8, 30, x), label)
    labels = truth.copy()
    labels[labels == 5] = 0
    half = (labels == 1) & (np.indices(SHAPE)[2] > 12)
    labels[half] = 8
    entries = rank(
        labels,
        image_of(truth),
        SPACING_UM,
        confidence={1: 0.2, 2: 0.9, 3: 0.9, 4: 0.9, 8: float("nan")},
        others={"good": truth, "copy": truth},
        stack="s",
    )
    assert [e.id for e in entries[:3]] in ([None, 1, 8], [None, 8, 1])
    missed, first = entries[0], next(e for e in entries if e.id == 1)
    assert missed.kind == "missed" and missed.source == "good" and missed.source_label == 5
    assert truth[missed.position_zyx] == 5
    assert "2 of 2 other segmentations find an object here" in missed.why
    assert "2 of 2 other segmentations join it with a neighbour" in first.why
    assert first.confidence == 0.2
    assert next(e for e in entries if e.id == 8).confidence is None
    assert labels[first.position_zyx] == 1
    assert all(0 <= e.score <= 1 for e in entries)
    json.dumps([e.to_dict() for e in entries], allow_nan=False)


def test_what_people_have_judged_is_not_listed() -> None:
    truth = four_balls()
    labels = np.where(truth == 4, 0, truth).astype(np.uint32)
    entries = rank(
        labels,
        image_of(truth),
        SPACING_UM,
        confidence={},
        others={"good": truth},
        settled=[2],
        checked=truth == 4,
    )
    assert sorted(e.id or 0 for e in entries) == [1, 3]


def test_without_other_segmentations_shape_alone_speaks() -> None:
    labels = four_balls()
    ball(labels, (8, 20, 12), 1)
    entries = rank(labels, image_of(labels), SPACING_UM, confidence={}, others={})
    assert entries[0].id == 1
    assert len(entries) == 4


def test_an_image_without_objects_has_an_empty_queue() -> None:
    empty = np.zeros(SHAPE, np.uint32)
    image = image_of(four_balls())
    assert rank(empty, image, SPACING_UM, confidence={}, others={"e": empty}) == ()
    (entry, *rest) = rank(empty, image, SPACING_UM, confidence={}, others={"a": four_balls()})
    assert entry.kind == "missed" and len(rest) == 3


def test_another_shape_is_refused() -> None:
    labels = four_balls()
    with pytest.raises(LabelImageError, match="shape"):
        rank(labels, labels, SPACING_UM, confidence={}, others={"cut": labels[1:]})


def entries_with(scores: list[float]) -> list[Entry]:
    return [
        Entry(
            stack="s",
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
