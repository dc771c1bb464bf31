"""Scores of label images together with those of their edges and insides."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from hitl.evaluation.metrics.all_metrics import score
from hitl.evaluation.metrics.scores import Scores
from hitl.evaluation.options import ScoreOptions
from hitl.postprocess.masks import edge_class
from labels.spacing import Spacing


def score_labels(
    truth: NDArray[np.integer[Any]],
    predicted: NDArray[np.integer[Any]],
    *,
    spacing_um: Spacing | None,
    options: ScoreOptions | None = None,
    edge_width_px: int = 1,
) -> Scores:
    """Compute all metrics of a predicted label image, those of its voxels' classes among them.

    Parameters
    ----------
    truth, predicted : ndarray of integers, shape (Z, Y, X)
    spacing_um : (float, float, float), optional
        Voxel size (z, y, x) in µm.
    options : ScoreOptions, optional
    edge_width_px : int
        How wide the edge of an object is, in voxels.

    Raises
    ------
    MetricError
        As `hitl.evaluation.metrics.all_metrics.score`.
    """
    return score(
        truth,
        predicted,
        spacing_um=spacing_um,
        options=options,
        truth_classes=edge_class(truth, width_px=edge_width_px),
        pred_classes=edge_class(predicted, width_px=edge_width_px),
    )
