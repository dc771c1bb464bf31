"""Objects give the scale: every field is seen at the one size of objects that a network knows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

import numpy as np

from models.base import TrainingSample
from models.field_size import FieldSize, KnownSizes, rescaled, same_size, shown_share
from models.objects import Diameters, ball_diameters, typical_diameter

FEWEST_OBJECTS = 3
"""With fewer labelled objects a field does not tell their size."""


@dataclass(frozen=True)
class OneSize:
    """Samples whose objects are equally large by their voxel sizes.

    Parameters
    ----------
    train, val : list of TrainingSample
    diameter_um : float or None
        Of the objects; None without any.
    sizes : KnownSizes
        What the fields were before.
    """

    train: list[TrainingSample]
    val: list[TrainingSample]
    diameter_um: float | None
    sizes: KnownSizes = field(default_factory=KnownSizes)


def of_one_size(
    train: Sequence[TrainingSample],
    val: Sequence[TrainingSample],
    notes: list[str],
    *,
    flat: bool = False,
) -> OneSize:
    """Return the samples with voxel sizes at which the objects of all fields are equally large.

    The size is the median over the training's fields. A field with too few objects to tell their
    size takes that of the others; where all have too few, voxel sizes stay what they are.

    Parameters
    ----------
    train, val : sequence of TrainingSample
        Samples of one field share a scale, which the training's labels decide.
    notes : list of str
        Is told which objects are brought to which size.
    flat : bool
        Measure the objects in each slice, not through the stack.
    """
    learned = _measured(train, flat)
    own = {
        name: size
        for name, size in {**_measured(val, flat), **learned}.items()
        if size.objects >= FEWEST_OBJECTS
    }
    known = [own[name].diameter_um for name in learned if name in own]
    if not known:
        seen = [size.diameter_um for size in learned.values() if size.objects]
        return OneSize(list(train), list(val), float(np.median(seen)) if seen else None)
    aim = float(np.median(known))
    changed = {f: s.diameter_um for f, s in own.items() if not same_size(s.diameter_um, aim)}
    if changed:
        listed = ", ".join(f"{size:.3g} µm in {name}" for name, size in sorted(changed.items()))
        notes.append(f"objects of {listed} are learned as objects of {aim:.3g} µm, by their labels")
        few = sorted({_field(sample) for sample in (*train, *val)} - set(own))
        if few:
            notes.append(
                f"too few labelled objects to tell their size in {', '.join(few)}: taken to be "
                f"{aim:.3g} µm across, as in the other fields"
            )

    def scaled(samples: Sequence[TrainingSample]) -> list[TrainingSample]:
        sizes = [changed.get(_field(sample), aim) for sample in samples]
        return [
            replace(sample, spacing_um=rescaled(sample.spacing_um, size, aim))
            for sample, size in zip(samples, sizes, strict=True)
        ]

    told = {_field(sample): sample for sample in train}
    fields = tuple(FieldSize(s.spacing_um, changed.get(f, aim)) for f, s in told.items())
    share = shown_share(
        (told[f].image, told[f].spacing_um, own[f].diameter_um) for f in told if f in own
    )
    return OneSize(scaled(train), scaled(val), aim, KnownSizes(fields, share))


class _Size(NamedTuple):
    diameter_um: float
    objects: int


def _field(sample: TrainingSample) -> str:
    return sample.field or sample.name


def _measured(samples: Sequence[TrainingSample], flat: bool) -> dict[str, _Size]:
    """Return the typical diameter in µm of each field's objects, and how many there are."""
    parts: dict[str, list[Diameters]] = {}
    for sample in samples:
        # An area has no size of its own.
        counts = sample.mask & (sample.kind == "instances")
        known = np.where(counts, sample.labels, 0)
        parts.setdefault(_field(sample), []).extend(
            ball_diameters(part, sample.spacing_um)
            for part in (known[:, None] if flat else (known,))
        )
    return {
        name: _Size(typical_diameter(each) or 0.0, sum(len(found) for found, _ in each))
        for name, each in parts.items()
    }
