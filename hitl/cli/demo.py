"""The whole line once: labels from nothing, two models trained on them, an honest score."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from annotations.formats import (
    label_axes,
    open_image,
    refuse_series,
    write_image_tiff,
    write_labels_tiff,
)
from annotations.splits import Split
from hitl.evaluation.evaluate import Evaluated, evaluate
from hitl.evaluation.requests import EvaluateRequest
from hitl.labelling.add import add_field, default_name
from hitl.labelling.bootstrap import bootstrap
from hitl.labelling.given_labels import open_label_file
from hitl.labelling.requests import AddRequest, BootstrapRequest
from hitl.prediction.predict import predict
from hitl.prediction.predictor import BOOTSTRAP
from hitl.project.config import ProjectConfig
from hitl.project.errors import NothingToDoError
from hitl.project.folder import Project
from hitl.project.presets import find_preset
from hitl.project.reporter import Reporter
from hitl.report.requests import ReportRequest
from hitl.report.write import write_report
from hitl.training.train import train
from labels.spacing import Spacing

# The embedded stack has no voxel size: its nuclei are half as many voxels deep as wide.
EMBEDDED_SPACING_UM: Spacing = (2.0, 1.0, 1.0)
IMAGE_NAMES = ("image.tif", "image.tiff", "image.ome.tif", "image.zarr")
LABEL_NAMES = ("labels.tif", "labels.tiff", "labels.ome.tif", "labels.zarr")


@dataclass(frozen=True)
class DemoStack:
    """One stack of the demo; without labels it is only learned from."""

    name: str
    image: NDArray[Any]
    labels: NDArray[np.uint32] | None
    spacing_um: Spacing


@dataclass(frozen=True)
class Demonstrated:
    """What the demo made."""

    project: Project
    evaluated: Evaluated
    report: Path


def run_demo(
    folder: Path,
    stacks: Path | None,
    spacing_um: Spacing | None,
    axes: str | None,
    minutes: float,
    reporter: Reporter,
) -> Demonstrated:
    """Bootstrap, train, predict, evaluate and report in a new project.

    Of each stack with labels, one half in y is learned from without its labels, and the other
    tests. The models see bootstrapped labels only.

    Parameters
    ----------
    folder : Path
        New folder.
    stacks : Path, optional
        Folder with one folder per stack that holds ``image.tif`` and perhaps ``labels.tif``;
        the stack inside the `stardist` package when not given.
    spacing_um : (float, float, float), optional
        Voxel size (z, y, x) in µm where the files have none.
    axes : str, optional
        Axes of the files where they do not say.
    minutes : float
        Training time of each model.
    reporter : Reporter

    Raises
    ------
    NothingToDoError
        No stacks, or none with labels to test on.
    ProjectError
        The folder is not empty.
    """
    project = Project.create(folder, demo_config(minutes))
    found = embedded_stack() if stacks is None else own_stacks(stacks, spacing_um, axes)
    tests = tuple(test for stack in found if (test := _add_halves(project, stack, reporter)))
    if not tests:
        raise NothingToDoError(
            f"{stacks}: no stack has labels to test on; put a labels.tif beside an image.tif"
        )
    reporter.step(f"hitl bootstrap {folder}")
    bootstrap(project, BootstrapRequest(), reporter)
    runs = _train_and_predict(project, tests, reporter)
    reporter.step(f"hitl evaluate {folder}")
    evaluated = evaluate(project, EvaluateRequest(models=(BOOTSTRAP, *runs)), reporter)
    reporter.step(f"hitl report {folder}")
    return Demonstrated(project, evaluated, write_report(project, ReportRequest(), reporter).file)


def free_folder() -> Path:
    """Return the first of ``demo``, ``demo-2``, … that is not there yet."""
    names = (f"demo-{number}" if number > 1 else "demo" for number in itertools.count(1))
    return next(Path(name) for name in names if not Path(name).exists())


def demo_config(minutes: float) -> ProjectConfig:
    """Return the shipped demo configuration with the training time of each model set."""
    from hitl.project.config import load_yaml, parse_config

    data = load_yaml(find_preset("demo"))
    for options in data["training"]["models"].values():
        options["max_minutes"] = minutes
    return parse_config(data, "demo")


def embedded_stack() -> Iterator[DemoStack]:
    """Give the labelled stack that the `stardist` package carries (31 × 61 × 57, 51 objects)."""
    from stardist.data import test_image_nuclei_3d

    image, labels = test_image_nuclei_3d(return_mask=True)
    yield DemoStack("stardist_nuclei", image, labels.astype(np.uint32), EMBEDDED_SPACING_UM)


def own_stacks(
    folder: Path, spacing_um: Spacing | None, axes: str | None = None
) -> Iterator[DemoStack]:
    """Give the stacks below `folder`.

    Raises
    ------
    NothingToDoError
        When there is none.
    """
    found = 0
    for inner in sorted(p for p in folder.glob("*") if p.is_dir()):
        image = next((inner / name for name in IMAGE_NAMES if (inner / name).exists()), None)
        if image is None:
            continue
        found += 1
        labels = next((inner / name for name in LABEL_NAMES if (inner / name).exists()), None)
        with open_image(image, axes=axes, spacing_um=spacing_um) as source:
            if len(source.info.channels) != 1:
                raise NothingToDoError(
                    f"{image}: expected one channel, got {len(source.info.channels)}; "
                    "use `hitl add --channel` for such stacks"
                )
            times, _, depth, _, _ = source.info.shape
            refuse_series(image, times, flat=depth == 1)
            voxels = source.read(0, 0, depth)[0]
            spacing = source.info.spacing_um
        truth = None
        if labels is not None:
            with open_label_file(labels, label_axes(axes)) as file:
                truth = file.read(0, file.shape[0])
        yield DemoStack(default_name(inner), voxels, truth, spacing)
    if not found:
        raise NothingToDoError(
            f"{folder}: expected folders that hold image.tif and labels.tif, found none"
        )


def _add_halves(project: Project, stack: DemoStack, reporter: Reporter) -> str | None:
    """Add the first half in y to learn from, and the second, with its labels, to test on.

    A stack without labels is learned from whole. Returns the name of the half to test on.
    """
    if stack.labels is None:
        _add(project, stack, "train", slice(None), reporter)
        return None
    middle = stack.image.shape[1] // 2
    _add(project, stack, "train", slice(0, middle), reporter)
    return _add(project, stack, "test", slice(middle, None), reporter)


def _add(project: Project, stack: DemoStack, split: Split, rows: slice, reporter: Reporter) -> str:
    """Add some rows in y of a stack, with its labels where they test; return the name."""
    files = project.folder / "images"
    files.mkdir(exist_ok=True)
    name = f"{stack.name}_{split}"
    image_file, label_file = files / f"{name}.tif", None
    write_image_tiff(image_file, stack.image[:, rows], stack.spacing_um)
    if split == "test" and stack.labels is not None:
        label_file = files / f"{name}_labels.tif"
        write_labels_tiff(label_file, stack.labels[:, rows], stack.spacing_um)
    options = f" --split {split}" + (f" --labels {label_file}" if label_file else "")
    reporter.step(f"hitl add {project.folder} {image_file}{options}")
    labels = ((None, label_file),) if label_file else ()
    add_field(project, AddRequest(images=(image_file,), split=split, labels=labels), reporter)
    return name


def _train_and_predict(
    project: Project, tests: tuple[str, ...], reporter: Reporter
) -> tuple[str, ...]:
    """Train each model of the demo and run it on the stacks to test on; return the runs."""
    runs = []
    for model in project.config.training.models:
        reporter.step(f"hitl train {project.folder} {model}")
        runs.append(train(project, model, {}, (), reporter).run)
    for run in runs:
        reporter.step(f"hitl predict {project.folder} --model {run}")
        predict(project, run, tests, None, reporter)
    return tuple(runs)
