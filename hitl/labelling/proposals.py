"""A model's labels become a round: fields are chosen, segmented, and committed together."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from annotations.differences import LabelsDiff, diff_with
from annotations.fields import LabelsInfo
from annotations.objects import ObjectTable
from annotations.rounds import RoundInfo
from annotations.store import AnnotationStore
from annotations.transaction import RoundTransaction
from annotations.views import LabelsView
from hitl.labelling.merge import merge_proposal
from hitl.prediction.predictor import Predictor
from hitl.project.addresses import chosen_labels
from hitl.project.errors import NothingToDoError
from hitl.project.folder import Project
from models.base import Segmentation


@dataclass(frozen=True)
class FieldProposal:
    """What a proposal did to the labels of one class in one field.

    Parameters
    ----------
    field : str
        Their address.
    found : int
        Objects that the model found.
    added, deleted, split, merged, reshaped : int
        What becomes of proposals, as `diff` and `log` count it.
    unchanged : int
        Proposals of the same voxels as before.
    voxels : int
        Label voxels that changed.
    same : bool
        Whether labels and what is known of their objects are all as they were.
    kept : int
        Objects that people accepted or corrected, which no model changes.
    seconds : float
    """

    field: str
    found: int
    added: int
    deleted: int
    split: int
    merged: int
    reshaped: int
    unchanged: int
    voxels: int
    same: bool
    kept: int
    seconds: float


@dataclass(frozen=True)
class Proposed:
    """A round of proposals.

    Parameters
    ----------
    round : int
        The round that they became, or would.
    model : str
    fields : tuple of FieldProposal
    dry_run : bool
        Nothing was written.
    """

    round: int
    model: str
    fields: tuple[FieldProposal, ...]
    dry_run: bool = False


@dataclass(frozen=True)
class TimedSegmentation:
    """What a model found at each time point of a field, and how long it took."""

    found: tuple[Segmentation, ...]
    seconds: float

    @property
    def is_empty(self) -> bool:
        """Whether no object was found."""
        return not any(each.labels.any() for each in self.found)


def choose_fields(
    store: AnnotationStore, names: Sequence[str], classes: Sequence[str] = ()
) -> list[LabelsInfo]:
    """Return the labels that were named, else those of all fields of split train and val.

    Raises
    ------
    NothingToDoError
        There is none, or a test field was named.
    UnknownFieldError
        A field or class that is not there.
    """
    every = chosen_labels(store, names, classes)
    if not every:
        raise NothingToDoError("the project has no fields; add one with `hitl add PROJECT IMAGE`")
    chosen = [info for info in every if names or info.split != "test"]
    if not chosen:
        raise NothingToDoError(
            "every field is of split test; add one to learn from with `hitl add PROJECT IMAGE`"
        )
    for info in chosen:
        if info.split == "test":
            raise NothingToDoError(
                f"field {info.address} is of split test, its labels are a person's; "
                "`hitl predict` and `hitl evaluate` run models on it"
            )
    return chosen


def segment_fields(
    store: AnnotationStore, chosen: Sequence[LabelsInfo], predictor: Predictor
) -> dict[str, TimedSegmentation]:
    """Segment fields, by address; the store is not opened for writing, so people can go on.

    Raises
    ------
    ImageError, PreprocessError
        The model cannot take one of them; told before any is segmented.
    """
    predictor.check(chosen)
    found = {}
    for info in chosen:
        started = time.monotonic()
        views = store.labels(info.key).time_points()
        each = tuple(predictor.segment(view) for view in views)
        found[info.address] = TimedSegmentation(each, round(time.monotonic() - started, 2))
    return found


def commit_proposals(
    project: Project,
    kind: Literal["bootstrap", "propose"],
    message: str,
    predictor: Predictor,
    proposals: dict[str, TimedSegmentation],
    derived: Sequence[LabelsInfo] = (),
) -> Proposed:
    """Fill what nobody has verified; one round, all fields or none.

    What people committed while the model ran stays too.

    Parameters
    ----------
    project : Project
    kind : {"bootstrap", "propose"}
    message : str
    predictor : Predictor
    proposals : dict of str to TimedSegmentation
        By address.
    derived : sequence of LabelsInfo
        Classes that are where none of others is, as the round leaves these.

    Raises
    ------
    NothingToDoError
        The labels are those already, so that the round would be empty.
    """
    about = RoundInfo(
        kind=kind,
        message=message,
        author=f"model:{predictor.name}",
        model=predictor.reference(),
        config=project.config.model_dump(mode="json"),
    )
    with project.store(read_only=False).begin_round(about) as round_:
        results = [
            _propose(round_, address, timed, about.author) for address, timed in proposals.items()
        ]
        for info in derived:
            others = project.config.class_of(info.class_name).neither
            area = TimedSegmentation(_neither(round_, info, others), 0.0)
            results.append(_propose(round_, info.address, area, "model:neither"))
        if kind == "propose":
            _refuse_same(results, predictor)
    return Proposed(round_.number, predictor.name, tuple(results))


def plan_proposals(
    store: AnnotationStore, predictor: Predictor, proposals: dict[str, TimedSegmentation]
) -> Proposed:
    """Tell what `commit_proposals` would do; nothing is written.

    Raises
    ------
    NothingToDoError
        The labels are those already, so that the round would be empty.
    """
    number = store.last_round() + 1
    results = []
    for address, timed in proposals.items():
        view = store.labels(address)
        results.append(_fill(view, timed, f"model:{predictor.name}", number).told())
    _refuse_same(results, predictor)
    return Proposed(number, predictor.name, tuple(results), dry_run=True)


def _refuse_same(results: Sequence[FieldProposal], predictor: Predictor) -> None:
    if all(result.same for result in results):
        raise NothingToDoError(
            f"{', '.join(result.field for result in results)}: the labels are what "
            f"{predictor.name} proposes already, so no round was made; correct some and train "
            "again, or name another model (--model)"
        )


def _neither(
    round_: RoundTransaction, info: LabelsInfo, others: Sequence[str]
) -> tuple[Segmentation, ...]:
    """Return the area where no class of a field's others is, at each time point."""
    views = [round_.labels(f"{info.field.name}:{other}") for other in others]
    return tuple(
        Segmentation(
            np.all([view.at(t).labels[...] == 0 for view in views], axis=0).astype(np.uint32)
        )
        for t in range(info.times)
    )


@dataclass(frozen=True)
class _Filled:
    """Labels of a class in a field with what a model found where nobody has verified.

    Parameters
    ----------
    address : str
    timed : TimedSegmentation
    planes : ndarray of uint32, shape (T·Z, Y, X)
    objects : ObjectTable
    diff : LabelsDiff
        What is done to the labels by it.
    same_rows : bool
        Whether what is known of the objects is as it was.
    """

    address: str
    timed: TimedSegmentation
    planes: NDArray[np.uint32]
    objects: ObjectTable
    diff: LabelsDiff
    same_rows: bool

    def told(self) -> FieldProposal:
        """Say what is done to the labels."""
        statuses, counts = self.objects.counts(), self.diff.counts()
        changed = {i for change in self.diff.changes if change.box for i in change.after}
        found = (np.count_nonzero(np.unique(each.labels)) for each in self.timed.found)
        return FieldProposal(
            field=self.address,
            found=sum(map(int, found)),
            added=counts.added,
            deleted=counts.deleted,
            split=counts.split,
            merged=counts.merged,
            reshaped=counts.reshaped,
            unchanged=statuses["proposed"] - len(changed),
            voxels=self.diff.voxels,
            same=self.diff.voxels == 0 and self.same_rows,
            kept=statuses["accepted"] + statuses["corrected"],
            seconds=self.timed.seconds,
        )


def _propose(
    round_: RoundTransaction, address: str, timed: TimedSegmentation, origin: str
) -> FieldProposal:
    """Write what a model found at each time point."""
    filled = _fill(round_.labels(address), timed, origin, round_.number)
    told = filled.told()
    round_.set_labels(address, filled.planes, filled.objects)
    return told


def _fill(view: LabelsView, timed: TimedSegmentation, origin: str, round_number: int) -> _Filled:
    """Join what a model found at each time point with the labels that there are."""
    objects = view.objects
    ids = [np.unique(each.labels[...]) for each in view.time_points()]
    merged: list[NDArray[np.uint32]] = []
    for number, (each, found) in enumerate(zip(view.time_points(), timed.found, strict=True)):
        # An id that goes on at another time point keeps its row, whatever becomes of it here.
        elsewhere = np.setdiff1d(
            np.concatenate([np.zeros(0, np.uint32), *ids[:number], *ids[number + 1 :]]), [0]
        )
        labels, objects = _merge(each, objects, found, elsewhere, origin, round_number)
        ids[number] = np.unique(labels)
        merged.append(labels)
    planes = np.concatenate(merged)
    diff = diff_with(view.whole, planes, objects)
    same_rows = objects.equals(view.objects)
    return _Filled(view.info.address, timed, planes, objects, diff, same_rows)


def _merge(
    view: LabelsView,
    objects: ObjectTable,
    found: Segmentation,
    elsewhere: NDArray[np.uint32],
    origin: str,
    round_number: int,
) -> tuple[NDArray[np.uint32], ObjectTable]:
    """Join a proposal for one time point with its labels, and its rows with those of the others."""
    before = np.asarray(view.labels[...])
    # Proposals without voxels anywhere are this time point's to remove.
    here = np.isin(objects.id, np.unique(before)) | ~np.isin(objects.id, elsewhere)
    labels, rows = merge_proposal(
        before,
        np.asarray(view.verified[...]),
        objects.select(here),
        found.labels,
        found.confidence,
        origin,
        round_number,
    )
    kept = objects.select(~here | np.isin(objects.id, elsewhere))
    return labels, kept.updated(rows)
