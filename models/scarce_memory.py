"""What the memory does not hold: refused before it begins, or done with smaller tiles."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from labels.memory import too_large
from labels.progress import Progress, no_progress
from models.base import BlockSource
from models.devices import is_out_of_memory
from models.errors import ImageError, ModelError, TileMemoryError
from models.tiling import PredictTiles, Sink, Size, Tiling, predict_tiled

MOST_ENLARGED = 1000
"""Voxels that one voxel may become: ten on each axis."""

GROWN_TOLD, GROWN_REFUSED = 2, 8
"""Voxels that one voxel may become without a word, and without the objects' size asking for it."""

FEW_VOXELS, MANY_VOXELS = 2**24, 2**28
"""Computed in minutes whatever they were; computed in an hour or more."""

COMPUTED = (75_000, 36)
"""Voxels a second on two cores, and bytes for each, of the slower network."""

_CHECK = "check the voxel size of the image, and that of the run or the diameter that was given"


def check_fits(
    need: float, what: str, advice: str, error: type[ModelError] = TileMemoryError
) -> None:
    """Refuse work that the machine cannot hold, before it begins.

    Parameters
    ----------
    need : float
        Bytes, at least.
    what : str
        The work; begins the message.
    advice : str
        What to do; ends it.
    error : subclass of ModelError

    Raises
    ------
    ModelError
    """
    if told := too_large(need):
        raise error(f"{what} {told}; {advice}")


def check_resampled(
    shape: Sequence[int], resampled: Sequence[int], bytes_per_voxel: float = 24
) -> None:
    """Refuse to bring a stack to another voxel size where that can only be a slip.

    Parameters
    ----------
    shape, resampled : (int, int, int)
        In voxels (z, y, x), before and after.
    bytes_per_voxel : float
        What is held of the result, at least.

    Raises
    ------
    ImageError
        Nothing is left of it, or each voxel becomes many more, or the memory cannot hold it.
    """
    into = f"a stack of {_text(shape)} voxels would become one of {_text(resampled)}"
    if min(resampled[1:]) < 2 <= min(shape[1:]):
        raise ImageError(f"{into}, of which nothing can be seen; {_CHECK}")
    grown = math.prod(resampled) / math.prod(shape)
    if grown > MOST_ENLARGED:
        raise ImageError(f"{into}, {grown:,.0f} times as large; {_CHECK}")
    check_fits(math.prod(resampled) * bytes_per_voxel, f"{into}, which", _CHECK, ImageError)


def work_of_resampling(
    shape: Sequence[int], resampled: Sequence[int], by_objects: bool
) -> tuple[str, ...]:
    """Tell how many more voxels are computed; refuse it where only a voxel size asks for many.

    Parameters
    ----------
    shape, resampled : (int, int, int)
        In voxels (z, y, x), before and after.
    by_objects : bool
        Whether the size of the objects asks for it, which was told.

    Raises
    ------
    ImageError
    """
    voxels = math.prod(resampled)
    grown = voxels / math.prod(shape)
    if grown <= GROWN_TOLD:
        return ()
    into = f"{_text(shape)} voxels become {_text(resampled)}, {grown:.3g} times as many"
    most = FEW_VOXELS if grown > GROWN_REFUSED else MANY_VOXELS
    if by_objects or voxels <= most:
        return (into,)
    rate, size = COMPUTED
    raise ImageError(
        f"{into}, some {voxels / rate / 60:,.0f} minutes and {voxels * size / 2**30:,.0f} GiB of "
        "memory, only because the voxel size is not the training's; say how large the objects are, "
        "with prediction.diameter_um in hitl.yaml (of a file with --set diameter_um=…)"
    )


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
