"""The thresholds that a training chooses on its validation objects."""

from __future__ import annotations

import numpy as np
import pytest

from models.stardist3d import objects, thresholds
from tests.models.stardist3d.test_samples import cutter, prepared
from tests.models.stardist3d.tiny_stardist import tiny_network


def test_perfect_predictions_become_the_labels_and_thresholds_are_found(tmp_path, monkeypatch):
    network = tiny_network(tmp_path, unet_n_filter_base=2, net_conv_after_unet=2)
    stack = prepared()
    whole = cutter([stack], stack.labels.shape, grid=(1, 1, 1))
    _, prob, dist = whole.cut(whole.upright(0, (0, 0, 0)))
    inside = prob[..., 0] > 0.1
    points, found_prob = np.argwhere(inside), 0.5 + prob[..., 0][inside] / 2
    # A false object, less probable than the true ones.
    points = np.vstack([points, [[6, 19, 19]]])
    found_prob = np.append(found_prob, 0.4)
    found_dist = np.vstack([dist[..., :-1][inside], np.full((1, 8), 2.0)])
    ideal = objects.Candidates(found_prob, found_dist.astype(np.float32), points)
    monkeypatch.setattr(thresholds, "find_candidates", lambda *_: ideal)
    best = thresholds.optimise(network, [stack])
    assert best.f1 > 0.6 and 0.4 < best.prob < 0.99 and best.nms in thresholds.NMS_THRESHOLDS
    kept = ideal.prob >= best.prob
    found = objects.suppress(
        network, objects.Candidates(*(part[kept] for part in (ideal.prob, ideal.dist, points))),
        stack.labels.shape, nms_threshold=best.nms,
    )  # fmt: skip
    labels, confidence = objects.draw_objects(found, stack.labels.shape)
    assert labels.max() == len(confidence) == 4
    assert confidence[1] == pytest.approx(1, abs=0.01)


def overlaps(prob, hits, true_count):
    """As many true objects as `hits`, found first, and false ones after them."""
    ids = np.arange(1, hits + 1)
    return thresholds.Overlaps(
        ids, ids, np.ones(hits), np.array(prob), np.ones(len(prob), bool), true_count
    )


def test_where_few_objects_cannot_tell_the_threshold_finds_the_true_number():
    # F1 is 0.67 for the first two alone and 0.5 for four: four objects cannot tell these apart.
    few = overlaps([0.9, 0.8, 0.36, 0.34, 0.22], hits=2, true_count=4)
    prob, f1 = thresholds.best_probability([few])
    assert 0.3 < prob <= 0.34 and f1 == 0.5
    prob, f1 = thresholds.best_probability([overlaps([0.9, 0.8, 0.2], hits=2, true_count=2)])
    assert prob == pytest.approx(0.5, abs=0.02) and f1 == 1
    lost = overlaps(np.linspace(0.16, 0.9, 200), hits=0, true_count=3)
    assert thresholds.best_probability([lost])[1] == 0
