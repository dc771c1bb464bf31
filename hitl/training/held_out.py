"""Which part of a labelled field is held out for validation: whole objects all over the field."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hitl.project.errors import NothingToDoError
from models.base import TrainingSample

HELD_OUT = " (held out)"
"""At the end of a sample's name."""

WHOLE_OBJECTS = "whole objects"
"""What a run's card says was held out; earlier versions held out rows in y."""

TILES = 8
"""Along y and x. Fixed, so that corrections move no background between training and validation."""

_STEP = (0.7548776662466927, 0.5698402909980532)
"""Of the R2 sequence (Roberts 2018): what is below any share of 1 lies evenly over the plane."""


def held_out_pixels(shape: tuple[int, int], share: float) -> NDArray[np.bool_]:
    """Return which pixels (Y, X) of a field are held out, the same in every slice.

    The pixels of a smaller share are among those of a larger one.
    """
    y, x = (np.arange(size) * TILES // size for size in shape)
    order: NDArray[np.float64] = (y[:, None] * _STEP[0] + x * _STEP[1]) % 1.0
    return order < share


def held_out_voxels(labels: NDArray[np.integer[Any]], share: float) -> NDArray[np.bool_]:
    """Return which voxels of labels (Z, Y, X) are held out: objects as a whole, by most of them."""
    import fastremap

    pixels = held_out_pixels((labels.shape[1], labels.shape[2]), share)
    dense, ids = fastremap.renumber(labels, preserve_zero=True, in_place=False)
    size = len(ids) + 1
    all_of = np.bincount(dense.ravel(), minlength=size)
    held_of = np.bincount(dense[:, pixels].ravel(), minlength=size)
    held = (2 * held_of > all_of)[dense]
    return np.where(dense == 0, pixels, held)


def split_sample(sample: TrainingSample, share: float) -> tuple[TrainingSample, TrainingSample]:
    """Split what counts of a sample: to train on, and to validate on.

    An area is no object that would stay whole: it is split as the background is.
    """
    whole = np.zeros_like(sample.labels) if sample.kind == "area" else sample.labels
    held_out = held_out_voxels(whole, share)
    return (
        replace(sample, mask=sample.mask & ~held_out, held_out=held_out),
        replace(sample, name=sample.name + HELD_OUT, mask=sample.mask & held_out),
    )


def check_large_enough(name: str, shape: tuple[int, int], share: float) -> None:
    """Refuse a field (Y, X) of which nothing, or all, would be held out.

    Raises
    ------
    NothingToDoError
    """
    pixels = held_out_pixels(shape, share)
    if not pixels.any() or pixels.all():
        raise NothingToDoError(
            f"field {name} has {shape[0]} × {shape[1]} pixels in y and x, too few to hold some out "
            "for validation; add a labelled field of split val"
        )
