"""Segmenting a project's stacks with a run or a segmenter, once for each pair of them."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from annotations.formats import read_labels, write_labels_tiff
from annotations.store import AnnotationStore
from annotations.volume import Spacing
from hitl import preprocess
from hitl.bootstrap import make_segmenter, segment_stack
from hitl.config import load_yaml, parse_config
from hitl.errors import NothingToDoError, ProjectError
from hitl.project import Project, write_json
from hitl.reporting import Reporter
from models.base import Segmentation, Segmenter
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

    def segment(
        self, image: NDArray[Any], spacing_um: Spacing, what: str, reporter: Reporter
    ) -> Segmentation:
        """Preprocess and segment one image of shape (Z, Y, X)."""
        steps = parse_config({"preprocess": self.preprocess}).preprocess
        result = self.segmenter.segment(
            preprocess.apply(steps, image),
            spacing_um,
            progress=lambda done, total, step: reporter.progress(done, total, f"{what}: {step}"),
        )
        for note in result.notes:
            reporter.note(f"{self.name}, {what}: {note}")
        return result


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
        return hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()

    def segment(self, store: AnnotationStore, stack: str) -> NDArray[np.uint32]:
        """Segment one stack."""
        if self._run is None:
            config = self._project.config
            return segment_stack(store, stack, config, self._segmenter, self._reporter).labels
        view = store.stack(stack)
        image, spacing_um = view.read_channel(), view.info.spacing_um
        return self._run.segment(image, spacing_um, stack, self._reporter).labels


def cached_prediction(
    project: Project, store: AnnotationStore, predictor: Predictor, stack: str
) -> tuple[NDArray[np.uint32], Path]:
    """Return the labels of one stack, segmented now or taken from an equal earlier prediction."""
    folder = project.folder / "predictions" / predictor.name
    file, about = folder / f"{stack}.tif", folder / f"{stack}.json"
    fingerprint = predictor.fingerprint(store, stack)
    if file.is_file() and about.is_file():
        if json.loads(about.read_text()).get("fingerprint") == fingerprint:
            return read_labels(file), file
        about.unlink()
    labels = predictor.segment(store, stack)
    folder.mkdir(parents=True, exist_ok=True)
    write_labels_tiff(file, labels, store.stack(stack).info.spacing_um, overwrite=True)
    write_json(about, {"fingerprint": fingerprint, "model": predictor.name, "stack": stack})
    return labels, file


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
        labels, file = cached_prediction(project, store, predictor, name)
        if name in targets:
            targets[name].parent.mkdir(parents=True, exist_ok=True)
            write_labels_tiff(targets[name], labels, store.stack(name).info.spacing_um)
            file = targets[name]
        files[name] = str(file)
        objects[name] = int(np.count_nonzero(np.unique(labels)))
    return Predicted(predictor.name, files, objects)
