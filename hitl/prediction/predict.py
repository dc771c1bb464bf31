"""Segmenting a project's fields with a run or a segmenter, once for each pair of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from annotations.fields import LabelsInfo
from annotations.formats import open_labels
from annotations.views import LabelsView
from hitl.prediction.blockwise import copy_file
from hitl.prediction.predictor import Predictor
from hitl.project.addresses import chosen_labels
from hitl.project.errors import NothingToDoError, ProjectError
from hitl.project.folder import Project
from hitl.project.records import Shape, Whole, read_record, write_record
from hitl.project.reporter import Reporter


@dataclass(frozen=True)
class Predicted:
    """Label images that were written.

    Parameters
    ----------
    model : str
    files : mapping of str to str
        Label file by address.
    objects : mapping of str to int
        Number of objects by address.
    """

    model: str
    files: dict[str, str]
    objects: dict[str, int]


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


class _About(Shape):
    """What is read of a prediction that was made."""

    fingerprint: str
    objects: Whole


def predicted_file(project: Project, predictor: Predictor, view: LabelsView) -> PredictedFile:
    """Return the file of labels, made now or by an equal earlier prediction."""
    known = _known_file(project, predictor, view.info)
    if known is not None:
        return known
    file, about = _files(project, predictor, view.info)
    about.unlink(missing_ok=True)
    file.parent.mkdir(parents=True, exist_ok=True)
    objects, labels = predictor.segment_to_file(view, file)
    made = {
        "fingerprint": predictor.fingerprint(view.info),
        "model": predictor.name,
        "field": view.info.key,
    }
    write_record(about, {**made, "objects": objects})
    return PredictedFile(file, objects, labels)


def _known_file(project: Project, predictor: Predictor, info: LabelsInfo) -> PredictedFile | None:
    """Return the file of an equal earlier prediction, if there is one that is whole."""
    file, about = _files(project, predictor, info)
    if not (file.is_file() and about.is_file()):
        return None
    try:
        known = read_record(about, _About)
    except ValueError:
        return None
    if known.get("fingerprint") != predictor.fingerprint(info):
        return None
    return PredictedFile(file, known["objects"])


def _files(project: Project, predictor: Predictor, info: LabelsInfo) -> tuple[Path, Path]:
    """Return the files of labels and of what is known of them."""
    file = prediction_file(project, predictor.name, info)
    return file, file.with_name(f"{info.file_name}.json")


def cached_prediction(
    project: Project, predictor: Predictor, view: LabelsView, *, keep: bool = True
) -> NDArray[np.uint32]:
    """Return labels, segmented now or taken from an equal earlier prediction.

    Parameters
    ----------
    project : Project
    predictor : Predictor
    view : LabelsView
    keep : bool
        Write what is segmented now into the project.

    Returns
    -------
    ndarray of uint32
        Of what the view covers: (Z, Y, X) of one time point, planes (T·Z, Y, X) of all.
    """
    if not keep and _known_file(project, predictor, view.info) is None:
        return predictor.segment_planes(view)
    made = predicted_file(project, predictor, view.whole)
    if made.labels is None:
        return read_prediction(made.file, view)
    return made.labels[_planes(view)]


def prediction_file(project: Project, model: str, info: LabelsInfo) -> Path:
    """Return where a model's prediction of labels is kept, whether or not there is one."""
    return project.folder / "predictions" / model / f"{info.file_name}.tif"


def read_prediction(file: Path, view: LabelsView) -> NDArray[np.uint32]:
    """Return what a prediction's file has of what a view covers."""
    planes = _planes(view)
    with open_labels(file) as source:
        return source.read(planes.start, planes.stop)


def _planes(view: LabelsView) -> slice:
    """Return which planes (T·Z, Y, X) of a prediction a view covers."""
    depth = view.info.zyx[0]
    times = range(view.info.times) if view.time is None else range(view.time, view.time + 1)
    return slice(times.start * depth, times.stop * depth)


def predict(
    project: Project,
    model: str,
    fields: tuple[str, ...],
    output: Path | None,
    reporter: Reporter,
    classes: tuple[str, ...] = (),
) -> Predicted:
    """Segment fields (all when none are named) and write one label TIFF each.

    Raises
    ------
    ProjectError
        Unknown run, or a file in `output` that would be overwritten.
    NothingToDoError
        No fields, or none of the classes that the model was trained on.
    """
    if output is not None:
        project.check_output(output)
    store = project.store()
    predictor = Predictor(project, model, reporter)
    chosen = chosen_labels(store, fields, classes)
    if not chosen:
        raise NothingToDoError("the project has no fields; add one with `hitl add PROJECT IMAGE`")
    chosen = labels_of_model(predictor, chosen, classes)
    predictor.check(chosen)
    targets = {i.key: output / f"{i.file_name}.tif" for i in chosen} if output is not None else {}
    for target in targets.values():
        if target.exists():
            raise ProjectError(f"{target} exists already; name another folder with --output")
    if output is not None:
        # What cannot be written is told before the model runs.
        output.mkdir(parents=True, exist_ok=True)
    files, objects = {}, {}
    for info in chosen:
        made = predicted_file(project, predictor, store.labels(info.key))
        if info.key in targets:
            copy_file(made.file, targets[info.key])
        files[info.address] = str(targets.get(info.key, made.file))
        objects[info.address] = made.objects
    return Predicted(predictor.name, files, objects)


def labels_of_model(
    predictor: Predictor, chosen: list[LabelsInfo], classes: Sequence[str]
) -> list[LabelsInfo]:
    """Return the labels that a model takes; all of them where classes were named.

    Raises
    ------
    NothingToDoError
        It takes none of them.
    """
    if classes:
        return chosen
    own = predictor.own(chosen)
    if not own:
        raise NothingToDoError(
            f"{predictor.why_not(chosen[0])}: name another model with --model, or run it all the "
            "same with --class"
        )
    return own
