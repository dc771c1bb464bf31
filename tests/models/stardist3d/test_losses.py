"""StarDist's losses: equal to its own where all is known, silent where nothing is."""

from __future__ import annotations

import numpy as np
import pytest

from models.stardist3d.losses import masked_losses
from models.stardist3d.runtime import import_stardist
from tests.models.stardist3d.test_samples import cutter, prepared
from tests.models.stardist3d.tiny_stardist import tiny_network


def test_losses_equal_stardists_on_known_targets_and_skip_unknown_ones(tmp_path):
    network = tiny_network(tmp_path, grid=(1, 2, 2), unet_n_filter_base=2, net_conv_after_unet=4)
    tf = import_stardist().tf
    stack = prepared()
    whole = cutter([stack], stack.labels.shape)
    image, (prob, dist) = whole.batch([whole.cut(whole.upright(0, (0, 0, 0)))])
    dist = np.abs(dist)
    predicted = network.keras_model(image)
    network.prepare_for_training()
    theirs = network.keras_model.loss
    mine = masked_losses(8)
    for ours, stock, true, out in zip(mine, theirs, (prob, dist), predicted, strict=True):
        assert float(ours(true, out)) == pytest.approx(
            float(tf.reduce_mean(stock(true, out))), rel=1e-4
        )
    unknown = np.zeros(prob.shape, bool)
    unknown[:, :, :10] = True
    for ours, true, out in zip(mine, (prob, dist), predicted, strict=True):
        true = true.copy()
        true[..., -1:][unknown] = -1
        spoilt = np.where(unknown, 0.9, out).astype(np.float32)
        assert float(ours(true, out)) == pytest.approx(float(ours(true, spoilt)), rel=1e-6)
        true[..., -1:] = -1
        assert float(ours(true, out)) == 0


def test_a_ray_out_of_the_stack_asks_for_no_more_than_that_length():
    _, dist_loss = masked_losses(2)
    true = np.array([[-5.0, 3.0, 1.0]], np.float32)
    longer, shorter = (np.array([[first, 3.0]], np.float32) for first in (9.0, 4.0))
    assert float(dist_loss(true, longer)) == 0
    assert float(dist_loss(true, shorter)) == pytest.approx(0.5, rel=1e-4)
