"""Adding a field to a project's store."""

from __future__ import annotations

import contextlib
import re
from dataclasses import dataclass
from pathlib import Path

from annotations.errors import AxesError
from annotations.formats import LabelSource, check_labels_match, open_image, open_labels
from hitl.labelling.requests import AddRequest
from hitl.prediction.channels import channel_index
from hitl.project.folder import Project
from hitl.project.reporter import Reporter
from labels.spacing import Spacing


@dataclass(frozen=True)
class Added:
    """What was added.

    Parameters
    ----------
    name, split : str
    shape : (int, int, int, int)
        (C, Z, Y, X).
    spacing_um : (float, float, float)
    objects : int
        Labelled objects that came with it.
    twins : tuple of str
        Fields of another split that share voxels with this one.
    """

    name: str
    split: str
    shape: tuple[int, int, int, int]
    spacing_um: Spacing
    objects: int
    twins: tuple[str, ...]


def add_field(project: Project, request: AddRequest, reporter: Reporter) -> Added:
    """Stream an image, and its labels if there are any, into the store: all of it or nothing.

    Raises
    ------
    FormatError
        When a file cannot be read, or lacks axes or voxel size.
    ChannelError
        When it is not clear which channel to segment.
    StoreError
        When the store cannot take it.
    """
    name = request.name or default_name(request.image)
    with contextlib.ExitStack() as files:
        source = files.enter_context(
            open_image(request.image, axes=request.axes, spacing_um=request.spacing_um)
        )
        channel = channel_index(source.info, request.channel)
        labels = None
        if request.labels is not None:
            # The labels have no channels, whatever the image has.
            label_axes = request.axes and request.axes.upper().replace("C", "")
            labels = files.enter_context(open_label_file(request.labels, label_axes))
            check_labels_match(source.info.shape[1:], labels.shape)
        store = project.store(read_only=False)
        info = store.add_field(
            name,
            source,
            channel=channel,
            split=request.split,
            group=request.group,
            labels=labels,
            annotator=project.config.annotator or "person",
            progress=reporter.progress,
        )
    twins = tuple(
        other.address
        for other in store.all_labels()
        if other.address != name
        and "test" in {other.split, request.split}
        and other.split != request.split
        and store.shared_slices(name, other.address)
    )
    if twins:
        reporter.note(
            f"field {name} ({request.split}) shares voxels with {', '.join(twins)} of another "
            "split; training is refused as long as both are in the project"
        )
    objects = len(store.labels(name).objects.id) if labels is not None else 0
    return Added(name, request.split, source.info.shape, info.spacing_um, objects, twins)


def open_label_file(path: Path, axes: str | None) -> LabelSource:
    """Open labels by the axes that the file states, else by those that were said.

    Raises
    ------
    AxesError
        When neither says what the axes are.
    """
    try:
        return open_labels(path)
    except AxesError:
        if axes is None:
            raise
        return open_labels(path, axes=axes)


def default_name(path: Path) -> str:
    """Make a field name of a file name: ``Day 3 (GFP).ome.tif`` becomes ``Day_3_GFP``."""
    stem = path.name
    for suffix in (".ome.tiff", ".ome.tif", ".ome.zarr", ".zarr", path.suffix):
        if suffix and stem.lower().endswith(suffix):
            stem = stem[: -len(suffix)]
            break
    return re.sub(r"[^A-Za-z0-9._-]+", "_", stem).strip("_.-") or "field"
