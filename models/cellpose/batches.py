"""Training tiles from slices: Cellpose's targets and augmentation, and a loss that knows a mask."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from models.base import TrainingSample
from models.cellpose import engine
from models.cellpose.slices import PairedSlice, View, cut, slices_with_objects
from models.errors import TrainingDataError

CROP = 384
"""Edge of the part of a slice that a tile is cut from: room for a turned and shrunken tile."""

SCALES = 0.5
"""Cellpose's range of random sizes, 0.75 to 1.25."""

FLOW_GAIN = 5.0
"""Cellpose's network gives flows times 5."""


@dataclass(frozen=True)
class Tiles:
    """A batch.

    Parameters
    ----------
    image : Tensor of float32, shape (B, 3, 256, 256)
        Second and third channel are empty, as in Cellpose.
    target : Tensor of float32, shape (B, 3, 256, 256)
        Foreground, flow along y, flow along x.
    known : Tensor of bool, shape (B, 256, 256)
        Where the foreground counts.
    sure : Tensor of bool, shape (B, 256, 256)
        Where the flow counts too: not in objects that the mask or the crop cuts.
    """

    image: Tensor
    target: Tensor
    known: Tensor
    sure: Tensor

    def __len__(self) -> int:
        return len(self.image)

    def part(self, start: int, count: int) -> Tiles:
        """Return tiles `start` to `start + count`."""
        where = slice(start, start + count)
        return Tiles(self.image[where], self.target[where], self.known[where], self.sure[where])


class TileSampler:
    """Draws tiles around labelled objects; the same number always gives the same tiles.

    Parameters
    ----------
    samples : sequence of TrainingSample
        Images normalised.
    views : sequence of {"xy", "xz", "yz"}
    min_objects : int
        Slices with fewer labelled objects are not used.
    pixel_um : sequence of float
        Of each sample, the edge of the slices' pixels.
    seed : int
    """

    def __init__(
        self,
        samples: Sequence[TrainingSample],
        views: Sequence[View],
        min_objects: int,
        pixel_um: Sequence[float],
        seed: int,
    ) -> None:
        self._samples, self._pixel_um, self._seed = samples, pixel_um, seed
        self.slices = [
            (which, view, index)
            for which, s in enumerate(samples)
            for view, index in slices_with_objects(s.image, s.labels, s.mask, views, min_objects)
        ]

    def training(self, step: int, count: int) -> Tiles:
        """Return `count` augmented tiles for one step."""
        from cellpose.transforms import random_rotate_and_resize

        rng = np.random.default_rng((self._seed, 0, step))
        planes, targets = zip(*(self._crop(rng, CROP, True) for _ in range(count)), strict=True)
        with _numpy_seed(int(rng.integers(2**31))):
            warped, target, _ = random_rotate_and_resize(
                list(planes), lbls=list(targets), scale_range=SCALES, bsize=engine.TILE
            )
        return _tiles(warped, target)

    def fixed(self, count: int) -> Tiles:
        """Return `count` tiles as they are, for validation."""
        rng = np.random.default_rng((self._seed, 1))
        pairs = [self._crop(rng, engine.TILE, False) for _ in range(count)]
        return _tiles(*(torch.from_numpy(np.stack(part)) for part in zip(*pairs, strict=True)))

    def _crop(
        self, rng: np.random.Generator, edge: int, centred: bool
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        which, view, index = self.slices[rng.integers(len(self.slices))]
        s = self._samples[which]
        whole = cut(s.image, s.labels, s.mask, s.spacing_um, view, index, self._pixel_um[which])
        ids = np.unique(whole.labels)
        if not ids.any():
            raise TrainingDataError(
                f"stack {s.name!r}: slice {view} {index} has no object left in pixels of "
                f"{whole.pixel_um:.3g} µm; check diameter_um and the voxel size"
            )
        inside = np.argwhere(whole.labels == rng.choice(ids[ids > 0]))
        low = [int(c) - edge // 2 for c in inside[rng.integers(len(inside))]]
        if not centred:
            low = [
                min(max(at, 0), n - edge) if n > edge else -((edge - n) // 2)
                for at, n in zip(low, whole.labels.shape, strict=True)
            ]
        return slice_arrays(_window(whole, low, edge))


def slice_arrays(part: PairedSlice) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return what is warped together with an image, and Cellpose's targets.

    Parameters
    ----------
    part : PairedSlice

    Returns
    -------
    ndarray of float32, shape (C + 2, H, W)
        Image, where the foreground counts (0 or 1), where the flow counts.
    ndarray of float32, shape (3, H, W)
        Foreground, flow along y, flow along x (Stringer et al. 2021,
        https://doi.org/10.1038/s41592-020-01018-x).
    """
    from cellpose.dynamics import labels_to_flows
    from scipy.ndimage import binary_dilation

    values, inverse = np.unique(part.labels, return_inverse=True)
    ids = (inverse.reshape(part.labels.shape) + int(values[0] > 0)).astype(np.int32)
    with engine.quiet():
        _, foreground, *flow = labels_to_flows([ids.copy()])[0]
    # The centre of a cut object, to which its flow leads, is not known.
    beside = binary_dilation(~part.mask, np.ones((3, 3), bool))
    cut_ids = np.unique(ids[beside])
    sure = part.mask & ~np.isin(ids, cut_ids[cut_ids > 0])
    planes = np.stack([*part.image, part.mask, sure]).astype(np.float32)
    return planes, np.stack([foreground, *flow]).astype(np.float32)


def masked_loss(logits: Tensor, tiles: Tiles) -> Tensor:
    """Return Cellpose's loss, of the pixels that count; their sum, to be divided by their number.

    Half the mean squared error of the flows plus the binary cross-entropy of the foreground, as
    in ``cellpose.train``; each pixel that does not count is left out of both.

    Parameters
    ----------
    logits : Tensor, shape (B, 3, 256, 256)
        Flow along y, flow along x, cell logit.
    tiles : Tiles

    Returns
    -------
    Tensor, shape (2,)
        Sums over the flows' and over the foreground's pixels.
    """
    error = (logits[:, :2] - FLOW_GAIN * tiles.target[:, 1:]).square().mean(dim=1) / 2
    entropy = functional.binary_cross_entropy_with_logits(
        logits[:, 2], (tiles.target[:, 0] > 0.5).to(logits.dtype), reduction="none"
    )
    zero = torch.zeros((), dtype=logits.dtype, device=logits.device)
    return torch.stack(
        [
            torch.where(tiles.sure, error, zero).sum(),
            torch.where(tiles.known, entropy, zero).sum(),
        ]
    )


def counted(tiles: Tiles) -> Tensor:
    """Return how many pixels count: for the flows, for the foreground; at least 1 each."""
    return torch.stack([tiles.sure.sum(), tiles.known.sum()]).clamp(min=1)


def _tiles(planes: Tensor, target: Tensor) -> Tiles:
    image = torch.zeros(len(planes), 3, *planes.shape[2:])
    image[:, : planes.shape[1] - 2] = planes[:, :-2]
    # Pixels that an unknown one was blended into do not count.
    known, sure = (planes[:, i] > 0.999 for i in (-2, -1))
    return Tiles(image, target.float(), known, sure)


def _window(whole: PairedSlice, low: Sequence[int], edge: int) -> PairedSlice:
    """Return a square part of a slice; beyond the slice it is empty and does not count."""
    shape = whole.labels.shape
    box = tuple(slice(max(at, 0), min(at + edge, n)) for at, n in zip(low, shape, strict=True))
    missing = [(part.start - at, at + edge - part.stop) for at, part in zip(low, box, strict=True)]
    mask = _without_cut_edges(whole.mask[box].copy(), box, shape)
    return PairedSlice(
        whole.view,
        whole.index,
        np.pad(whole.image[(slice(None), *box)], [(0, 0), *missing]),
        np.pad(whole.labels[box], missing),
        np.pad(mask, missing),
        whole.pixel_um,
    )


def _without_cut_edges(
    mask: NDArray[np.bool_], box: tuple[slice, ...], shape: tuple[int, ...]
) -> NDArray[np.bool_]:
    """Take one pixel line off the mask where the window cuts the slice: objects go on there."""
    for axis, (part, length) in enumerate(zip(box, shape, strict=True)):
        line = np.moveaxis(mask, axis, 0)
        if part.start > 0:
            line[0] = False
        if part.stop < length:
            line[-1] = False
    return mask


@contextlib.contextmanager
def _numpy_seed(seed: int) -> Iterator[None]:
    """Seed NumPy's global generator, which Cellpose draws from, and put its state back."""
    before = np.random.get_state()  # noqa: NPY002
    np.random.seed(seed)  # noqa: NPY002
    try:
        yield
    finally:
        np.random.set_state(before)  # noqa: NPY002
