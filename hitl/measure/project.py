"""Measuring a project's fields: the store's labels as of a round, or a model's."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from annotations.fields import LabelsInfo, labels_of
from annotations.objects import ObjectTable, Status
from annotations.rounds import LogEntry
from annotations.store import AnnotationStore
from annotations.views import LabelsView
from hitl.measure.collected import Collected, MeasuredFiles, check_channels, settings
from hitl.measure.neighbours import other_columns
from hitl.measure.nuclei import measure_nuclei
from hitl.measure.output import check_folder
from hitl.measure.requests import MeasureRequest
from hitl.measure.shapes import Shapes, measure_shapes
from hitl.measure.sources import ArraySource, store_source
from hitl.project.addresses import chosen_labels
from hitl.project.errors import MeasureError, NothingToDoError
from hitl.project.folder import Project, next_numbered
from hitl.project.reporter import Reporter

MODEL = "model:"


@dataclass(frozen=True)
class _Labels:
    """Which labels are measured: those of a round, or those of a model."""

    project: Project
    store: AnnotationStore
    round: int | None
    model: str | None
    weights_sha256: str | None
    predictor: Any
    entries: tuple[LogEntry, ...]

    def views(self, info: LabelsInfo) -> list[LabelsView]:
        return list(self.store.labels(info.key, round=self.round).time_points())

    def source(self, view: LabelsView) -> ArraySource:
        if self.predictor is None:
            return store_source(view)
        from hitl.prediction.predict import cached_prediction

        return store_source(view, cached_prediction(self.project, self.predictor, view))

    def describe(self) -> str:
        if self.model is not None:
            return self.model
        return "no round" if self.last is None else f"round {self.last}"

    @property
    def last(self) -> int | None:
        """The round of the labels."""
        if self.model is not None:
            return None
        known = [e.round for e in self.entries if e.round is not None]
        return self.round if self.round is not None else max(known, default=None)


def measure_project(project: Project, request: MeasureRequest, reporter: Reporter) -> MeasuredFiles:
    """Measure the objects of a project's fields, each time point on its own.

    Distances between classes are measured within a field.

    Raises
    ------
    NothingToDoError
        No field, or none with labels.
    MeasureError
        A model and a round, an unknown channel, or files that may not be replaced.
    """
    if request.model is not None and request.round is not None:
        raise MeasureError(
            "expected --round or --model, got both: what a model predicts belongs to no round"
        )
    if request.output is not None:
        check_folder(request.output, request.overwrite)
    store = project.store()
    labels = _labels(project, store, request, reporter)
    chosen = _chosen(store, request, labels)
    for info in chosen:
        check_channels(request.phases, info.field.channels)
    collected = Collected(request, reporter)
    for name in dict.fromkeys(info.field.name for info in chosen):
        wanted = {info.class_name for info in chosen if info.field.name == name}
        _measure_field(labels, name, wanted, request, collected, reporter)
    folder = request.output or next_numbered(project.folder / "measurements")
    return collected.write(folder, settings(request))


def _chosen(store: AnnotationStore, request: MeasureRequest, labels: _Labels) -> list[LabelsInfo]:
    every = chosen_labels(store, request.fields, request.classes, request.round)
    if not every:
        raise NothingToDoError("the project has no fields; add one with `hitl add PROJECT IMAGE`")
    if labels.predictor is not None:
        from hitl.prediction.predict import labels_of_model

        return labels_of_model(labels.predictor, every, request.classes)
    if request.fields:
        return every
    held = [i for i in every if any(store.labels(i.key, round=request.round).counts.values())]
    if not held:
        raise NothingToDoError(
            "no field has labels yet; make some with `hitl bootstrap PROJECT`, or measure a "
            "model's with --model"
        )
    return held


def _labels(
    project: Project, store: AnnotationStore, request: MeasureRequest, reporter: Reporter
) -> _Labels:
    entries = tuple(store.rounds())
    if request.model is None:
        return _Labels(project, store, request.round, None, None, None, entries)
    from hitl.prediction.predictor import Predictor

    predictor = Predictor(project, request.model, reporter)
    sha256 = predictor.reference().weights_sha256
    return _Labels(project, store, None, predictor.name, sha256, predictor, entries)


def _measure_field(
    labels: _Labels,
    name: str,
    wanted: set[str],
    request: MeasureRequest,
    collected: Collected,
    reporter: Reporter,
) -> None:
    """Measure the wanted classes of a field, with distances to all its other classes."""
    infos = labels_of(labels.store.field(name, labels.round).info)
    if labels.predictor is not None:
        infos = [info for info in infos if info.class_name in wanted]
    views = {info.class_name: labels.views(info) for info in infos}
    tables = {name: each[0].objects for name, each in views.items() if name in wanted}
    for i, info in enumerate(infos):
        for other in infos[i + 1 :]:
            if {info.class_name, other.class_name} & wanted and info.zyx != other.zyx:
                reporter.note(
                    f"{info.key} and {other.key} are labelled on different grids, one of them in a "
                    "projection: no distances are measured between them"
                )
    for time in range(infos[0].times):
        # Boundaries are kept for one field and time point.
        known: dict[str, Shapes] = {}
        for info in infos:
            if info.class_name in wanted:
                mates = [i.class_name for i in infos if i is not info and i.zyx == info.zyx]
                here = {each: views[each][time] for each in views}
                table = tables[info.class_name]
                _measure_labels(
                    labels, info, table, here, mates, known, request, collected, reporter
                )


def _measure_labels(
    labels: _Labels,
    info: LabelsInfo,
    table: ObjectTable,
    views: dict[str, LabelsView],
    mates: list[str],
    known: dict[str, Shapes],
    request: MeasureRequest,
    collected: Collected,
    reporter: Reporter,
) -> None:
    from labels.overlaps import count_overlaps

    view = views[info.class_name]

    def tell(done: int, total: int, what: str) -> None:
        reporter.progress(done, total, f"{view.name}: {what}")

    source = labels.source(view)
    measured = measure_nuclei(source, request.options, tell)
    known[info.class_name] = measured.shapes
    others = {}
    for mate in mates:
        theirs = labels.source(views[mate])
        if mate not in known:
            known[mate] = measure_shapes(theirs, tell)
        if len(known[mate]):
            overlaps = count_overlaps(source.label_array, theirs.label_array)
            others[mate] = (known[mate], np.column_stack([overlaps.i, overlaps.j]))
    if mates:
        measured.columns.update(other_columns(measured.shapes, others, tell))
    about = {
        "labels_of": labels.describe(),
        "round": labels.last,
        "model": labels.model,
        "model_weights_sha256": labels.weights_sha256,
        "spacing_um": list(info.spacing_um),
        "image_sha256": info.source_sha256,
        "metadata": dict(info.field.metadata),
    }
    first = _first_columns(labels, view, table, measured.shapes.ids)
    # An area has no phase of the cell cycle.
    population = info.address if info.label_class.kind == "instances" else None
    collected.add(view.name, population, info.field.channels, measured, first, about)


def _first_columns(
    labels: _Labels, view: LabelsView, objects: ObjectTable, ids: NDArray[np.uint64]
) -> dict[str, NDArray[Any]]:
    """Return where each nucleus comes from."""
    n, info = len(ids), view.info
    columns: dict[str, NDArray[Any]] = {"field": np.full(n, info.field.name, object)}
    for key, value in info.field.metadata.items():
        columns[f"meta_{key}"] = np.full(n, value, object)
    columns["class"] = np.full(n, info.class_name, object)
    if info.times > 1:
        columns["time"] = np.full(n, view.time, np.int64)
    columns["id"] = ids
    last = -1 if labels.last is None else labels.last
    if labels.model is not None:
        columns["model"] = np.full(n, labels.model, object)
        columns["model_weights_sha256"] = np.full(n, labels.weights_sha256, object)
        return columns
    rows = np.searchsorted(objects.id, ids)
    origins = objects.to_arrays()["origin"][rows]
    columns["status"] = np.array([Status(s).name.lower() for s in objects.status[rows]], object)
    columns["origin"] = np.asarray(origins, object)
    columns["confidence"] = objects.confidence[rows].astype(np.float64)
    columns["round_changed"] = objects.round[rows].astype(np.int64)
    columns["round"] = np.full(n, last, np.int64)
    rounds = columns["round_changed"]
    models = [_model(str(o), labels.entries, int(r)) for o, r in zip(origins, rounds, strict=True)]
    columns["model"] = np.array([name for name, _ in models], object)
    columns["model_weights_sha256"] = np.array([sha256 for _, sha256 in models], object)
    return columns


def _model(
    origin: str, entries: tuple[LogEntry, ...], changed: int
) -> tuple[str | None, str | None]:
    """Return name and weights of the model that made an object, as its last round then had them."""
    if not origin.startswith(MODEL):
        return None, None
    name = origin.removeprefix(MODEL)
    for entry in reversed(entries):
        if entry.round is None or entry.round > changed:
            continue
        if entry.model is not None and entry.model.name == name:
            return name, entry.model.weights_sha256
    return name, None
