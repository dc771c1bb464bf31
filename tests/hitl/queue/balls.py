"""Label images of balls, for the tests of the queue."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

SPACING_UM = (2.0, 1.0, 1.0)


SHAPE = (16, 64, 64)


RADII = (4.0, 8.0, 8.0)  # Balls in µm.


def ball(
    labels: NDArray[np.uint32], centre: tuple[int, int, int], label: int, radii=RADII
) -> NDArray[np.uint32]:
    z, y, x = np.indices(labels.shape)
    far = sum(((a - c) / r) ** 2 for a, c, r in zip((z, y, x), centre, radii, strict=True))
    labels[far < 1] = label
    return labels


def four_balls() -> NDArray[np.uint32]:
    labels = np.zeros(SHAPE, np.uint32)
    for label, (y, x) in enumerate([(12, 12), (12, 48), (48, 12), (48, 48)], start=1):
        ball(labels, (8, y, x), label)
    return labels


def image_of(labels: NDArray[np.uint32]) -> NDArray[np.float32]:
    return (labels > 0).astype(np.float32) * 100 + 5
