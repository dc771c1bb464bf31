"""Scores of a sweep's runs, on what they were not trained on."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hitl.evaluation.metrics.averages import average
from hitl.evaluation.metrics.scores import Scores
from hitl.evaluation.scoring import score_labels
from hitl.project.folder import Project
from hitl.project.reporter import Reporter
from hitl.project.runs import read_card
from hitl.training.samples import TrainingSet
from hitl.training.sweep.cells import Values
from models.base import TrainingSample
from models.registry import load_run
from models.several_classes import for_class


def score_cell(project: Project, folder: Path, data: TrainingSet, reporter: Reporter) -> Values:
    """Score a finished run on the validation part: the mean over fields, then over classes.

    Parameters
    ----------
    project : Project
    folder : Path
        The run's folder.
    data : TrainingSet
        What it was trained on.
    reporter : Reporter

    Returns
    -------
    dict of str to (float or None)
        ``f1_edge`` and ``f1_nucleus`` (voxels: the trainer's own where it validates classes, else
        of the outlines and insides of the objects), ``f1`` of objects at IoU 0.5,
        ``evaluation_score``, ``val_loss``; ``dice`` of voxels, of each class ``dice_CLASS`` where
        there are several, and ``megabytes`` of weights.
    """
    card = read_card(folder)
    segmenter = load_run(card["model"], folder)
    found: dict[str, dict[str, list[Scores]]] = {}
    for (field, class_name), sample in zip(data.val_of, data.val, strict=True):
        asked = for_class(segmenter, class_name)
        result = asked.segment(sample.image, sample.spacing_um, progress=reporter.progress)
        scores = score_known(sample, result.labels, project.config.evaluation.edge_width_px)
        found.setdefault(field, {}).setdefault(class_name, []).append(scores)
    averages = average(found) if found else None
    mean = {} if averages is None else averages.mean
    classes = {} if averages is None or len(averages.classes) < 2 else averages.classes
    told: Mapping[str, Any] = card["validation"]
    return {
        "f1_edge": told.get("f1_edge", mean.get("voxels.edge.f1")),
        "f1_nucleus": told.get("f1_nucleus", mean.get("voxels.nucleus.f1")),
        "f1": mean.get("f1"),
        "evaluation_score": mean.get("evaluation_score"),
        "val_loss": told.get("loss", told.get("val_loss")),
        "dice": mean.get("dice"),
        **{f"dice_{name}": values.get("dice") for name, values in classes.items()},
        "megabytes": _megabytes(folder, card),
    }


def _megabytes(folder: Path, card: Mapping[str, Any]) -> float | None:
    """Return how large a run's weights are, None where its card names none."""
    return (folder / card["weights"]).stat().st_size / 1e6 if "weights" in card else None


def score_known(sample: TrainingSample, labels: NDArray[np.uint32], edge_width_px: int) -> Scores:
    """Score labels where the truth is known; objects that lie mostly elsewhere do not count."""
    known = sample.mask
    inside = np.bincount(labels[known], minlength=int(labels.max()) + 1)
    whole = np.bincount(labels.ravel(), minlength=inside.size)
    judged = np.where((2 * inside > whole)[labels] & known, labels, 0).astype(np.uint32)
    truth = np.where(known, sample.labels, 0).astype(np.uint32)
    return score_labels(truth, judged, spacing_um=sample.spacing_um, edge_width_px=edge_width_px)
