"""Adding a field to a project's store."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from annotations.copies.copy import Copy
from annotations.fields import ClassInfo, FieldInfo
from annotations.formats import open_image
from annotations.formats.joined import open_joined
from annotations.volume import ImageInfo, ImageSource
from hitl.labelling.given_labels import given_labels
from hitl.labelling.requests import AddRequest
from hitl.project.classes import projection_of, seen_channels
from hitl.project.config import CONFIG_NAME
from hitl.project.errors import UsageError
from hitl.project.folder import Project
from hitl.project.reporter import Reporter
from labels.names import did_you_mean
from labels.numbers import number_of


@dataclass(frozen=True)
class Added:
    """What was added.

    Parameters
    ----------
    field : FieldInfo
    objects : mapping of str to int
        Labelled objects that came with it, by class.
    copies : tuple of Copy
        Fields of another split, test on one side, that share voxels with this one.
    """

    field: FieldInfo
    objects: Mapping[str, int]
    copies: tuple[Copy, ...]


def add_field(project: Project, request: AddRequest, reporter: Reporter) -> Added:
    """Stream an image, and its labels if there are any, into the store: all of it or nothing.

    Raises
    ------
    FormatError
        When a file cannot be read, or lacks axes or voxel size.
    ChannelError
        When it is not clear which channels a class shows.
    UsageError
        Several files, and it is not said what each is; or labels, and not of which class.
    StoreError
        When the store cannot take it.
    """
    with contextlib.ExitStack() as files:
        source = files.enter_context(_open(request))
        classes = _classes(project, request, source.info)
        _tell_unknown(project, classes, reporter)
        labels = {
            name: files.enter_context(each)
            for name, each in given_labels(project.config, classes, request).items()
        }
        store = project.store(read_only=False)
        info = store.add_field(
            request.field or default_name(request.images[0]),
            source,
            classes=classes,
            split=request.split,
            labels=labels,
            metadata=request.meta,
            annotator=project.annotator(None) if project.config.annotator else "person",
            progress=reporter.progress,
        )
    copies = tuple(
        copy
        for copy in store.copies(info.name)
        if "test" in (splits := {copy.original.split, copy.copy.split}) and len(splits) > 1
    )
    for copy in copies:
        other = copy.other(info.name)
        learned, test = (info, other) if other.split == "test" else (other, info)
        reporter.note(
            f"{copy}: training on {learned.name} ({learned.split}) is refused as long as "
            f"{test.name} (test) is in the project"
        )
    objects = {
        name: sum(store.labels(f"{info.name}:{name}").counts.values()) for name in sorted(labels)
    }
    return Added(info, objects, copies)


def _open(request: AddRequest) -> ImageSource:
    """Open the files of an image, with what the person says of it."""
    if len(request.images) == 1:
        source: ImageSource = open_image(
            request.images[0], axes=request.axes, spacing_um=request.spacing_um
        )
    elif request.along is None:
        raise UsageError(
            f"{len(request.images)} files for one field: say what each is with --along channels or "
            "--along times, or add them one by one"
        )
    else:
        source = open_joined(
            request.images, request.along, axes=request.axes, spacing_um=request.spacing_um
        )
    try:
        return _Described(source, _described(source.info, request))
    except BaseException:
        source.close()
        raise


def _described(info: ImageInfo, request: AddRequest) -> ImageInfo:
    if request.channel_names and len(request.channel_names) != len(info.channels):
        raise UsageError(
            f"--channel-name: expected {number_of(len(info.channels), 'name')}, one for each of "
            f"{', '.join(info.channels)}, got {len(request.channel_names)}"
        )
    return replace(
        info,
        channels=request.channel_names or info.channels,
        time_step_s=request.time_step_s or info.time_step_s,
    )


class _Described:
    """An open image of which more is known than its file says."""

    def __init__(self, source: ImageSource, info: ImageInfo) -> None:
        self._source, self.info = source, info

    def read(self, time: int, z_start: int, z_stop: int) -> NDArray[Any]:
        return self._source.read(time, z_start, z_stop)

    def close(self) -> None:
        self._source.close()

    def __enter__(self) -> _Described:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _classes(project: Project, request: AddRequest, info: ImageInfo) -> tuple[ClassInfo, ...]:
    """Return what is labelled in the field: the classes that were named, else the config's."""
    stated = dict(request.classes)
    named = [name for name, _ in request.labels if name is not None]
    names = list(stated) or list(project.config.classes) or named or project.config.class_names
    names = list(dict.fromkeys([*names, *named]))
    if request.channel is not None and len(names) > 1:
        raise UsageError(
            f"--channel is for a field of one class, got {', '.join(names)}; say "
            "--class NAME=CHANNEL for each, or name the channels in hitl.yaml"
        )
    found = []
    for name in names:
        config = project.config.class_of(name)
        channels = stated.get(name) or ((request.channel,) if request.channel is not None else ())
        found.append(
            ClassInfo(
                name=name,
                seen=seen_channels(name, config, info.channels, channels),
                kind=config.kind,
                projection=projection_of(project.config.steps_of(name)),
            )
        )
    return tuple(found)


def _tell_unknown(project: Project, classes: Sequence[ClassInfo], reporter: Reporter) -> None:
    """Say which classes the config does not know, where it names some: one may be misspelt."""
    known = list(project.config.classes)
    for each in classes:
        if known and each.name not in known:
            hint = did_you_mean(each.name, known)
            reporter.note(
                f"class {each.name} is not among those of {CONFIG_NAME} ({', '.join(known)}), so "
                f"it is segmented as the others without settings of their own{hint}"
            )


def default_name(path: Path) -> str:
    """Make a field's name of a file name: ``Day 3 (GFP).ome.tif`` becomes ``Day_3_GFP``."""
    stem = path.name
    for suffix in (".ome.tiff", ".ome.tif", ".ome.zarr", ".zarr", path.suffix):
        if suffix and stem.lower().endswith(suffix):
            stem = stem[: -len(suffix)]
            break
    return re.sub(r"[^A-Za-z0-9._-]+", "_", stem).strip("_.-") or "field"
