"""Patches with StarDist's targets: object probability and distances along the rays."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from models.stardist3d.augment import change_intensity, random_matrix
from models.stardist3d.plan import Factors, Triple
from models.stardist3d.raycast import star_distances
from models.stardist3d.runtime import import_stardist
from models.stardist3d.samples import UNKNOWN, PreparedStack

Batch = tuple[NDArray[np.float32], list[NDArray[np.float32]]]
Patch = tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]

_ANCHORS = 4096
LATERAL_SHEAR = 0.1


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


@dataclass(frozen=True)
class View:
    """Where a patch lies in a stack.

    Parameters
    ----------
    stack : int
        Index of the stack.
    centre : ndarray of float, shape (3,)
        Position (z, y, x) in the stack of the middle of the patch's voxels.
    matrix : ndarray of float, shape (3, 3)
        From an offset in the patch to one in the stack.
    """

    stack: int
    centre: NDArray[np.float64]
    matrix: NDArray[np.float64]


class PatchCutter:
    """Cuts patches out of stacks, with targets that know the stack beyond the patch.

    Parameters
    ----------
    stacks : sequence of PreparedStack
        Of any size; beyond their border the image is mirrored and the targets are unknown.
    patch : (int, int, int)
        A multiple of the grid.
    targets : Targets
    """

    def __init__(self, stacks: Sequence[PreparedStack], patch: Triple, targets: Targets) -> None:
        self.stacks, self.patch, self._targets = tuple(stacks), patch, targets
        edt_prob = import_stardist().utils.edt_prob
        self._inside = [
            edt_prob(np.maximum(stack.labels, 0), anisotropy=targets.anisotropy)
            for stack in self.stacks
        ]
        self.rays = np.asarray(targets.rays.vertices, dtype=np.float64)
        steps = [np.arange(0, side, step) for side, step in zip(patch, targets.grid, strict=True)]
        self._shape = tuple(len(along) for along in steps)
        middle = (np.array(patch) - 1) / 2
        self._cells = np.stack(np.meshgrid(*steps, indexing="ij"), axis=-1).reshape(-1, 3) - middle
        self.middle = middle

    def cut(self, view: View) -> Patch:
        """Return image, probability and distances of one patch.

        Returns
        -------
        image : ndarray of float32, shape (Z, Y, X)
        probability : ndarray of float32, shape (Z/g, Y/g, X/g, 1)
            -1 where unknown.
        distances : ndarray of float32, shape (Z/g, Y/g, X/g, rays + 1)
            Negative where the object reaches at least so far, out of the stack. The last channel
            is the probability again, which weights the distances' loss.
        """
        stack, inside = self.stacks[view.stack], self._inside[view.stack]
        image = ndimage.affine_transform(
            stack.image,
            view.matrix,
            view.centre - view.matrix @ self.middle,
            output_shape=self.patch,
            order=1,
            mode="reflect",
        )
        cells = self._cells @ view.matrix.T + view.centre
        nearest = np.floor(cells + 0.5).astype(np.intp)
        beyond = np.any((nearest < 0) | (nearest >= stack.labels.shape), axis=1)
        at = tuple(np.where(beyond[:, None], 0, nearest).T)
        unknown = beyond | (stack.labels[at] == UNKNOWN)
        share = ndimage.map_coordinates(inside, cells.T, order=1, mode="nearest")
        share = np.where(stack.labels[at] > 0, share, 0.0)
        probability = np.where(unknown, -1.0, share).astype(np.float32).reshape(*self._shape, 1)
        rays = (self.rays @ view.matrix.T).astype(np.float32)
        distances = star_distances(stack.labels, cells.astype(np.float32), rays)
        distances = distances.reshape(*self._shape, len(rays))
        return image, probability, np.concatenate([distances, probability], axis=-1)

    def batch(self, patches: Sequence[Patch]) -> Batch:
        """Stack patches; images get a channel axis."""
        images, probability, distances = zip(*patches, strict=True)
        return np.stack(images)[..., None], [np.stack(probability), np.stack(distances)]

    def upright(self, stack: int, corner: Sequence[int] | NDArray[np.intp]) -> View:
        """Return the view of the patch as it lies in the stack, from a corner on."""
        return View(stack, np.array(corner) + self.middle, np.eye(3))


@dataclass(frozen=True)
class PatchSampler:
    """Places patches on objects, now and then on any verified voxel.

    Every batch is drawn from the seed and its number alone, so that an interrupted training
    goes on with the batches it would have had.

    Parameters
    ----------
    cutter : PatchCutter
        Its stacks together hold an object.
    batch_size : int
    augment : bool
    object_share : float
        Share of patches that hold an object.
    seed : int
    """

    cutter: PatchCutter
    batch_size: int
    augment: bool
    object_share: float
    seed: int
    _objects: list[tuple[int, NDArray[np.intp]]] = field(init=False)
    _verified: list[tuple[int, NDArray[np.intp]]] = field(init=False)

    def __post_init__(self) -> None:
        rng = np.random.default_rng(self.seed)
        objects, verified = [], []
        for index, stack in enumerate(self.cutter.stacks):
            objects += [(index, centre) for centre in _object_centres(stack.labels)]
            known = np.flatnonzero(stack.labels != UNKNOWN)
            some = rng.choice(known, size=min(_ANCHORS, known.size), replace=False)
            places = np.stack(np.unravel_index(some, stack.labels.shape), axis=-1)
            verified += [(index, place) for place in places]
        object.__setattr__(self, "_objects", objects)
        object.__setattr__(self, "_verified", verified)

    def batch(self, step: int) -> Batch:
        """Return the batch of one step, counted from 0."""
        rng = np.random.default_rng((self.seed, step))
        return self.cutter.batch([self.draw(rng) for _ in range(self.batch_size)])

    def draw(self, rng: np.random.Generator) -> Patch:
        """Return one random patch."""
        anchors = self._objects if rng.random() < self.object_share else self._verified
        index, anchor = anchors[rng.integers(len(anchors))]
        patch, shape = self.cutter.patch, self.cutter.stacks[index].image.shape
        corner = [
            int(np.clip(at - rng.integers(side), 0, max(size - side, 0)))
            for at, side, size in zip(anchor, patch, shape, strict=True)
        ]
        view = self.cutter.upright(index, corner)
        if not self.augment:
            return self.cutter.cut(view)
        image, *targets = self.cutter.cut(
            View(index, view.centre, random_matrix(rng, LATERAL_SHEAR))
        )
        return change_intensity(image, rng), targets[0], targets[1]


def _object_centres(labels: NDArray[np.int32]) -> list[NDArray[np.intp]]:
    boxes = ndimage.find_objects(np.maximum(labels, 0))
    return [
        np.array([(side.start + side.stop) // 2 for side in box])
        for box in boxes
        if box is not None
    ]


def validation_views(cutter: PatchCutter, limit: int) -> list[View]:
    """Cut stacks into patches side by side; keep those that hold verified voxels.

    Parameters
    ----------
    cutter : PatchCutter
    limit : int
        At most so many patches, evenly chosen; patches with objects go first.
    """
    found: list[tuple[View, bool]] = []
    for index, stack in enumerate(cutter.stacks):
        starts = [
            np.linspace(0, max(size - side, 0), -(-size // side)).round().astype(int)
            for size, side in zip(stack.image.shape, cutter.patch, strict=True)
        ]
        for corner in np.stack(np.meshgrid(*starts, indexing="ij"), axis=-1).reshape(-1, 3):
            box = tuple(slice(at, at + side) for at, side in zip(corner, cutter.patch, strict=True))
            labels = stack.labels[box]
            if (labels != UNKNOWN).any():
                found.append((cutter.upright(index, corner), bool((labels > 0).any())))
    chosen = [view for view, holds in found if holds] or [view for view, _ in found]
    if len(chosen) > limit:
        chosen = [chosen[i] for i in np.linspace(0, len(chosen) - 1, limit).round().astype(int)]
    return chosen
