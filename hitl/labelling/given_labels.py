"""The labels that a person gives with an image: each class's part of the files."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from annotations.errors import AxesError, LabelError
from annotations.fields import ClassInfo
from annotations.formats import LabelSource, label_axes, open_labels
from annotations.formats.parts import components, select_values, values_in
from annotations.volume import SlabSource
from hitl.labelling.requests import AddRequest
from hitl.project.classes import ClassConfig
from hitl.project.config import ProjectConfig
from hitl.project.errors import UsageError

Opened = AbstractContextManager[SlabSource]


def given_labels(
    config: ProjectConfig, classes: Sequence[ClassInfo], request: AddRequest
) -> Mapping[str, Opened]:
    """Return the labels of each class that has some, open, as planes (T·Z, Y, X).

    A class that is where none of others is gets its labels from theirs, once all are given.

    Raises
    ------
    UsageError
        Labels without a class where there are several, or two files for one class.
    LabelError
        A mask that holds none of a class's grey levels.
    FormatError
        A file that cannot be read.
    """
    files = _by_class(classes, request)
    axes = label_axes(request.axes)
    found: dict[str, Opened] = {}
    opened: dict[str, SlabSource] = {}
    with contextlib.ExitStack() as on_error:
        for name, path in files.items():
            source = on_error.enter_context(open_label_file(path, axes))
            opened[name] = _part(source, config.class_of(name), path, name)
            found[name] = _closing(opened[name], source)
        on_error.pop_all()
    for each in classes:
        others = config.class_of(each.name).neither
        if others and each.name not in found and all(other in opened for other in others):
            found[each.name] = contextlib.nullcontext(_Neither([opened[o] for o in others]))
    return found


def _by_class(classes: Sequence[ClassInfo], request: AddRequest) -> dict[str, Path]:
    names = [each.name for each in classes]
    files: dict[str, Path] = {}
    for stated, path in request.labels:
        if stated is None and len(names) > 1:
            raise UsageError(
                f"--labels {path}: the field has the classes {', '.join(names)}; say whose labels "
                f"these are, as in --labels {names[0]}={path}"
            )
        name = stated if stated is not None else names[0]
        if name in files:
            raise UsageError(f"--labels: expected one file for class {name}, got two")
        files[name] = path
    return files


def _part(source: LabelSource, config: ClassConfig, path: Path, name: str) -> SlabSource:
    """Return a class's part of a file."""
    if config.mask_values:
        if not set(values_in(source)) & set(config.mask_values):
            raise LabelError(
                f"{path}: expected grey levels {', '.join(map(str, config.mask_values))} for class "
                f"{name}, got {', '.join(map(str, values_in(source)[:10]))}; correct mask_values "
                "in hitl.yaml, or give another mask"
            )
        part = select_values(source, config.mask_values)
        return part if config.kind == "area" else components(part)
    return _Area(source) if config.kind == "area" else source


@contextlib.contextmanager
def _closing(source: SlabSource, file: LabelSource) -> Any:
    with file:
        yield source


class _Area:
    """All that a file labels, as one area."""

    def __init__(self, source: LabelSource) -> None:
        self._source, self.shape = source, source.shape

    def read(self, z_start: int, z_stop: int) -> NDArray[np.uint32]:
        return np.asarray(self._source.read(z_start, z_stop) != 0, np.uint32)


class _Neither:
    """The area where none of other labels is."""

    def __init__(self, others: Sequence[SlabSource]) -> None:
        self._others, self.shape = others, others[0].shape

    def read(self, z_start: int, z_stop: int) -> NDArray[np.uint32]:
        free = [np.asarray(other.read(z_start, z_stop)) == 0 for other in self._others]
        return np.asarray(np.all(free, axis=0), np.uint32)


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
