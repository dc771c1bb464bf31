"""In which order a person is shown objects."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from hitl.queue.disagreement import compare
from hitl.queue.entries import Entry, QueueOptions
from hitl.queue.features import measure
from hitl.queue.ranking import rank
from hitl.queue.sampling import select
from hitl.simulate.oracle import Bench, Target

Order = Callable[[Sequence[Bench], int, np.random.Generator], list[Target]]
"""From the fields as they are, and how many are wanted, to what is shown first."""

Scores = Callable[[Bench], dict[int, float]]


def _listed(benches: Sequence[Bench]) -> list[Entry]:
    """Return everything that the queue knows of, largest expected error first."""
    entries: list[Entry] = []
    for number, bench in enumerate(benches):
        case = bench.case
        entries += rank(
            bench.labels,
            case.image,
            case.spacing_um,
            confidence=bench.confidence,
            others=case.others,
            settled=bench.settled,
            checked=bench.checked | bench.looked,
            field=str(number),
        )
    return sorted(entries, key=lambda e: -e.score)


def _target(entry: Entry) -> Target:
    if entry.id is not None:
        return Target(int(entry.field), "object", entry.id)
    return Target(int(entry.field), "missed", entry.source_label, entry.source)


def _by_queue(benches: Sequence[Bench], wanted: int, rng: np.random.Generator) -> list[Target]:
    """Show what `hitl queue` lists, its random share included."""
    options = QueueOptions(seed=int(rng.integers(2**31)))
    # A top-up within a round is too short to have a share of its own.
    if wanted * options.random_share < 1:
        options = replace(options, random_share=0.0)
    return [_target(entry) for entry in select(_listed(benches), wanted, options)]


def _at_random(benches: Sequence[Bench], wanted: int, rng: np.random.Generator) -> list[Target]:
    """Show what the queue knows of, objects and places of missed ones alike, in any order."""
    entries = _listed(benches)
    return [_target(entries[i]) for i in rng.permutation(len(entries))[:wanted]]


def _informed(benches: Sequence[Bench], wanted: int, rng: np.random.Generator) -> list[Target]:
    """Show objects in any order, and every missed nucleus as readily as an object.

    Unlike a person, it knows where nuclei are missed that no segmentation shows.
    """
    pool = []
    for number, bench in enumerate(benches):
        pool += [Target(number, "object", label) for label in bench.open_objects()]
        pool += [Target(number, "truth", label) for label in bench.hidden_truth()]
    return [pool[i] for i in rng.permutation(len(pool))[:wanted]]


def _by_truth(benches: Sequence[Bench], wanted: int, rng: np.random.Generator) -> list[Target]:
    """Show the objects of lowest true IoU and the missed ones first: no queue can do better."""
    pool = []
    for number, bench in enumerate(benches):
        table = bench.overlaps()
        best = np.zeros(table.n_pred)
        np.maximum.at(best, table.j, table.iou)
        iou = dict(zip(table.pred.ids.tolist(), best.tolist(), strict=True))
        pool += [(iou[label], Target(number, "object", label)) for label in bench.open_objects()]
        pool += [(0.0, Target(number, "truth", label)) for label in bench.hidden_truth()]
    return _best(pool, wanted, rng)


def _by_score(scores: Scores) -> Order:
    """Show objects of the lowest score first; missed ones are not shown."""

    def order(benches: Sequence[Bench], wanted: int, rng: np.random.Generator) -> list[Target]:
        pool = []
        for number, bench in enumerate(benches):
            found = scores(bench)
            pool += [
                (found[label], Target(number, "object", label)) for label in bench.open_objects()
            ]
        return _best(pool, wanted, rng)

    return order


def _best(pool: list[tuple[float, Target]], wanted: int, rng: np.random.Generator) -> list[Target]:
    """Return the targets of the lowest scores; equal ones in any order."""
    shuffled = [pool[i] for i in rng.permutation(len(pool))]
    return [target for _, target in sorted(shuffled, key=lambda p: p[0])[:wanted]]


def _confidence(bench: Bench) -> dict[int, float]:
    # Objects without a confidence come last.
    rated = {i: bench.confidence.get(i, np.nan) for i in bench.open_objects()}
    return {i: 2.0 if np.isnan(value) else value for i, value in rated.items()}


def _size(bench: Bench) -> dict[int, float]:
    found = measure(bench.labels, bench.case.image, bench.case.spacing_um)
    return dict(zip(found.ids.tolist(), (-np.abs(found.size_z)).tolist(), strict=True))


def _disagreement(bench: Bench) -> dict[int, float]:
    found = compare(bench.labels, bench.case.others)
    agreement = found.iou.mean(axis=1) if found.iou.shape[1] else np.ones(len(found.ids))
    return dict(zip(found.ids.tolist(), agreement.tolist(), strict=True))


STRATEGIES: dict[str, Order] = {
    "queue": _by_queue,
    "random": _at_random,
    "informed": _informed,
    "confidence": _by_score(_confidence),
    "size": _by_score(_size),
    "disagreement": _by_score(_disagreement),
    "oracle": _by_truth,
}
"""Ways to choose what is corrected next: the queue; any of what it knows of; any object and any
missed nucleus; the least confident; the most unusual size; the least agreed upon; and, as the
bound, the truly worst."""
