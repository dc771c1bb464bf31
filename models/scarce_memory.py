"""Tiled prediction that goes on with smaller tiles where the memory does not suffice."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from labels.progress import Progress, no_progress
from models.base import BlockSource
from models.devices import is_out_of_memory
from models.errors import TileMemoryError
from models.tiling import PredictTiles, Sink, Size, Tiling, predict_tiled


def predict_within_memory(
    predict: PredictTiles,
    source: BlockSource,
    channels: int,
    tiling: Tiling,
    multiple: Size,
    *,
    out: Sink | None = None,
    notes: list[str] | None = None,
    progress: Progress = no_progress,
) -> tuple[Sink | NDArray[np.float32], Tiling]:
    """Do as `predict_tiled`, again with tiles of half the size where the memory does not suffice.

    Parameters
    ----------
    predict, source, channels, tiling, out, progress
        See `predict_tiled`; the progress begins anew with smaller tiles.
    multiple : (int, int, int)
        Tile sizes stay multiples of this.
    notes : list of str, optional
        Told about smaller tiles.

    Returns
    -------
    `out`, and the tiling that worked

    Raises
    ------
    TileMemoryError
        Not even the smallest tile fits.
    """
    while True:
        try:
            return predict_tiled(
                predict, source, channels, tiling, out=out, progress=progress
            ), tiling
        except (MemoryError, RuntimeError) as error:
            if not is_out_of_memory(error):
                raise
            smaller = tiling.smaller(multiple)
            if smaller is None:
                raise TileMemoryError(
                    f"expected memory for a tile of {_text(tiling.tile)} voxels, got an "
                    f"allocation that failed ({error}); close other programs, or take a smaller "
                    "network or a machine with more memory"
                ) from error
        if notes is not None:
            notes.append(
                f"tiles of {_text(tiling.tile)} voxels did not fit in memory; "
                f"predicted with {_text(smaller.tile)}"
            )
        tiling = smaller


def _text(size: Iterable[int]) -> str:
    return "×".join(map(str, size))
