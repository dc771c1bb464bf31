"""The queue of a project: what to correct next, over all its fields."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from annotations.fields import LabelsInfo
from annotations.objects import ObjectTable, Status
from annotations.store import AnnotationStore
from hitl.prediction.predict import Predictor
from hitl.project.errors import NothingToDoError
from hitl.project.folder import Project
from hitl.project.reporter import Reporter
from hitl.queue.alternatives import other_segmentations, predictors
from hitl.queue.entries import Entry, QueueOptions
from hitl.queue.ranking import rank
from hitl.queue.sampling import select

MODEL = "model:"


@dataclass(frozen=True)
class Queue:
    """What to correct next.

    Parameters
    ----------
    round : int
        The round whose labels were looked at.
    entries : tuple of Entry
        In the order in which to correct them.
    open : int
        Entries that there are in all, listed or not.
    rest : int
        Those that expected error alone does not list: `estimate_error` is about these.
    compared_with : tuple of str
        The other segmentations.
    """

    round: int
    entries: tuple[Entry, ...]
    open: int
    rest: int
    compared_with: tuple[str, ...]


def build_queue(
    project: Project,
    fields: tuple[str, ...],
    limit: int | None,
    reporter: Reporter,
    options: QueueOptions | None = None,
) -> Queue:
    """Rank what nobody has verified in the last commit's labels.

    Parameters
    ----------
    project : Project
    fields : tuple of str
        Only these; all of split train and val that have labels when empty.
    limit : int, optional
        Entries to list; all when not given, and then none is drawn at random.
    reporter : Reporter
    options : QueueOptions, optional

    Returns
    -------
    Queue

    Raises
    ------
    NothingToDoError
        No labels yet, everything is verified, or a limit that is not positive.
    UnknownFieldError
        No such field.
    """
    if limit is not None and limit < 1:
        raise NothingToDoError(f"--limit {limit}: expected at least 1 entry to list")
    options = options or QueueOptions()
    store = project.store()
    chosen = _labelled(store, fields)
    available = predictors(project, reporter)
    entries: list[Entry] = []
    for info in chosen:
        entries += _rank_field(project, store, info.address, available, reporter)
    if not entries:
        raise NothingToDoError(
            f"nothing is left to correct in {', '.join(info.address for info in chosen)}: "
            "people have verified every object; `hitl propose` makes new ones"
        )
    entries.sort(key=lambda e: -e.score)
    listed = tuple(select(entries, limit, options))
    drawn = sum(entry.chosen == "random" for entry in listed)
    return Queue(
        store.last_round(),
        listed,
        len(entries),
        len(entries) - len(listed) + drawn,
        tuple(predictor.name for predictor in available),
    )


def _labelled(store: AnnotationStore, names: tuple[str, ...]) -> list[LabelsInfo]:
    chosen = [store.labels(name).info for name in names] or [
        info for info in store.all_labels() if info.split != "test"
    ]
    labelled = [info for info in chosen if len(store.labels(info.address).objects.live_ids) > 0]
    if not labelled:
        raise NothingToDoError(
            "there are no labels to correct yet; make some with `hitl bootstrap PROJECT`"
        )
    return labelled


def _rank_field(
    project: Project,
    store: AnnotationStore,
    name: str,
    available: Sequence[Predictor],
    reporter: Reporter,
) -> tuple[Entry, ...]:
    view = store.labels(name)
    objects = view.objects
    others = other_segmentations(project, view, available, reporter, _maker(objects))
    return rank(
        np.asarray(view.labels[...], np.uint32),
        view.read_image()[0],
        view.info.spacing_um,
        confidence=dict(zip(objects.id.tolist(), objects.confidence.tolist(), strict=True)),
        others=others,
        settled=objects.id[objects.status != Status.PROPOSED].tolist(),
        checked=np.asarray(view.verified[...]) > 0,
        field=name,
    )


def _maker(objects: ObjectTable) -> str:
    """Return the model that proposed most of the open objects, an empty string for none."""
    proposed = objects.select(objects.status == Status.PROPOSED)
    makers = Counter(proposed.origins[i] for i in proposed.origin.tolist())
    origin = makers.most_common(1)[0][0] if makers else ""
    return origin.removeprefix(MODEL) if origin.startswith(MODEL) else ""
