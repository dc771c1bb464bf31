"""Patches with StarDist's targets: object probability and distances along the rays."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from models.stardist3d.plan import Factors, Triple
from models.stardist3d.runtime import import_stardist
from models.stardist3d.samples import UNKNOWN, PreparedStack

Batch = tuple[NDArray[np.float32], list[NDArray[np.float32]]]
Patch = tuple[NDArray[np.float32], NDArray[np.int32]]

OBJECT_SHARE = 0.9
"""Share of patches placed on an object, as StarDist's ``train_foreground_only``."""

_ANCHORS = 4096


@dataclass(frozen=True)
class Targets:
    """How labels become StarDist's targets.

    Parameters
    ----------
    rays : stardist Rays
    grid : (int, int, int)
    anisotropy : (float, float, float) or None
    """

    rays: Any
    grid: Triple
    anisotropy: Factors | None

    def of(self, labels: NDArray[np.int32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Return probability and distances of one patch.

        Parameters
        ----------
        labels : ndarray of int32, shape (Z, Y, X)

        Returns
        -------
        probability : ndarray of float32, shape (Z/g, Y/g, X/g, 1)
            -1 where unknown.
        distances : ndarray of float32, shape (Z/g, Y/g, X/g, rays + 1)
            The last channel is the probability again, which weights the distances' loss.
        """
        stardist = import_stardist()
        steps = tuple(slice(None, None, step) for step in self.grid)
        known = np.maximum(labels, 0)
        edt = stardist.utils.edt_prob(known, anisotropy=self.anisotropy)[steps]
        probability = np.where(labels[steps] == UNKNOWN, -1.0, edt).astype(np.float32)[..., None]
        distances = stardist.geometry.star_dist3D(known, self.rays, grid=self.grid)
        return probability, np.concatenate([distances, probability], axis=-1)

    def batch(self, patches: Sequence[Patch]) -> Batch:
        """Stack patches and their targets; images get a channel axis."""
        probability, distances = zip(*(self.of(labels) for _, labels in patches), strict=True)
        images = np.stack([image for image, _ in patches])[..., None]
        return images, [np.stack(probability), np.stack(distances)]


@dataclass(frozen=True)
class PatchSampler:
    """Places patches on objects, now and then on any verified voxel.

    Parameters
    ----------
    stacks : sequence of PreparedStack
        Each at least as large as the patch; together they hold an object.
    patch : (int, int, int)
    augment : bool
    seed : int
    """

    stacks: Sequence[PreparedStack]
    patch: Triple
    augment: bool
    seed: int
    _objects: list[tuple[int, NDArray[np.intp]]] = field(init=False)
    _verified: list[tuple[int, NDArray[np.intp]]] = field(init=False)

    def __post_init__(self) -> None:
        rng = np.random.default_rng(self.seed)
        objects, verified = [], []
        for index, stack in enumerate(self.stacks):
            objects += [(index, centre) for centre in _object_centres(stack.labels)]
            known = np.flatnonzero(stack.labels != UNKNOWN)
            some = rng.choice(known, size=min(_ANCHORS, known.size), replace=False)
            places = np.stack(np.unravel_index(some, stack.labels.shape), axis=-1)
            verified += [(index, place) for place in places]
        object.__setattr__(self, "_objects", objects)
        object.__setattr__(self, "_verified", verified)

    def __iter__(self) -> Iterator[Patch]:
        rng = np.random.default_rng(self.seed)
        while True:
            yield self._draw(rng)

    def _draw(self, rng: np.random.Generator) -> Patch:
        anchors = self._objects if rng.random() < OBJECT_SHARE else self._verified
        index, anchor = anchors[rng.integers(len(anchors))]
        stack = self.stacks[index]
        box = tuple(
            slice(start, start + side)
            for start, side in (
                (int(np.clip(at - rng.integers(side), 0, size - side)), side)
                for at, side, size in zip(anchor, self.patch, stack.image.shape, strict=True)
            )
        )
        image, labels = stack.image[box], stack.labels[box]
        return augmented(image, labels, rng) if self.augment else (image, labels)


def _object_centres(labels: NDArray[np.int32]) -> list[NDArray[np.intp]]:
    boxes = ndimage.find_objects(np.maximum(labels, 0))
    return [
        np.array([(side.start + side.stop) // 2 for side in box])
        for box in boxes
        if box is not None
    ]


def augmented(
    image: NDArray[np.float32], labels: NDArray[np.int32], rng: np.random.Generator
) -> Patch:
    """Flip along any axis, turn by 90° in yx, stretch and shift intensities, add noise.

    The yx quarter turns are drawn only for patches square in yx; z never mixes with y or x.
    """
    for axis in range(3):
        if rng.random() < 0.5:
            image, labels = np.flip(image, axis), np.flip(labels, axis)
    if image.shape[1] == image.shape[2]:
        turns = int(rng.integers(4))
        image, labels = np.rot90(image, turns, (1, 2)), np.rot90(labels, turns, (1, 2))
    image = image * np.float32(rng.uniform(0.6, 1.6)) + np.float32(rng.uniform(-0.15, 0.15))
    sigma = np.float32(0.05 * rng.random())
    image = image + sigma * rng.standard_normal(image.shape, dtype=np.float32)
    return image, np.ascontiguousarray(labels)


def validation_patches(stacks: Sequence[PreparedStack], patch: Triple, limit: int) -> list[Patch]:
    """Cut stacks into patches side by side; keep those that hold verified voxels.

    Parameters
    ----------
    stacks : sequence of PreparedStack
    patch : (int, int, int)
    limit : int
        At most so many patches, evenly chosen; patches with objects go first.
    """
    found: list[Patch] = []
    for stack in stacks:
        starts = [
            np.linspace(0, size - side, -(-size // side)).round().astype(int)
            for size, side in zip(stack.image.shape, patch, strict=True)
        ]
        for corner in np.stack(np.meshgrid(*starts, indexing="ij"), axis=-1).reshape(-1, 3):
            box = tuple(slice(at, at + side) for at, side in zip(corner, patch, strict=True))
            if (stack.labels[box] != UNKNOWN).any():
                found.append((stack.image[box], stack.labels[box]))
    with_objects = [piece for piece in found if (piece[1] > 0).any()]
    chosen = with_objects or found
    if len(chosen) > limit:
        chosen = [chosen[i] for i in np.linspace(0, len(chosen) - 1, limit).round().astype(int)]
    return chosen
