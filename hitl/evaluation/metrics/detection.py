"""Whether objects were found at all, whatever their outline: by centroid, and by any overlap."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from hitl.evaluation.metrics.assignment import best_assignment
from hitl.evaluation.metrics.ratios import OneToOne, ratios_of_hits
from hitl.evaluation.options import CENTROID_PX
from hitl.project.errors import MetricError
from labels.overlaps import Contingency, Floats, Ints
from labels.spacing import Spacing

Unit = Literal["px", "um"]


@dataclass(frozen=True, eq=False)
class CentroidMatching(OneToOne):
    """Objects matched one to one by the distance of their centroids.

    Where neither image holds an object the ratios are None, otherwise 0 without a match.

    Parameters
    ----------
    within : float
        Greatest distance of a match.
    unit : {"px", "um"}
    n_truth, n_pred : int
    truth_index, pred_index : ndarray of int64, shape (tp,)
        Indices into the contingency's ids; ascending truth index.
    distance : ndarray of float64, shape (tp,)
    """

    KEYS = (
        "within", "unit", "tp", "fp", "fn", "precision", "recall", "f1", "mean_distance",
    )  # fmt: skip

    within: float
    unit: Unit
    n_truth: int
    n_pred: int
    truth_index: Ints
    pred_index: Ints
    distance: Floats

    @property
    def mean_distance(self) -> float | None:
        """Of the matches."""
        return float(self.distance.mean()) if self.tp else None


def match_centroids(
    table: Contingency,
    within: float = CENTROID_PX,
    *,
    unit: Unit = "px",
    spacing_um: Spacing | None = None,
) -> CentroidMatching:
    """Match centroids one to one: as many as possible and, among those, the least total distance.

    The rule of a distance of 15 pixels is that of CellHunter, whose images are 2D; the optimal
    assignment makes it independent of the order of the objects.

    Parameters
    ----------
    table : Contingency
    within : float
        Greatest distance of a match, that distance included.
    unit : {"px", "um"}
        Of `within`. A pixel is one in x: with a spacing, distances in z and y are converted to
        it; without, voxels count as cubes.
    spacing_um : (float, float, float), optional
        Voxel size (z, y, x) in µm.

    Raises
    ------
    MetricError
        A distance that is not positive, or in µm without a spacing.
    """
    from scipy.spatial import cKDTree

    if not within > 0:
        raise MetricError(f"expected a centroid distance above 0, got {within}")
    if unit == "um" and spacing_um is None:
        raise MetricError(
            "expected a spacing for a centroid distance in µm, got none: give the voxel size with "
            "--spacing-um Z Y X, or the distance in pixels"
        )
    scale = np.ones(3) if spacing_um is None else np.asarray(spacing_um, np.float64)
    if unit == "px":
        scale = scale / scale[2]
    truth, pred = table.truth.centroids * scale, table.pred.centroids * scale
    near = cKDTree(truth).sparse_distance_matrix(
        cKDTree(pred), np.nextafter(within, np.inf), output_type="ndarray"
    )
    i, j = near["i"].astype(np.int64), near["j"].astype(np.int64)
    distance = np.asarray(near["v"], np.float64)
    smaller = max(1, min(table.n_truth, table.n_pred))
    chosen = best_assignment(i, j, 1 + (1 - distance / within) / (2 * smaller))
    chosen = chosen[np.argsort(i[chosen])]
    return CentroidMatching(
        float(within), unit, table.n_truth, table.n_pred, i[chosen], j[chosen], distance[chosen]
    )


@dataclass(frozen=True)
class OverlapCounts:
    """Objects that overlap any object of the other image, be it by one voxel.

    This is how labels from a nuclear stain were compared with a network's (cells from automatic
    labels); one object may hit several, so that truth and prediction are counted apart.

    Parameters
    ----------
    n_truth, n_pred : int
    truth_hit, pred_hit : int
        Those of them that overlap an object of the other image.
    """

    n_truth: int
    n_pred: int
    truth_hit: int
    pred_hit: int

    def to_dict(self) -> dict[str, float | int | None]:
        """Return counts and ratios: None where neither image holds an object, else 0 for none."""
        return {
            "truth_hit": self.truth_hit,
            "truth_not_hit": self.n_truth - self.truth_hit,
            "pred_hit": self.pred_hit,
            "pred_not_hit": self.n_pred - self.pred_hit,
            **ratios_of_hits(self.truth_hit, self.n_truth, self.pred_hit, self.n_pred),
        }


def count_overlapping(table: Contingency) -> OverlapCounts:
    """Count the objects of each image that overlap any object of the other."""
    return OverlapCounts(
        n_truth=table.n_truth,
        n_pred=table.n_pred,
        truth_hit=len(np.unique(table.i)),
        pred_hit=len(np.unique(table.j)),
    )
