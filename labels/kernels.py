"""Compiled loops over label blocks; a module of its own so that numba loads only when used."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

from labels.compiled import compiled

# Columns of a table's statistics: voxels, raster index of the first one, z/y/x ranges (last
# inclusive), coordinate sums.
COUNT, FIRST, Z0, Z1, Y0, Y1, X0, X1, SUM_Z, SUM_Y, SUM_X = range(11)
COLUMNS = 11
FIRST_CAPACITY = 1 << 12

Table = tuple[NDArray[np.uint64], NDArray[np.int64], int]
"""Keys (capacity, 2), statistics (capacity, columns), slots in use; a slot of count 0 is free."""


def new_table(columns: int = COLUMNS) -> Table:
    """Return an empty open-addressing table of pairs of ids."""
    return (
        np.zeros((FIRST_CAPACITY, 2), np.uint64),
        np.zeros((FIRST_CAPACITY, columns), np.int64),
        0,
    )


@compiled
def find_slot(keys: Any, stats: Any, a: Any, b: Any) -> Any:
    """Return where the pair (a, b) is in the table, or the free slot where it belongs."""
    mask = np.uint64(keys.shape[0] - 1)
    h = a * np.uint64(0x9E3779B97F4A7C15) ^ b * np.uint64(0xC2B2AE3D27D4EB4F)
    i = (h ^ (h >> np.uint64(29))) & mask
    while stats[i, 0] != 0 and (keys[i, 0] != a or keys[i, 1] != b):
        i = (i + np.uint64(1)) & mask
    return i


@compiled
def grown(keys: Any, stats: Any) -> Any:
    """Return a table of twice the capacity with the same pairs."""
    wide_keys = np.zeros((2 * keys.shape[0], 2), np.uint64)
    wide_stats = np.zeros((2 * keys.shape[0], stats.shape[1]), np.int64)
    for old in range(keys.shape[0]):
        if stats[old, 0] != 0:
            new = find_slot(wide_keys, wide_stats, keys[old, 0], keys[old, 1])
            # Element by element: assigning rows takes numba a second longer to compile.
            for k in range(2):
                wide_keys[new, k] = keys[old, k]
            for k in range(stats.shape[1]):
                wide_stats[new, k] = stats[old, k]
    return wide_keys, wide_stats


@compiled
def find_ones(flags: Any, places: Any) -> Any:
    """Write the positions of the ones in `flags`, eight bytes at a time; return how many."""
    n = 0
    words = flags.view(np.uint64)
    for w in range(words.shape[0]):
        if words[w] != 0:
            for x in range(8 * w, 8 * w + 8):
                places[n] = x
                n += flags[x]
    return n


@compiled
def _mark_changes(a: Any, b: Any, changed: Any) -> None:
    """Set changed[x] to 1 where a run starts at x; branch-free, so that it becomes SIMD."""
    a_here, a_before, b_here, b_before = a[1:], a[:-1], b[1:], b[:-1]
    out = changed[1:]
    for k in range(a_here.shape[0]):
        out[k] = ((a_here[k] ^ a_before[k]) | (b_here[k] ^ b_before[k])) != 0


@compiled
def _add_run(s: Any, i: Any, z: Any, y: Any, start: Any, stop: Any) -> None:
    n = stop - start
    s[i, 0] += n
    s[i, 2] = min(s[i, 2], z)
    s[i, 3] = max(s[i, 3], z)
    s[i, 4] = min(s[i, 4], y)
    s[i, 5] = max(s[i, 5], y)
    s[i, 6] = min(s[i, 6], start)
    s[i, 7] = max(s[i, 7], stop - 1)
    s[i, 8] += n * z
    s[i, 9] += n * y
    s[i, 10] += n * (start + stop - 1) // 2


@compiled
def _add_row(a: Any, b: Any, at: Any, starts: Any, n: Any, table: Any) -> Any:
    """Add the n runs of one row to a table with room for them; return how many pairs are new."""
    keys, stats = table
    z, y, x, row = at
    new = 0
    for run in range(n):
        start, stop = starts[run], starts[run + 1]
        one, other = np.uint64(a[start]), np.uint64(b[start])
        if one == 0 and other == 0:
            continue
        i = find_slot(keys, stats, one, other)
        if stats[i, 0] == 0:
            keys[i, 0] = one
            keys[i, 1] = other
            new += 1
            stats[i, 1] = row + x + start
            stats[i, 2] = z
            stats[i, 4] = y
            stats[i, 6] = x + start
        _add_run(stats, i, z, y, x + start, x + stop)
    return new


def _count_runs(a: Any, b: Any, origin: Any, size: Any, keys: Any, stats: Any, used: Any) -> Any:
    """Add the runs of equal pairs of a block that starts at `origin` to the table."""
    nx = a.shape[2]
    changed = np.zeros((nx + 7) // 8 * 8, np.uint8)
    changed[0] = 1
    starts = np.zeros(changed.shape[0] + 1, np.int64)
    for z in range(a.shape[0]):
        for y in range(a.shape[1]):
            _mark_changes(a[z, y], b[z, y], changed)
            n = find_ones(changed, starts)
            starts[n] = nx
            while 2 * (used + n) > keys.shape[0]:
                keys, stats = grown(keys, stats)
            z_here, y_here = z + origin[0], y + origin[1]
            at = (z_here, y_here, origin[2], (z_here * size[0] + y_here) * size[1])
            used += _add_row(a[z, y], b[z, y], at, starts, n, (keys, stats))
    return keys, stats, used


@functools.cache
def count_runs(dtype: np.dtype[Any]) -> Callable[..., Any]:
    """`_count_runs` for two blocks of `dtype`, writeable or not, at (z, y, x) of (Y, X)."""
    block = numba.types.Array(numba.from_dtype(dtype), 3, "C", readonly=True)
    i8 = numba.int64
    three, two = numba.types.UniTuple(i8, 3), numba.types.UniTuple(i8, 2)
    return compiled(_count_runs, block, block, three, two, numba.uint64[:, ::1], i8[:, ::1], i8)
