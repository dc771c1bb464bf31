"""Fields of three classes, one in each of three channels, and series of three time points."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from annotations.fields import ClassInfo
from tests.annotations.store_sources import ArraySource
from tests.hitl.fake_model import Bench, scene

CHANNELS = ("Hoechst", "GFP", "Cy3")
CLASSES = tuple(
    ClassInfo(name=name, seen=(number,)) for number, name in enumerate(("nuclei", "g1", "g2"))
)
NAMES = tuple(each.name for each in CLASSES)
TIMES = 3


def class_scenes(seed: int) -> tuple[NDArray[np.uint8], dict[str, NDArray[np.uint32]]]:
    """An image (C, Z, Y, X), and the labels of each class."""
    scenes = [scene(seed + number) for number in range(len(CLASSES))]
    truth = {name: labels for name, (_, labels) in zip(NAMES, scenes, strict=True)}
    return np.stack([image for image, _ in scenes]), truth


def add_classes(
    bench: Bench,
    name: str,
    split: str,
    seed: int = 0,
    labelled: Collection[str] = NAMES,
    **add: Any,
) -> None:
    """Add a field with all classes, some of them labelled everywhere."""
    image, truth = class_scenes(seed)
    source = ArraySource(image)
    source.info = replace(source.info, channels=CHANNELS)
    labels = {each: truth[each] for each in labelled}
    bench.store.add_field(
        name, source, classes=CLASSES, split=split, **{"labels": labels or None, **add}
    )


def add_series(bench: Bench, name: str, split: str, labelled: bool = True, seed: int = 10) -> None:
    """Add a field of several time points; ids of one are not those of another."""
    frames = [scene(seed + time) for time in range(TIMES)]
    planes = np.concatenate(
        [np.where(labels > 0, labels + 100 * t, 0) for t, (_, labels) in enumerate(frames)]
    )
    bench.store.add_field(
        name,
        ArraySource(np.stack([image[None] for image, _ in frames])),
        split=split,
        labels={"nuclei": planes.astype(np.uint32)} if labelled else None,
    )
