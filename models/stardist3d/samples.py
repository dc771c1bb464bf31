"""From labelled stacks to what StarDist learns from: normalised floats, negative unknown labels."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from labels.spacing import Spacing
from models.base import TrainingSample, check_image
from models.errors import TrainingDataError
from models.options import Percentile, check_percentiles
from models.scarce_memory import check_resampled

UNKNOWN = -1
"""StarDist's label for voxels whose loss is switched off."""

SAME_SPACING = 0.10
"""Relative difference of voxel size up to which a stack is taken as it is."""

MAX_OBJECTS = 65534
"""StarDist's C++ code keeps ids in 16 bits."""

_PERCENTILE_VOXELS = 2**24


@dataclass(frozen=True)
class Normalisation:
    """Percentiles of a whole stack that become 0 and 1."""

    low: Percentile = 1.0
    high: Percentile = 99.8

    def __post_init__(self) -> None:
        check_percentiles((self.low, self.high))

    def limits(self, image: Any) -> tuple[float, float]:
        """Return the intensities that become 0 and 1, from at most 16 million voxels."""
        step = max(1, round((math.prod(image.shape) / _PERCENTILE_VOXELS) ** (1 / 3)))
        sampled = np.asarray(image[::step, ::step, ::step])
        low, high = np.percentile(sampled, (self.low, self.high))
        return float(low), float(high)

    def stretch(self, image: NDArray[Any], low: float, high: float) -> NDArray[np.float32]:
        """Return the image as float32, with `low` as 0 and `high` as 1."""
        scaled = image.astype(np.float32)
        scaled -= np.float32(low)
        scaled /= np.float32(high - low)
        return scaled

    def apply(self, image: NDArray[Any]) -> NDArray[np.float32]:
        """Return the image as float32, shape (Z, Y, X), stretched between the percentiles."""
        low, high = self.limits(image)
        if high <= low:
            low, high = float(image.min()), float(image.max())
        return self.stretch(image, low, high)


@dataclass(frozen=True)
class PreparedStack:
    """One stack as the network sees it.

    Parameters
    ----------
    name : str
    image : ndarray of float32, shape (Z, Y, X)
        Normalised.
    labels : ndarray of int32, shape (Z, Y, X)
        0 background, positive objects, -1 where nothing may be learned.
    """

    name: str
    image: NDArray[np.float32]
    labels: NDArray[np.int32]


def prepare(
    sample: TrainingSample, normalisation: Normalisation, spacing_um: Spacing
) -> PreparedStack:
    """Normalise one sample, bring it to `spacing_um` and mark what may not be learned.

    Raises
    ------
    ImageError
        When the image is constant or not finite.
    TrainingDataError
        When it holds more objects than StarDist can number.
    """
    check_image(sample.image, f"stack {sample.name!r}")
    labels = hide_unverified(sample.labels, sample.mask)
    image = normalisation.apply(sample.image[0])
    if labels.max() > MAX_OBJECTS:
        raise TrainingDataError(
            f"stack {sample.name!r}: expected at most {MAX_OBJECTS} objects, got {labels.max()}; "
            "cut the stack into parts"
        )
    scale = rescaling(sample.spacing_um, spacing_um)
    if scale is not None:
        image = resampled(image, scale)
    return PreparedStack(sample.name, image, resampled_labels(labels, scale))


def slices_of(stack: PreparedStack) -> list[PreparedStack]:
    """Return a stack's slices of which anything is known, as stacks of one slice."""
    return [
        PreparedStack(stack.name, stack.image[z : z + 1], stack.labels[z : z + 1])
        for z in range(len(stack.labels))
        if (stack.labels[z] != UNKNOWN).any()
    ]


def zoomed_shape(shape: Sequence[int], scale: tuple[float, float, float]) -> tuple[int, int, int]:
    """Return the shape (Z, Y, X) of a stack that is zoomed.

    Raises
    ------
    ImageError
        One that can only be a slip; see `check_resampled`.
    """
    z, y, x = (max(1, round(n * factor)) for n, factor in zip(shape, scale, strict=True))
    check_resampled(shape, (z, y, x), bytes_per_voxel=0)
    return z, y, x


def kept_in_z(aim_um: Spacing, own_um: Spacing, flat: bool) -> Spacing:
    """Return the voxel size that a stack is brought to; the slices of a flat one stay."""
    return (own_um[0], *aim_um[1:]) if flat else aim_um


def rescaling(spacing_um: Spacing, reference_um: Spacing) -> tuple[float, float, float] | None:
    """Return the zoom (z, y, x) to the reference voxel size; None where it is near enough."""
    z, y, x = (
        have / want if abs(have / want - 1) > SAME_SPACING else 1.0
        for have, want in zip(spacing_um, reference_um, strict=True)
    )
    return None if z == y == x == 1.0 else (z, y, x)


def resampled(image: NDArray[np.float32], scale: tuple[float, float, float]) -> NDArray[np.float32]:
    """Zoom linearly; what shrinks is blurred first, so that noise averages out.

    Raises
    ------
    ImageError
        What can only be a slip, or fits into no memory.
    """
    from scipy import ndimage

    check_resampled(image.shape, zoomed_shape(image.shape, scale))

    sigma = [max(0.0, (1 / factor - 1) / 2) for factor in scale]
    zoomed: NDArray[np.float32] = ndimage.zoom(
        ndimage.gaussian_filter(image, sigma), scale, order=1
    )
    return zoomed


def resampled_labels(
    labels: NDArray[np.int32], scale: tuple[float, float, float] | None
) -> NDArray[np.int32]:
    """Zoom labels to the nearest voxel, where there is a zoom."""
    from scipy import ndimage

    return labels if scale is None else np.asarray(ndimage.zoom(labels, scale, order=0))


def hide_unverified(labels: NDArray[np.uint32], mask: NDArray[np.bool_]) -> NDArray[np.int32]:
    """Give the objects ids from 1 and what is not verified `UNKNOWN`.

    An object of which some voxels are not verified becomes unknown as a whole: its distances
    to its own border, which StarDist learns, are not known. All else beneath the mask is
    dropped and cannot reach the loss.

    Parameters
    ----------
    labels : ndarray of uint32, shape (Z, Y, X)
    mask : ndarray of bool, shape (Z, Y, X)
        True where verified.

    Returns
    -------
    ndarray of int32, shape (Z, Y, X)
    """
    ids, dense = np.unique(labels, return_inverse=True)
    dense = dense.reshape(labels.shape)
    unknown_id = np.zeros(len(ids), dtype=bool)
    unknown_id[np.unique(dense[~mask])] = True
    unknown_id[ids == 0] = False
    known = ~unknown_id & (ids > 0)
    number = np.where(unknown_id, UNKNOWN, np.cumsum(known) * known).astype(np.int32)
    hidden: NDArray[np.int32] = number[dense]
    hidden[~mask] = UNKNOWN
    return hidden
