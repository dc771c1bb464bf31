"""The expected error of every object and of every place where one may be missing."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hitl.queue.disagreement import (
    AGREES_IOU,
    Disagreement,
    MissedCandidate,
    compare,
    find_missed,
)
from hitl.queue.entries import Entry
from hitl.queue.features import (
    Floats,
    ObjectFeatures,
    above_background,
    ellipsoids,
    measure,
    robust_z,
)
from labels.numbers import number_of
from labels.spacing import Spacing

WEIGHTS: Mapping[str, float] = {
    "outline": 0.35,
    "fill": 0.30,
    "contact": 0.30,
    "elongation": 0.15,
    "fall": 0.12,
    "confidence": 0.10,
    "size": 0.07,
    "parts": 0.07,
    "absent": 0.05,
    "partners": 0.03,
    "border": 0.03,
    "pieces": 0.30,
}
"""What one unit of each signal adds to the expected error 1 - IoU.

Non-negative least squares on 813 objects of twelve fields (nine synthetic spheroids of three
kinds, a synthetic field of StarDist's, the two real ones that the simulation uses too), rounded;
`confidence` shares its weight with `fall`, which says much the same, and `pieces`, which the data
never had, is set by hand. The synthetic fields of `scripts/simulate_budget.py` are others.
"""

LEAST_CHANCE = 0.2
"""Candidates for a missed object that are less likely a nucleus are not listed.

Of 408 such candidates on the fields behind `WEIGHTS`, 4 were nuclei.
"""

_REASON_FROM = 0.05
_MAX_REASONS = 3


@dataclass(frozen=True, eq=False)
class Signals:
    """Every signal of every object, each in [0, 1], and the sum that they make.

    Parameters
    ----------
    features : ObjectFeatures
    others : Disagreement
    confidence : ndarray of float64, shape (n,)
        NaN where there is none.
    values : mapping of str to ndarray of float64, shape (n,)
        By the names in `WEIGHTS`.
    """

    features: ObjectFeatures
    others: Disagreement
    confidence: Floats
    values: Mapping[str, Floats]

    @property
    def expected_error(self) -> Floats:
        """Expected 1 - IoU, shape (n,), in [0, 1]."""
        total = np.zeros(len(self.features))
        for name, value in self.values.items():
            total += WEIGHTS[name] * value
        return np.clip(total, 0, 1)


def _signals(
    labels: NDArray[np.uint32],
    image: NDArray[Any],
    spacing_um: Spacing,
    confidence: Mapping[int, float],
    others: Mapping[str, NDArray[np.uint32]],
) -> Signals:
    """Measure each object's signals of being wrong."""
    shape = measure(labels, image, spacing_um)
    seen = compare(labels, others)
    rated = np.array([confidence.get(int(i), np.nan) for i in shape.ids], np.float64)
    values = {
        "fill": np.clip((1 - shape.fill) / 0.3, 0, 1),
        "contact": shape.contact,
        "elongation": np.clip(robust_z(np.log(np.maximum(shape.elongation, 1))) / 3, 0, 1),
        "fall": 1 - shape.fall,
        "confidence": np.nan_to_num(1 - rated, nan=0.0),
        "size": np.clip(np.abs(shape.size_z) / 3, 0, 1),
        "border": (shape.border > 0).astype(np.float64),
        "pieces": (shape.pieces > 1).astype(np.float64),
    }
    if others:
        values |= {
            "outline": 1 - seen.iou.mean(axis=1),
            "absent": (seen.iou < AGREES_IOU).mean(axis=1),
            "parts": (seen.parts > 1).mean(axis=1),
            "partners": (seen.partners > 1).mean(axis=1),
        }
    return Signals(shape, seen, rated, values)


def rank(
    labels: NDArray[np.uint32],
    image: NDArray[Any],
    spacing_um: Spacing,
    *,
    confidence: Mapping[int, float],
    others: Mapping[str, NDArray[np.uint32]],
    settled: Collection[int] = (),
    checked: NDArray[np.bool_] | None = None,
    field: str = "",
    time: int | None = None,
) -> tuple[Entry, ...]:
    """Rank every unsettled object and every place of a possibly missed one by expected error.

    Parameters
    ----------
    labels : ndarray of uint32, shape (Z, Y, X)
    image : ndarray of integer or float, shape (Z, Y, X)
    spacing_um : (float, float, float)
        Voxel size (z, y, x) in µm.
    confidence : mapping of int to float
        By id; NaN or absent where there is none.
    others : mapping of str to ndarray of uint32, shape (Z, Y, X)
        Other segmentations of the same image, by name. May be empty: then nothing is found
        missing, and shape and intensity alone decide.
    settled : collection of int
        Ids that people have judged; they serve as examples of what is usual, and are not listed.
    checked : ndarray of bool, shape (Z, Y, X), optional
        True where a person has looked; nothing is called missed there.
    field : str
    time : int, optional
        Address and time point that are put into the entries.

    Returns
    -------
    tuple of Entry
        Largest expected error first; equal ones by kind and id, so that the order is fixed.

    Raises
    ------
    LabelImageError
        A segmentation of another shape, or not integers.
    """
    found = _signals(labels, image, spacing_um, confidence, others)
    done = set(map(int, settled))
    entries = [
        _object_entry(found, row, field, time)
        for row, label in enumerate(found.features.ids)
        if int(label) not in done
    ]
    missed = find_missed(labels, others, checked) if others else []
    chances = _chances(missed, found.features, image, spacing_um)
    entries += [
        _missed_entry(candidate, float(chance), len(others), field, time)
        for candidate, chance in zip(missed, chances, strict=True)
        if chance >= LEAST_CHANCE
    ]
    return tuple(
        sorted(entries, key=lambda e: (-e.score, e.kind, e.id or 0, e.source, e.source_label))
    )


def _object_entry(found: Signals, row: int, field: str, time: int | None) -> Entry:
    shape = found.features
    z, y, x = (int(v) for v in shape.inside_zyx[row])
    rated = float(found.confidence[row])
    return Entry(
        field=field,
        kind="object",
        id=int(shape.ids[row]),
        position_zyx=(z, y, x),
        score=float(found.expected_error[row]),
        confidence=None if math.isnan(rated) else rated,
        reasons=_reasons(found, row),
        voxels=int(shape.voxels[row]),
        time=time,
    )


def _reasons(found: Signals, row: int) -> tuple[str, ...]:
    """Say in words what adds most to an object's expected error."""
    adds = {name: WEIGHTS[name] * float(value[row]) for name, value in found.values.items()}
    weighty = sorted((n for n, add in adds.items() if add >= _REASON_FROM), key=lambda n: -adds[n])
    # Splits and merges say more than the outline that changes with them.
    told = [n for n in ("parts", "partners") if n in found.values and found.values[n][row] >= 0.25]
    told += [name for name in weighty if name not in told]
    return tuple(_words(found, name, row) for name in told[:_MAX_REASONS])


def _words(found: Signals, name: str, row: int) -> str:
    shape, seen = found.features, found.others
    of = f"of {number_of(seen.iou.shape[1], 'other segmentation')}"
    usual = float(np.median(shape.volume_um3))
    sentences: dict[str, Callable[[], str]] = {
        "outline": lambda: f"the others outline it differently (IoU {seen.iou[row].mean():.2f})",
        "absent": lambda: f"{np.sum(seen.iou[row] < AGREES_IOU)} {of} have no such object",
        "parts": lambda: f"{np.sum(seen.parts[row] > 1)} {of} split it",
        "partners": lambda: f"{np.sum(seen.partners[row] > 1)} {of} join it with a neighbour",
        "fill": lambda: f"notched: fills {min(shape.fill[row], 1):.0%} of its ellipsoid",
        "contact": lambda: f"{shape.contact[row]:.0%} of its surface touches others",
        "elongation": lambda: f"{shape.elongation[row]:.1f} times as long as wide",
        "fall": lambda: f"faint outline (light falls by {shape.fall[row]:.0%} across it)",
        "confidence": lambda: f"low confidence ({found.confidence[row]:.2f})",
        "size": lambda: f"{shape.volume_um3[row] / usual:.1f} times the usual volume",
        "border": lambda: "cut by the field's border",
        "pieces": lambda: f"in {shape.pieces[row]} pieces",
    }
    return sentences[name]()


def _chances(
    missed: list[MissedCandidate],
    usual: ObjectFeatures,
    image: NDArray[Any],
    spacing_um: Spacing,
) -> Floats:
    """Return how likely each candidate is a nucleus: as round, bright and large as the others.

    On twelve fields 495 candidates, of which 54 were nuclei, got these chances; they were right
    for 93 % of those above 0.8, 82 % of 0.6 to 0.8, 18 % of 0.2 to 0.4 and 1 of 358 below 0.02.
    """
    if not missed:
        return np.zeros(0)
    sizes = np.array([len(c.places) for c in missed])
    row = np.repeat(np.arange(len(missed)), sizes)
    flat = np.concatenate([c.places for c in missed])
    places = np.stack(np.unravel_index(flat, image.shape), axis=1)
    _, fill, elongation = ellipsoids(places, row, len(missed), spacing_um, flat=len(image) == 1)
    chance = _ramp(fill, 0.5, 0.85) * _ramp(-elongation, -3.0, -1.5)
    if len(usual):
        light = np.bincount(row, above_background(image).ravel()[flat]) / sizes
        chance *= _ramp(light / max(float(np.median(usual.brightness)), 1e-6), 0.2, 0.6)
        odd = np.abs(np.log(sizes / np.median(usual.voxels))) - math.log(2.5)
        chance *= np.exp(-((np.maximum(odd, 0) / 0.5) ** 2) / 2)
    return np.asarray(chance)


def _ramp(values: Floats, zero: float, one: float) -> Floats:
    return np.clip((values - zero) / (one - zero), 0, 1)


def _missed_entry(
    candidate: MissedCandidate, chance: float, count: int, field: str, time: int | None
) -> Entry:
    found_by = len(candidate.names)
    more = ", …" if found_by > 3 else ""
    return Entry(
        field=field,
        kind="missed",
        id=None,
        position_zyx=candidate.inside_zyx,
        score=chance,
        confidence=None,
        reasons=(
            f"missed? found here by {found_by} of {number_of(count, 'other segmentation')} "
            f"({', '.join(candidate.names[:3])}{more})",
        ),
        voxels=len(candidate.places),
        source=candidate.source,
        source_label=candidate.label,
        time=time,
    )
