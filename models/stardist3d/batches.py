"""Patches, changed at random, with StarDist's targets: probability and distances along rays."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from labels.compiled import compiled
from models.stardist3d.plan import Factors, Triple
from models.stardist3d.runtime import import_stardist
from models.stardist3d.samples import UNKNOWN, PreparedStack

MAX_ZOOM = 1.25
MAX_SHEAR = 0.1


def random_matrix(rng: np.random.Generator, lateral: float) -> NDArray[np.float64]:
    """Return a random map from patch to stack offsets (z, y, x), both in voxels.

    Flips, any turn in yx, stretching of each axis and a slight shear of yx. z is mixed with y
    and x only as far as `lateral`, the shear of slices against each other, allows.

    Parameters
    ----------
    rng : numpy Generator
    lateral : float
        Largest shift in yx per slice, in voxels; 0 keeps columns upright.
    """
    angle = rng.uniform(0, 2 * np.pi)
    cos, sin = np.cos(angle), np.sin(angle)
    turn = np.array([[1, 0, 0], [0, cos, -sin], [0, sin, cos]])
    limit = np.log(MAX_ZOOM)
    common = rng.uniform(-limit, limit)
    zoom = np.exp(common + rng.uniform(-limit / 3, limit / 3, 3))
    flips = rng.choice([-1.0, 1.0], 3)
    shear = np.eye(3)
    shear[1, 2] = rng.uniform(-MAX_SHEAR, MAX_SHEAR)
    shear[1:, 0] = rng.uniform(-lateral, lateral, 2)
    matrix: NDArray[np.float64] = shear @ turn @ np.diag(zoom * flips)
    return matrix


def change_intensity(
    image: NDArray[np.float32], rng: np.random.Generator, blur: Factors = (1.0, 1.0, 1.0)
) -> NDArray[np.float32]:
    """Return the patch with random gamma, gain, offset, fading along z, blur and noise.

    Parameters
    ----------
    image : ndarray of float32, shape (Z, Y, X)
        Normalised: mostly in [0, 1].
    rng : numpy Generator
    blur : (float, float, float)
        Largest standard deviation of the blur in voxels.
    """
    if rng.random() < 0.25:
        image = ndimage.gaussian_filter(image, rng.random() * np.array(blur))
    gamma = np.float32(2 ** rng.uniform(-0.5, 0.5))
    image = np.maximum(image, 0) ** gamma + np.minimum(image, 0)
    fade = np.linspace(0, rng.uniform(-0.3, 0.3), len(image), dtype=np.float32)
    image = image * np.float32(rng.uniform(0.6, 1.6)) * (1 + fade)[:, None, None]
    image = image + np.float32(rng.uniform(-0.15, 0.15))
    if rng.random() < 0.5:
        sigma = np.float32(0.1 * rng.random())
        image = image + sigma * rng.standard_normal(image.shape, dtype=np.float32)
    changed: NDArray[np.float32] = image.astype(np.float32, copy=False)
    return changed


@compiled
def march(labels: Any, cells: Any, rays: Any, distances: Any) -> None:
    """Fill `distances` with the border distances of cells inside objects, 0 elsewhere.

    StarDist measures inside the training patch, so that objects cut by the patch get a false
    border there; here rays run through the whole stack, and a rotated or stretched patch needs no
    resampled labels. A ray that leaves the stack inside its object gives minus the distance up to
    there: the object reaches at least so far.

    Parameters
    ----------
    labels : ndarray of int32, shape (Z, Y, X)
        Positive ids are objects.
    cells : ndarray of float32, shape (N, 3)
        Positions (z, y, x) in voxels of the stack.
    rays : ndarray of float32, shape (R, 3)
        Step in voxels of the stack that one voxel of the patch along each ray makes.
    distances : ndarray of float32, shape (N, R)
        In voxels of the patch, to the first voxel outside as StarDist counts.
    """
    depth, height, width = labels.shape
    for n in range(cells.shape[0]):
        z, y, x = cells[n]
        i, j, k = _nearest(z), _nearest(y), _nearest(x)
        inside = 0 <= i < depth and 0 <= j < height and 0 <= k < width
        own = labels[i, j, k] if inside else 0
        for r in range(rays.shape[0]):
            distances[n, r] = 0.0
            if own <= 0:
                continue
            dz, dy, dx = rays[r]
            t = 0.0
            while True:
                t += 1.0
                i, j, k = _nearest(z + t * dz), _nearest(y + t * dy), _nearest(x + t * dx)
                if not (0 <= i < depth and 0 <= j < height and 0 <= k < width):
                    distances[n, r] = -t
                    break
                if labels[i, j, k] != own:
                    t -= 0.5
                    i, j, k = _nearest(z + t * dz), _nearest(y + t * dy), _nearest(x + t * dx)
                    # Half a step back tells in which half of the step the border was crossed.
                    distances[n, r] = t + (0.75 if labels[i, j, k] == own else 0.25)
                    break


@compiled
def _nearest(value: float) -> int:
    return int(np.floor(value + 0.5))


def star_distances(
    labels: NDArray[np.int32], cells: NDArray[np.float32], rays: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Return `march`'s distances, shape (N, R)."""
    distances = np.empty((len(cells), len(rays)), np.float32)
    march(labels, cells, rays, distances)
    return distances


Batch = tuple[NDArray[np.float32], list[NDArray[np.float32]]]
Patch = tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]

_ANCHORS = 4096

POLYGON_STEP = 0.5
"""StarDist's polygons end on an object's last voxels, its polyhedra on the first ones outside."""

LATERAL_SHEAR = 0.1


@dataclass(frozen=True)
class Targets:
    """How labels become StarDist's targets.

    Parameters
    ----------
    rays : ndarray of float, shape (R, 3)
        Directions (z, y, x).
    grid : (int, int, int)
    anisotropy : (float, float, float) or None
    flat : bool
        Stacks are single slices, and batches have no axis z.
    """

    rays: NDArray[np.float64]
    grid: Triple
    anisotropy: Factors | None
    flat: bool = False


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
        known = (np.maximum(stack.labels, 0) for stack in self.stacks)
        self._inside = [
            edt_prob(each[0])[None]
            if targets.flat
            else edt_prob(each, anisotropy=targets.anisotropy)
            for each in known
        ]
        self.rays = targets.rays
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
        if self._targets.flat:
            distances[distances > 0] -= POLYGON_STEP
        distances = distances.reshape(*self._shape, len(rays))
        return image, probability, np.concatenate([distances, probability], axis=-1)

    def batch(self, patches: Sequence[Patch]) -> Batch:
        """Stack patches; images get a channel axis."""
        images, probability, distances = (np.stack(each) for each in zip(*patches, strict=True))
        if self._targets.flat:
            images, probability, distances = images[:, 0], probability[:, 0], distances[:, 0]
        return images[..., None], [probability, distances]

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
