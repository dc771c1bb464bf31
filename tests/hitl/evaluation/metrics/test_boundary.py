"""Boundary scores against scikit-image, distance transforms and by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hitl.evaluation.metrics.boundary import boundary_scores
from hitl.project.errors import MetricError
from hitl.project.plain import plain
from tests.hitl.evaluation.label_pairs import blobs, box, label_pairs

SPACING = (1.1, 0.3, 0.25)


@settings(deadline=None, max_examples=60)
@given(label_pairs(), st.sampled_from([0.0, 0.25, 0.3, 0.6, 1.1, 1.2, 40.0]))
def test_boundary_scores_equal_scikit_image_and_distance_transforms(images, tolerance):
    check_boundaries(*images, tolerance)


@pytest.mark.parametrize("tolerance", [0, 0.5, 1.1, 3])
def test_boundary_blocks_meet(tolerance, monkeypatch):
    from hitl.evaluation.metrics import boundary

    monkeypatch.setattr(boundary, "BLOCK_VOXELS", 4000)
    truth, pred = blobs(1)
    assert len(boundary._plan(truth.shape, (1, 1))) > 4
    check_boundaries(truth, pred, tolerance)


def check_boundaries(truth, pred, tolerance):
    from scipy.ndimage import distance_transform_edt
    from skimage.segmentation import find_boundaries

    edges = [outline(find_boundaries, image) for image in (truth, pred)]
    near = []
    for here, other in (edges, edges[::-1]):
        distance = np.full(here.shape, np.inf)
        if other.any():
            distance = distance_transform_edt(~other, sampling=SPACING)
        near.append(int((distance[here] <= tolerance * (1 + 1e-9)).sum()))
    found = boundary_scores(truth, pred, SPACING, tolerance)
    assert (found.truth_voxels, found.pred_voxels) == tuple(int(e.sum()) for e in edges)
    assert [found.truth_near, found.pred_near] == near


def outline(find_boundaries, image):
    """find_boundaries drops axes of one voxel; padding with copies keeps the same boundaries."""
    padded = np.pad(image.astype(np.int64), 1, mode="edge")
    return find_boundaries(padded, mode="inner")[1:-1, 1:-1, 1:-1]


def test_boundary_by_hand():
    truth = box((1, 8, 8), (0, 1, 2, 6, 2, 6))
    pred = np.roll(truth, 1, axis=2)
    # 12 outline voxels each, 6 of them in the same place: two rows of three.
    exact = plain(boundary_scores(truth, pred, (1, 0.5, 0.5), 0))
    assert (exact["precision"], exact["recall"], exact["f1"]) == (0.5, 0.5, 0.5)
    assert plain(boundary_scores(truth, pred, (1, 0.5, 0.5), 0.5))["f1"] == 1
    with pytest.raises(MetricError, match="expected a spacing"):
        boundary_scores(truth, pred, None, 1)
    with pytest.raises(MetricError, match="at least 0, got -1"):
        boundary_scores(truth, pred, (1, 1, 1), -1)
