"""Scenes as a network sees them, and random patches of their slices."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from labels.spacing import Spacing
from models.errors import TrainingDataError
from models.smp2d.architecture import Output, Sides
from models.smp2d.scenes import Scene
from models.unet3d.augment import Augmentation, change_intensity, sampling_grid
from models.unet3d.targets import make_targets
from models.unet3d.volumes import normalise_channels, resize, resized_shape, same_spacing

ANCHORS = 4096
"""Places of a slice's area that patches are drawn at."""

KNOWN_KEPT = 1_000_000

LARGEST_SIDE, SMALLEST_SIDE = 256, 64
"""Of a patch that is chosen by the objects' size."""


@dataclass(frozen=True)
class Targets:
    """What is learned of a slice or a stack of them; K outputs, D of them objects.

    Parameters
    ----------
    inside : ndarray of uint8, shape (K, ...)
        1 in an output's objects or area.
    known : ndarray of uint8, shape (K, ...)
        1 where that may be learned from.
    distance : ndarray of float32, shape (D, ...)
        Distance to the object's border in the slice over the object's largest; 0 outside.
    sure : ndarray of uint8, shape (D, ...)
        1 where the distance is known.
    """

    inside: NDArray[np.uint8]
    known: NDArray[np.uint8]
    distance: NDArray[np.float32]
    sure: NDArray[np.uint8]


@dataclass(frozen=True)
class PreparedScene:
    """A scene at the network's pixel size.

    Parameters
    ----------
    name : str
    image : ndarray of float32, shape (C, Z, Y, X)
        Normalised.
    labels : ndarray of int32, shape (K, Z, Y, X)
        0 where unknown.
    targets : Targets
        Each of shape (…, Z, Y, X).
    spacing_um : (float, float, float)
        Voxel size (z, y, x) in µm.
    anchors : tuple of ndarray of int, shape (N, 3), one per output
        Places (z, y, x): each object's middle in each slice, and pixels of areas.
    extents : ndarray of int, shape (N, 2)
        Height and width of every object in every slice.
    """

    name: str
    image: NDArray[np.float32]
    labels: NDArray[np.int32]
    targets: Targets
    spacing_um: Spacing
    anchors: tuple[NDArray[np.intp], ...]
    extents: NDArray[np.intp]

    @property
    def known(self) -> bool:
        """Whether anything is known of it."""
        return bool(self.targets.known.any())


def prepare(
    scene: Scene,
    outputs: Sequence[Output],
    spacing_um: Spacing,
    percentiles: tuple[float, float],
) -> PreparedScene:
    """Normalise a scene, bring its slices to a pixel size, and compute its targets.

    Parameters
    ----------
    scene : Scene
    outputs : sequence of Output
    spacing_um : (float, float, float)
        Voxel size of the run; that of y and x is brought about, slices stay.
    percentiles : (float, float)
        Intensity percentiles that become 0 and 1.
    """
    own = (scene.spacing_um[0], *spacing_um[1:])
    image = normalise_channels(scene.image, percentiles)
    labels = [np.asarray(each, np.int32) for each in scene.labels]
    masks = list(scene.masks)
    if not same_spacing(scene.spacing_um, own):
        shape = resized_shape(image.shape[1:], scene.spacing_um, own)
        image = np.stack([resize(channel, shape, linear=True) for channel in image])
        labels = [resize(each, shape, linear=False) for each in labels]
        masks = [resize(each, shape, linear=False) for each in masks]
    found = [
        _object_places(each) if output.kind == "instances" else _area_places(each)
        for each, output in zip(labels, outputs, strict=True)
    ]
    return PreparedScene(
        scene.name,
        image,
        np.stack(labels),
        _targets(labels, masks, outputs, own),
        own,
        tuple(places for places, _ in found),
        np.concatenate([extents for _, extents in found]),
    )


def _targets(
    labels: Sequence[NDArray[np.int32]],
    masks: Sequence[NDArray[np.bool_]],
    outputs: Sequence[Output],
    spacing_um: Spacing,
) -> Targets:
    shape = labels[0].shape
    distances, sures = [np.empty((0, *shape), np.float32)], [np.empty((0, *shape), np.uint8)]
    for each, mask, output in zip(labels, masks, outputs, strict=True):
        if output.kind == "instances":
            # A slice is all that the network sees, so that an object ends where it does in it.
            slices = [
                make_targets(one[None], known[None], spacing_um, edge_width_px=1)
                for one, known in zip(each, mask, strict=True)
            ]
            distances.append(np.concatenate([one.distance for one in slices])[None])
            sures.append(np.concatenate([one.sure for one in slices])[None])
    inside = np.stack([each > 0 for each in labels]).astype(np.uint8)
    return Targets(
        inside, np.stack(masks).astype(np.uint8), np.concatenate(distances), np.concatenate(sures)
    )


def _object_places(labels: NDArray[np.int32]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    from scipy import ndimage

    places, extents = [], []
    for z, plane in enumerate(labels):
        for box in ndimage.find_objects(plane):
            if box is not None:
                places.append((z, *((s.start + s.stop) // 2 for s in box)))
                extents.append([s.stop - s.start for s in box])
    return (
        np.array(places, np.intp).reshape(-1, 3),
        np.array(extents, np.intp).reshape(-1, 2),
    )


def _area_places(labels: NDArray[np.int32]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    import cc3d

    inside = np.argwhere(labels > 0)
    parts = [cc3d.connected_components(plane > 0, connectivity=8) for plane in labels]
    found = [_object_places(part[None].astype(np.int32))[1] for part in parts]
    thinned = inside[:: max(1, len(inside) // (ANCHORS * len(labels)))]
    return thinned, np.concatenate(found)


def check_learnable(scenes: Sequence[PreparedScene], outputs: Sequence[Output], what: str) -> None:
    """Refuse scenes in which nothing is known, or a class has no label at all.

    Raises
    ------
    TrainingDataError
    """
    names = ", ".join(scene.name for scene in scenes[:5]) + ", …" * (len(scenes) > 5)
    names = names or "none"
    if not any(scene.known for scene in scenes):
        raise TrainingDataError(
            f"{what} ({names}): expected voxels that may be learned from, got none; accept or "
            "correct some objects, or mark a region as checked, and train again"
        )
    for number, output in enumerate(outputs):
        if not any(len(scene.anchors[number]) for scene in scenes):
            of = f" of class {output.name}" if output.name else ""
            raise TrainingDataError(
                f"{what} ({names}): expected at least one label{of} where the mask is set, got "
                "none; label some and train again, or train without the class"
            )


def automatic_patch(scenes: Sequence[PreparedScene], sides: Sides) -> tuple[int, int]:
    """Return a patch (y, x) of about three objects each way, of sides that are taken."""
    extents = np.concatenate([scene.extents for scene in scenes])
    largest = np.max([scene.image.shape[2:] for scene in scenes], axis=0)
    wanted = float(np.clip(3 * np.median(extents, axis=0).max(), SMALLEST_SIDE, LARGEST_SIDE))
    y, x = (sides.fitted(min(wanted, n)) for n in largest)
    return y, x


@dataclass(frozen=True)
class Batch:
    """Patches.

    Parameters
    ----------
    image : ndarray of float32, shape (N, C, Y, X)
    targets : Targets
        Each of shape (N, …, Y, X).
    """

    image: NDArray[np.float32]
    targets: Targets

    def __len__(self) -> int:
        return len(self.image)

    def part(self, start: int, count: int) -> Self:
        """Return the patches `start` to `start + count`."""
        some = slice(start, start + count)
        parts = {each.name: getattr(self.targets, each.name)[some] for each in fields(Targets)}
        return replace(self, image=self.image[some], targets=Targets(**parts))


class PatchSampler:
    """Draws batches of patches from prepared scenes.

    Parameters
    ----------
    scenes : sequence of PreparedScene
    size : (int, int)
        Patch (y, x). Where it reaches past a slice, the image is reflected and nothing is learned.
    batch_size : int
    object_share : float
        Share of patches around an object or a pixel of an area, each output being as likely as any
        other; the rest is anywhere where something is known.
    augmentation : Augmentation
    seed : int
    """

    def __init__(
        self,
        scenes: Sequence[PreparedScene],
        size: tuple[int, int],
        *,
        batch_size: int,
        object_share: float,
        augmentation: Augmentation,
        seed: int,
    ) -> None:
        self._scenes = [scene for scene in scenes if scene.known]
        self._size, self._batch, self._seed = size, batch_size, seed
        self._share, self._augmentation = object_share, augmentation
        self._known = [_known_places(scene) for scene in self._scenes]
        counts = [[len(places) for places in scene.anchors] for scene in self._scenes]
        self._places = np.array(counts, float).T
        self._places = self._places[self._places.any(axis=1)]
        self._outputs = np.flatnonzero(np.array(counts).T.any(axis=1))
        sizes = np.array([scene.targets.known.any(axis=0).sum() for scene in self._scenes], float)
        self._chance = sizes / sizes.sum()

    def batch(self, step: int) -> Batch:
        """Return the batch of a step; it depends on nothing but the seed and the step."""
        patches = [
            self._patch(np.random.default_rng((self._seed, step, i))) for i in range(self._batch)
        ]
        joined = {key: np.stack([patch[key] for patch in patches]) for key in patches[0]}
        return Batch(joined.pop("image"), Targets(**joined))

    def _patch(self, rng: np.random.Generator) -> dict[str, NDArray[Any]]:
        if len(self._outputs) and rng.random() < self._share:
            which = rng.integers(len(self._outputs))
            chance = self._places[which] / self._places[which].sum()
            scene = self._scenes[rng.choice(len(self._scenes), p=chance)]
            places = scene.anchors[self._outputs[which]]
            z, *middle = places[rng.integers(len(places))]
            at = [m + rng.uniform(-n / 4, n / 4) for m, n in zip(middle, self._size, strict=True)]
        else:
            index = rng.choice(len(self._scenes), p=self._chance)
            scene, known = self._scenes[index], self._known[index]
            flat = known[rng.integers(len(known))]
            z, *at = np.unravel_index(flat, scene.image.shape[1:])
        start = [
            _inside(float(middle), n, have)
            for middle, n, have in zip(at, self._size, scene.image.shape[2:], strict=True)
        ]
        patch = cut(scene, int(z), (start[0], start[1]), self._size, self._augmentation, rng)
        if self._augmentation.intensity:
            changed = [change_intensity(channel[None], rng)[0] for channel in patch["image"]]
            patch["image"] = np.stack(changed)
        return patch


def _known_places(scene: PreparedScene) -> NDArray[np.intp]:
    known = np.flatnonzero(scene.targets.known.any(axis=0))
    return known[:: max(1, known.size // KNOWN_KEPT)]


def _inside(middle: float, size: int, have: int) -> int:
    """Return the first pixel of a patch around `middle`, moved into the slice where it fits."""
    spare = have - size
    return int(np.clip(round(middle - size / 2), min(0, spare // 2), max(spare, spare // 2)))


def cut(
    scene: PreparedScene,
    z: int,
    start: tuple[int, int],
    size: tuple[int, int],
    augmentation: Augmentation,
    rng: np.random.Generator,
) -> dict[str, NDArray[Any]]:
    """Cut one patch out of a slice, turned, bent and mirrored.

    Parameters
    ----------
    scene : PreparedScene
    z : int
        Slice.
    start, size : (int, int)
        First pixel and size (y, x); may reach past the slice.
    augmentation : Augmentation
    rng : numpy Generator

    Returns
    -------
    dict of str to ndarray of shape (…, *size)
        ``image`` and the fields of `Targets`.
    """
    import cv2

    _, y, x = sampling_grid((1, *size), augmentation, rng)
    y = y + np.float32(start[0] + (size[0] - 1) / 2)
    x = x + np.float32(start[1] + (size[1] - 1) / 2)

    def sample(source: NDArray[Any], linear: bool, border: int) -> NDArray[Any]:
        how = cv2.INTER_LINEAR if linear else cv2.INTER_NEAREST
        planes = [cv2.remap(plane[z], x, y, how, borderMode=border) for plane in source]
        return np.stack(planes) if planes else np.empty((0, *size), source.dtype)

    targets, mirror = scene.targets, cv2.BORDER_REFLECT_101
    return {
        "image": sample(scene.image, True, mirror),
        "inside": sample(targets.inside, False, mirror),
        "known": sample(targets.known, False, cv2.BORDER_CONSTANT),
        "distance": sample(targets.distance, True, mirror),
        "sure": sample(targets.sure, False, mirror),
    }
