"""All metrics of one prediction, and their averages over stacks and groups of stacks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from hitl.errors import MetricError
from hitl.metrics._blocks import LabelImage
from hitl.metrics.contingency import Contingency, count_overlaps
from hitl.metrics.matching import Matching, match, mean_ap, seg
from hitl.metrics.overlap_score import OverlapScores, overlap_scores
from hitl.metrics.taxonomy import Taxonomy, classify
from hitl.metrics.voxel import ClassScores, voxel_scores

REPORTED_THRESHOLDS = tuple(round(0.1 * k, 1) for k in range(1, 10))
NO_OBJECTS = "neither the truth nor the prediction holds an object"
EMPTY_TRUTH = "the truth holds no object"
NO_CLASSES = "no class images were given"


@dataclass(frozen=True)
class ObjectScore:
    """One truth object against the predicted object that overlaps it most.

    Parameters
    ----------
    id : int
        Id in the truth.
    centroid_zyx : (float, float, float)
        In voxels.
    volume_voxels : int
    volume_um3 : float or None
        None where no spacing was given.
    best_id : int
        The predicted object that overlaps most, 0 for none.
    iou, full, sub, score : float
        IoU and Dice with it, Dice within the bounding box, and the evaluation score; 0 for none.
    kind : str
        One of `hitl.metrics.taxonomy.TRUTH_KINDS`.
    """

    id: int
    centroid_zyx: tuple[float, float, float]
    volume_voxels: int
    volume_um3: float | None
    best_id: int
    iou: float
    full: float
    sub: float
    score: float
    kind: str


@dataclass(frozen=True)
class Scores:
    """All metrics of one prediction; what cannot be had is None, with a line in `reasons`.

    Parameters
    ----------
    n_truth, n_pred : int
        Objects in truth and prediction.
    evaluation_score, full, sub : float or None
        Means over truth objects; see `hitl.metrics.overlap_score`.
    mean_ap : float or None
        Mean of TP / (TP + FP + FN) over IoU thresholds 0.5, 0.55, … 0.95.
    seg : float or None
        SEG of the Cell Tracking Challenge.
    at_half : Matching
        Matching at IoU 0.5.
    matchings : tuple of Matching
        One per reported threshold.
    errors : dict of str to int
        `hitl.metrics.taxonomy.Taxonomy.counts`.
    voxels : dict of str to ClassScores, or None
        Per class, where class images were given.
    objects : tuple of ObjectScore
        One per truth object, by id.
    spurious_ids : tuple of int
        Predicted objects at places without a truth object.
    spacing_um : (float, float, float) or None
        Voxel size (z, y, x) in µm.
    reasons : dict of str to str
        Why a value is None, by its key in `flat`.
    """

    n_truth: int
    n_pred: int
    evaluation_score: float | None
    full: float | None
    sub: float | None
    mean_ap: float | None
    seg: float | None
    at_half: Matching
    matchings: tuple[Matching, ...]
    errors: dict[str, int]
    voxels: dict[str, ClassScores] | None
    objects: tuple[ObjectScore, ...]
    spurious_ids: tuple[int, ...]
    spacing_um: tuple[float, float, float] | None
    reasons: dict[str, str] = field(default_factory=dict)

    @property
    def count_error(self) -> int:
        """Predicted minus true number of objects."""
        return self.n_pred - self.n_truth

    @property
    def count_error_relative(self) -> float | None:
        """Count error over the true number of objects; None where the truth is empty."""
        return self.count_error / self.n_truth if self.n_truth else None

    def to_dict(self, *, objects: bool = True) -> dict[str, Any]:
        """Return plain types for JSON, None for what is undefined.

        Keys: ``evaluation_score``, ``full``, ``sub``, ``n_truth``, ``n_pred``, ``count_error``,
        ``count_error_relative``; at IoU 0.5 ``tp``, ``fp``, ``fn``, ``precision``, ``recall``,
        ``f1``, ``ap``, ``pq``, ``sq``, ``rq``; ``mean_ap_50_95``, ``seg``; ``thresholds``: those
        of IoU 0.5 by threshold ("0.1", …); ``errors``: counts of matched, split, merged, shifted
        and missed truth objects and of spurious, mergers and fragments among the predicted;
        ``voxels``: per class precision, recall, f1, iou, truth_voxels, pred_voxels, or None;
        ``spacing_um``, ``reasons``; with `objects` also ``objects`` (the fields of
        `ObjectScore`) and ``spurious_ids``.
        """
        out: dict[str, Any] = {
            "evaluation_score": self.evaluation_score,
            "full": self.full,
            "sub": self.sub,
            "n_truth": self.n_truth,
            "n_pred": self.n_pred,
            "count_error": self.count_error,
            "count_error_relative": self.count_error_relative,
            **self.at_half.to_dict(),
            "mean_ap_50_95": self.mean_ap,
            "seg": self.seg,
            "thresholds": {f"{m.threshold:g}": m.to_dict() for m in self.matchings},
            "errors": dict(self.errors),
            "voxels": self.voxels and {k: v.to_dict() for k, v in self.voxels.items()},
            "spacing_um": self.spacing_um and list(self.spacing_um),
            "reasons": dict(self.reasons),
        }
        if objects:
            out["objects"] = [
                {**asdict(row), "centroid_zyx": list(row.centroid_zyx)} for row in self.objects
            ]
            out["spurious_ids"] = list(self.spurious_ids)
        return out

    def flat(self) -> dict[str, float | None]:
        """Every number that can be averaged, by dotted key, such as ``voxels.edge.f1``."""
        nested = self.to_dict(objects=False)
        for key in ("spacing_um", "reasons"):
            del nested[key]
        return _flatten(nested)


def _flatten(nested: Mapping[str, Any], prefix: str = "") -> dict[str, float | None]:
    out: dict[str, float | None] = {}
    for key, value in nested.items():
        if isinstance(value, Mapping):
            out.update(_flatten(value, f"{prefix}{key}."))
        else:
            out[f"{prefix}{key}"] = value
    return out


def score(
    truth: LabelImage,
    pred: LabelImage,
    *,
    spacing_um: tuple[float, float, float] | None = None,
    thresholds: Sequence[float] = REPORTED_THRESHOLDS,
    truth_classes: LabelImage | None = None,
    pred_classes: LabelImage | None = None,
    workers: int | None = None,
) -> Scores:
    """Compute all metrics of a predicted label image.

    Parameters
    ----------
    truth, pred : ndarray, memmap or zarr array, shape (Z, Y, X) or (Y, X), integers
        Instance labels, 0 for background.
    spacing_um : (float, float, float), optional
        Voxel size (z, y, x) in µm, for volumes.
    thresholds : sequence of float
        IoU thresholds to report.
    truth_classes, pred_classes : ndarray, memmap or zarr array, integers, optional
        Classes (0 background, 1 edge, 2 nucleus) of the same shape, for the voxel metrics.
    workers : int, optional
        Threads; by default as many as there are processors, at most 4.

    Returns
    -------
    Scores

    Raises
    ------
    MetricError
        Images that cannot be compared, a spacing that is not positive, a threshold outside
        (0, 1], or class images for one side only.
    """
    if spacing_um is not None and not (len(spacing_um) == 3 and min(spacing_um) > 0):
        raise MetricError(f"expected a spacing of three positive numbers in µm, got {spacing_um}")
    if (truth_classes is None) != (pred_classes is None):
        raise MetricError("expected class images of truth and prediction, got one: give both")
    table = count_overlaps(truth, pred, workers=workers)
    overlap = overlap_scores(table, pred, workers=workers)
    at_half = match(table, 0.5)
    taxonomy = classify(table, at_half)
    voxels = None
    if truth_classes is not None and pred_classes is not None:
        voxels = voxel_scores(truth_classes, pred_classes)
    scores = Scores(
        n_truth=table.n_truth,
        n_pred=table.n_pred,
        evaluation_score=_mean(overlap.score),
        full=_mean(overlap.full),
        sub=_mean(overlap.sub),
        mean_ap=mean_ap(table),
        seg=seg(table),
        at_half=at_half,
        matchings=tuple(match(table, t) for t in thresholds),
        errors=taxonomy.counts(),
        voxels=voxels,
        objects=_objects(table, overlap, taxonomy, spacing_um),
        spurious_ids=tuple(table.pred_ids[taxonomy.pred_kinds == "spurious"].tolist()),
        spacing_um=spacing_um,
    )
    scores.reasons.update(_reasons(scores))
    return scores


def _mean(values: Any) -> float | None:
    return float(values.mean()) if len(values) else None


def _objects(
    table: Contingency,
    overlap: OverlapScores,
    taxonomy: Taxonomy,
    spacing_um: tuple[float, float, float] | None,
) -> tuple[ObjectScore, ...]:
    sizes = table.truth_sizes.tolist()
    voxel_um3 = None if spacing_um is None else float(np.prod(spacing_um))
    volumes = [None if voxel_um3 is None else size * voxel_um3 for size in sizes]
    centroids = [(z, y, x) for z, y, x in table.truth_centroids.tolist()]
    columns = (
        table.truth_ids.tolist(),
        centroids,
        sizes,
        volumes,
        overlap.pred_ids.tolist(),
        overlap.iou.tolist(),
        overlap.full.tolist(),
        overlap.sub.tolist(),
        overlap.score.tolist(),
        taxonomy.truth_kinds.tolist(),
    )
    return tuple(ObjectScore(*row) for row in zip(*columns, strict=True))


def _reasons(scores: Scores) -> dict[str, str]:
    reasons = {}
    for key, value in scores.flat().items():
        if value is not None:
            continue
        if key == "voxels":
            reasons[key] = NO_CLASSES
        elif key.startswith("voxels."):
            reasons[key] = f"neither image holds the class {key.split('.')[1]}"
        else:
            reasons[key] = EMPTY_TRUTH if scores.n_pred else NO_OBJECTS
    return reasons


@dataclass(frozen=True)
class AverageScores:
    """Means over the stacks of each group, and over groups.

    Parameters
    ----------
    groups : dict of str to dict
        Per group (such as a channel) the mean of each of `Scores.flat`'s values over its stacks;
        stacks where it is None are left out, and it is None where it is so in all.
    mean : dict of str to (float or None)
        Mean over groups, likewise: each group counts once, however many stacks it has.
    n_stacks : dict of str to int
        Stacks in each group.
    left_out : dict of str to int
        Number of stacks whose value was None, for keys where there are any.
    """

    groups: dict[str, dict[str, float | None]]
    mean: dict[str, float | None]
    n_stacks: dict[str, int]
    left_out: dict[str, int]

    def to_dict(self) -> dict[str, Any]:
        """Return plain types for JSON; the keys are the field names."""
        return asdict(self)


def average(groups: Mapping[str, Sequence[Scores]]) -> AverageScores:
    """Average over the stacks of each group, then over groups, as one does with channels.

    Parameters
    ----------
    groups : mapping of str to sequence of Scores
        For instance ``{"Cy3": [...], "GFP": [...]}``.

    Returns
    -------
    AverageScores

    Raises
    ------
    MetricError
        No group, or a group without a stack.
    """
    empty = [name for name, stacks in groups.items() if not stacks]
    if not groups or empty:
        raise MetricError(f"expected scores in every group, got none in {empty or 'any'}")
    flat = {name: [scores.flat() for scores in stacks] for name, stacks in groups.items()}
    means = {name: _mean_of(rows) for name, rows in flat.items()}
    rows = [row for group in flat.values() for row in group]
    left_out = {key: sum(row.get(key) is None for row in rows) for key in _keys(rows)}
    return AverageScores(
        groups=means,
        mean=_mean_of(list(means.values())),
        n_stacks={name: len(stacks) for name, stacks in groups.items()},
        left_out={key: n for key, n in left_out.items() if n},
    )


def _keys(rows: Sequence[Mapping[str, float | None]]) -> list[str]:
    return list(dict.fromkeys(key for row in rows for key in row))


def _mean_of(rows: Sequence[Mapping[str, float | None]]) -> dict[str, float | None]:
    means: dict[str, float | None] = {}
    for key in _keys(rows):
        known = [value for row in rows if (value := row.get(key)) is not None]
        means[key] = float(np.mean(known)) if known else None
    return means
