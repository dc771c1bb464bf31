"""Metrics of label images: one pass over truth and prediction serves all of them.

Tables for the terminal are in `hitl.metrics.table`.
"""

from hitl.metrics.contingency import Contingency, count_overlaps
from hitl.metrics.matching import Matching, match, mean_ap, seg
from hitl.metrics.overlap_score import OverlapScores, overlap_scores
from hitl.metrics.summary import AverageScores, ObjectScore, Scores, average, score
from hitl.metrics.taxonomy import Taxonomy, classify
from hitl.metrics.voxel import ClassScores, confusion, voxel_scores

__all__ = [
    "AverageScores",
    "ClassScores",
    "Contingency",
    "Matching",
    "ObjectScore",
    "OverlapScores",
    "Scores",
    "Taxonomy",
    "average",
    "classify",
    "confusion",
    "count_overlaps",
    "match",
    "mean_ap",
    "overlap_scores",
    "score",
    "seg",
    "voxel_scores",
]
