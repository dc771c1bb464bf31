"""Synthetic spheroids, segmented with the classical segmenter, as cases of a simulation."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

from hitl.queue.alternatives import classical_segmentations
from hitl.simulate.oracle import Case
from models.synthetic import NucleiGenerator
from scripts.simulate_budget import SPHEROID

SMALL = replace(SPHEROID, shape=(20, 72, 72), nuclei=45)


@cache
def spheroid(seed: int, maker: NucleiGenerator = SMALL) -> Case:
    drawn = maker.make(seed)
    first, others = classical_segmentations(drawn.image, drawn.spacing_um)
    return Case(
        name=f"spheroid {seed}",
        image=drawn.image,
        spacing_um=drawn.spacing_um,
        truth=drawn.labels,
        labels=first.labels,
        confidence=first.confidence,
        others=others,
    )
