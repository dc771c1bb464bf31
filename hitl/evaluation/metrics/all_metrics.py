"""All metrics of one prediction, from one pass over the two images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from hitl.evaluation.metrics.boundary import BoundaryScores, boundary_scores
from hitl.evaluation.metrics.cases import list_cases
from hitl.evaluation.metrics.conventions import count_by_convention
from hitl.evaluation.metrics.detection import CentroidMatching, count_overlapping, match_centroids
from hitl.evaluation.metrics.exclusion import Bools, Kept, keep, touches_border
from hitl.evaluation.metrics.items import make_items
from hitl.evaluation.metrics.jaccard import aji, aji_cellpose, aji_plus
from hitl.evaluation.metrics.matching import Matching, match, mean_ap, seg
from hitl.evaluation.metrics.overlap_score import OverlapScores, overlap_scores
from hitl.evaluation.metrics.scores import LeftOut, ObjectScore, Scores, Summary, find_reasons
from hitl.evaluation.metrics.taxonomy import Taxonomy, classify
from hitl.evaluation.metrics.voxel import voxel_scores
from hitl.evaluation.options import ScoreOptions
from hitl.project.errors import MetricError
from labels.blocks import LabelImage
from labels.overlaps import Contingency, Floats, Ints, count_overlaps
from labels.spacing import Spacing, is_spacing

REPORTED_THRESHOLDS = (*(round(0.1 + 0.05 * k, 2) for k in range(18)),)


def score(
    truth: LabelImage,
    pred: LabelImage,
    *,
    spacing_um: Spacing | None = None,
    thresholds: Sequence[float] = REPORTED_THRESHOLDS,
    truth_classes: LabelImage | None = None,
    pred_classes: LabelImage | None = None,
    options: ScoreOptions | None = None,
    workers: int | None = None,
) -> Scores:
    """Compute all metrics of a predicted label image.

    The two images are read once for the contingency table, the prediction's boxes again for the
    evaluation score, and, with a spacing, both again for their boundaries.

    Parameters
    ----------
    truth, pred : ndarray, memmap or zarr array, shape (Z, Y, X) or (Y, X), integers
        Instance labels, 0 for background.
    spacing_um : (float, float, float), optional
        Voxel size (z, y, x) in µm, for whatever is measured in µm.
    thresholds : sequence of float
        IoU thresholds to report.
    truth_classes, pred_classes : ndarray, memmap or zarr array, integers, optional
        Classes (0 background, 1 edge, 2 nucleus) of the same shape, for the voxel metrics.
    options : ScoreOptions, optional
        Which objects count, tolerances.
    workers : int, optional
        Threads; by default as many as there are processors, at most 4.

    Returns
    -------
    Scores

    Raises
    ------
    MetricError
        Images that cannot be compared, a spacing that is not positive or is missing for an option
        in µm, a threshold outside (0, 1], or class images for one side only.
    """
    options = options or ScoreOptions()
    _check(spacing_um, options, truth_classes, pred_classes)
    table = count_overlaps(truth, pred, workers=workers)
    overlap = overlap_scores(table, pred, workers=workers)
    least = options.least_voxels(spacing_um)
    both = [keep(table, drop_border=drop, min_voxels=least) for drop in (False, True)]
    kept = both[options.border == "drop"]
    counted = table.select(kept.truth, kept.pred)
    summaries = [
        _summary(table.select(found.truth, found.pred), _of(overlap, found.truth)) for found in both
    ]
    main = summaries[options.border == "drop"]
    everything = match(table, 0.5)
    taxonomy = classify(table, everything)
    left_out = _left_out(table, kept)
    conventions = count_by_convention(counted, thresholds)
    voxels = None
    if truth_classes is not None and pred_classes is not None:
        voxels = voxel_scores(truth_classes, pred_classes)
    scores = Scores(
        **{name: getattr(main, name) for name in Summary.__dataclass_fields__},
        matchings=conventions[0].matchings,
        conventions=conventions,
        errors=taxonomy.counts(kept),
        centroids=_centroids(counted, options, spacing_um),
        overlapping=count_overlapping(counted),
        boundary=_boundary(truth, pred, options, spacing_um, left_out, workers),
        with_border=summaries[0],
        without_border=summaries[1],
        voxels=voxels,
        objects=_objects(
            counted, _of(overlap, kept.truth), taxonomy, kept, main.at_half, spacing_um
        ),
        cases=list_cases(table, taxonomy, everything, kept, spacing_um),
        spurious_ids=tuple(
            table.pred.ids[(taxonomy.pred_kinds == "spurious") & kept.pred].tolist()
        ),
        left_out=left_out,
        options=options,
        spacing_um=spacing_um,
        items=make_items(counted, main.at_half, _of(overlap, kept.truth)),
    )
    return replace(scores, reasons=find_reasons(scores))


def _check(
    spacing_um: Spacing | None,
    options: ScoreOptions,
    truth_classes: LabelImage | None,
    pred_classes: LabelImage | None,
) -> None:
    if spacing_um is not None and not is_spacing(spacing_um):
        raise MetricError(f"expected a spacing of three positive numbers in µm, got {spacing_um}")
    options.check_spacing(spacing_um)
    if (truth_classes is None) != (pred_classes is None):
        raise MetricError("expected class images of truth and prediction, got one: give both")


def _summary(table: Contingency, overlap: OverlapScores) -> Summary:
    return Summary(
        n_truth=table.n_truth,
        n_pred=table.n_pred,
        evaluation_score=_mean(overlap.score),
        full=_mean(overlap.full),
        sub=_mean(overlap.sub),
        dice=_dice(table),
        mean_ap=mean_ap(table),
        seg=seg(table),
        aji=aji(table),
        aji_plus=aji_plus(table),
        aji_cellpose=aji_cellpose(table),
        at_half=match(table, 0.5),
    )


def _of(overlap: OverlapScores, kept: Bools) -> OverlapScores:
    """Scores of the truth objects that count; leaving out others does not change them."""
    return OverlapScores(
        overlap.pred_ids[kept], overlap.iou[kept], overlap.full[kept], overlap.sub[kept]
    )


def _left_out(table: Contingency, kept: Kept) -> LeftOut:
    return LeftOut(
        truth_ids=tuple(table.truth.ids[~kept.truth].tolist()),
        pred_ids=tuple(table.pred.ids[~kept.pred].tolist()),
        truth_at_border=int(touches_border(table.truth.boxes, table.shape).sum()),
        pred_at_border=int(touches_border(table.pred.boxes, table.shape).sum()),
    )


def _centroids(
    table: Contingency, options: ScoreOptions, spacing_um: Spacing | None
) -> CentroidMatching:
    if options.centroid_um is not None:
        return match_centroids(table, options.centroid_um, unit="um", spacing_um=spacing_um)
    return match_centroids(table, options.centroid_px, spacing_um=spacing_um)


def _boundary(
    truth: LabelImage,
    pred: LabelImage,
    options: ScoreOptions,
    spacing_um: Spacing | None,
    left_out: LeftOut,
    workers: int | None,
) -> BoundaryScores | None:
    if spacing_um is None:
        return None
    return boundary_scores(
        truth,
        pred,
        spacing_um,
        options.boundary_tolerance_um(spacing_um),
        truth_left_out=np.asarray(left_out.truth_ids, np.int64),
        pred_left_out=np.asarray(left_out.pred_ids, np.int64),
        workers=workers,
    )


def _dice(table: Contingency) -> float | None:
    inside = int(table.truth.sizes.sum() + table.pred.sizes.sum())
    return 2 * int(table.count.sum()) / inside if inside else None


def _mean(values: Floats) -> float | None:
    return float(values.mean()) if len(values) else None


def _objects(
    table: Contingency,
    overlap: OverlapScores,
    taxonomy: Taxonomy,
    kept: Kept,
    at_half: Matching,
    spacing_um: Spacing | None,
) -> tuple[ObjectScore, ...]:
    sizes = table.truth.sizes.tolist()
    matched: Ints = np.zeros(table.n_truth, np.int64)
    matched[at_half.truth_index] = table.pred.ids[at_half.pred_index]
    um: list[Any] = [None] * table.n_truth
    volumes: list[Any] = um
    if spacing_um is not None:
        um = [tuple(row) for row in (table.truth.centroids * np.asarray(spacing_um)).tolist()]
        volumes = [size * float(np.prod(spacing_um)) for size in sizes]
    columns = (
        table.truth.ids.tolist(),
        [(z, y, x) for z, y, x in table.truth.centroids.tolist()],
        um,
        sizes,
        volumes,
        overlap.pred_ids.tolist(),
        matched.tolist(),
        overlap.iou.tolist(),
        overlap.full.tolist(),
        overlap.sub.tolist(),
        overlap.score.tolist(),
        taxonomy.truth_kinds[kept.truth].tolist(),
        touches_border(table.truth.boxes, table.shape).tolist(),
    )
    return tuple(ObjectScore(*row) for row in zip(*columns, strict=True))
