"""Metrics of label images: one pass over truth and prediction serves all of them."""

from hitl.evaluation.metrics.all_metrics import score
from hitl.evaluation.metrics.averages import AverageScores, average
from hitl.evaluation.metrics.boundary import BoundaryScores, boundary_scores
from hitl.evaluation.metrics.cases import Case, list_cases
from hitl.evaluation.metrics.conventions import CONVENTIONS, Convention, count_by_convention
from hitl.evaluation.metrics.detection import (
    CentroidMatching,
    OverlapCounts,
    count_overlapping,
    match_centroids,
)
from hitl.evaluation.metrics.exclusion import Kept, keep, touches_border
from hitl.evaluation.metrics.items import METRICS, Items, make_items
from hitl.evaluation.metrics.jaccard import aji, aji_cellpose, aji_plus
from hitl.evaluation.metrics.matching import Matching, match, mean_ap, seg
from hitl.evaluation.metrics.overlap_score import OverlapScores, overlap_scores
from hitl.evaluation.metrics.resampling import Interval, bootstrap
from hitl.evaluation.metrics.scores import LeftOut, ObjectScore, Scores, Summary
from hitl.evaluation.metrics.taxonomy import Taxonomy, classify
from hitl.evaluation.metrics.voxel import ClassScores, confusion, voxel_scores
from hitl.evaluation.options import ScoreOptions

__all__ = [
    "CONVENTIONS",
    "METRICS",
    "AverageScores",
    "BoundaryScores",
    "Case",
    "CentroidMatching",
    "ClassScores",
    "Convention",
    "Interval",
    "Items",
    "Kept",
    "LeftOut",
    "Matching",
    "ObjectScore",
    "OverlapCounts",
    "OverlapScores",
    "ScoreOptions",
    "Scores",
    "Summary",
    "Taxonomy",
    "aji",
    "aji_cellpose",
    "aji_plus",
    "average",
    "bootstrap",
    "boundary_scores",
    "classify",
    "confusion",
    "count_by_convention",
    "count_overlapping",
    "keep",
    "list_cases",
    "make_items",
    "match",
    "match_centroids",
    "mean_ap",
    "overlap_scores",
    "score",
    "seg",
    "touches_border",
    "voxel_scores",
]
