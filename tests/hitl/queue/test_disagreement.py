"""Where other segmentations of the same image say something else."""

from __future__ import annotations

import numpy as np

from hitl.queue.disagreement import compare, find_missed
from tests.hitl.queue.balls import SHAPE, ball, four_balls


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
