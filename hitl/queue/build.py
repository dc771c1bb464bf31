"""The queue of a project: what to correct next, over all its fields."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from annotations.fields import LabelsInfo
from annotations.objects import ObjectTable, Status
from annotations.store import AnnotationStore
from annotations.views import LabelsView
from hitl.preprocess.grey import one_channel
from hitl.project.addresses import chosen_labels
from hitl.project.errors import NothingToDoError
from hitl.project.folder import Project
from hitl.project.reporter import Reporter
from hitl.queue.alternatives import Alternatives
from hitl.queue.entries import Entry, QueueOptions
from hitl.queue.kept import KeptEntries, Ranked
from hitl.queue.sampling import select
from labels.progress import Progress

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
    *,
    classes: tuple[str, ...] = (),
    time: int | None = None,
) -> Queue:
    """Rank what nobody has verified in the last commit's labels, each time point on its own.

    What was ranked before is kept in the project; only labels that somebody has touched since,
    or that are compared with something else now, are ranked again.

    Parameters
    ----------
    project : Project
    fields : tuple of str
        Only these, each ``FIELD`` or ``FIELD:CLASS``; all of split train and val that have labels
        when empty.
    limit : int, optional
        Entries to list; all when not given, and then none is drawn at random.
    reporter : Reporter
    options : QueueOptions, optional
    classes : tuple of str
        Only these; all when empty. Areas have no objects to list.
    time : int, optional
        Only this time point.

    Returns
    -------
    Queue

    Raises
    ------
    NothingToDoError
        No labels yet, everything is verified, or a limit that is not positive.
    UnknownFieldError
        No such field or class.
    """
    if limit is not None and limit < 1:
        raise NothingToDoError(f"--limit {limit}: expected at least 1 entry to list")
    store = project.store()
    chosen = _of_objects(store, fields, classes)
    alternatives = Alternatives(project, reporter)
    ranked = _rank_all(project, store, chosen, alternatives, reporter)
    if not ranked:
        raise NothingToDoError(
            "there are no labels to correct yet; make some with `hitl bootstrap PROJECT`"
        )
    every = (entry for times in ranked.values() for entries in times for entry in entries)
    entries = [entry for entry in every if time is None or (entry.time or 0) == time]
    if not entries:
        raise NothingToDoError(
            f"nothing is left to correct in {', '.join(ranked)}: "
            "people have verified every object; `hitl propose` makes new ones"
        )
    entries.sort(key=lambda e: -e.score)
    listed = tuple(select(entries, limit, options or QueueOptions()))
    drawn = sum(entry.chosen == "random" for entry in listed)
    ways = [way for info in chosen for way in alternatives.ways(info.class_name)]
    return Queue(
        store.last_round(),
        listed,
        len(entries),
        len(entries) - len(listed) + drawn,
        tuple(dict.fromkeys(way.name for way in ways)),
    )


def _of_objects(
    store: AnnotationStore, names: Sequence[str], classes: Sequence[str]
) -> list[LabelsInfo]:
    """Return the labels of objects that were named, else those of split train and val."""
    chosen = chosen_labels(store, names, classes)
    objects = [info for info in chosen if info.label_class.kind == "instances"]
    if chosen and not objects:
        listed = ", ".join(info.address for info in chosen)
        raise NothingToDoError(f"{listed}: an area has no objects to list; name another class")
    return [info for info in objects if names or info.split != "test"]


def _rank_all(
    project: Project,
    store: AnnotationStore,
    chosen: Sequence[LabelsInfo],
    alternatives: Alternatives,
    reporter: Reporter,
) -> dict[str, Ranked]:
    """Return the entries of all labels that have objects, by address."""
    kept = KeptEntries(project, store)
    keys = {i.key: kept.key(i, alternatives.settings(i.class_name)) for i in chosen}
    known = {info.key: kept.read(info, keys[info.key]) for info in chosen}
    views = {view.info.key: view for view in store.views()} if None in known.values() else {}
    new = {
        info.key: views[info.key]
        for info in chosen
        if known[info.key] is None and any(_open_or_judged(views[info.key]))
    }
    done, total = 0, sum(view.info.times for view in new.values())
    for key, view in new.items():
        times = []
        for each in view.time_points():
            times.append(_rank(each, alternatives, partial(_told, reporter, done, total)))
            done += 1
        known[key] = tuple(times)
        kept.write(view.info, keys[key], tuple(times))
    return {i.address: ranked for i in chosen if (ranked := known[i.key]) is not None}


def _told(reporter: Reporter, done: int, total: int, step: int, steps: int, what: str) -> None:
    """Tell how far the work is on all time points, of which one is at a step of several."""
    reporter.progress(done * steps + step, total * steps, what)


def _open_or_judged(view: LabelsView) -> list[int]:
    """Return how many objects there are of each status, without those that are no more."""
    return [count for status, count in view.counts.items() if status != "rejected"]


def _rank(view: LabelsView, alternatives: Alternatives, progress: Progress) -> tuple[Entry, ...]:
    """Rank what is open at one time point."""
    from hitl.queue.ranking import rank

    objects = view.objects
    return rank(
        np.asarray(view.labels[...], np.uint32),
        one_channel(view.read_image()),
        view.info.spacing_um,
        confidence=dict(zip(objects.id.tolist(), objects.confidence.tolist(), strict=True)),
        others=alternatives.segmentations(view, _maker(objects), progress),
        settled=objects.id[objects.status != Status.PROPOSED].tolist(),
        checked=np.asarray(view.verified[...]) > 0,
        field=view.info.address,
        time=view.time if view.info.times > 1 else None,
    )


def _maker(objects: ObjectTable) -> str:
    """Return the model that proposed most of the open objects, an empty string for none."""
    proposed = objects.select(objects.status == Status.PROPOSED)
    makers = Counter(proposed.origins[i] for i in proposed.origin.tolist())
    origin = makers.most_common(1)[0][0] if makers else ""
    return origin.removeprefix(MODEL) if origin.startswith(MODEL) else ""
