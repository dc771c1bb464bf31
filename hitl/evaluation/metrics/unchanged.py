"""Whether labels are still those that an evaluation scored."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from labels.overlaps import Contingency


def as_scored(table: Contingency, scores: Mapping[str, Any]) -> bool:
    """Tell whether every scored object has the size and the best IoU that it had.

    Parameters
    ----------
    table : Contingency
        Of truth and prediction as they are now.
    scores : mapping
        As `hitl.evaluation.metrics.scores.Scores.to_dict` gave them then.
    """
    rows = scores.get("objects", ())
    ids = np.asarray([row["id"] for row in rows], np.int64)
    if not np.isin(ids, table.truth.ids).all():
        return False
    at = np.searchsorted(table.truth.ids, ids)
    pairs = table.best_pair[at]
    iou = np.where(pairs >= 0, table.iou[pairs] if len(table.iou) else 0.0, 0.0)
    then = np.asarray([row["iou"] for row in rows], np.float64)
    sizes = np.asarray([row["volume_voxels"] for row in rows], np.int64)
    if not (np.allclose(iou, then, atol=1e-6) and np.array_equal(table.truth.sizes[at], sizes)):
        return False
    listed = {i for case in scores.get("cases", ()) for i in case["pred_ids"]}
    return listed <= set(table.pred.ids.tolist())
