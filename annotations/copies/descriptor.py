"""What the surroundings of a point look like, in 64 bits that turns and mirrors do not change."""

from __future__ import annotations

import hashlib
from functools import cache

import numpy as np
from numpy.typing import NDArray

RADII = (0.9, 1.6, 2.4, 3.2, 4.0)
"""Of the rings around a point, in units of the blur."""

ANGLES = 16
"""Points on a ring."""

_TYPICAL = (
    (44, 21, -4, -24, -37),
    (17, 32, 47, 56, 59),
    (4, 12, 20, 27, 31),
    (1, 4, 9, 14, 18),
    (0, 0, 1, 1, 2),
    (0, 0, 0, 0, 0),
    (0, 0, 0, 0, 1),
    (2, 4, 9, 13, 16),
    (1, 4, 8, 11, 12),
    (23, 39, 51, 56),
    (7, 15, 22, 28),
    (2, 5, 11, 15),
)
_SPREAD = (
    (75, 36, 18, 42, 59),
    (7, 13, 19, 22, 26),
    (3, 8, 13, 17, 19),
    (1, 3, 7, 11, 13),
    (4, 10, 17, 22, 26),
    (13, 24, 36, 43, 46),
    (1, 1, 4, 7, 10),
    (7, 15, 24, 29, 32),
    (3, 8, 14, 19, 23),
    (10, 16, 21, 25),
    (5, 10, 15, 18),
    (2, 5, 9, 12),
)
"""Mean and standard deviation of each feature from ring to ring, in hundredths, as they were on
294 stacks, most of them drawn; stored bits depend on them, so they never change."""


def fingerprints(rings: NDArray[np.floating]) -> NDArray[np.uint64]:
    """Return 64 bits for each point; alike surroundings differ in few of them.

    The angular harmonics of each ring, in combinations that stay the same when an image is turned
    by 90°, mirrored, or its two axes are swapped; then the signs of random projections (Charikar,
    STOC 2002). Brightness and contrast drop out.

    Parameters
    ----------
    rings : ndarray, shape (N, len(RADII), ANGLES)
        Intensities around each point.

    Returns
    -------
    ndarray of uint64, shape (N,)
    """
    if not len(rings):
        return np.zeros(0, np.uint64)
    mean = rings.mean(axis=(1, 2), keepdims=True)
    spread = rings.std(axis=(1, 2), keepdims=True)
    scaled = (rings - mean) / np.where(spread > 0, spread, 1)
    found = _features(np.fft.rfft(scaled, axis=2)[:, :, :5] / ANGLES)
    typical, width = (np.concatenate(rows) / 100 for rows in (_TYPICAL, _SPREAD))
    signs = ((found - typical) / width) @ _projection() > 0
    return np.packbits(signs, axis=1).view("<u8").ravel().astype(np.uint64)


def _features(waves: NDArray[np.complexfloating]) -> NDArray[np.floating]:
    """Return what turns by 90° and mirrors leave of harmonics 0 to 4 of each ring."""
    size = np.abs(waves)
    unit = waves / np.maximum(size, 1e-6)
    m1, m2, m3 = (size[:, :, k] for k in (1, 2, 3))
    u1, u2, u3 = (unit[:, :, k] for k in (1, 2, 3))
    next_ring = [
        np.sqrt(size[:, :-1, k] * size[:, 1:, k]) * (unit[:, :-1, k] * unit[:, 1:, k].conj()).real
        for k in (1, 2, 3)
    ]
    return np.concatenate(
        [
            waves[:, :, 0].real,
            m1,
            m2,
            m3,
            m2 * (u2**2).real,
            m1 * (u1**4).real,
            waves[:, :, 4].real,
            np.sqrt(m1 * m2) * (u1**2 * u2.conj()).real,
            np.cbrt(m1 * m2 * m3) * (u1 * u2 * u3.conj()).real,
            *next_ring,
        ],
        axis=1,
    )


@cache
def _projection() -> NDArray[np.float64]:
    """Return 64 random directions; drawn by a hash, so that they are the same for ever."""
    rows = sum(len(row) for row in _TYPICAL)
    drawn = hashlib.shake_256(b"hitl: copies").digest(rows * 8)
    bits = np.unpackbits(np.frombuffer(drawn, np.uint8)).reshape(rows, 64)
    return np.where(bits > 0, 1.0, -1.0)
