"""Segmenting a project's stacks with a run or a segmenter, once for each pair of them."""

from __future__ import annotations

import copy
import json
import math
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from annotations.formats import read_labels, write_labels_tiff
from annotations.stacks import StackView
from annotations.store import AnnotationStore
from hitl import preprocess
from hitl.labelling.bootstrap import make_segmenter, segment_stack
from hitl.prediction.blockwise import (
    copy_file,
    count_objects,
    scratch_folder,
    segment_to_file,
    segment_view,
    why_whole,
)
from hitl.project.config import load_yaml, parse_config
from hitl.project.errors import NothingToDoError, ProjectError
from hitl.project.folder import Project, write_json
from hitl.project.processing import PreprocessStep
from hitl.project.reporter import Reporter
from labels.hashing import values_sha256
from labels.progress import Progress
from labels.spacing import Spacing
from models.base import BlockSegmenter, Segmentation, Segmenter
from models.errors import CheckpointError
from models.registry import SEGMENTERS, load_run

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

    def to_dict(self) -> dict[str, Any]:
        """Return what `--json` prints."""
        return asdict(self)

    def sentence(self) -> str:
        """Return what is printed for people."""
        return "\n".join(
            f"{stack}: {self.objects[stack]} objects in {file}"
            for stack, file in self.files.items()
        )


@dataclass(frozen=True)
class RunSegmenter:
    """A finished run with the preprocessing that it was trained with.

    Parameters
    ----------
    name : str
        The run's id.
    segmenter : Segmenter
    preprocess : list of mapping
        The steps, as in a config.
    """

    name: str
    segmenter: Segmenter
    preprocess: list[dict[str, Any]]

    @property
    def steps(self) -> tuple[PreprocessStep, ...]:
        """The preprocessing, validated."""
        return parse_config({"preprocess": self.preprocess}).preprocess

    def segment(
        self, image: NDArray[Any], spacing_um: Spacing, what: str, reporter: Reporter
    ) -> Segmentation:
        """Preprocess and segment one image of shape (Z, Y, X)."""
        result = self.segmenter.segment(
            preprocess.apply(self.steps, image), spacing_um, progress=_told(reporter, what)
        )
        self._pass_on(result.notes, what, reporter)
        return result

    def segment_stack(
        self, view: StackView, whole_up_to: int, scratch: Path, reporter: Reporter
    ) -> Segmentation:
        """Segment a stack of the store; a large one is read box by box, its labels are held.

        Parameters
        ----------
        view : StackView
        whole_up_to : int
            Voxels up to which a stack is read whole.
        scratch : Path
            An existing folder in which a large preprocessed image waits.
        reporter : Reporter
        """
        info = view.info
        blocks = self.by_blocks(view, whole_up_to, reporter)
        if blocks is None:
            return self.segment(view.read_channel(), info.spacing_um, info.name, reporter)
        labels = np.zeros(info.zyx, np.uint32)
        with scratch_folder(scratch) as folder:
            told = _told(reporter, info.name)
            found = segment_view(blocks, self.steps, view, labels, folder, told)
        self._pass_on(found.notes, info.name, reporter)
        return Segmentation(labels, found.confidence, notes=found.notes)

    def segment_to_file(
        self, view: StackView, blocks: BlockSegmenter, file: Path, reporter: Reporter
    ) -> int:
        """Segment a large stack into a label TIFF; return the number of objects."""
        told = _told(reporter, view.info.name)
        found = segment_to_file(blocks, self.steps, view, file, told)
        self._pass_on(found.notes, view.info.name, reporter)
        return len(found.confidence)

    def by_blocks(
        self, view: StackView, whole_up_to: int, reporter: Reporter
    ) -> BlockSegmenter | None:
        """Return the segmenter where the stack is large and need not be read whole."""
        voxels = math.prod(view.info.zyx)
        if voxels <= whole_up_to:
            return None
        why = why_whole(self.segmenter, self.steps, view.info.dtype)
        if why is None:
            assert isinstance(self.segmenter, BlockSegmenter)
            return self.segmenter
        _note_whole(view.info.name, voxels, why, reporter)
        return None

    def _pass_on(self, notes: Iterable[str], what: str, reporter: Reporter) -> None:
        for note in notes:
            reporter.note(f"{self.name}, {what}: {note}")


def _told(reporter: Reporter, what: str) -> Progress:
    return lambda done, total, step: reporter.progress(done, total, f"{what}: {step}")


def _note_whole(stack: str, voxels: int, why: str, reporter: Reporter) -> None:
    reporter.note(
        f"{stack}: all {voxels:,} voxels are read into memory, though they are more than "
        f"prediction.whole_up_to_voxels: {why}"
    )


def run_segmenter(folder: Path) -> RunSegmenter:
    """Load the model that a run's folder holds.

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
    config = load_yaml(config_file)
    if "model" not in config or "preprocess" not in config:
        raise CheckpointError(f"{config_file}: expected the config of a run, got another one")
    return RunSegmenter(folder.name, load_run(config["model"], folder), config["preprocess"])


class Predictor:
    """One run, or one segmenter with the bootstrap's cleaning, ready for a project's stacks.

    Parameters
    ----------
    project : Project
    model : str
        A run's id, a segmenter's name, or ``"bootstrap"`` for the config's segmenter.
    reporter : Reporter
    """

    def __init__(self, project: Project, model: str, reporter: Reporter) -> None:
        self._project = project
        self._reporter = reporter
        self._run: RunSegmenter | None = None
        self._segmenter: Segmenter
        if model in SEGMENTERS or model == BOOTSTRAP:
            name = project.config.bootstrap.segmenter if model == BOOTSTRAP else model
            self._segmenter = make_segmenter(project.config, name, reporter)
            self.name = self._segmenter.name
        else:
            self._run = run_segmenter(project.run(model))
            self._segmenter = self._run.segmenter
            self.name = model

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

    def segment(self, store: AnnotationStore, stack: str) -> NDArray[np.uint32]:
        """Segment one stack, which is read whole."""
        view = store.stack(stack)
        if self._run is not None:
            image = view.read_channel()
            return self._run.segment(image, view.info.spacing_um, stack, self._reporter).labels
        voxels = math.prod(view.info.zyx)
        if voxels > self._project.config.prediction.whole_up_to_voxels:
            why = "only trained runs can segment box by box"
            _note_whole(stack, voxels, why, self._reporter)
        config = self._project.config
        return segment_stack(store, stack, config, self._segmenter, self._reporter).labels

    def segment_to_file(
        self, store: AnnotationStore, stack: str, file: Path
    ) -> tuple[int, NDArray[np.uint32] | None]:
        """Segment one stack into a label TIFF; return the number of objects, and labels if held.

        Stacks of more than the config's `prediction.whole_up_to_voxels` go box by box where the
        model and the preprocessing allow it; a note says where they do not.
        """
        view = store.stack(stack)
        if self._run is not None:
            limit = self._project.config.prediction.whole_up_to_voxels
            blocks = self._run.by_blocks(view, limit, self._reporter)
            if blocks is not None:
                return self._run.segment_to_file(view, blocks, file, self._reporter), None
        labels = self.segment(store, stack)
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
        known = json.loads(about.read_text())
        if known.get("fingerprint") == fingerprint:
            objects = known.get("objects")
            return PredictedFile(file, count_objects(file) if objects is None else objects)
        about.unlink()
    folder.mkdir(parents=True, exist_ok=True)
    objects, labels = predictor.segment_to_file(store, stack, file)
    made = {"fingerprint": fingerprint, "model": predictor.name, "stack": stack}
    write_json(about, {**made, "objects": objects})
    return PredictedFile(file, objects, labels)


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
