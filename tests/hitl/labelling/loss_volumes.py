"""A field of several chunks on which a person, a tool and a model have places of their own."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from annotations.objects import ObjectTable, Status
from annotations.rounds import RoundInfo
from hitl.project.config import ProjectConfig
from hitl.project.folder import Project
from tests.annotations.store_sources import ArraySource

SHAPE = (20, 140, 150)
HELD = (slice(0, 20), slice(0, 40), slice(0, 150))
"""Verified from the start, and nobody ever edits there."""
OF_WINDOW, OF_TOOL = 1, 2
"""Objects that grow: the one edited at the desk, and the one edited in another tool."""
PATHS = {i: (slice(3, 5), slice(46 + 10 * i, 48 + 10 * i), slice(4, 146)) for i in range(1, 9)}
"""Where the object of each id grows, voxel by voxel."""


def grown(labels: NDArray[np.uint32], object_id: int) -> NDArray[np.uint32]:
    """Labels in which an object has one more voxel of its path: no edit ever undoes another."""
    after = labels.copy()
    path = after[PATHS[object_id]].transpose(2, 0, 1).ravel()
    path[np.count_nonzero(path == object_id)] = object_id
    shape = tuple(p.stop - p.start for p in PATHS[object_id])
    after[PATHS[object_id]] = path.reshape(shape[2], shape[0], shape[1]).transpose(1, 2, 0)
    return after


def scene() -> tuple[NDArray[np.uint8], NDArray[np.uint32]]:
    """An image with bright boxes above and below the paths, and their labels."""
    labels = np.zeros(SHAPE, np.uint32)
    number = len(PATHS)
    for z in (0, 13):
        for y in range(2, 36 if z == 0 else 130, 12):
            for x in range(2, 140, 12):
                number += 1
                labels[z : z + 4, y : y + 8, x : x + 8] = number
    image = np.random.default_rng(0).integers(0, 40, SHAPE) + 150 * (labels > 0)
    for object_id in PATHS:
        for _ in range(8):
            labels = grown(labels, object_id)
    return image.astype(np.uint8), labels


def make_project(folder: Path) -> Project:
    """A project with field ``s``: a person's paths and held region, the rest proposed."""
    project = Project.create(folder, ProjectConfig())
    image, labels = scene()
    store = project.store(read_only=False)
    store.add_field("s", ArraySource(image[None]))
    ids = np.unique(labels[labels > 0])
    own = np.union1d(list(PATHS), np.unique(labels[HELD]))
    own = own[own > 0]
    objects = ObjectTable.make(ids, status=Status.PROPOSED, origin="model:m").updated(
        ObjectTable.make(own, status=Status.ACCEPTED, origin="person:ann")
    )
    info = RoundInfo(kind="correct", message="start", author="ann")
    with store.begin_round(info) as txn:
        txn.set_labels("s", labels, objects)
        txn.write_verified("s", HELD)
        for object_id, path in PATHS.items():
            txn.write_verified("s", path, labels[path] == object_id)
    return project
