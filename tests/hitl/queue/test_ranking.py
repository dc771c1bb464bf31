"""The expected error of every object and of every place where one may be missing."""

from __future__ import annotations

import json

import numpy as np
import pytest

from hitl.cli.console import plain
from hitl.queue.ranking import rank
from labels.errors import LabelImageError
from tests.hitl.queue.balls import SHAPE, SPACING_UM, ball, four_balls, image_of


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
        field="s",
    )
    assert [e.id for e in entries[:3]] in ([None, 1, 8], [None, 8, 1])
    missed, first = entries[0], next(e for e in entries if e.id == 1)
    assert missed.kind == "missed" and missed.source == "good" and missed.source_label == 5
    assert truth[missed.position_zyx] == 5
    assert "found here by 2 of 2 other segmentations" in missed.why
    assert "2 of 2 other segmentations join it with a neighbour" in first.why
    assert first.confidence == 0.2
    assert next(e for e in entries if e.id == 8).confidence is None
    assert labels[first.position_zyx] == 1
    assert all(0 <= e.score <= 1 for e in entries)
    json.dumps(plain(entries), allow_nan=False)


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
