"""Choose the probability and overlap thresholds on validation stacks, verified voxels only."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from labels.numbers import number_of
from labels.progress import Progress, no_progress
from models.budget import CHOOSE, Budget, OutOfTimeError
from models.stardist3d.objects import Candidates, draw_objects, find_candidates, suppress
from models.stardist3d.runfolder import write_thresholds
from models.stardist3d.samples import UNKNOWN, PreparedStack

NMS_THRESHOLDS = (0.3, 0.4, 0.5)
IOU_THRESHOLDS = (0.3, 0.5, 0.7)
"""StarDist's own choice in ``optimize_thresholds``."""

LOWEST_PROBABILITY = 0.2
STEPS = 40
USUAL_PROBABILITY = 0.5
"""StarDist's threshold before any is chosen."""
FEWEST_OBJECTS = 20
"""Validation objects under which the training's are asked too: a thin strip holds a handful."""

MAX_CANDIDATES = 50_000
"""Per stack: a network that has learned little finds an object everywhere."""

FEW_CANDIDATES = 200
"""Enough to see how long one takes; with fewer there is nothing to choose from."""


@dataclass(frozen=True)
class Thresholds:
    """Best thresholds and their mean F1 over `IOU_THRESHOLDS`; 0 when nothing was found.

    Parameters
    ----------
    prob, nms : float
    f1 : float
        On all stacks.
    held_out_f1 : float
        On the first ones, which were not trained on.
    lowest : float
        The lowest probability that was tried.
    """

    prob: float
    nms: float
    f1: float
    held_out_f1: float
    lowest: float = LOWEST_PROBABILITY


def choose_thresholds(
    network: Any,
    checks: Sequence[PreparedStack],
    stacks: Sequence[PreparedStack],
    folder: Path,
    budget: Budget,
    progress: Progress = no_progress,
    has_base: bool = False,
) -> tuple[dict[str, float], list[str]]:
    """Write the thresholds best on the validation stacks, and on the training's where few.

    Where there is no time to choose, they are the network's own: those of the base, or the usual;
    and those of the base where no others are better.

    Returns
    -------
    validation : dict
        ``f1_instances_tuned``, if it could be measured on validation stacks.
    notes : list of str
        What the user must be told.
    """
    seen, learned = (
        [stack for stack in tried if (stack.labels > 0).any()] for tried in (checks, stacks)
    )
    count = sum(np.unique(stack.labels[stack.labels > 0]).size for stack in seen)
    notes: list[str] = []
    if count < FEWEST_OBJECTS:
        notes.append(
            f"the validation stacks have {number_of(count, 'verified object')}, fewer than "
            f"{FEWEST_OBJECTS}: thresholds were chosen on the training stacks too"
        )
        tried = [*seen, *learned]
    else:
        tried = seen
    budget.keep(0)
    best = budget.attempt(
        CHOOSE, lambda told: optimise(network, tried, told, len(seen), budget, has_base), progress
    )
    if best is None:
        write_thresholds(folder, network, *map(float, network.thresholds))
        return {}, []
    if best.lowest > LOWEST_PROBABILITY:
        notes.append(f"there was no time to try probability thresholds under {best.lowest:.2f}")
    if best.f1 == 0:
        notes.append(
            f"nothing was found: thresholds are the defaults, prob {best.prob:g} and "
            f"nms {best.nms:g}; train longer"
        )
    write_thresholds(folder, network, best.prob, best.nms)
    return {"f1_instances_tuned": best.held_out_f1} if seen else {}, notes


def mean_f1(
    network: Any, stacks: Sequence[PreparedStack], progress: Progress = no_progress
) -> float:
    """Return the mean F1 over `IOU_THRESHOLDS` with the network's own thresholds.

    Parameters
    ----------
    network : StarDist3D
    stacks : sequence of PreparedStack
        Those without an object tell nothing and are left out.
    progress : callable, optional
    """
    prob, nms = map(float, network.thresholds)
    overlaps = [
        _overlaps(network, stack, find_candidates(network, stack.image, progress), nms)
        for stack in stacks
        if (stack.labels > 0).any()
    ]
    return _mean_f1(overlaps, prob)


def optimise(
    network: Any,
    stacks: Sequence[PreparedStack],
    progress: Progress = no_progress,
    held_out: int | None = None,
    budget: Budget | None = None,
    has_base: bool = False,
) -> Thresholds:
    """Search both thresholds for the best mean F1 over `IOU_THRESHOLDS`.

    StarDist's non-maximum suppression goes down from the most probable polyhedron, so what
    survives above a probability does not depend on what is below it. One prediction at a low
    probability therefore serves all higher thresholds, where StarDist's own search predicts and
    draws again for each. Predictions mostly on unknown voxels count neither way.

    Parameters
    ----------
    network : StarDist3D
    stacks : sequence of PreparedStack
    progress : callable, optional
    held_out : int, optional
        How many of the first stacks were not trained on; by default all.
    budget : Budget, optional
        Where it leaves little time, only the most probable candidates are looked at.
    has_base : bool
        Whether the network's own thresholds are to be kept where no others are better.

    Raises
    ------
    OutOfTimeError
        There is no time to look at as many as would tell anything.
    """
    found = [
        find_candidates(network, stack.image, progress, LOWEST_PROBABILITY).best(MAX_CANDIDATES)
        for stack in stacks
    ]
    usual = network.thresholds
    tried = sorted({*NMS_THRESHOLDS, float(usual.nms)}) if has_base else NMS_THRESHOLDS
    total = len(tried) * len(stacks)
    most = _affordable(network, stacks[0], found[0], total, budget or Budget(None))
    lowest = max((_prob_of(each, most) for each in found), default=LOWEST_PROBABILITY)
    found = [each.best(most) for each in found]
    best = as_usual = Thresholds(float(usual.prob), float(usual.nms), 0.0, 0.0, lowest)
    for step, nms in enumerate(tried):
        overlaps = []
        for number, (stack, candidates) in enumerate(zip(stacks, found, strict=True)):
            progress(step * len(stacks) + number, total, "choosing thresholds")
            overlaps.append(_overlaps(network, stack, candidates, nms))
        prob, f1 = best_probability(overlaps, lowest)
        if f1 > best.f1:
            best = Thresholds(prob, nms, f1, _mean_f1(overlaps[:held_out], prob), lowest)
        if has_base and nms == as_usual.nms:
            all_f1, seen_f1 = (
                _mean_f1(some, as_usual.prob) for some in (overlaps, overlaps[:held_out])
            )
            as_usual = Thresholds(as_usual.prob, nms, all_f1, seen_f1, lowest)
    progress(total, total, "choosing thresholds")
    return as_usual if best.f1 <= as_usual.f1 else best


def _affordable(
    network: Any, stack: PreparedStack, candidates: Candidates, times: int, budget: Budget
) -> int:
    """Return how many candidates of each stack can be suppressed so many times."""
    if math.isinf(budget.left) or len(candidates.prob) == 0:
        return MAX_CANDIDATES
    # Suppression takes a millisecond or more per candidate.
    few = candidates.best(FEW_CANDIDATES)
    before = budget.elapsed
    _overlaps(network, stack, few, NMS_THRESHOLDS[0])
    each = (budget.elapsed - before) / len(few.prob)
    most = int(min(budget.left / (times * each), MAX_CANDIDATES)) if each else MAX_CANDIDATES
    if most < FEW_CANDIDATES:
        raise OutOfTimeError
    return most


def _prob_of(candidates: Candidates, most: int) -> float:
    """Return the least probability of those that are kept, where not all are."""
    prob = candidates.prob
    return float(np.partition(prob, -most)[-most]) if len(prob) > most else LOWEST_PROBABILITY


@dataclass(frozen=True)
class Overlaps:
    """Overlapping pairs (true, found), best first, and what there is to find."""

    true: NDArray[np.intp]
    found: NDArray[np.intp]
    iou: NDArray[np.float64]
    prob: NDArray[np.float64]
    counts: NDArray[np.bool_]
    true_count: int

    def found_count(self, prob: float) -> int:
        """Return how many objects count above a probability."""
        return int(np.count_nonzero((self.prob >= prob) & self.counts))


def _overlaps(network: Any, stack: PreparedStack, candidates: Candidates, nms: float) -> Overlaps:
    shape = stack.image.shape
    labels, confidence = draw_objects(
        suppress(network, candidates, shape, nms_threshold=nms), shape
    )
    known = stack.labels != UNKNOWN
    true, found = stack.labels[known], labels[known]
    visible = np.bincount(found, minlength=len(confidence) + 1)
    whole = np.bincount(labels.ravel(), minlength=len(confidence) + 1)
    size = np.bincount(true)
    both = (true > 0) & (found > 0)
    pairs, common = np.unique(
        np.stack([true[both].astype(np.int64), found[both].astype(np.int64)]),
        axis=1,
        return_counts=True,
    )
    iou = common / (size[pairs[0]] + visible[pairs[1]] - common)
    order = np.argsort(-iou, kind="stable")
    return Overlaps(
        true=pairs[0][order],
        found=pairs[1][order],
        iou=iou[order],
        prob=np.array([confidence[i + 1] for i in range(len(confidence))]),
        counts=2 * visible[1:] > whole[1:],
        true_count=int(np.count_nonzero(size[1:])),
    )


def best_probability(
    stacks: Sequence[Overlaps], lowest: float = LOWEST_PROBABILITY
) -> tuple[float, float]:
    """Return the threshold, of those about as good as the best, that finds the true number.

    "About" is one standard error of an F1 over so many objects (the one-standard-error rule of
    Breiman et al., Classification and Regression Trees, 1984): between a handful of objects F1
    cannot tell. Where it cannot, as many objects as there are neither lose nuclei nor make
    them up; equal counts are decided by how near the threshold is to StarDist's usual one.
    """
    highest = max((float(stack.prob.max()) for stack in stacks if stack.prob.size), default=0.0)
    tried = np.linspace(lowest, max(highest, lowest), STEPS)
    scores = np.array([_mean_f1(stacks, prob) for prob in tried])
    best = float(scores.max())
    objects = sum(stack.true_count for stack in stacks)
    error = np.sqrt(best * (1 - best) / objects) if objects else 0.0
    good = np.flatnonzero(scores >= best - error)
    found = [sum(stack.found_count(prob) for stack in stacks) for prob in tried[good]]
    usual = np.abs(tried[good] - USUAL_PROBABILITY)
    chosen = good[np.lexsort((usual, np.abs(np.subtract(found, objects))))[0]]
    return float(tried[chosen]), float(scores[chosen])


def _mean_f1(stacks: Sequence[Overlaps], prob: float) -> float:
    return float(np.mean([_f1(stacks, prob, iou) for iou in IOU_THRESHOLDS]))


def _f1(stacks: Sequence[Overlaps], prob: float, iou: float) -> float:
    """F1 over all stacks; pairs are matched greedily, best overlap first."""
    hits = total = 0
    for stack in stacks:
        kept = (stack.prob >= prob) & stack.counts
        candidates = (stack.iou >= iou) & kept[stack.found - 1]
        used_true: set[int] = set()
        used_found: set[int] = set()
        for a, b in zip(stack.true[candidates], stack.found[candidates], strict=True):
            if a not in used_true and b not in used_found:
                used_true.add(a)
                used_found.add(b)
        hits += len(used_true)
        total += stack.true_count + stack.found_count(prob)
    return 2 * hits / total if total else 0.0
