"""A run or a segmenter, ready for a project's fields."""

from __future__ import annotations

import copy
import json
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from annotations.fields import LabelsInfo
from annotations.formats import write_labels_tiff
from annotations.rounds import ModelRef
from annotations.views import LabelsView
from hitl.prediction.segmenters import (
    RunSegmenter,
    as_kind,
    make_segmenter,
    note_whole,
    run_segmenter,
    segment_configured,
)
from hitl.prediction.sizes import diameter_of, said_diameters
from hitl.preprocess.pipeline import steps_for
from hitl.project.config import CONFIG_NAME
from hitl.project.folder import Project
from hitl.project.processing import PreprocessStep
from hitl.project.reporter import Reporter
from hitl.project.runs import read_card
from labels.hashing import values_sha256
from labels.numbers import number_of
from models.base import Segmentation, Segmenter, channels_error
from models.registry import models_with

BOOTSTRAP = "bootstrap"


class Predictor:
    """One run, or one segmenter with the bootstrap's cleaning, ready for a project's fields.

    Parameters
    ----------
    project : Project
    model : str or Segmenter
        A run's id, a segmenter's name, or ``"bootstrap"`` for the config's segmenter.
    reporter : Reporter

    Raises
    ------
    ProjectError
        No such run, or it did not finish.
    CheckpointError
        The run's folder is damaged. Its weights are read later, when they are first needed.
    """

    def __init__(self, project: Project, model: str | Segmenter, reporter: Reporter) -> None:
        self._project = project
        self._reporter = reporter
        self._run: RunSegmenter | None = None
        self._made: Segmenter | None = None
        known = models_with("segmenter")
        said = said_diameters(project)
        if isinstance(model, str) and model not in (BOOTSTRAP, *known):
            self._run = replace(
                run_segmenter(project.run(model, others=known)),
                diameters_um=said,
                spelling=f"prediction.{{}} in {CONFIG_NAME}",
            )
            self.name = model
            return
        if isinstance(model, str):
            name = project.config.bootstrap.segmenter if model == BOOTSTRAP else model
            model = make_segmenter(project.config, name, reporter)
        self._made, self.name = model, model.name

    @property
    def _segmenter(self) -> Segmenter:
        if self._run is not None:
            return self._run.segmenter
        assert self._made is not None, "a run or a segmenter"
        return self._made

    def reference(self) -> ModelRef:
        """Return what a round or a measurement keeps of the model."""
        settings = self._description
        known = settings if self.card is None else self.card
        return ModelRef(
            name=self.name, weights_sha256=known.get("weights_sha256"), settings=settings
        )

    def variant(self, name: str, change: Callable[[Segmenter], Segmenter]) -> Predictor:
        """Return a predictor with a changed segmenter; its predictions are kept apart by `name`."""
        other = copy.copy(self)
        other.name = f"{self.name}@{name}"
        other.__dict__.pop("_description", None)
        if self._run is None:
            other._made = change(self._segmenter)
        else:
            other._run = replace(self._run, load=lambda: change(self._segmenter))
        return other

    @cached_property
    def _description(self) -> dict[str, Any]:
        """What the segmenter says of itself; it may hash its weights, so it is asked once."""
        return self._segmenter.describe()

    def why_not(self, info: LabelsInfo) -> str | None:
        """Return why the model cannot segment a class as it was taught, in words, or None."""
        seen, name = len(info.seen), info.class_name
        most = self._channels()[1]
        if self.card is not None:
            if name not in self.classes:
                return f"{self.name} was trained on {', '.join(self.classes)}, not on {name}"
            if seen != most:
                taught = number_of(int(most), "channel")
                return f"{self.name} was trained on {taught}, {name} is seen in {seen}"
            return None
        if others := self._project.config.class_of(name).neither:
            return f"{name} is where none of {', '.join(others)} is: nothing segments it"
        if seen > most:
            taken = number_of(int(most), "channel")
            return f"{self.name} takes at most {taken}, {name} is seen in {seen}"
        return None

    def check(self, chosen: Iterable[LabelsInfo]) -> None:
        """Refuse, before any is segmented, labels of which the model can segment none.

        Raises
        ------
        ImageError
            They see more channels than the model takes.
        PreprocessError, ProjectError
            They cannot be preprocessed as the model's images are.
        """
        whose = CONFIG_NAME if self._run is None else f"the run {self.name}"
        for info in chosen:
            steps_for(self._steps(info.class_name), info, whose)
            seen, least, most = len(info.seen), *self._channels()
            if not least <= seen <= most:
                expected = f"{'' if least == most else 'at most '}{number_of(int(most), 'channel')}"
                raise channels_error(info.address, self.name, expected, seen)

    def _channels(self) -> tuple[int, float]:
        """Return the least and the largest number of channels that the model takes."""
        if self.card is not None:
            return self.card["channels"], self.card["channels"]
        return 1, getattr(self._segmenter, "most_channels", math.inf)

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
        return () if self.card is None else tuple(self.card["classes"])

    @cached_property
    def card(self) -> dict[str, Any] | None:
        """The card of a run; None for a segmenter."""
        return None if self._run is None else read_card(self._project.run(self._run.name))

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
        said = diameter_of(self._project.config.prediction.diameter_um, info)
        if said is not None:
            parts["diameter_um"] = said
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

    def segment_planes(self, view: LabelsView) -> NDArray[np.uint32]:
        """Segment all time points of a view in memory, as planes (T·Z, Y, X).

        Ids of objects go on from time point to time point.
        """
        return self._planes(view, self.segment)

    def _planes(
        self, view: LabelsView, segment: Callable[[LabelsView], Segmentation]
    ) -> NDArray[np.uint32]:
        found: list[NDArray[np.uint32]] = []
        highest = 0
        for each in view.time_points():
            labels = segment(each).labels
            if view.info.label_class.kind == "instances":
                labels = np.where(labels > 0, labels + np.uint32(highest), labels)
            highest = max(highest, int(labels.max()))
            found.append(labels)
        return np.concatenate(found)

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
        planes = self._planes(view, segment)
        write_labels_tiff(
            file,
            planes,
            info.spacing_um,
            times=info.times,
            time_step_s=info.field.time_step_s,
            overwrite=True,
        )
        return int(np.count_nonzero(np.unique(planes))), planes
