"""Segmenting a project's stacks with a run or a segmenter, once for each pair of them."""

from __future__ import annotations

import copy
import json
import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from annotations.formats import read_labels, write_labels_tiff
from annotations.rounds import ModelRef
from annotations.stacks import StackView
from annotations.store import AnnotationStore
from hitl.prediction.blockwise import copy_file, count_objects
from hitl.prediction.segmenters import (
    RunSegmenter,
    make_segmenter,
    note_whole,
    run_segmenter,
    segment_configured,
)
from hitl.project.errors import NothingToDoError, ProjectError
from hitl.project.folder import Project, write_json
from hitl.project.reporter import Reporter
from hitl.project.runs import read_card
from labels.hashing import values_sha256
from models.base import Segmentation, Segmenter
from models.registry import SEGMENTERS

BOOTSTRAP = "bootstrap"


@dataclass(frozen=True)
class Predicted:
    """Label images that were written.

    Parameters
    ----------
    model : str
    files : mapping of str to str
        Stack name to label file.
    objects : mapping of str to int
        Stack name to number of objects.
    """

    model: str
    files: dict[str, str]
    objects: dict[str, int]


class Predictor:
    """One run, or one segmenter with the bootstrap's cleaning, ready for a project's stacks.

    Parameters
    ----------
    project : Project
    model : str or Segmenter
        A run's id, a segmenter's name, or ``"bootstrap"`` for the config's segmenter.
    reporter : Reporter
    """

    def __init__(self, project: Project, model: str | Segmenter, reporter: Reporter) -> None:
        self._project = project
        self._reporter = reporter
        self._run: RunSegmenter | None = None
        if isinstance(model, str) and model != BOOTSTRAP and model not in SEGMENTERS:
            self._run = run_segmenter(project.run(model))
            self._segmenter, self.name = self._run.segmenter, model
            return
        if isinstance(model, str):
            name = project.config.bootstrap.segmenter if model == BOOTSTRAP else model
            model = make_segmenter(project.config, name, reporter)
        self._segmenter, self.name = model, model.name

    def reference(self) -> ModelRef:
        """Return what a round or a measurement keeps of the model."""
        settings = self._segmenter.describe()
        known = settings if self._run is None else read_card(self._project.run(self.name))
        return ModelRef(
            name=self.name, weights_sha256=known.get("weights_sha256"), settings=settings
        )

    def variant(self, name: str, change: Callable[[Segmenter], Segmenter]) -> Predictor:
        """Return a predictor with a changed segmenter; its predictions are kept apart by `name`."""
        other = copy.copy(self)
        other.name = f"{self.name}@{name}"
        other._segmenter = change(self._segmenter)
        if self._run is not None:
            other._run = replace(self._run, segmenter=other._segmenter)
        return other

    def fingerprint(self, store: AnnotationStore, stack: str) -> str:
        """Return a hash of everything that the prediction on `stack` depends on."""
        info = store.stack(stack).info
        dumped = self._project.config.model_dump(mode="json")
        parts: dict[str, Any] = {
            "segmenter": self._segmenter.describe(),
            "image": info.source_sha256,
            "channel": info.channel,
            "spacing_um": info.spacing_um,
            "steps": self._run.preprocess
            if self._run is not None
            else {key: dumped[key] for key in ("preprocess", "postprocess", "bootstrap")},
        }
        return values_sha256(json.dumps(parts, sort_keys=True, default=str))

    def segment(self, view: StackView) -> Segmentation:
        """Segment one stack of the store; a run reads a large one box by box where it can."""
        config = self._project.config
        if self._run is None:
            return segment_configured(view, config, self._segmenter, self._reporter)
        limit = config.prediction.whole_up_to_voxels
        return self._run.segment_stack(view, limit, self._project.folder, self._reporter)

    def segment_to_file(
        self, store: AnnotationStore, stack: str, file: Path
    ) -> tuple[int, NDArray[np.uint32] | None]:
        """Segment one stack into a label TIFF; return the number of objects, and labels if held.

        Stacks of more than the config's `prediction.whole_up_to_voxels` go box by box where the
        model and the preprocessing allow it; a note says where they do not.
        """
        view = store.stack(stack)
        limit = self._project.config.prediction.whole_up_to_voxels
        if self._run is not None:
            blocks = self._run.by_blocks(view, limit, self._reporter)
            if blocks is not None:
                return self._run.segment_to_file(view, blocks, file, self._reporter), None
            image, spacing_um = view.read_channel(), view.info.spacing_um
            labels = self._run.segment(image, spacing_um, stack, self._reporter).labels
        else:
            if math.prod(view.info.zyx) > limit:
                note_whole(view.info, "only trained runs can segment box by box", self._reporter)
            labels = self.segment(view).labels
        write_labels_tiff(file, labels, view.info.spacing_um, overwrite=True)
        return int(np.count_nonzero(np.unique(labels))), labels


@dataclass(frozen=True)
class PredictedFile:
    """A label file of the project.

    Parameters
    ----------
    file : Path
    objects : int
    labels : ndarray of uint32, shape (Z, Y, X), optional
        None where they were never in memory.
    """

    file: Path
    objects: int
    labels: NDArray[np.uint32] | None = None


def predicted_file(
    project: Project, store: AnnotationStore, predictor: Predictor, stack: str
) -> PredictedFile:
    """Return the label file of one stack, made now or by an equal earlier prediction."""
    folder = project.folder / "predictions" / predictor.name
    file, about = folder / f"{stack}.tif", folder / f"{stack}.json"
    fingerprint = predictor.fingerprint(store, stack)
    if file.is_file() and about.is_file():
        known = _read_about(about)
        if known.get("fingerprint") == fingerprint:
            objects = known.get("objects")
            return PredictedFile(file, count_objects(file) if objects is None else objects)
        about.unlink()
    folder.mkdir(parents=True, exist_ok=True)
    objects, labels = predictor.segment_to_file(store, stack, file)
    made = {"fingerprint": fingerprint, "model": predictor.name, "stack": stack}
    write_json(about, {**made, "objects": objects})
    return PredictedFile(file, objects, labels)


def _read_about(file: Path) -> dict[str, Any]:
    """Return what is known of a prediction; nothing where the file is damaged: it is made anew."""
    try:
        known = json.loads(file.read_text(encoding="utf-8"))
    except ValueError:
        return {}
    return known if isinstance(known, dict) else {}


def cached_prediction(
    project: Project, store: AnnotationStore, predictor: Predictor, stack: str
) -> tuple[NDArray[np.uint32], Path]:
    """Return the labels of one stack, segmented now or taken from an equal earlier prediction."""
    made = predicted_file(project, store, predictor, stack)
    return (read_labels(made.file) if made.labels is None else made.labels), made.file


def predict(
    project: Project,
    model: str,
    stacks: tuple[str, ...],
    output: Path | None,
    reporter: Reporter,
) -> Predicted:
    """Segment stacks (all when none are named) and write one label TIFF each.

    Raises
    ------
    ProjectError
        Unknown run, or a file in `output` that would be overwritten.
    NothingToDoError
        No stacks.
    """
    store = project.store()
    names = stacks or tuple(info.name for info in store.stacks())
    if not names:
        raise NothingToDoError("the project has no stacks; add one with `hitl add PROJECT IMAGE`")
    targets = {name: output / f"{name}.tif" for name in names} if output is not None else {}
    for target in targets.values():
        if target.exists():
            raise ProjectError(f"{target} exists already; name another folder with --output")
    predictor = Predictor(project, model, reporter)
    files, objects = {}, {}
    for name in names:
        made = predicted_file(project, store, predictor, name)
        if name in targets:
            targets[name].parent.mkdir(parents=True, exist_ok=True)
            copy_file(made.file, targets[name])
        files[name] = str(targets.get(name, made.file))
        objects[name] = made.objects
    return Predicted(predictor.name, files, objects)
