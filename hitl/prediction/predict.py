"""Segmenting a project's fields with a run or a segmenter, once for each pair of them."""

from __future__ import annotations

import copy
import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from annotations.fields import LabelsInfo
from annotations.formats import open_labels, write_labels_tiff
from annotations.rounds import ModelRef
from annotations.views import LabelsView
from hitl.prediction.blockwise import copy_file
from hitl.prediction.segmenters import (
    RunSegmenter,
    as_kind,
    make_segmenter,
    note_whole,
    run_segmenter,
    segment_configured,
)
from hitl.project.addresses import chosen_labels
from hitl.project.errors import NothingToDoError, ProjectError
from hitl.project.folder import Project
from hitl.project.processing import PreprocessStep
from hitl.project.records import Shape, Whole, read_record, write_record
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
        Label file by address.
    objects : mapping of str to int
        Number of objects by address.
    """

    model: str
    files: dict[str, str]
    objects: dict[str, int]


class Predictor:
    """One run, or one segmenter with the bootstrap's cleaning, ready for a project's fields.

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
        settings = self._description
        known = settings if self._run is None else self._card
        return ModelRef(
            name=self.name, weights_sha256=known.get("weights_sha256"), settings=settings
        )

    def variant(self, name: str, change: Callable[[Segmenter], Segmenter]) -> Predictor:
        """Return a predictor with a changed segmenter; its predictions are kept apart by `name`."""
        other = copy.copy(self)
        other.name = f"{self.name}@{name}"
        other._segmenter = change(self._segmenter)
        other.__dict__.pop("_description", None)
        if self._run is not None:
            other._run = replace(self._run, segmenter=other._segmenter)
        return other

    @cached_property
    def _description(self) -> dict[str, Any]:
        """What the segmenter says of itself; it may hash its weights, so it is asked once."""
        return self._segmenter.describe()

    def why_not(self, info: LabelsInfo) -> str | None:
        """Return why the model cannot segment a class as it was taught, in words, or None."""
        seen, name = len(info.seen), info.class_name
        if self._run is not None:
            if name not in self.classes:
                return f"{self.name} was trained on {', '.join(self.classes)}, not on {name}"
            taught = self._card["channels"]
            if seen != taught:
                return f"{self.name} was trained on {taught} channels, {name} is seen in {seen}"
            return None
        if others := self._project.config.class_of(name).neither:
            return f"{name} is where none of {', '.join(others)} is: nothing segments it"
        most = getattr(self._segmenter, "most_channels", None)
        if most is not None and seen > most:
            return f"{self.name} takes at most {most} channels, {name} is seen in {seen}"
        return None

    def takes(self, info: LabelsInfo) -> bool:
        """Whether the model can segment a class as it was taught."""
        return self.why_not(info) is None

    def own(self, chosen: Sequence[LabelsInfo]) -> list[LabelsInfo]:
        """Return the labels that the model takes; notes say why the others are left out."""
        reasons = {info.key: self.why_not(info) for info in chosen}
        for reason in dict.fromkeys(filter(None, reasons.values())):
            self._reporter.note(f"{reason}: left out")
        return [info for info in chosen if reasons[info.key] is None]

    @property
    def classes(self) -> tuple[str, ...]:
        """Classes that a run was trained on; empty for a segmenter, which takes any."""
        return () if self._run is None else tuple(self._card["classes"])

    @cached_property
    def _card(self) -> dict[str, Any]:
        assert self._run is not None, "a trained run"
        return read_card(self._project.run(self._run.name))

    def fingerprint(self, info: LabelsInfo) -> str:
        """Return a hash of everything that the prediction of labels depends on."""
        dumped = self._project.config.model_dump(mode="json")
        steps = [step.model_dump(mode="json") for step in self._steps(info.class_name)]
        parts: dict[str, Any] = {
            "segmenter": self._description,
            "image": info.field.digest,
            "class": (info.class_name, info.seen, info.label_class.kind, info.zyx, info.times),
            "spacing_um": info.spacing_um,
            "steps": steps,
            "cleaning": {}
            if self._run is not None
            else {key: dumped[key] for key in ("postprocess", "bootstrap")},
        }
        return values_sha256(json.dumps(parts, sort_keys=True, default=str))

    def _steps(self, class_name: str) -> tuple[PreprocessStep, ...]:
        if self._run is not None:
            return self._run.steps_of(class_name)
        return self._project.config.steps_of(class_name)

    def segment(self, view: LabelsView) -> Segmentation:
        """Segment one time point of a field; a run reads a large one box by box where it can."""
        config = self._project.config
        if self._run is None:
            return segment_configured(view, config, self._segmenter, self._reporter)
        limit = config.prediction.whole_up_to_voxels
        found = self._run.segment_field(view, limit, self._project.folder, self._reporter)
        return replace(found, labels=as_kind(found.labels, view.info))

    def _segment_whole(self, view: LabelsView) -> Segmentation:
        assert self._run is not None, "a trained run"
        return self._run.segment_whole(view, self._reporter)

    def segment_to_file(
        self, view: LabelsView, file: Path
    ) -> tuple[int, NDArray[np.uint32] | None]:
        """Segment labels into a TIFF; return the number of objects, and the planes if held.

        Ids go on from time point to time point. A single time point of more than the config's
        `prediction.whole_up_to_voxels` goes box by box where the model and the preprocessing allow
        it; a note says where they do not.
        """
        info, segment = view.info, self.segment
        limit = self._project.config.prediction.whole_up_to_voxels
        if self._run is not None and info.times == 1 and info.label_class.kind == "instances":
            blocks = self._run.by_blocks(view, limit, self._reporter)
            if blocks is not None:
                return self._run.segment_to_file(view, blocks, file, self._reporter), None
            segment = self._segment_whole
        elif self._run is None and math.prod(info.zyx) > limit:
            note_whole(info, "only trained runs can segment box by box", self._reporter)
        found: list[NDArray[np.uint32]] = []
        highest = 0
        for each in view.time_points():
            labels = segment(each).labels
            if info.label_class.kind == "instances":
                labels = np.where(labels > 0, labels + np.uint32(highest), labels)
            highest = max(highest, int(labels.max()))
            found.append(labels)
        planes = np.concatenate(found)
        write_labels_tiff(
            file,
            planes,
            info.spacing_um,
            times=info.times,
            time_step_s=info.field.time_step_s,
            overwrite=True,
        )
        return int(np.count_nonzero(np.unique(planes))), planes


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


class _About(Shape):
    """What is read of a prediction that was made."""

    fingerprint: str
    objects: Whole


def predicted_file(project: Project, predictor: Predictor, view: LabelsView) -> PredictedFile:
    """Return the file of labels, made now or by an equal earlier prediction."""
    file = prediction_file(project, predictor.name, view.info)
    about = file.with_name(f"{view.info.file_name}.json")
    fingerprint = predictor.fingerprint(view.info)
    if file.is_file() and about.is_file():
        known = _read_about(about)
        if known.get("fingerprint") == fingerprint:
            return PredictedFile(file, known["objects"])
        about.unlink()
    file.parent.mkdir(parents=True, exist_ok=True)
    objects, labels = predictor.segment_to_file(view, file)
    made = {"fingerprint": fingerprint, "model": predictor.name, "field": view.info.key}
    write_record(about, {**made, "objects": objects})
    return PredictedFile(file, objects, labels)


def _read_about(file: Path) -> dict[str, Any]:
    """Return what is known of a prediction; nothing where the file is damaged: it is made anew."""
    try:
        return read_record(file, _About)
    except ValueError:
        return {}


def cached_prediction(
    project: Project, predictor: Predictor, view: LabelsView
) -> NDArray[np.uint32]:
    """Return labels, segmented now or taken from an equal earlier prediction.

    Returns
    -------
    ndarray of uint32
        Of what the view covers: (Z, Y, X) of one time point, planes (T·Z, Y, X) of all.
    """
    made = predicted_file(project, predictor, view.whole)
    if made.labels is None:
        return read_prediction(made.file, view)
    return made.labels[_planes(view)]


def prediction_file(project: Project, model: str, info: LabelsInfo) -> Path:
    """Return where a model's prediction of labels is kept, whether or not there is one."""
    return project.folder / "predictions" / model / f"{info.file_name}.tif"


def read_prediction(file: Path, view: LabelsView) -> NDArray[np.uint32]:
    """Return what a prediction's file has of what a view covers."""
    planes = _planes(view)
    with open_labels(file) as source:
        return source.read(planes.start, planes.stop)


def _planes(view: LabelsView) -> slice:
    """Return which planes (T·Z, Y, X) of a prediction a view covers."""
    depth = view.info.zyx[0]
    times = range(view.info.times) if view.time is None else range(view.time, view.time + 1)
    return slice(times.start * depth, times.stop * depth)


def predict(
    project: Project,
    model: str,
    fields: tuple[str, ...],
    output: Path | None,
    reporter: Reporter,
    classes: tuple[str, ...] = (),
) -> Predicted:
    """Segment fields (all when none are named) and write one label TIFF each.

    Raises
    ------
    ProjectError
        Unknown run, or a file in `output` that would be overwritten.
    NothingToDoError
        No fields, or none of the classes that the model was trained on.
    """
    store = project.store()
    predictor = Predictor(project, model, reporter)
    chosen = chosen_labels(store, fields, classes)
    if not chosen:
        raise NothingToDoError("the project has no fields; add one with `hitl add PROJECT IMAGE`")
    chosen = labels_of_model(predictor, chosen, classes)
    targets = {i.key: output / f"{i.file_name}.tif" for i in chosen} if output is not None else {}
    for target in targets.values():
        if target.exists():
            raise ProjectError(f"{target} exists already; name another folder with --output")
    files, objects = {}, {}
    for info in chosen:
        made = predicted_file(project, predictor, store.labels(info.key))
        if info.key in targets:
            targets[info.key].parent.mkdir(parents=True, exist_ok=True)
            copy_file(made.file, targets[info.key])
        files[info.address] = str(targets.get(info.key, made.file))
        objects[info.address] = made.objects
    return Predicted(predictor.name, files, objects)


def labels_of_model(
    predictor: Predictor, chosen: list[LabelsInfo], classes: Sequence[str]
) -> list[LabelsInfo]:
    """Return the labels that a model takes; all of them where classes were named.

    Raises
    ------
    NothingToDoError
        It takes none of them.
    """
    if classes:
        return chosen
    own = predictor.own(chosen)
    if not own:
        raise NothingToDoError(
            f"{predictor.why_not(chosen[0])}: name another model with --model, or run it all the "
            "same with --class"
        )
    return own
