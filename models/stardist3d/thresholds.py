"""Choose the probability and overlap thresholds on validation stacks, verified voxels only."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.base import Progress, no_progress
from models.stardist3d.objects import Candidates, draw_objects, find_candidates, suppress
from models.stardist3d.runfolder import write_thresholds
from models.stardist3d.samples import UNKNOWN, PreparedStack

NMS_THRESHOLDS = (0.3, 0.4, 0.5)
IOU_THRESHOLDS = (0.3, 0.5, 0.7)
"""StarDist's own choice in ``optimize_thresholds``."""

LOWEST_PROBABILITY = 0.15
STEPS = 40
USUAL_PROBABILITY = 0.5
"""StarDist's threshold before any is chosen."""
MAX_CANDIDATES = 50_000
"""Per stack: a network that has learned little finds an object everywhere."""


@dataclass(frozen=True)
class Thresholds:
    """Best thresholds and their mean F1 over `IOU_THRESHOLDS`; `f1` is 0 when nothing was found."""

    prob: float
    nms: float
    f1: float


def choose_thresholds(
    network: Any,
    checks: Sequence[PreparedStack],
    stacks: Sequence[PreparedStack],
    folder: Path,
    progress: Progress = no_progress,
) -> tuple[dict[str, float], list[str]]:
    """Write the thresholds best on the validation stacks, else on the training stacks.

    Returns
    -------
    validation : dict
        ``val_f1``, if it could be measured on validation stacks.
    notes : list of str
        What the user must be told.
    """
    notes: list[str] = []
    for where, tried in (("validation", checks), ("training", stacks)):
        known = [stack for stack in tried if (stack.labels > 0).any()]
        best = optimise(network, known, progress) if known else None
        if best is not None and best.f1 > 0:
            write_thresholds(folder, network, best.prob, best.nms)
            return {"val_f1": best.f1} if where == "validation" else {}, notes
        why = "nothing was found" if known else "there is no verified object"
        notes.append(f"{why} in the {where} stacks: thresholds were not chosen on them")
    prob, nms = float(network.thresholds.prob), float(network.thresholds.nms)
    write_thresholds(folder, network, prob, nms)
    notes.append(f"thresholds are the defaults, prob {prob:g} and nms {nms:g}; train longer")
    return {}, notes


def optimise(
    network: Any, stacks: Sequence[PreparedStack], progress: Progress = no_progress
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
        Validation stacks.
    progress : callable, optional
    """
    found = [
        find_candidates(network, stack.image, progress, LOWEST_PROBABILITY).best(MAX_CANDIDATES)
        for stack in stacks
    ]
    best = Thresholds(float(network.thresholds.prob), float(network.thresholds.nms), 0.0)
    for step, nms in enumerate(NMS_THRESHOLDS):
        progress(step, len(NMS_THRESHOLDS), "choosing thresholds")
        overlaps = [
            _overlaps(network, stack, candidates, nms)
            for stack, candidates in zip(stacks, found, strict=True)
        ]
        prob, f1 = _best_probability(overlaps)
        if f1 > best.f1:
            best = Thresholds(prob, nms, f1)
    progress(len(NMS_THRESHOLDS), len(NMS_THRESHOLDS), "choosing thresholds")
    return best


@dataclass(frozen=True)
class _Overlaps:
    """Overlapping pairs (true, found), best first, and what there is to find."""

    true: NDArray[np.intp]
    found: NDArray[np.intp]
    iou: NDArray[np.float64]
    prob: NDArray[np.float64]
    counts: NDArray[np.bool_]
    true_count: int


def _overlaps(network: Any, stack: PreparedStack, candidates: Candidates, nms: float) -> _Overlaps:
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
    return _Overlaps(
        true=pairs[0][order],
        found=pairs[1][order],
        iou=iou[order],
        prob=np.array([confidence[i + 1] for i in range(len(confidence))]),
        counts=2 * visible[1:] > whole[1:],
        true_count=int(np.count_nonzero(size[1:])),
    )


def _best_probability(stacks: Sequence[_Overlaps]) -> tuple[float, float]:
    """Return the threshold nearest to StarDist's usual one that is about as good as the best.

    "About" is one standard error of an F1 over so many objects (the one-standard-error rule of
    Breiman et al., Classification and Regression Trees, 1984): a handful of validation objects
    must not drive the threshold to an extreme.
    """
    highest = max((float(stack.prob.max()) for stack in stacks if stack.prob.size), default=0.0)
    tried = np.linspace(LOWEST_PROBABILITY, max(highest, LOWEST_PROBABILITY), STEPS)
    scores = np.array([np.mean([_f1(stacks, p, iou) for iou in IOU_THRESHOLDS]) for p in tried])
    best = float(scores.max())
    objects = sum(stack.true_count for stack in stacks)
    error = np.sqrt(best * (1 - best) / objects) if objects else 0.0
    good = np.flatnonzero(scores >= best - error)
    chosen = good[np.argmin(np.abs(tried[good] - USUAL_PROBABILITY))]
    return float(tried[chosen]), float(scores[chosen])


def _f1(stacks: Sequence[_Overlaps], prob: float, iou: float) -> float:
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
        total += stack.true_count + int(kept.sum())
    return 2 * hits / total if total else 0.0
