"""Random changes of training patches: placement in space, and intensities."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from models.stardist3d.plan import Factors

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
