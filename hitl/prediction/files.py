"""Segmenting plain files, without a project."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from annotations.formats import open_image, refuse_series, write_labels_tiff
from hitl.postprocess.pipeline import postprocess
from hitl.prediction.requests import SegmentRequest
from hitl.prediction.segmenters import make_segmenter, run_segmenter
from hitl.project.classes import chosen_channels
from hitl.project.config import parse_config
from hitl.project.errors import ConfigError, ProjectError
from hitl.project.reporter import Reporter


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
    with open_image(request.image, axes=request.axes, spacing_um=request.spacing_um) as source:
        times, _, depth, _, _ = source.info.shape
        refuse_series(request.image, times, flat=depth == 1)
        channels = chosen_channels(source.info.channels, request.channels)
        image = source.read(0, 0, depth)[list(channels)]
        spacing_um = source.info.spacing_um
    if request.run_folder is not None:
        if request.settings:
            raise ConfigError("--set: a trained run has no options; leave it out with --model")
        run = run_segmenter(request.run_folder)
        steps = run.steps_of(request.class_name)
        labels = run.segment(image, spacing_um, request.image.name, reporter, steps).labels
        name = run.name
    else:
        chosen = request.segmenter or "auto"
        sections = {chosen: dict(request.settings)} if request.settings else {}
        if sections and chosen == "auto":
            raise ConfigError("--set: say which segmenter the options are for with --segmenter")
        config = parse_config({"segmenters": sections}, "--set")
        segmenter = make_segmenter(config, chosen, reporter)
        found = segmenter.segment(image, spacing_um, progress=reporter.progress)
        for note in found.notes:
            reporter.note(note)
        labels = postprocess(found.labels, spacing_um, config.postprocess)
        name = segmenter.name
    write_labels_tiff(request.output, labels, spacing_um, overwrite=request.overwrite)
    return Segmented(request.output, name, int(np.count_nonzero(np.unique(labels))))


def _check_output(request: SegmentRequest) -> None:
    """Refuse before the work is done what would fail after it."""
    if request.output.suffix.lower() not in {".tif", ".tiff"}:
        raise ProjectError(f"{request.output}: expected a name that ends in .tif or .tiff")
    if request.output.exists() and not request.overwrite:
        raise ProjectError(f"{request.output} exists already; name another file or say --overwrite")
    if not request.output.absolute().parent.is_dir():
        raise ProjectError(f"{request.output.absolute().parent} does not exist; make it first")
