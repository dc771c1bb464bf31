"""What segments an image: a finished run with its preprocessing, or a segmenter as configured."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from annotations.fields import LabelsInfo
from annotations.views import LabelsView
from hitl.postprocess.pipeline import postprocess
from hitl.prediction.blockwise import scratch_folder, segment_to_file, segment_view, why_whole
from hitl.prediction.sizes import diameter_of, of_size
from hitl.preprocess.pipeline import preprocess, steps_for
from hitl.project.config import (
    CONFIG_NAME,
    ProjectConfig,
    load_yaml,
    parse_config,
    segmenter_options,
)
from hitl.project.errors import ProjectError
from hitl.project.processing import PreprocessStep
from hitl.project.records import Shape
from hitl.project.reporter import Reporter
from hitl.project.schema import options_model, validate
from labels.json_files import JsonError, shaped
from labels.progress import Progress
from labels.spacing import Spacing
from models.base import BlockSegmenter, Segmentation, Segmenter
from models.errors import CheckpointError
from models.registry import check_model, load_run, segmenter_class, spec_of
from models.several_classes import for_class

_ASKED = re.compile(r"(?<=\bgive )[a-z]+(?:_[a-z]+)+\b")
"""An option in a note; models do not know how it is given."""


def segmenter_name(name: str, reporter: Reporter) -> str:
    """Return the segmenter that a name stands for; ``"auto"`` is Cellpose where it can run."""
    if name != "auto":
        return name
    missing = spec_of("cellpose").missing()
    if not missing:
        reporter.note("bootstraps with Cellpose, whose weights are on this machine")
        return "cellpose"
    reporter.note(f"bootstraps with the starter model that ships: {missing}")
    return "starter"


def make_segmenter(config: ProjectConfig, name: str, reporter: Reporter) -> Segmenter:
    """Build a segmenter with the config's options; see `segmenter_name`."""
    name = segmenter_name(name, reporter)
    cls = segmenter_class(name)
    return cls(**segmenter_options(config, name))


def with_settings(
    config: ProjectConfig, name: str, settings: Mapping[str, Any], reporter: Reporter
) -> tuple[ProjectConfig, str]:
    """Return a config with options of a segmenter over its own, and the segmenter's own name.

    Raises
    ------
    ConfigError, UnknownModelError
        No such option or segmenter.
    """
    name = segmenter_name(name, reporter)
    if not settings:
        return config, name
    validate(options_model(segmenter_class(name)), settings, f"--set: {name}")
    options = {**config.segmenters.get(name, {}), **settings}
    return config.model_copy(update={"segmenters": {**config.segmenters, name: options}}), name


def spelled(note: str, spelling: str) -> str:
    """Spell the option that a segmenter's note asks for as who runs this verb can give it.

    >>> spelled("too few found; give diameter_um", "--set {}=…")
    'too few found; give --set diameter_um=…'
    """
    return _ASKED.sub(lambda option: spelling.format(option[0]), note)


def segment_configured(
    view: LabelsView, config: ProjectConfig, segmenter: Segmenter, reporter: Reporter
) -> Segmentation:
    """Preprocess, segment and clean one time point of a field as the project's config says.

    The result's `confidence` has an entry for every object that is left (NaN where the segmenter
    gave none).
    """
    info = view.info
    steps = steps_for(config.steps_of(info.class_name), info, CONFIG_NAME)
    image = preprocess(steps, view.read_image())
    segmenter = of_size(segmenter, diameter_of(config.prediction.diameter_um, info))
    found = segmenter.segment(image, info.spacing_um, progress=told(reporter, view.name))
    for note in found.notes:
        told_how = spelled(note, f"segmenters.{segmenter.name}.{{}} in {CONFIG_NAME}")
        reporter.note(f"{view.name}: {told_how}")
    labels = found.labels
    if config.bootstrap.clean:
        labels = postprocess(labels, info.spacing_um, config.postprocess)
    labels = as_kind(labels, info)
    ids = np.unique(labels)
    confidence = {int(i): float(found.confidence.get(int(i), np.nan)) for i in ids[ids > 0]}
    return Segmentation(labels, confidence, found.probability, found.notes)


class _RunConfig(Shape):
    """What is read of a run's config."""

    model: str
    preprocess: dict[str, list[dict[str, Any]]]


@dataclass(frozen=True)
class RunSegmenter:
    """A finished run with the preprocessing that it was trained with.

    Parameters
    ----------
    name : str
        The run's id.
    load : callable
        Returns the model, from its weights.
    preprocess : mapping of str to (list of mapping)
        The steps of each class that it was trained on, as in a config.
    diameters_um : mapping of str to float
        Diameter of the objects of fields, where it was said.
    spelling : str
        How the option that a note asks for can be given, see `spelled`.
    """

    name: str
    load: Callable[[], Segmenter]
    preprocess: dict[str, list[dict[str, Any]]]
    diameters_um: Mapping[str, float] = field(default_factory=dict)
    spelling: str = "--set {}=…"

    @cached_property
    def segmenter(self) -> Segmenter:
        """The model, loaded when it is first needed: what can be refused is refused before."""
        return self.load()

    def steps_of(self, class_name: str | None) -> tuple[PreprocessStep, ...]:
        """Return the preprocessing of a class, or that of all where they have the same.

        Raises
        ------
        ProjectError
            The run was trained on classes with unlike preprocessing, and this is none of them.
        """
        ways = list(self.preprocess.values())
        steps = self.preprocess.get(class_name or "", ways[0] if ways else [])
        if class_name not in self.preprocess and any(way != steps for way in ways):
            got = "none" if class_name is None else repr(class_name)
            raise ProjectError(
                f"run {self.name}: its classes are preprocessed in unlike ways: expected one of "
                f"{', '.join(sorted(self.preprocess))}, got {got}; name one with --class"
            )
        return parse_config({"preprocess": steps}).preprocess

    def segment(
        self,
        image: NDArray[Any],
        spacing_um: Spacing,
        what: str,
        reporter: Reporter,
        steps: Sequence[PreprocessStep],
        class_name: str | None,
        diameter_um: float | None = None,
    ) -> Segmentation:
        """Preprocess and segment one image (C, Z, Y, X), of a class where the run knows several."""
        seen = preprocess(steps, image)
        segmenter = of_size(for_class(self.segmenter, class_name or ""), diameter_um)
        result = segmenter.segment(seen, spacing_um, progress=told(reporter, what))
        self._pass_on(result.notes, what, reporter)
        return result

    def segment_whole(self, view: LabelsView, reporter: Reporter) -> Segmentation:
        """Segment a time point of a field, read whole."""
        about = (view.info.spacing_um, view.name, reporter)
        steps, name = self._steps_for(view.info), view.info.class_name
        size = diameter_of(self.diameters_um, view.info)
        return self.segment(view.read_image(), *about, steps, name, size)

    def _steps_for(self, info: LabelsInfo) -> tuple[PreprocessStep, ...]:
        return steps_for(self.steps_of(info.class_name), info, f"the run {self.name}")

    def segment_field(
        self, view: LabelsView, whole_up_to: int, scratch: Path, reporter: Reporter
    ) -> Segmentation:
        """Segment a time point of a field; a large one is read box by box, its labels are held.

        Parameters
        ----------
        view : LabelsView
        whole_up_to : int
            Voxels up to which a field is read whole.
        scratch : Path
            An existing folder in which a large preprocessed image waits.
        reporter : Reporter
        """
        info = view.info
        blocks = self.by_blocks(view, whole_up_to, reporter)
        if blocks is None:
            return self.segment_whole(view, reporter)
        labels = np.zeros(info.zyx, np.uint32)
        with scratch_folder(scratch) as folder:
            steps, step = self._steps_for(info), told(reporter, view.name)
            found = segment_view(blocks, steps, view, labels, folder, step)
        self._pass_on(found.notes, view.name, reporter)
        return Segmentation(labels, found.confidence, notes=found.notes)

    def segment_to_file(
        self, view: LabelsView, blocks: BlockSegmenter, file: Path, reporter: Reporter
    ) -> int:
        """Segment a large field into a label TIFF; return the number of objects."""
        steps = self._steps_for(view.info)
        found = segment_to_file(blocks, steps, view, file, told(reporter, view.name))
        self._pass_on(found.notes, view.name, reporter)
        return len(found.confidence)

    def by_blocks(
        self, view: LabelsView, whole_up_to: int, reporter: Reporter
    ) -> BlockSegmenter | None:
        """Return the segmenter where the field is large and need not be read whole."""
        if math.prod(view.info.zyx) <= whole_up_to:
            return None
        why = why_whole(self.segmenter, self._steps_for(view.info), view.info.field.dtype)
        if why is None:
            sized = of_size(self.segmenter, diameter_of(self.diameters_um, view.info))
            assert isinstance(sized, BlockSegmenter)
            return sized
        note_whole(view.info, why, reporter)
        return None

    def _pass_on(self, notes: Iterable[str], what: str, reporter: Reporter) -> None:
        for note in notes:
            reporter.note(f"{self.name}, {what}: {spelled(note, self.spelling)}")


def as_kind(labels: NDArray[np.uint32], info: LabelsInfo) -> NDArray[np.uint32]:
    """Return labels as their class has them: an area has one id."""
    return labels if info.label_class.kind == "instances" else np.asarray(labels > 0, np.uint32)


def told(reporter: Reporter, what: str) -> Progress:
    """Return a progress callback that says what is worked on."""
    return lambda done, total, step: reporter.progress(done, total, f"{what}: {step}")


def note_whole(info: LabelsInfo, why: str, reporter: Reporter) -> None:
    """Tell that a large field is read whole, and why."""
    reporter.note(
        f"{info.address}: all {math.prod(info.zyx):,} voxels are read into memory, though they are "
        f"more than prediction.whole_up_to_voxels: {why}"
    )


def run_segmenter(folder: Path) -> RunSegmenter:
    """Return what a run's folder holds.

    Raises
    ------
    CheckpointError
        When the folder is not that of a finished run.
    """
    config_file = folder / "config.yaml"
    if not config_file.is_file():
        raise CheckpointError(
            f"{folder}: expected the folder of a finished run, with config.yaml and weights in it"
        )
    try:
        config = shaped(_RunConfig, load_yaml(config_file))
    except (JsonError, TypeError) as error:
        raise CheckpointError(
            f"{config_file}: expected the config of a run, got another one ({error}); copy the "
            "run folder again, or train again"
        ) from error
    check_model(config.model, "run")
    for name, steps in config.preprocess.items():
        parse_config({"preprocess": steps}, f"{config_file}: {name}")
    return RunSegmenter(folder.name, partial(load_run, config.model, folder), config.preprocess)
