"""Segmenting plain files, without a project."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from annotations.formats import open_image, write_labels_tiff
from hitl.labelling.add import channel_index
from hitl.labelling.bootstrap import make_segmenter
from hitl.postprocess import postprocess
from hitl.prediction.predict import run_segmenter
from hitl.project.config import parse_config
from hitl.project.errors import ConfigError, ProjectError
from hitl.project.reporter import Reporter
from labels.spacing import Spacing


@dataclass(frozen=True, kw_only=True)
class SegmentRequest:
    """What `hitl segment` was asked for.

    Parameters
    ----------
    image, output : Path
    segmenter : str, optional
        Name; Cellpose where its weights are here, else what is embedded, when not given.
    run_folder : Path, optional
        A trained run instead of a segmenter.
    spacing_um : (float, float, float), optional
        Voxel size (z, y, x) in µm where the file has none.
    axes, channel : str, optional
    settings : mapping
        Options of the segmenter.
    overwrite : bool
    """

    image: Path
    output: Path
    segmenter: str | None = None
    run_folder: Path | None = None
    spacing_um: Spacing | None = None
    axes: str | None = None
    channel: str | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)
    overwrite: bool = False


@dataclass(frozen=True)
class Segmented:
    """A label image that was written."""

    output: Path
    segmenter: str
    objects: int

    def to_dict(self) -> dict[str, Any]:
        """Return what `--json` prints."""
        return {"output": str(self.output), "segmenter": self.segmenter, "objects": self.objects}

    def sentence(self) -> str:
        """Return what is printed for people."""
        return f"{self.objects} objects ({self.segmenter}) in {self.output}"


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
        channel = channel_index(source.info, request.channel)
        depth = source.info.shape[1]
        image = source.read(0, depth)[channel]
        spacing_um = source.info.spacing_um
    if request.run_folder is not None:
        if request.settings:
            raise ConfigError("--set: a trained run has no options; leave it out with --model")
        run = run_segmenter(request.run_folder)
        labels = run.segment(image, spacing_um, request.image.name, reporter).labels
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
