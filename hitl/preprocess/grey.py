"""One image of several channels, for what looks at brightness alone."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


def one_channel(image: NDArray[Any]) -> NDArray[Any]:
    """Return the only channel, or the mean of several, each in units of its own contrast.

    Parameters
    ----------
    image : ndarray of integer or float, shape (C, Z, Y, X)

    Returns
    -------
    ndarray, shape (Z, Y, X)
        Of the image's dtype where that has one channel, else float32.
    """
    if len(image) == 1:
        return np.asarray(image[0])
    scaled = [channel / max(float(channel.std()), 1e-12) for channel in image]
    return np.asarray(np.mean(scaled, axis=0), np.float32)
