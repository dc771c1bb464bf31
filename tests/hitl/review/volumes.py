"""Tiny anisotropic fields for the correction session."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from annotations.fields import ClassInfo
from annotations.objects import ObjectTable, Status
from annotations.rounds import ModelRef, RoundInfo
from hitl.project.config import ProjectConfig
from hitl.project.folder import Project
from hitl.queue.entries import Entry
from hitl.review.session.review_session import ReviewSession
from hitl.review.session.work_timer import WorkTimer
from tests.annotations.store_sources import ArraySource

SPACING = (3.0, 1.0, 1.0)
SHAPE = (8, 32, 40)
TIMES = 3


def ball(centre: tuple[int, int, int], radius_um: float, shape=SHAPE) -> NDArray[np.bool_]:
    grid = np.indices(shape).astype(float)
    return sum(((grid[i] - centre[i]) * SPACING[i]) ** 2 for i in range(3)) <= radius_um**2


def field() -> tuple[NDArray, NDArray, NDArray, ObjectTable]:
    """Image, labels, verified, objects: 1 is fine, 2 is debris, 3 is two nuclei, 4 + 5 are one."""
    labels = np.zeros(SHAPE, np.uint32)
    labels[ball((4, 7, 7), 5)] = 1
    labels[ball((4, 26, 34), 3)] = 2
    labels[ball((4, 8, 22), 5) | ball((4, 8, 31), 5)] = 3
    whole = ball((4, 24, 10), 6)
    labels[whole] = 4
    labels[whole & (np.indices(SHAPE)[2] > 11)] = 5
    image = (labels > 0) * 100 + np.random.default_rng(0).integers(0, 20, SHAPE)
    objects = ObjectTable.make(
        [1, 2, 3, 4, 5],
        status=Status.PROPOSED,
        origin="model:m",
        confidence={1: 0.9, 2: 0.2, 3: 0.5, 4: 0.6},
    )
    return image.astype(np.uint16), labels, np.zeros(SHAPE, np.uint8), objects


class Clock:
    """Seconds that a test sets."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def session(clock: Clock | None = None) -> ReviewSession:
    image, labels, verified, objects = field()
    return ReviewSession(
        image,
        labels,
        verified,
        objects,
        SPACING,
        chunks=(4, 16, 16),
        timer=WorkTimer(now=clock or Clock()),
    )


def entry(object_id: int | None, position_zyx: tuple[int, int, int]) -> Entry:
    """An entry of the queue: an object, or a place where one may be missing."""
    return Entry(
        field="s",
        kind="missed" if object_id is None else "object",
        id=object_id,
        position_zyx=position_zyx,
        score=0.5,
        confidence=None,
        reasons=("low",),
        voxels=9,
    )


def make_series(folder: Path) -> Project:
    """A field ``s`` of three time points and two channels, and a model's proposal of two classes.

    Class ``nuclei`` is seen in the first channel, ``golgi`` in both. Of either, objects 1 to 5 are
    those of `field` at the first time point; 11 to 15 and 21 to 25 are the same at the others.
    """
    project = Project.create(folder, ProjectConfig())
    image, labels, _, _ = field()
    source = ArraySource(np.stack([np.stack([image + t, image[::-1] // 2]) for t in range(TIMES)]))
    source.info = replace(source.info, spacing_um=SPACING, channels=("dapi", "gm130"))
    classes = (ClassInfo(name="nuclei", seen=(0,)), ClassInfo(name="golgi", seen=(0, 1)))
    store = project.store(read_only=False)
    store.add_field("s", source, classes=classes)
    planes = np.concatenate(
        [np.where(labels > 0, labels + np.uint32(10 * t), 0) for t in range(TIMES)]
    )
    objects = ObjectTable.make(
        np.unique(planes[planes > 0]), status=Status.PROPOSED, origin="model:m"
    )
    info = RoundInfo(kind="bootstrap", message="m", author="model", model=ModelRef(name="m"))
    with store.begin_round(info) as txn:
        for each in classes:
            txn.set_labels(f"s:{each.name}", planes, objects)
    return project


def make_project(folder: Path) -> Project:
    """A project with one field, ``s``, and a model's proposal of it."""
    project = Project.create(folder, ProjectConfig())
    image, labels, _, objects = field()
    source = ArraySource(image[None])
    source.info = replace(source.info, spacing_um=SPACING)
    store = project.store(read_only=False)
    store.add_field("s", source)
    info = RoundInfo(kind="bootstrap", message="m", author="model", model=ModelRef(name="m"))
    with store.begin_round(info) as txn:
        txn.set_labels("s", labels, objects)
    return project
