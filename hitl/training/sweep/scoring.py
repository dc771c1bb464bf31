"""How good a cell's model is on what was held out for validation."""

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
from models.base import TrainingSample
from models.registry import load_run

Values = dict[str, float | None]


def score_cell(project: Project, folder: Path, data: TrainingSet, reporter: Reporter) -> Values:
    """Score a finished run on the validation part.

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
        ``evaluation_score``, ``val_loss``.
    """
    card = read_card(folder)
    segmenter = load_run(card["model"], folder)
    found = []
    for sample in data.val:
        result = segmenter.segment(sample.image, sample.spacing_um, progress=reporter.progress)
        found.append(_score(sample, result.labels, project.config.evaluation.edge_width_px))
    mean = average({"validation": found}).mean if found else {}
    told: Mapping[str, Any] = card["validation"]
    return {
        "f1_edge": told.get("f1_edge", mean.get("voxels.edge.f1")),
        "f1_nucleus": told.get("f1_nucleus", mean.get("voxels.nucleus.f1")),
        "f1": mean.get("f1"),
        "evaluation_score": mean.get("evaluation_score"),
        "val_loss": told.get("loss", told.get("val_loss")),
    }


def _score(sample: TrainingSample, labels: NDArray[np.uint32], edge_width_px: int) -> Scores:
    """Score labels where the truth is known; objects that lie mostly elsewhere do not count."""
    known = sample.mask
    inside = np.bincount(labels[known], minlength=int(labels.max()) + 1)
    whole = np.bincount(labels.ravel(), minlength=inside.size)
    judged = np.where((2 * inside > whole)[labels] & known, labels, 0).astype(np.uint32)
    truth = np.where(known, sample.labels, 0).astype(np.uint32)
    return score_labels(truth, judged, spacing_um=sample.spacing_um, edge_width_px=edge_width_px)
