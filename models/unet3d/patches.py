"""Training patches, drawn so that the same seed and step give the same patch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from labels.spacing import Spacing
from models.base import TrainingSample
from models.errors import TrainingDataError
from models.tiling import reflected
from models.unet3d.augment import Augmentation, change_intensity, sampling_grid
from models.unet3d.targets import Targets, make_targets
from models.unet3d.volumes import normalise_channels, resize, resized_shape, same_spacing

KNOWN_VOXELS_KEPT = 1_000_000


@dataclass(frozen=True)
class PreparedStack:
    """A stack as the network sees it.

    Parameters
    ----------
    name : str
    image : ndarray of float32, shape (Z, Y, X)
        Normalised.
    labels : ndarray of int32, shape (Z, Y, X)
        Instance labels, 0 where unknown.
    targets : Targets
    boxes : ndarray of int, shape (objects, 3, 2)
        First and last voxel + 1 of each object with known voxels.
    known : ndarray of int
        Flat indices of voxels that count (evenly thinned when there are very many).
    held_out : ndarray of bool, shape (Z, Y, X), optional
        Voxels that do not count since a model is judged there.
    """

    name: str
    image: NDArray[np.float32]
    labels: NDArray[np.int32]
    targets: Targets
    boxes: NDArray[np.intp]
    known: NDArray[np.intp]
    held_out: NDArray[np.bool_] | None = None


def prepare(
    sample: TrainingSample,
    spacing_um: Spacing,
    percentiles: tuple[float, float],
    edge_width_px: int,
    gap: tuple[float, float] | None,
) -> PreparedStack:
    """Normalise a sample, bring it to a voxel size and compute its targets.

    Parameters
    ----------
    sample : TrainingSample
    spacing_um : (float, float, float)
        Voxel size (z, y, x) of the run in µm.
    percentiles : (float, float)
        Intensity percentiles that become 0 and 1.
    edge_width_px : int
    gap : (float, float), optional
        See `make_targets`.

    Returns
    -------
    PreparedStack
    """
    from scipy import ndimage

    image = normalise_channels(sample.image, percentiles)
    labels, mask = np.where(sample.mask, sample.labels, 0).astype(np.int32), sample.mask
    held_out = sample.held_out
    if not same_spacing(sample.spacing_um, spacing_um):
        shape = resized_shape(labels.shape, sample.spacing_um, spacing_um)
        image = np.stack([resize(channel, shape, linear=True) for channel in image])
        labels, mask = resize(labels, shape, linear=False), resize(mask, shape, linear=False)
        held_out = None if held_out is None else resize(held_out, shape, linear=False)
    targets = make_targets(labels, mask, spacing_um, edge_width_px, gap)
    found = [b for b in ndimage.find_objects(labels) if b is not None]
    boxes = np.array([[(s.start, s.stop) for s in b] for b in found], np.intp).reshape(-1, 3, 2)
    known = np.flatnonzero(targets.voxels)
    known = known[:: max(1, known.size // KNOWN_VOXELS_KEPT)]
    return PreparedStack(sample.name, image, labels, targets, boxes, known, held_out)


def check_learnable(stacks: Sequence[PreparedStack], what: str) -> None:
    """Refuse stacks without a voxel that counts or without any object.

    Raises
    ------
    TrainingDataError
    """
    names = ", ".join(s.name for s in stacks) or "no stack"
    if not any(s.known.size for s in stacks):
        raise TrainingDataError(
            f"{what} ({names}): expected voxels that may be learned from, got none; "
            "accept or correct some objects, or mark a region as checked, and train again"
        )
    if not any(len(s.boxes) for s in stacks):
        raise TrainingDataError(
            f"{what} ({names}): expected at least one labelled object where the mask is set, "
            "got none; label or accept some nuclei and train again"
        )


def automatic_patch_size(stacks: Sequence[PreparedStack]) -> tuple[int, int, int]:
    """Return a patch size (z, y, x) of about three objects each way, inside the largest stack."""
    boxes = np.concatenate([s.boxes for s in stacks])
    extent = np.median(boxes[..., 1] - boxes[..., 0], axis=0)
    largest = np.max([s.labels.shape for s in stacks], axis=0)
    in_plane = float(np.clip(3 * extent[1:].max(), 48, 128))
    deep = float(np.clip(3 * extent[0], 4, 48))
    z, y, x = (int(min(w, n)) for w, n in zip((deep, in_plane, in_plane), largest, strict=True))
    return z, y, x


@dataclass(frozen=True)
class Batch:
    """Patches: `image` (N, C, Z, Y, X) float32 and the fields of `Targets`, likewise stacked."""

    image: NDArray[np.float32]
    targets: Targets

    def __len__(self) -> int:
        return len(self.image)

    def part(self, start: int, count: int) -> Batch:
        """Return the patches `start` to `start + count`."""
        where = slice(start, start + count)
        names = [field.name for field in fields(Targets)]
        targets = Targets(**{name: getattr(self.targets, name)[where] for name in names})
        return Batch(self.image[where], targets)


class PatchSampler:
    """Draws batches of patches from prepared stacks.

    Parameters
    ----------
    stacks : sequence of PreparedStack
    size : (int, int, int)
        Patch size (z, y, x). Where it reaches past a stack, the image is reflected and the voxels
        do not count.
    batch_size : int
    object_share : float
        Share of patches that are centred on an object, each object being as likely as any other;
        the rest is centred on any voxel that counts.
    augmentation : Augmentation
    seed : int
    """

    def __init__(
        self,
        stacks: Sequence[PreparedStack],
        size: tuple[int, int, int],
        *,
        batch_size: int,
        object_share: float,
        augmentation: Augmentation,
        seed: int,
    ) -> None:
        self._stacks = [s for s in stacks if s.known.size]
        self._size, self._batch, self._seed = size, batch_size, seed
        self._share, self._augmentation = object_share, augmentation
        self._objects = [(i, j) for i, s in enumerate(self._stacks) for j in range(len(s.boxes))]
        sizes = np.array([s.known.size for s in self._stacks], float)
        self._chance = sizes / sizes.sum()

    def batch(self, step: int) -> Batch:
        """Return the batch of a step; it depends on nothing but the seed and the step."""
        rngs = [np.random.default_rng((self._seed, step, i)) for i in range(self._batch)]
        return stack_patches([self._patch(rng) for rng in rngs])

    def _patch(self, rng: np.random.Generator) -> dict[str, NDArray[Any]]:
        if self._objects and rng.random() < self._share:
            index, which = self._objects[rng.integers(len(self._objects))]
            stack = self._stacks[index]
            box = stack.boxes[which]
            centre = rng.uniform(box[:, 0], box[:, 1])
        else:
            stack = self._stacks[rng.choice(len(self._stacks), p=self._chance)]
            flat = stack.known[rng.integers(stack.known.size)]
            centre = np.array(np.unravel_index(flat, stack.labels.shape), float)
        patch = cut(
            stack,
            _inside(centre, self._size, stack.labels.shape),
            self._size,
            self._augmentation,
            rng,
        )
        if self._augmentation.intensity:
            patch["image"] = np.stack([change_intensity(one, rng) for one in patch["image"]])
        return patch


def _inside(
    centre: NDArray[np.floating[Any]], size: tuple[int, int, int], shape: tuple[int, ...]
) -> tuple[int, int, int]:
    """Return the first voxel of a patch around `centre`, moved into the stack where it fits."""
    starts = [
        int(np.clip(round(c - n / 2), min(0, (have - n) // 2), max(have - n, (have - n) // 2)))
        for c, n, have in zip(centre, size, shape, strict=True)
    ]
    return starts[0], starts[1], starts[2]


def cut(
    stack: PreparedStack,
    start: tuple[int, int, int],
    size: tuple[int, int, int],
    augmentation: Augmentation,
    rng: np.random.Generator,
) -> dict[str, NDArray[Any]]:
    """Cut one patch, moved about in space.

    Parameters
    ----------
    stack : PreparedStack
    start, size : (int, int, int)
        First voxel and size (z, y, x); may reach past the stack.
    augmentation : Augmentation
    rng : numpy Generator

    Returns
    -------
    dict of str to ndarray of shape `size`
        ``image`` and the fields of `Targets`.
    """
    import cv2

    z, y, x = sampling_grid(size, augmentation, rng)
    slices = start[0] + z
    y = y + np.float32(start[1] + (size[1] - 1) / 2)
    x = x + np.float32(start[2] + (size[2] - 1) / 2)
    depth = stack.labels.shape[0]
    mirrored = reflected(slices, depth)

    def sample(source: NDArray[Any], linear: bool, border: int) -> NDArray[Any]:
        how = cv2.INTER_LINEAR if linear else cv2.INTER_NEAREST
        return np.stack([cv2.remap(source[k], x, y, how, borderMode=border) for k in mirrored])

    t, mirror = stack.targets, cv2.BORDER_REFLECT_101
    voxels = sample(t.voxels, False, cv2.BORDER_CONSTANT)
    voxels[(slices < 0) | (slices >= depth)] = 0
    return {
        "image": np.stack([sample(channel, True, mirror) for channel in stack.image]),
        "classes": sample(t.classes, False, mirror),
        "inside": sample(t.inside, False, mirror),
        "distance": sample(t.distance, True, mirror),
        "voxels": voxels,
        "sure": sample(t.sure, False, mirror),
    }


def stack_patches(patches: Sequence[dict[str, NDArray[Any]]]) -> Batch:
    """Stack single patches to a batch."""
    joined = {key: np.stack([p[key] for p in patches]) for key in patches[0]}
    return Batch(joined.pop("image"), Targets(**joined))
