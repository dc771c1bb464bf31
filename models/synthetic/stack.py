"""What a generator gives, and the error for options that cannot be drawn."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from labels.spacing import Spacing
from models.errors import ModelError


class SyntheticError(ModelError):
    """Options that no stack can be drawn with."""


@dataclass(frozen=True)
class SyntheticStack:
    """An image and its truth.

    Parameters
    ----------
    image : ndarray of uint8 or uint16, shape (Z, Y, X)
    labels : ndarray of uint32, shape (Z, Y, X)
        Ids 1 … n, 0 is background.
    spacing_um : (float, float, float)
        Voxel size (z, y, x) in µm.
    contrast_to_noise : ndarray of float32, shape (n + 1,), optional
        By id: mean signal of the nucleus over the standard deviation of one voxel's noise in it.
        Below about 0.3 hardly anybody sees it. Entry 0 is 0.
    """

    image: NDArray[Any]
    labels: NDArray[np.uint32]
    spacing_um: Spacing
    contrast_to_noise: NDArray[np.float32] | None = None
