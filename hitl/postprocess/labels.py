"""What post-processing takes as a label image."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from labels.errors import LabelImageError

MAX_ID = int(np.iinfo(np.uint32).max)


def check_labels(labels: NDArray[Any], what: str = "labels") -> None:
    """Refuse what is not a ZYX image of object ids.

    Parameters
    ----------
    labels : ndarray of integer, expected shape (Z, Y, X)
    what : str
        Name used in the message.

    Raises
    ------
    LabelImageError
        Not three dimensions, not integers, negative ids, or ids over 32 bits.
    """
    if labels.ndim != 3:
        raise LabelImageError(
            f"{what}: expected a 3D label image (Z, Y, X), got shape {labels.shape}; "
            "give one stack, a single slice as labels[None]"
        )
    if labels.dtype.kind not in "iu":
        raise LabelImageError(
            f"{what}: expected integer ids, got {labels.dtype}; label the objects first, "
            "for example with cc3d.connected_components"
        )
    # A minimum or maximum over the stack is only needed where the dtype allows a bad id.
    if labels.dtype.kind == "i" and labels.size and labels.min() < 0:
        raise LabelImageError(
            f"{what}: expected ids of 0 and up, got {labels.min()}; set negative voxels to 0"
        )
    if labels.dtype.itemsize > 4 and labels.size and labels.max() > MAX_ID:
        raise LabelImageError(
            f"{what}: expected ids up to {MAX_ID}, got {labels.max()}; "
            "renumber them, for example with fastremap.renumber"
        )
