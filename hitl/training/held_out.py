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
"""Along y and x. Fixed, so that corrections move little between training and validation."""

_STEP = (0.7548776662466927, 0.5698402909980532)
"""Of the R2 sequence (Roberts 2018): what is below any share of 1 lies evenly over the plane."""


def held_out_pixels(shape: tuple[int, int], share: float) -> NDArray[np.bool_]:
    """Return which pixels (Y, X) of a field are held out where there is no object.

    The same in every slice; the pixels of a smaller share are among those of a larger one.
    """
    return _order(shape) < share


def _order(shape: tuple[int, int]) -> NDArray[np.float64]:
    """Return when a pixel's tile is held out, from 0 to 1."""
    y, x = (np.arange(size) * TILES // size for size in shape)
    order: NDArray[np.float64] = (y[:, None] * _STEP[0] + x * _STEP[1]) % 1.0
    return order


def held_out_voxels(labels: NDArray[np.integer[Any]], share: float) -> NDArray[np.bool_]:
    """Return which voxels of labels (Z, Y, X) are held out, objects as a whole.

    The share is one of the objects: those whose centre lies in the tiles that come first.
    """
    import fastremap

    order = _order((labels.shape[1], labels.shape[2]))
    dense, _ = fastremap.renumber(labels, preserve_zero=True, in_place=False)
    at = order[tuple(_centres(dense)[:, 1:])]
    count = round(share * len(at))
    last = np.sort(at)[count - 1] if count else -1.0
    # Where all lie in one tile, something has to be left to learn from.
    held = np.append(False, (at <= last) & (last < at.max(initial=0)))
    return np.where(dense == 0, order < share, held[dense])


def _centres(dense: NDArray[np.integer[Any]]) -> NDArray[np.intp]:
    """Return y and x of each id's centre, shape (2, ids + 1), a slice at a time."""
    size = int(dense.max(initial=0)) + 1
    y, x = (grid.ravel().astype(np.float64) for grid in np.indices(dense.shape[1:]))
    sums = np.zeros((3, size))
    for plane in dense.reshape(len(dense), -1):
        sums += [np.bincount(plane, weight, size) for weight in (None, y, x)]
    centres: NDArray[np.intp] = np.rint(sums[1:] / np.maximum(sums[0], 1)).astype(np.intp)
    return centres


def split_sample(sample: TrainingSample, share: float) -> tuple[TrainingSample, TrainingSample]:
    """Split what counts of a sample: to train on, and to validate on.

    An area is no object that would stay whole: it is split as the background is.
    """
    whole = np.zeros_like(sample.labels) if sample.kind == "area" else sample.labels
    held_out = held_out_voxels(whole, share)
    return (
        replace(sample, mask=sample.mask & ~held_out, held_out=held_out),
        replace(
            sample,
            name=sample.name + HELD_OUT,
            mask=sample.mask & held_out,
            field=sample.field or sample.name,
        ),
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
