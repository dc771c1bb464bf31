"""All metrics of one prediction, as numbers, as plain types for JSON, and flat for averages."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from hitl.evaluation.metrics.boundary import BoundaryScores
from hitl.evaluation.metrics.cases import Case
from hitl.evaluation.metrics.conventions import Convention, by_threshold
from hitl.evaluation.metrics.detection import CentroidMatching, OverlapCounts
from hitl.evaluation.metrics.items import Items
from hitl.evaluation.metrics.matching import Matching
from hitl.evaluation.metrics.voxel import ClassScores
from hitl.evaluation.options import ScoreOptions
from hitl.project.plain import plain

NO_OBJECTS = "neither the truth nor the prediction holds an object"
EMPTY_TRUTH = "the truth holds no object"
NO_CLASSES = "no class images were given"
NO_SPACING = "no spacing was given, so that nothing can be measured in µm"
NO_BOUNDARY = "neither image holds an object with a boundary"
NO_CENTROIDS = "no two centroids lie within the distance"
NOT_NUMBERS = (
    "left_out", "options", "spacing_um", "reasons", "objects", "cases", "spurious_ids",
)  # fmt: skip
"""Fields of `Scores` that stand in JSON as they are, and in no average."""

Triple = tuple[float, float, float]


@dataclass(frozen=True)
class ObjectScore:
    """One truth object against the predicted object that overlaps it most.

    Parameters
    ----------
    id : int
        Id in the truth.
    centroid_zyx : (float, float, float)
        In voxels.
    centroid_um : (float, float, float) or None
        In µm; None where no spacing was given.
    volume_voxels : int
    volume_um3 : float or None
        None where no spacing was given.
    best_id : int
        The predicted object that overlaps most, 0 for none.
    matched_id : int
        The one that it is matched with at IoU 0.5, 0 for none.
    iou, full, sub, score : float
        IoU and Dice with the best, Dice within the bounding box, the evaluation score; 0 for none.
    kind : str
        One of `hitl.evaluation.metrics.taxonomy.TRUTH_KINDS`.
    at_border : bool
        It touches a face of the volume.
    """

    id: int
    centroid_zyx: Triple
    centroid_um: Triple | None
    volume_voxels: int
    volume_um3: float | None
    best_id: int
    matched_id: int
    iou: float
    full: float
    sub: float
    score: float
    kind: str
    at_border: bool


@dataclass(frozen=True)
class Summary:
    """The figures that a reader looks at first, for some choice of objects.

    Parameters
    ----------
    n_truth, n_pred : int
    evaluation_score, full, sub, seg : float or None
        None where the truth holds no object.
    dice : float or None
        Of the voxels in any object, of all the image: that of an area, of a class.
    mean_ap, aji, aji_plus, aji_cellpose : float or None
        None where neither image holds an object.
    at_half : Matching
        At IoU 0.5.
    """

    n_truth: int
    n_pred: int
    evaluation_score: float | None
    full: float | None
    sub: float | None
    dice: float | None
    mean_ap: float | None
    seg: float | None
    aji: float | None
    aji_plus: float | None
    aji_cellpose: float | None
    at_half: Matching

    @property
    def count_error(self) -> int:
        """Predicted minus true number of objects."""
        return self.n_pred - self.n_truth

    @property
    def count_error_relative(self) -> float | None:
        """Count error over the true number of objects; None where the truth is empty."""
        return self.count_error / self.n_truth if self.n_truth else None

    def to_dict(self) -> dict[str, Any]:
        """Return plain types for JSON."""
        first = (
            "evaluation_score", "full", "sub", "dice", "n_truth", "n_pred", "count_error",
            "count_error_relative",
        )  # fmt: skip
        last = ("seg", "aji", "aji_plus", "aji_cellpose")
        return {
            **{key: getattr(self, key) for key in first},
            **self.at_half.to_dict(),
            "mean_ap_50_95": self.mean_ap,
            **{key: getattr(self, key) for key in last},
        }


@dataclass(frozen=True)
class LeftOut:
    """Ids of the objects that do not count, and how many objects touch the border at all."""

    truth_ids: tuple[int, ...]
    pred_ids: tuple[int, ...]
    truth_at_border: int
    pred_at_border: int


@dataclass(frozen=True)
class Scores(Summary):
    """All metrics of one prediction; what cannot be had is None, with a line in `reasons`.

    Parameters
    ----------
    matchings : tuple of Matching
        One per reported threshold, as StarDist and Cellpose match.
    conventions : tuple of Convention
        The same thresholds as others match.
    errors : dict of str to int
        `hitl.evaluation.metrics.taxonomy.Taxonomy.counts`.
    centroids : CentroidMatching
    overlapping : OverlapCounts
    boundary : BoundaryScores or None
        None where no spacing was given.
    with_border, without_border : Summary
        Whatever the options say of the border.
    voxels : dict of str to ClassScores, or None
        Per class, where class images were given; of all voxels, whatever objects count.
    objects : tuple of ObjectScore
        One per truth object that counts, by id.
    cases : tuple of Case
        Both images' objects, with what became of them and where.
    spurious_ids : tuple of int
        Predicted objects at places without a truth object.
    left_out : LeftOut
    options : ScoreOptions
    spacing_um : (float, float, float) or None
        Voxel size (z, y, x) in µm.
    items : Items
        For intervals and comparisons.
    reasons : dict of str to str
        Why a value is None, by its key in `flat`.
    """

    matchings: tuple[Matching, ...]
    conventions: tuple[Convention, ...]
    errors: dict[str, int]
    centroids: CentroidMatching
    overlapping: OverlapCounts
    boundary: BoundaryScores | None
    with_border: Summary
    without_border: Summary
    voxels: dict[str, ClassScores] | None
    objects: tuple[ObjectScore, ...]
    cases: tuple[Case, ...]
    spurious_ids: tuple[int, ...]
    left_out: LeftOut
    options: ScoreOptions
    spacing_um: Triple | None
    items: Items
    reasons: dict[str, str] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Return what stands in JSON, None for what is undefined; see `hitl.project.plain.plain`.

        Keys: ``evaluation_score``, ``full``, ``sub``, ``dice``, ``n_truth``, ``n_pred``,
        ``count_error``, ``count_error_relative``; at IoU 0.5 ``tp``, ``fp``, ``fn``,
        ``precision``, ``recall``,
        ``f1``, ``ap``, ``pq``, ``sq``, ``rq``; ``mean_ap_50_95``, ``seg``, ``aji``, ``aji_plus``,
        ``aji_cellpose``; ``thresholds``: those of IoU 0.5 by threshold ("0.1", …);
        ``conventions``: by name ``rule``, ``mean_ap_50_95``, ``thresholds``; ``errors``: counts
        of matched, split, merged, shifted and missed truth objects and of spurious, mergers and
        fragments among the predicted; ``centroids``, ``overlapping``, ``boundary`` (None without
        a spacing): counts and ratios; ``border``: the keys up to ``aji_cellpose`` under ``with``
        and ``without``; ``voxels``: per class precision, recall, f1, iou, truth_voxels,
        pred_voxels, or None; then fields as they are, ``objects`` and ``cases`` among them.
        """
        return {
            **super().to_dict(),
            "thresholds": by_threshold(self.matchings),
            "conventions": {found.name: found for found in self.conventions},
            "errors": self.errors,
            "centroids": self.centroids,
            "overlapping": self.overlapping,
            "boundary": self.boundary,
            "border": {"with": self.with_border, "without": self.without_border},
            "voxels": self.voxels,
            **{key: getattr(self, key) for key in NOT_NUMBERS},
        }

    def flat(self) -> dict[str, float | None]:
        """Every number that can be averaged, by dotted key, such as ``voxels.edge.f1``."""
        no_averages = {*NOT_NUMBERS, "conventions"}
        told = self.to_dict()
        return _flatten({key: plain(told[key]) for key in told if key not in no_averages})


def find_reasons(scores: Scores) -> dict[str, str]:
    """Return why each value that is None is so, by its key in `Scores.flat`."""
    return {key: _reason(key, scores) for key, value in scores.flat().items() if value is None}


def summarise(reasons: Mapping[str, str], most: int = 4) -> list[str]:
    """Return a line per reason, with the first keys that it holds for.

    Parameters
    ----------
    reasons : mapping of str to str
        By key.
    most : int
        Keys to name.
    """
    keys_of: dict[str, list[str]] = {}
    for key, reason in reasons.items():
        keys_of.setdefault(reason, []).append(key)
    return [
        f"not computed: {', '.join(keys[:most])}"
        + (f" and {len(keys) - most} more" if len(keys) > most else "")
        + f": {reason}"
        for reason, keys in keys_of.items()
    ]


def _reason(key: str, scores: Scores) -> str:
    first, _, rest = key.partition(".")
    if first == "voxels":
        return f"neither image holds the class {rest.split('.')[0]}" if rest else NO_CLASSES
    if first == "boundary":
        return NO_BOUNDARY if rest else NO_SPACING
    if key == "centroids.mean_distance" and scores.n_truth and scores.n_pred:
        return NO_CENTROIDS
    found: Summary = scores
    if first == "border":
        found = scores.with_border if rest.startswith("with.") else scores.without_border
    everything = scores.options.border == "keep" and found is not scores.without_border
    counting = "" if everything and not scores.left_out.truth_ids else " that counts"
    return (EMPTY_TRUTH if found.n_pred else NO_OBJECTS) + counting


def _flatten(nested: Mapping[str, Any], prefix: str = "") -> dict[str, float | None]:
    out: dict[str, float | None] = {}
    for key, value in nested.items():
        if isinstance(value, Mapping):
            out.update(_flatten(value, f"{prefix}{key}."))
        elif not isinstance(value, str):
            out[f"{prefix}{key}"] = value
    return out
