"""Metrics of label images: one pass over truth and prediction serves all of them.

Tables for the terminal are in `hitl.metrics.table`.
"""

from hitl.metrics.averages import AverageScores, average
from hitl.metrics.boundary import BoundaryScores, boundary_scores
from hitl.metrics.cases import Case, list_cases
from hitl.metrics.contingency import Contingency, count_overlaps
from hitl.metrics.conventions import CONVENTIONS, Convention, count_by_convention
from hitl.metrics.detection import (
    CentroidMatching,
    OverlapCounts,
    count_overlapping,
    match_centroids,
)
from hitl.metrics.items import METRICS, ItemPairs, Items, make_items, pair_items
from hitl.metrics.jaccard import aji, aji_cellpose, aji_plus
from hitl.metrics.left_out import Kept, keep, restrict, touches_border
from hitl.metrics.matching import Matching, match, mean_ap, seg
from hitl.metrics.options import ScoreOptions
from hitl.metrics.overlap_score import OverlapScores, overlap_scores
from hitl.metrics.resampling import Difference, Interval, bootstrap, compare_runs
from hitl.metrics.scores import LeftOut, ObjectScore, Scores, Summary
from hitl.metrics.summary import score
from hitl.metrics.taxonomy import Taxonomy, classify
from hitl.metrics.voxel import ClassScores, confusion, voxel_scores

__all__ = [
    "CONVENTIONS",
    "METRICS",
    "AverageScores",
    "BoundaryScores",
    "Case",
    "CentroidMatching",
    "ClassScores",
    "Contingency",
    "Convention",
    "Difference",
    "Interval",
    "ItemPairs",
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
    "compare_runs",
    "confusion",
    "count_by_convention",
    "count_overlapping",
    "count_overlaps",
    "keep",
    "list_cases",
    "make_items",
    "match",
    "match_centroids",
    "mean_ap",
    "overlap_scores",
    "pair_items",
    "restrict",
    "score",
    "seg",
    "touches_border",
    "voxel_scores",
]
