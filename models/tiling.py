"""Sliding-window prediction of volumes that need not fit in memory."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from models.base import Progress, no_progress

Size = tuple[int, int, int]
PredictTiles = Callable[[NDArray[np.float32]], NDArray[np.float32]]
"""From tiles (N, Z, Y, X) to channels (N, C, Z, Y, X)."""

SIGMA = 1 / 8
"""Width of the blending Gaussian, as a fraction of the tile."""


class Source(Protocol):
    """What tiles are read from: a numpy or zarr array of shape (Z, Y, X)."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape (Z, Y, X)."""
        ...

    def __getitem__(self, key: Any) -> Any: ...


class Sink(Protocol):
    """Where slabs are written to: a numpy or zarr array of shape (C, Z, Y, X)."""

    def __setitem__(self, key: Any, value: Any) -> None: ...


@dataclass(frozen=True)
class Tiling:
    """How a volume is cut into tiles.

    Parameters
    ----------
    tile : (int, int, int)
        Tile size (z, y, x); a multiple of what the model needs.
    overlap : float
        Smallest share of a tile that its neighbour covers too, in [0, 0.75].
    border : (int, int, int)
        Voxels (z, y, x) by which the volume is continued by reflection on each side, so that its
        own border has surroundings.
    batch_size : int
        Tiles predicted at once.
    """

    tile: Size
    overlap: float = 0.25
    border: Size = (0, 0, 0)
    batch_size: int = 1

    def __post_init__(self) -> None:
        narrow = any(b >= t for b, t in zip(self.border, self.tile, strict=True))
        if not 0 <= self.overlap <= 0.75 or self.batch_size < 1 or narrow or min(self.border) < 0:
            raise ValueError(
                "expected a tile larger than its border, an overlap in [0, 0.75] and a batch of "
                f"at least one tile, got {self}"
            )


def tile_starts(length: int, tile: int, overlap: float, border: int) -> list[int]:
    """Return evenly spaced first voxels of tiles that cover [-border, length + border)."""
    span = length + 2 * border
    if span <= tile:
        return [(length - tile) // 2]
    step = max(1, int(tile * (1 - overlap)))
    count = math.ceil((span - tile) / step) + 1
    return [round(i * (span - tile) / (count - 1)) - border for i in range(count)]


def fitted_tile(shape: Sequence[int], multiple: Size, voxels: int) -> Size:
    """Return a tile size for a volume: all of it when it fits in `voxels`, else its even parts.

    Parameters
    ----------
    shape : (int, int, int)
        Volume (Z, Y, X), borders included.
    multiple : (int, int, int)
        Tile sizes are multiples of this.
    voxels : int
        Largest number of voxels of a tile.
    """
    size = [math.ceil(n / m) * m for n, m in zip(shape, multiple, strict=True)]
    while math.prod(size) > voxels:
        # Halving the longest axis in units of its multiple keeps the tile compact.
        axis = max(range(3), key=lambda a: (size[a] // multiple[a] > 1) * size[a])
        parts = size[axis] // multiple[axis]
        if parts <= 1:
            break
        size[axis] = math.ceil(parts / 2) * multiple[axis]
    return size[0], size[1], size[2]


def blending_weights(tile: Size) -> NDArray[np.float32]:
    """Return the Gaussian weight of each voxel of a tile, 1 at its centre.

    No floor is needed, at a tile's corner it is 4e-11; a floor would blend corners badly.
    """
    weight = np.ones((1, 1, 1), np.float32)
    for axis, n in enumerate(tile):
        at = (np.arange(n) - (n - 1) / 2) / max(n * SIGMA, 1e-6)
        shape = [1, 1, 1]
        shape[axis] = n
        weight = weight * np.exp(-0.5 * at**2).astype(np.float32).reshape(shape)
    return weight


def predict_tiled(
    predict: PredictTiles,
    source: Source,
    channels: int,
    tiling: Tiling,
    *,
    out: Sink | None = None,
    progress: Progress = no_progress,
) -> Sink | NDArray[np.float32]:
    """Predict a volume tile by tile and blend the overlaps.

    Tiles go through the volume slab by slab along z; a slice is written once no later tile
    reaches it. Besides `out`, memory holds one slab of tile depth.

    Parameters
    ----------
    predict : callable
        From tiles (N, Z, Y, X) to channels (N, C, Z, Y, X), float32.
    source : array-like, shape (Z, Y, X)
        Read by slices; numpy or zarr.
    channels : int
        C.
    tiling : Tiling
    out : array-like, shape (C, Z, Y, X), optional
        Written by slices; a new float32 array when not given.
    progress : callable
        Called per batch of tiles; raising in it stops the work.

    Returns
    -------
    `out`
    """
    shape = tuple(source.shape)
    if out is None:
        out = np.empty((channels, *shape), np.float32)
    starts = [
        tile_starts(n, t, tiling.overlap, b)
        for n, t, b in zip(shape, tiling.tile, tiling.border, strict=True)
    ]
    total, done = math.prod(len(s) for s in starts), 0
    slab = _Slab(channels, shape, tiling.tile)
    for row, z in enumerate(starts[0]):
        slab.move_to(z)
        for batch in _chunks(itertools.product((z,), starts[1], starts[2]), tiling.batch_size):
            progress(done, total, "predicting")
            tiles = np.stack([read_reflected(source, at, tiling.tile) for at in batch])
            for at, values in zip(batch, predict(tiles), strict=True):
                slab.add(at, values)
            done += len(batch)
        last = row + 1 == len(starts[0])
        slab.flush(out, shape[0] if last else max(starts[0][row + 1], 0))
    progress(total, total, "predicting")
    return out


def _chunks(items: Iterator[Size], size: int) -> Iterator[list[Size]]:
    while chunk := list(itertools.islice(items, size)):
        yield chunk


def read_reflected(source: Source, start: Size, size: Size) -> NDArray[np.float32]:
    """Read a tile that may reach past the volume, which is continued by reflection."""
    wanted = [range(s, s + n) for s, n in zip(start, size, strict=True)]
    inside = [(max(w.start, 0), min(w.stop, n)) for w, n in zip(wanted, source.shape, strict=True)]
    pads = [(a - w.start, w.stop - b) for w, (a, b) in zip(wanted, inside, strict=True)]
    # Reflection needs as many voxels as it adds, so a thin strip at the border reads deeper.
    reach = [
        (max(0, a - after), min(n, b + before))
        for (a, b), (before, after), n in zip(inside, pads, source.shape, strict=True)
    ]
    block = np.asarray(source[tuple(slice(a, b) for a, b in reach)], dtype=np.float32)
    index = np.ix_(
        *(
            _reflected(np.arange(w.start, w.stop), n) - a
            for w, n, (a, _) in zip(wanted, source.shape, reach, strict=True)
        )
    )
    tile: NDArray[np.float32] = block[index] if any(map(any, pads)) else block
    return tile


def _reflected(index: NDArray[np.intp], size: int) -> NDArray[np.intp]:
    if size == 1:
        return np.zeros_like(index)
    folded = np.mod(index, 2 * (size - 1))
    back: NDArray[np.intp] = np.minimum(folded, 2 * (size - 1) - folded)
    return back


class _Slab:
    """Weighted sums of the slices that tiles still reach."""

    def __init__(self, channels: int, shape: tuple[int, ...], tile: Size) -> None:
        self._shape, self._tile = shape, tile
        self._weights = blending_weights(tile)
        depth = min(tile[0], shape[0])
        self._sum = np.zeros((channels, depth, *shape[1:]), np.float32)
        self._weight = np.zeros((depth, *shape[1:]), np.float32)
        self._first = 0

    def move_to(self, z: int) -> None:
        assert max(z, 0) == self._first, "slices before this slab were written"

    def add(self, start: Size, values: NDArray[np.float32]) -> None:
        to, of = [], []
        for at, tile, length in zip(start, self._tile, self._shape, strict=True):
            first, last = max(at, 0), min(at + tile, length)
            to.append(slice(first, last))
            of.append(slice(first - at, last - at))
        to[0] = slice(to[0].start - self._first, to[0].stop - self._first)
        weight = self._weights[tuple(of)]
        self._sum[(slice(None), *to)] += values[(slice(None), *of)] * weight
        self._weight[tuple(to)] += weight

    def flush(self, out: Sink, stop: int) -> None:
        count = stop - self._first
        if count <= 0:
            return
        out[:, self._first : stop] = self._sum[:, :count] / self._weight[:count]
        for array, axis in ((self._sum, 1), (self._weight, 0)):
            moved = np.moveaxis(array, axis, 0)
            keep = len(moved) - count
            moved[:keep] = moved[count:].copy()
            moved[keep:] = 0
        self._first = stop
