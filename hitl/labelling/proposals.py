"""A model's labels become a round: fields are chosen, segmented, and committed together."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from annotations.fields import LabelsInfo
from annotations.rounds import RoundInfo
from annotations.store import AnnotationStore
from hitl.labelling.merge import merge_proposal
from hitl.prediction.predict import Predictor
from hitl.project.errors import NothingToDoError
from hitl.project.folder import Project
from models.base import Segmentation


@dataclass(frozen=True)
class FieldProposal:
    """What a proposal did to one field.

    Parameters
    ----------
    field : str
    found : int
        Objects that the model found.
    added, deleted, reshaped : int
        Proposals that are new, gone, or of another shape under the same id.
    unchanged : int
        Proposals that are as they were.
    kept : int
        Objects that people accepted or corrected, which no model changes.
    seconds : float
    """

    field: str
    found: int
    added: int
    deleted: int
    reshaped: int
    unchanged: int
    kept: int
    seconds: float


@dataclass(frozen=True)
class Proposed:
    """A round of proposals.

    Parameters
    ----------
    round : int
        Number of the round that was committed.
    model : str
    fields : tuple of FieldProposal
    """

    round: int
    model: str
    fields: tuple[FieldProposal, ...]


@dataclass(frozen=True)
class TimedSegmentation:
    """What a model found in one field, and how long it took."""

    found: Segmentation
    seconds: float


def choose_fields(store: AnnotationStore, names: Sequence[str]) -> list[LabelsInfo]:
    """Return the fields that were named, else all of split train and val.

    Raises
    ------
    NothingToDoError
        There is none, or a test field was named.
    """
    every = store.all_labels()
    if not every:
        raise NothingToDoError("the project has no fields; add one with `hitl add PROJECT IMAGE`")
    named = [store.labels(name).info for name in dict.fromkeys(names)]
    chosen = named or [info for info in every if info.split != "test"]
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
    store: AnnotationStore, fields: Sequence[LabelsInfo], predictor: Predictor
) -> dict[str, TimedSegmentation]:
    """Segment fields, by name; the store is not opened for writing, so people can go on."""
    found = {}
    for info in fields:
        started = time.monotonic()
        segmentation = predictor.segment(store.labels(info.address))
        seconds = round(time.monotonic() - started, 2)
        found[info.address] = TimedSegmentation(segmentation, seconds)
    return found


def commit_proposals(
    project: Project,
    kind: Literal["bootstrap", "propose"],
    message: str,
    predictor: Predictor,
    proposals: dict[str, TimedSegmentation],
) -> Proposed:
    """Fill what nobody has verified; one round, all fields or none.

    What people committed while the model ran stays too.
    """
    origin = f"model:{predictor.name}"
    about = RoundInfo(
        kind=kind,
        message=message,
        author=origin,
        model=predictor.reference(),
        config=project.config.model_dump(mode="json"),
    )
    results = []
    with project.store(read_only=False).begin_round(about) as round_:
        for field, timed in proposals.items():
            view = round_.labels(field)
            labels, objects, counts = merge_proposal(
                np.asarray(view.labels[...]),
                np.asarray(view.verified[...]),
                view.objects,
                timed.found.labels,
                timed.found.confidence,
                origin,
                round_.number,
            )
            round_.set_labels(field, labels, objects)
            round_.count(field, counts)
            statuses = objects.counts()
            results.append(
                FieldProposal(
                    field=field,
                    found=int(np.count_nonzero(np.unique(timed.found.labels))),
                    added=counts.added,
                    deleted=counts.deleted,
                    reshaped=counts.reshaped,
                    unchanged=statuses["proposed"] - counts.added - counts.reshaped,
                    kept=statuses["accepted"] + statuses["corrected"],
                    seconds=timed.seconds,
                )
            )
    return Proposed(round_.number, predictor.name, tuple(results))
