"""Sliding-window prediction of volumes that need not fit in memory."""

from __future__ import annotations

import itertools
import math
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import reduce
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from labels.progress import Progress, no_progress
from models.base import BlockSource

Size = tuple[int, int, int]
PredictTiles = Callable[[NDArray[np.float32]], NDArray[np.float32]]
"""From tiles (N, C, Z, Y, X) to outputs (N, K, Z, Y, X)."""

SIGMA = 1 / 8
"""Width of the blending Gaussian, as a fraction of the tile."""

DEEPEST = 48
"""Slices of the deepest tile."""

READ_AHEAD = 1
"""Batches read while another is computed."""

WRITE_BEHIND = 2
"""Batches that may wait to be blended while another is computed."""


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
    overlap : float or (float, float, float)
        Smallest share of a tile that its neighbour covers too, in [0, 0.75]; of all axes or each.
    border : (int, int, int)
        Voxels (z, y, x) by which the volume is continued by reflection on each side, so that its
        own border has surroundings.
    batch_size : int
        Tiles predicted at once.
    """

    tile: Size
    overlap: float | tuple[float, float, float] = 0.25
    border: Size = (0, 0, 0)
    batch_size: int = 1

    def __post_init__(self) -> None:
        narrow = any(b >= t for b, t in zip(self.border, self.tile, strict=True))
        shares = all(0 <= share <= 0.75 for share in self.overlaps)
        if not shares or self.batch_size < 1 or narrow or min(self.border) < 0:
            raise ValueError(
                "expected a tile larger than its border, an overlap in [0, 0.75] and a batch of "
                f"at least one tile, got {self}"
            )

    @property
    def overlaps(self) -> tuple[float, float, float]:
        """The overlap of each axis (z, y, x)."""
        if isinstance(self.overlap, tuple):
            return self.overlap
        return self.overlap, self.overlap, self.overlap

    def smaller(self, multiple: Size) -> Tiling | None:
        """Return tiles of half the size, or None when a tile is as small as it can be.

        Parameters
        ----------
        multiple : (int, int, int)
            Tile sizes stay multiples of this.
        """
        if self.batch_size > 1:
            return replace(self, batch_size=self.batch_size // 2)
        least = [(b // m + 1) * m for b, m in zip(self.border, multiple, strict=True)]
        tile = fitted_tile(self.tile, multiple, math.prod(self.tile) // 2, least)
        return None if tile == self.tile else replace(self, tile=tile)


def tile_starts(length: int, tile: int, overlap: float, border: int) -> list[int]:
    """Return evenly spaced first voxels of tiles that cover [-border, length + border)."""
    span = length + 2 * border
    if span <= tile:
        return [(length - tile) // 2]
    step = max(1, int(tile * (1 - overlap) + 1e-6))
    count = math.ceil((span - tile) / step) + 1
    return [round(i * (span - tile) / (count - 1)) - border for i in range(count)]


def fitted_tile(
    shape: Sequence[int], multiple: Size, voxels: int, least: Sequence[int] = (1, 1, 1)
) -> Size:
    """Return a tile size for a volume: all of it when it fits in `voxels`, else its even parts.

    Parameters
    ----------
    shape : (int, int, int)
        Volume (Z, Y, X), borders included.
    multiple : (int, int, int)
        Tile sizes are multiples of this.
    voxels : int
        Largest number of voxels of a tile.
    least : (int, int, int)
        An axis is not halved below this, even when `voxels` are then too few.
    """
    size = [math.ceil(n / m) * m for n, m in zip(shape, multiple, strict=True)]
    while math.prod(size) > voxels:
        # Halving the longest axis in units of its multiple keeps the tile compact.
        halves = [math.ceil(n // m / 2) * m for n, m in zip(size, multiple, strict=True)]
        free = [a for a in range(3) if max(least[a], 1) <= halves[a] < size[a]]
        if not free:
            break
        axis = max(free, key=lambda a: size[a])
        size[axis] = halves[axis]
    return size[0], size[1], size[2]


def thrifty_tile(shape: Sequence[int], multiple: Size, voxels: int, shared: Size) -> Size:
    """Return the tile size with which the fewest voxels are computed.

    Parameters
    ----------
    shape : (int, int, int)
        Volume (Z, Y, X), borders included.
    multiple : (int, int, int)
        Tile sizes are multiples of this.
    voxels : int
        Largest number of voxels of a tile, where the overlap allows it.
    shared : (int, int, int)
        Voxels (z, y, x) that neighbouring tiles share at least.
    """
    axes = [_even_parts(*axis) for axis in zip(shape, multiple, shared, strict=True)]
    # A slab as deep as the tile is held while it is blended, whatever the stack's width.
    axes[0] = [part for part in axes[0] if part[0] <= DEEPEST] or axes[0][-1:]
    choices = list(itertools.product(*axes))
    fitting = [c for c in choices if math.prod(size for size, _ in c) <= voxels]
    if not fitting:
        fitting = [min(choices, key=lambda c: math.prod(size for size, _ in c))]
    best = min(fitting, key=lambda c: (math.prod(n * t for t, n in c), math.prod(n for _, n in c)))
    z, y, x = (size for size, _ in best)
    return z, y, x


def _even_parts(length: int, multiple: int, shared: int) -> list[tuple[int, int]]:
    """Return (tile size, number of tiles) of each way to cut an axis, coarse to fine."""
    parts: dict[int, int] = {}
    for count in range(1, length + 1):
        size = math.ceil((length + (count - 1) * shared) / count / multiple) * multiple
        if count > 1 and size < 4 * shared:
            break
        parts.setdefault(size, count)
    return list(parts.items())


def blending_weights(tile: Size) -> NDArray[np.float32]:
    """Return the Gaussian weight of each voxel of a tile, 1 at its centre.

    No floor is needed, at a tile's corner it is 4e-11; a floor would blend corners badly.
    """
    away = [(np.arange(n) - (n - 1) / 2) / max(n * SIGMA, 1e-6) for n in tile]
    return reduce(np.multiply.outer, [np.exp(-0.5 * at**2).astype(np.float32) for at in away])


def predict_tiled(
    predict: PredictTiles,
    source: BlockSource,
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
        From tiles (N, C, Z, Y, X) to outputs (N, K, Z, Y, X), float32.
    source : array-like, shape (C, Z, Y, X)
        Read by slices; numpy or zarr.
    channels : int
        K.
    tiling : Tiling
    out : array-like, shape (K, Z, Y, X), optional
        Written by slices; a new float32 array when not given.
    progress : callable
        Called per batch of tiles; raising in it stops the work.

    Returns
    -------
    `out`
    """
    shape = tuple(source.shape[1:])
    if out is None:
        out = np.empty((channels, *shape), np.float32)
    starts = [
        tile_starts(n, t, overlap, b)
        for n, t, overlap, b in zip(shape, tiling.tile, tiling.overlaps, tiling.border, strict=True)
    ]
    slab = _Slab(channels, shape, tiling.tile)

    def read(batch: list[Size]) -> NDArray[np.float32]:
        return np.stack([read_reflected(source, at, tiling.tile) for at in batch])

    def write(batch: list[Size], values: NDArray[np.float32], stop: int | None) -> None:
        for at, one in zip(batch, values, strict=True):
            slab.add(at, one)
        if stop is not None:
            slab.flush(out, stop)

    _overlapped(_in_order(starts, shape[0], tiling.batch_size), read, predict, write, progress)
    return out


def _in_order(
    starts: list[list[int]], depth: int, size: int
) -> list[tuple[list[Size], int | None]]:
    """Return batches, each with the slice up to which all is final once it is blended."""
    batches: list[tuple[list[Size], int | None]] = []
    ends = [max(z, 0) for z in starts[0][1:]] + [depth]
    for z, end in zip(starts[0], ends, strict=True):
        row = list(_chunks(itertools.product((z,), starts[1], starts[2]), size))
        batches += [(batch, None) for batch in row[:-1]]
        batches.append((row[-1], end))
    return batches


def _overlapped(
    batches: list[tuple[list[Size], int | None]],
    read: Callable[[list[Size]], NDArray[np.float32]],
    predict: PredictTiles,
    write: Callable[[list[Size], NDArray[np.float32], int | None], None],
    progress: Progress,
) -> None:
    """Compute in this thread, while one other reads ahead and one writes behind."""
    total, done = sum(len(batch) for batch, _ in batches), 0
    with _helper("tile-reader") as reader, _helper("tile-writer") as writer:
        to_read = iter(batches)
        ahead: deque[Future[NDArray[np.float32]]] = deque()
        behind: deque[Future[None]] = deque()
        for batch, stop in batches:
            progress(done, total, "predicting")
            for following, _ in itertools.islice(to_read, 1 + READ_AHEAD - len(ahead)):
                ahead.append(reader.submit(read, following))
            values = predict(ahead.popleft().result())
            behind.append(writer.submit(write, batch, values, stop))
            while len(behind) > WRITE_BEHIND:
                behind.popleft().result()
            done += len(batch)
        for last in behind:
            last.result()
    progress(total, total, "predicting")


@contextmanager
def _helper(name: str) -> Iterator[ThreadPoolExecutor]:
    pool = ThreadPoolExecutor(1, thread_name_prefix=name)
    try:
        yield pool
    finally:
        # What has not begun is dropped, so that an error or a cancel does not wait for it.
        pool.shutdown(wait=True, cancel_futures=True)


def _chunks(items: Iterator[Size], size: int) -> Iterator[list[Size]]:
    while chunk := list(itertools.islice(items, size)):
        yield chunk


def read_reflected(source: BlockSource, start: Size, size: Size) -> NDArray[np.float32]:
    """Read all channels of a tile that may reach past the volume, continued by reflection."""
    shape = source.shape[1:]
    wanted = [range(s, s + n) for s, n in zip(start, size, strict=True)]
    inside = [(max(w.start, 0), min(w.stop, n)) for w, n in zip(wanted, shape, strict=True)]
    pads = [(a - w.start, w.stop - b) for w, (a, b) in zip(wanted, inside, strict=True)]
    # Reflection needs as many voxels as it adds, so a thin strip at the border reads deeper.
    reach = [
        (max(0, a - after), min(n, b + before))
        for (a, b), (before, after), n in zip(inside, pads, shape, strict=True)
    ]
    box = (slice(None), *(slice(a, b) for a, b in reach))
    block = np.asarray(source[box], dtype=np.float32)
    index = np.ix_(
        np.arange(source.shape[0]),
        *(
            reflected(np.arange(w.start, w.stop), n) - a
            for w, n, (a, _) in zip(wanted, shape, reach, strict=True)
        ),
    )
    tile: NDArray[np.float32] = block[index] if any(map(any, pads)) else block
    return tile


def reflected(index: NDArray[np.intp], size: int) -> NDArray[np.intp]:
    """Return where an axis of `size` voxels is read when it goes on by reflection."""
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
