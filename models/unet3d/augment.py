"""Random changes of training patches, reproducible from a generator."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Augmentation:
    """Which changes are made.

    Parameters
    ----------
    flip : bool
        Mirror z, y and x.
    rotate : {"none", "quarter", "any"}
        Rotation in xy, by multiples of 90° or by any angle.
    scale : float
        Largest relative change of size in xy.
    elastic_px : float
        Standard deviation of the elastic displacement in xy, in pixels; the same in every slice,
        because slices are far apart.
    intensity : bool
        Gain, offset, gamma, noise, and blur along z.
    """

    flip: bool = True
    rotate: str = "any"
    scale: float = 0.1
    elastic_px: float = 1.0
    intensity: bool = True


ELASTIC_GRID_PX = 16


def sampling_grid(
    size: tuple[int, int, int], settings: Augmentation, rng: np.random.Generator
) -> tuple[NDArray[np.intp], NDArray[np.float32], NDArray[np.float32]]:
    """Return where each voxel of a patch comes from, relative to the patch's centre.

    Parameters
    ----------
    size : (int, int, int)
        Patch size (z, y, x).
    settings : Augmentation
    rng : numpy Generator

    Returns
    -------
    z : ndarray of int, shape (Z,)
        Slice of each slice, counted from the patch's first.
    y, x : ndarray of float32, shape (Y, X)
        Offsets in pixels from the patch's centre.
    """
    depth, height, width = size
    z = np.arange(depth)
    y, x = np.meshgrid(
        np.arange(height, dtype=np.float32) - (height - 1) / 2,
        np.arange(width, dtype=np.float32) - (width - 1) / 2,
        indexing="ij",
    )
    if settings.flip:
        flips = rng.random(3) < 0.5
        z = z[::-1] if flips[0] else z
        y = -y if flips[1] else y
        x = -x if flips[2] else x
    if settings.rotate != "none":
        y, x = _rotated(y, x, settings, rng)
    if settings.elastic_px > 0 and rng.random() < 0.5:
        y = y + _smooth_field((height, width), settings.elastic_px, rng)
        x = x + _smooth_field((height, width), settings.elastic_px, rng)
    return z, y.astype(np.float32), x.astype(np.float32)


def _rotated(
    y: NDArray[np.float32],
    x: NDArray[np.float32],
    settings: Augmentation,
    rng: np.random.Generator,
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    quarter, free, angle, scale = rng.integers(4), rng.random() < 0.5, rng.random(), rng.random()
    cos, sin = ((1, 0), (0, 1), (-1, 0), (0, -1))[quarter]
    if settings.rotate == "any" and free:
        turn = (angle - 0.5) * np.pi / 2
        zoom = 1 + settings.scale * (2 * scale - 1)
        c, s = np.cos(turn) * zoom, np.sin(turn) * zoom
        cos, sin = cos * c - sin * s, sin * c + cos * s
    return cos * y - sin * x, sin * y + cos * x


def _smooth_field(
    size: tuple[int, int], sigma_px: float, rng: np.random.Generator
) -> NDArray[np.float32]:
    import cv2

    rows, columns = (n // ELASTIC_GRID_PX + 2 for n in size)
    coarse = rng.normal(0, sigma_px, (rows, columns)).astype(np.float32)
    field: NDArray[np.float32] = cv2.resize(coarse, size[::-1], interpolation=cv2.INTER_CUBIC)
    return field


def change_intensity(image: NDArray[np.float32], rng: np.random.Generator) -> NDArray[np.float32]:
    """Return the patch with random gamma, gain, offset, noise and blur along z.

    Parameters
    ----------
    image : ndarray of float32, shape (Z, Y, X)
        Normalised: mostly in [0, 1].
    rng : numpy Generator

    Returns
    -------
    ndarray of float32, shape (Z, Y, X)
    """
    gamma, gain, offset, noise = rng.random(4)
    blur, noisy = rng.random(2) < 0.25
    if blur and image.shape[0] > 1:
        beyond = np.concatenate((image[:1], image, image[-1:]))
        share = 0.25 * rng.random()
        image = share * (beyond[:-2] + beyond[2:]) + (1 - 2 * share) * image
    out = np.maximum(image, 0) ** np.float32(2 ** (gamma - 0.5)) + np.minimum(image, 0)
    out = out * np.float32(2 ** (gain - 0.5)) + np.float32(0.2 * (offset - 0.5))
    if noisy:
        spread = np.float32(0.1 * noise)
        out = out + spread * rng.standard_normal(out.shape, dtype=np.float32)
    return out.astype(np.float32, copy=False)
