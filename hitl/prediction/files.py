"""Segmenting plain files, without a project."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from annotations.formats import open_image, refuse_series, write_labels_tiff
from hitl.postprocess.pipeline import postprocess
from hitl.prediction.requests import SegmentRequest
from hitl.prediction.segmenters import (
    RunSegmenter,
    make_segmenter,
    run_segmenter,
    spelled,
    with_settings,
)
from hitl.prediction.sizes import RunOptions, takes_size
from hitl.project.classes import chosen_channels
from hitl.project.config import ProjectConfig
from hitl.project.errors import ConfigError, ProjectError
from hitl.project.reporter import Reporter
from hitl.project.schema import options_model, validate
from labels.spacing import Spacing


@dataclass(frozen=True)
class Segmented:
    """A label image that was written."""

    output: Path
    segmenter: str
    objects: int


def segment_file(request: SegmentRequest, reporter: Reporter) -> Segmented:
    """Segment one image file and write its labels as TIFF.

    Raises
    ------
    ProjectError
        When the output exists and may not be replaced, or is no TIFF.
    FormatError, ModelError
        When the image or the model cannot be used.
    """
    _check_output(request)
    run = _run(request)
    if run is not None:
        steps = run.steps_of(request.class_name)
        image, spacing_um = _read(request)
        size = _diameter(run, request)
        about = (spacing_um, request.image.name, reporter, steps, request.class_name, size)
        labels = run.segment(image, *about).labels
        name = run.name
    else:
        wanted = request.segmenter or "auto"
        config, name = with_settings(ProjectConfig(), wanted, request.settings, reporter)
        segmenter = make_segmenter(config, name, reporter)
        image, spacing_um = _read(request)
        found = segmenter.segment(image, spacing_um, progress=reporter.progress)
        for note in found.notes:
            reporter.note(spelled(note, "--set {}=…"))
        labels = postprocess(found.labels, spacing_um, config.postprocess)
    write_labels_tiff(request.output, labels, spacing_um, overwrite=request.overwrite)
    return Segmented(request.output, name, int(np.count_nonzero(np.unique(labels))))


def _run(request: SegmentRequest) -> RunSegmenter | None:
    """Return the run that was named, not loaded yet."""
    if request.run_folder is None:
        return None
    validate(options_model(RunOptions), request.settings, "--set: a trained run")
    return run_segmenter(request.run_folder)


def _diameter(run: RunSegmenter, request: SegmentRequest) -> float | None:
    """Return the size of the objects that was given.

    Raises
    ------
    ConfigError
        The run's model takes none.
    """
    size: float | None = request.settings.get("diameter_um")
    if size is not None and not takes_size(run.segmenter):
        raise ConfigError(
            f"--set diameter_um: run {run.name} has one scale, that of its training; leave it out"
        )
    return size


def _read(request: SegmentRequest) -> tuple[NDArray[Any], Spacing]:
    """Return the channels (C, Z, Y, X) to segment, and the voxel size."""
    with open_image(request.image, axes=request.axes, spacing_um=request.spacing_um) as source:
        times, _, depth, _, _ = source.info.shape
        refuse_series(request.image, times, flat=depth == 1)
        channels = chosen_channels(source.info.channels, request.channels)
        return source.read(0, 0, depth)[list(channels)], source.info.spacing_um


def _check_output(request: SegmentRequest) -> None:
    """Refuse before the work is done what would fail after it."""
    if request.output.suffix.lower() not in {".tif", ".tiff"}:
        raise ProjectError(f"{request.output}: expected a name that ends in .tif or .tiff")
    if request.output.exists() and not request.overwrite:
        raise ProjectError(f"{request.output} exists already; name another file or say --overwrite")
    if not request.output.absolute().parent.is_dir():
        raise ProjectError(f"{request.output.absolute().parent} does not exist; make it first")
