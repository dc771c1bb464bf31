"""A project with a hand-made evaluation in which every kind of error occurs once."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from annotations.formats import write_labels_tiff
from hitl.evaluation.metrics.all_metrics import score
from hitl.project.config import ProjectConfig
from hitl.project.folder import Project, write_json
from hitl.project.plain import plain
from tests.annotations.store_sources import ArraySource
from tests.hitl.review.volumes import SPACING

SHAPE = (8, 40, 60)
MODEL = "hand-0001"


def box(
    labels: NDArray[np.uint32], number: int, y: int, x: int, side: int = 8, wide: int = 8
) -> None:
    labels[2:6, y : y + side, x : x + wide] = number


def volumes() -> tuple[NDArray[np.uint32], NDArray[np.uint32]]:
    """Truth and prediction; the ids of the predicted ones are those of the truth plus 100.

    1 is matched, 2 and 3 are merged (object 102), 4 is split (104, 105), 6 is missed, 7 is
    shifted (107), and 108 is spurious.
    """
    truth, predicted = np.zeros(SHAPE, np.uint32), np.zeros(SHAPE, np.uint32)
    box(truth, 1, 2, 2)
    box(predicted, 101, 2, 2)
    box(truth, 2, 2, 14)
    box(truth, 3, 2, 22)
    box(predicted, 102, 2, 14, wide=16)
    box(truth, 4, 16, 2, wide=16)
    box(predicted, 104, 16, 2, wide=8)
    box(predicted, 105, 16, 10, wide=8)
    box(truth, 6, 16, 30, side=3, wide=3)
    box(truth, 7, 28, 2)
    box(predicted, 107, 28, 6)
    box(predicted, 108, 28, 40)
    return truth, predicted


def error_project(folder: Path, splits: dict[str, str] | None = None) -> Project:
    """Fields ``held`` (test) and ``seen`` (train), labelled by hand; ``held`` is evaluated."""
    project = Project.create(folder, ProjectConfig())
    truth, predicted = volumes()
    source = ArraySource((100 * (truth > 0) + 10)[None].astype(np.uint8))
    source.info = replace(source.info, spacing_um=SPACING)
    store = project.store(read_only=False)
    for name, split in (splits or {"held": "test", "seen": "train"}).items():
        store.add_field(name, source, split=split, labels={"nuclei": truth})
    evaluated(project, 1, "held", {MODEL: predicted, "other": truth})
    return project


def evaluated(
    project: Project,
    number: int,
    field: str,
    predictions: dict[str, NDArray[np.uint32]],
) -> None:
    """Write what `hitl evaluate` would, of predictions (T·Z, Y, X) made by hand."""
    view = project.store().labels(field)
    models = {}
    for model, predicted in predictions.items():
        depth = view.info.zyx[0]
        found = {
            each.name: plain(
                score(
                    np.asarray(each.labels[...]),
                    predicted[time * depth : (time + 1) * depth],
                    spacing_um=SPACING,
                )
            )
            for time, each in enumerate(view.time_points())
        }
        # So that the best in score is the one that makes the errors.
        mean = {"evaluation_score": 0.9 if model == MODEL else 0.1}
        models[model] = {"mean": mean, "fields": found}
        file = project.folder / "predictions" / model / f"{view.info.file_name}.tif"
        file.parent.mkdir(parents=True, exist_ok=True)
        write_labels_tiff(file, predicted, SPACING, times=view.info.times, overwrite=True)
    folder = project.folder / "evaluations" / f"{number:04d}"
    folder.mkdir(parents=True)
    about = {"made": "2026-01-02T03:04:05+00:00", "split": view.info.split, "round": None}
    write_json(folder / "scores.json", {**about, "models": models})
