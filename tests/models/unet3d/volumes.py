"""Tiny anisotropic volumes with bright nuclei, for the U-Net's tests."""

from __future__ import annotations

import numpy as np

from models.base import TrainingSample

SPACING = (2.0, 1.0, 1.0)


def nuclei(seed, shape=(12, 48, 48), count=14):
    """Bright, noisy ellipsoids: image uint8, labels uint32."""
    rng = np.random.default_rng(seed)
    z, y, x = np.ogrid[: shape[0], : shape[1], : shape[2]]
    labels = np.zeros(shape, np.uint32)
    placed = 0
    for _ in range(400):
        c = [rng.uniform(0, n) for n in shape]
        ball = ((z - c[0]) / 2.6) ** 2 + ((y - c[1]) / 5.5) ** 2 + ((x - c[2]) / 5.5) ** 2 <= 1
        if placed < count and ball.sum() > 100 and not labels[ball].any():
            placed += 1
            labels[ball] = placed
    image = (60 + 100 * (labels > 0) + rng.normal(0, 12, shape)).clip(0, 255)
    return image.astype(np.uint8), labels


def sample(name, seed, mask=None, spacing_um=SPACING, **more):
    """A fully, or partly, known stack."""
    image, labels = nuclei(seed, **more)
    mask = np.ones(labels.shape, bool) if mask is None else mask
    return TrainingSample(name, image[None], labels, mask, spacing_um)
