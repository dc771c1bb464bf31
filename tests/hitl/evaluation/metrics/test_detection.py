"""Objects found whatever their outline, against hand-worked cases and plain loops."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hitl.evaluation.metrics.detection import count_overlapping, match_centroids
from hitl.project.errors import MetricError
from hitl.project.plain import plain
from labels.overlaps import count_overlaps
from tests.hitl.evaluation.label_pairs import box, label_pairs

SPACING = (1.1, 0.3, 0.25)


@settings(deadline=None, max_examples=60)
@given(label_pairs(max_id=5), st.sampled_from([0.5, 1.0, 2.0, 5.0]))
def test_centroid_matches_are_as_many_as_can_be_and_as_near(images, within):
    from scipy.optimize import linear_sum_assignment
    from scipy.spatial.distance import cdist

    table = count_overlaps(*images)
    distance = cdist(table.truth.centroids * SPACING, table.pred.centroids * SPACING)
    found = match_centroids(table, within, unit="um", spacing_um=SPACING)
    gain = np.where(distance <= within, 1e6 - distance, 0)
    rows, columns = linear_sum_assignment(gain, maximize=True)
    best = distance[rows, columns][distance[rows, columns] <= within]
    assert found.tp == len(best)
    assert found.distance.sum() == pytest.approx(best.sum())
    assert len(set(found.truth_index.tolist())) == len(set(found.pred_index.tolist())) == found.tp


def test_centroids_within_15_pixels_by_hand():
    truth = box((3, 4, 60), (0, 1, 0, 1, 0, 1), (0, 1, 0, 1, 40, 41))
    pred = box((3, 4, 60), (0, 1, 0, 1, 15, 16), (2, 3, 0, 1, 40, 41))
    table = count_overlaps(truth, pred)
    assert match_centroids(table).distance.tolist() == [15, 2]
    assert match_centroids(table, 14.9).distance.tolist() == [2]
    # Two slices are 20 pixels of x.
    assert match_centroids(table, spacing_um=(5, 0.5, 0.5)).distance.tolist() == [15]
    found = plain(match_centroids(table, 8, unit="um", spacing_um=(5, 0.5, 0.5)))
    assert (found["tp"], found["fp"], found["fn"], found["mean_distance"]) == (1, 1, 1, 7.5)
    assert (found["precision"], found["recall"], found["f1"]) == (0.5, 0.5, 0.5)
    with pytest.raises(MetricError, match="spacing for a centroid distance in µm"):
        match_centroids(table, 8, unit="um")
    with pytest.raises(MetricError, match="above 0, got 0"):
        match_centroids(table, 0)


@settings(deadline=None, max_examples=60)
@given(label_pairs())
def test_overlap_counts_equal_the_obvious_loop(images):
    truth, pred = images
    found = count_overlapping(count_overlaps(truth, pred))
    assert found.truth_hit == sum((pred[truth == i] > 0).any() for i in np.unique(truth) if i)
    assert found.pred_hit == sum((truth[pred == j] > 0).any() for j in np.unique(pred) if j)
