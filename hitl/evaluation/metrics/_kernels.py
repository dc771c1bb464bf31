"""Compiled loops over label blocks; a module of its own so that numba loads only when used."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

# Columns of a table's statistics: voxels, z/y/x ranges (last inclusive), coordinate sums.
COUNT, Z0, Z1, Y0, Y1, X0, X1, SUM_Z, SUM_Y, SUM_X = range(10)
COLUMNS = 10
FIRST_CAPACITY = 1 << 12

Table = tuple[NDArray[np.uint64], NDArray[np.int64], int]
"""Keys (capacity, 2), statistics (capacity, 10), slots in use; a slot of count 0 is free."""


def new_table() -> Table:
    """Return an empty open-addressing table of (truth id, predicted id) pairs."""
    return (
        np.zeros((FIRST_CAPACITY, 2), np.uint64),
        np.zeros((FIRST_CAPACITY, COLUMNS), np.int64),
        0,
    )


@numba.njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _slot(keys: Any, stats: Any, a: Any, b: Any) -> Any:
    mask = np.uint64(keys.shape[0] - 1)
    h = a * np.uint64(0x9E3779B97F4A7C15) ^ b * np.uint64(0xC2B2AE3D27D4EB4F)
    i = (h ^ (h >> np.uint64(29))) & mask
    while stats[i, 0] != 0 and (keys[i, 0] != a or keys[i, 1] != b):
        i = (i + np.uint64(1)) & mask
    return i


@numba.njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _grown(keys: Any, stats: Any) -> Any:
    wide_keys = np.zeros((2 * keys.shape[0], 2), np.uint64)
    wide_stats = np.zeros((2 * keys.shape[0], stats.shape[1]), np.int64)
    for old in range(keys.shape[0]):
        if stats[old, 0] != 0:
            new = _slot(wide_keys, wide_stats, keys[old, 0], keys[old, 1])
            # Element by element: assigning rows takes numba a second longer to compile.
            for k in range(2):
                wide_keys[new, k] = keys[old, k]
            for k in range(stats.shape[1]):
                wide_stats[new, k] = stats[old, k]
    return wide_keys, wide_stats


@numba.njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _add_run(s: Any, i: Any, z: Any, y: Any, start: Any, stop: Any) -> None:
    n = stop - start
    if s[i, 0] == 0:
        s[i, 1] = z
        s[i, 3] = y
        s[i, 4] = y
        s[i, 5] = start
        s[i, 6] = stop - 1
    s[i, 0] += n
    s[i, 1] = min(s[i, 1], z)
    s[i, 2] = max(s[i, 2], z)
    s[i, 3] = min(s[i, 3], y)
    s[i, 4] = max(s[i, 4], y)
    s[i, 5] = min(s[i, 5], start)
    s[i, 6] = max(s[i, 6], stop - 1)
    s[i, 7] += n * z
    s[i, 8] += n * y
    s[i, 9] += n * (start + stop - 1) // 2


@numba.njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _mark_changes(t: Any, p: Any, changed: Any) -> None:
    """Set changed[x] to 1 where a run starts at x; branch-free, so that it becomes SIMD."""
    t_here, t_before, p_here, p_before = t[1:], t[:-1], p[1:], p[:-1]
    out = changed[1:]
    for k in range(t_here.shape[0]):
        out[k] = ((t_here[k] ^ t_before[k]) | (p_here[k] ^ p_before[k])) != 0


@numba.njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _run_starts(changed: Any, starts: Any) -> Any:
    """Positions of the ones in `changed`, eight bytes at a time; return how many."""
    n = 0
    words = changed.view(np.uint64)
    for w in range(words.shape[0]):
        if words[w] != 0:
            for x in range(8 * w, 8 * w + 8):
                starts[n] = x
                n += changed[x]
    return n


@numba.njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _add_row(t: Any, p: Any, z: Any, y: Any, starts: Any, n: Any, table: Any) -> Any:
    """Add the n runs of one row to a table with room for them; return new slots, largest ids."""
    keys, stats = table
    max_a = np.uint64(0)
    max_b = np.uint64(0)
    new = 0
    for run in range(n):
        start, stop = starts[run], starts[run + 1]
        a = np.uint64(t[start])
        b = np.uint64(p[start])
        if a == 0 and b == 0:
            continue
        max_a = max(max_a, a)
        max_b = max(max_b, b)
        i = _slot(keys, stats, a, b)
        if stats[i, 0] == 0:
            keys[i, 0] = a
            keys[i, 1] = b
            new += 1
        _add_run(stats, i, z, y, start, stop)
    return new, max_a, max_b


def _count_runs(
    t: Any, p: Any, z_first: Any, y_first: Any, keys: Any, stats: Any, used: Any
) -> Any:
    """Add one block's runs of equal pairs to the table; also return the largest ids met."""
    max_a = np.uint64(0)
    max_b = np.uint64(0)
    nx = t.shape[2]
    changed = np.zeros((nx + 7) // 8 * 8, np.uint8)
    changed[0] = 1
    starts = np.zeros(changed.shape[0] + 1, np.int64)
    for z in range(t.shape[0]):
        for y in range(t.shape[1]):
            _mark_changes(t[z, y], p[z, y], changed)
            n = _run_starts(changed, starts)
            starts[n] = nx
            while 2 * (used + n) > keys.shape[0]:
                keys, stats = _grown(keys, stats)
            new, a, b = _add_row(
                t[z, y], p[z, y], z + z_first, y + y_first, starts, n, (keys, stats)
            )
            used += new
            max_a = max(max_a, a)
            max_b = max(max_b, b)
    return keys, stats, used, max_a, max_b


def _count_in_boxes(p: Any, z_first: Any, y_first: Any, boxes: Any, ids: Any, counts: Any) -> None:
    """Add to counts[n] how often ids[n] occurs in the part of boxes[n] inside the block."""
    for n in range(ids.shape[0]):
        z0 = max(boxes[n, 0, 0] - z_first, 0)
        z1 = min(boxes[n, 0, 1] - z_first, p.shape[0])
        y0 = max(boxes[n, 1, 0] - y_first, 0)
        y1 = min(boxes[n, 1, 1] - y_first, p.shape[1])
        wanted = ids[n]
        total = np.int64(0)
        for z in range(z0, z1):
            for y in range(y0, y1):
                # A slice has no negative indices to wrap, so that its loop becomes SIMD.
                row = p[z, y, boxes[n, 2, 0] : boxes[n, 2, 1]]
                hits = np.uint32(0)
                for x in range(row.shape[0]):
                    hits += np.uint32(row[x] == wanted)
                total += np.int64(hits)
        counts[n] += total


def _compile(function: Callable[..., Any], *signature: Any) -> Callable[..., Any]:
    compiled: Callable[..., Any] = numba.njit([signature], cache=True, nogil=True)(function)
    return compiled


@functools.cache
def count_runs(dtype: np.dtype[Any]) -> Callable[..., Any]:
    """`_count_runs` for two blocks of `dtype`, writeable or not."""
    kind = numba.from_dtype(dtype)
    block = numba.types.Array(kind, 3, "C", readonly=True)
    i8 = numba.int64
    return _compile(_count_runs, block, block, i8, i8, numba.uint64[:, ::1], i8[:, ::1], i8)


@functools.cache
def count_in_boxes(dtype: np.dtype[Any]) -> Callable[..., Any]:
    """`_count_in_boxes` for a block of `dtype`, writeable or not."""
    kind = numba.from_dtype(dtype)
    block = numba.types.Array(kind, 3, "C", readonly=True)
    i8 = numba.int64
    return _compile(_count_in_boxes, block, i8, i8, i8[:, :, ::1], kind[::1], i8[::1])
