"""Compiled loops over label blocks; a module of its own so that numba loads only when used."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

# Columns of a table's statistics: voxels, raster index of the first one, ranges (last inclusive).
COUNT, FIRST, Z0, Z1, Y0, Y1, X0, X1 = range(8)
COLUMNS = 8
FIRST_CAPACITY = 1 << 12

Table = tuple[NDArray[np.uint32], NDArray[np.int64], int]
"""Keys (capacity, 2), statistics (capacity, 8), slots in use; a slot of count 0 is free."""


def new_table() -> Table:
    """Return an empty open-addressing table of (id before, id after) pairs."""
    return (
        np.zeros((FIRST_CAPACITY, 2), np.uint32),
        np.zeros((FIRST_CAPACITY, COLUMNS), np.int64),
        0,
    )


@numba.njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _slot(keys: Any, stats: Any, a: Any, b: Any) -> Any:
    mask = np.uint64(keys.shape[0] - 1)
    h = np.uint64(a) * np.uint64(0x9E3779B97F4A7C15) ^ np.uint64(b) * np.uint64(0xC2B2AE3D27D4EB4F)
    i = (h ^ (h >> np.uint64(29))) & mask
    while stats[i, 0] != 0 and (keys[i, 0] != a or keys[i, 1] != b):
        i = (i + np.uint64(1)) & mask
    return i


@numba.njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _grown(keys: Any, stats: Any) -> Any:
    wide_keys = np.zeros((2 * keys.shape[0], 2), np.uint32)
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
    s[i, 0] += stop - start
    s[i, 2] = min(s[i, 2], z)
    s[i, 3] = max(s[i, 3], z)
    s[i, 4] = min(s[i, 4], y)
    s[i, 5] = max(s[i, 5], y)
    s[i, 6] = min(s[i, 6], start)
    s[i, 7] = max(s[i, 7], stop - 1)


@numba.njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _mark_changes(b: Any, a: Any, changed: Any) -> None:
    """Set changed[x] to 1 where a run starts at x; branch-free, so that it becomes SIMD."""
    b_here, b_before, a_here, a_before = b[1:], b[:-1], a[1:], a[:-1]
    out = changed[1:]
    for k in range(b_here.shape[0]):
        out[k] = ((b_here[k] ^ b_before[k]) | (a_here[k] ^ a_before[k])) != 0


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
def _add_row(b: Any, a: Any, at: Any, starts: Any, n: Any, table: Any) -> Any:
    """Add the n runs of one row to a table with room for them; return how many pairs are new."""
    keys, stats = table
    z, y, x, row = at
    new = 0
    for run in range(n):
        start, stop = starts[run], starts[run + 1]
        one, other = b[start], a[start]
        if one == 0 and other == 0:
            continue
        i = _slot(keys, stats, one, other)
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


def _count_runs(b: Any, a: Any, origin: Any, size: Any, keys: Any, stats: Any, used: Any) -> Any:
    """Add the runs of equal pairs of a block that starts at `origin` to the table."""
    nx = b.shape[2]
    changed = np.zeros((nx + 7) // 8 * 8, np.uint8)
    changed[0] = 1
    starts = np.zeros(changed.shape[0] + 1, np.int64)
    for z in range(b.shape[0]):
        for y in range(b.shape[1]):
            _mark_changes(b[z, y], a[z, y], changed)
            n = _run_starts(changed, starts)
            starts[n] = nx
            while 2 * (used + n) > keys.shape[0]:
                keys, stats = _grown(keys, stats)
            z_here, y_here = z + origin[0], y + origin[1]
            at = (z_here, y_here, origin[2], (z_here * size[0] + y_here) * size[1])
            used += _add_row(b[z, y], a[z, y], at, starts, n, (keys, stats))
    return keys, stats, used


def _relabel(block: Any, ids: Any, values: Any, keep_unknown: Any, out: Any) -> Any:
    """Write to `out` the value of each id; return an id that has none, or 0."""
    flat, result = block.reshape(-1), out.reshape(-1)
    last, value = np.uint32(0), np.uint32(0)
    for k in range(flat.shape[0]):
        here = flat[k]
        if here != last:
            last = here
            value = here
            if here != 0:
                at = np.searchsorted(ids, here)
                if at < ids.shape[0] and ids[at] == here:
                    value = values[at]
                elif not keep_unknown:
                    return here
        result[k] = value
    return np.uint32(0)


def _contains(ids: Any, wanted: Any) -> Any:
    at = np.searchsorted(ids, wanted)
    return at < ids.shape[0] and ids[at] == wanted


_member = numba.njit(cache=True, nogil=True)(_contains)


def _mark_seen(before: Any, after: Any, gone: Any, kept: Any, shell: Any, out: Any) -> None:
    """Set `out` where people saw: voxels of `kept`, its shell, what `gone` left as background.

    `shell` holds offsets (n, 3); the blocks are as large as the shell reaches.
    """
    nz, ny, nx = after.shape
    for z in range(nz):
        for y in range(ny):
            last, mine, last_gone, was = np.uint32(0), False, np.uint32(0), False
            for x in range(nx):
                old, new = before[z, y, x], after[z, y, x]
                if old != last_gone:
                    last_gone = old
                    was = old != 0 and _member(gone, old)
                if new != last:
                    last = new
                    mine = new != 0 and _member(kept, new)
                if was and new == 0:
                    out[z, y, x] = 1
                if not mine:
                    continue
                out[z, y, x] = 1
                # Inside an object all neighbours are its own.
                inside = 0 < z < nz - 1 and 0 < y < ny - 1 and 0 < x < nx - 1
                if (
                    inside
                    and after[z - 1, y, x] == new
                    and after[z + 1, y, x] == new
                    and after[z, y - 1, x] == new
                    and after[z, y + 1, x] == new
                    and after[z, y, x - 1] == new
                    and after[z, y, x + 1] == new
                ):
                    continue
                for k in range(shell.shape[0]):
                    p, q, r = z + shell[k, 0], y + shell[k, 1], x + shell[k, 2]
                    if 0 <= p < nz and 0 <= q < ny and 0 <= r < nx and after[p, q, r] == 0:
                        out[p, q, r] = 1


def _compile(function: Callable[..., Any], *signature: Any) -> Callable[..., Any]:
    compiled: Callable[..., Any] = numba.njit([signature], cache=True, nogil=True)(function)
    return compiled


_BLOCK = numba.types.Array(numba.uint32, 3, "C", readonly=True)
_IDS = numba.types.Array(numba.uint32, 1, "C", readonly=True)
_I8 = numba.int64


@functools.cache
def count_runs() -> Callable[..., Any]:
    """`_count_runs`, compiled: (before, after, (z, y, x), (Y, X), keys, stats, used)."""
    three, two = numba.types.UniTuple(_I8, 3), numba.types.UniTuple(_I8, 2)
    return _compile(_count_runs, _BLOCK, _BLOCK, three, two, numba.uint32[:, ::1], _I8[:, ::1], _I8)


@functools.cache
def relabel() -> Callable[..., Any]:
    """`_relabel`, compiled: (block, ascending ids, values, keep_unknown, out)."""
    return _compile(_relabel, _BLOCK, _IDS, _IDS, numba.boolean, numba.uint32[:, :, ::1])


@functools.cache
def mark_seen() -> Callable[..., Any]:
    """`_mark_seen`, compiled: (before, after, gone ids, kept ids, shell, out)."""
    return _compile(_mark_seen, _BLOCK, _BLOCK, _IDS, _IDS, _I8[:, ::1], numba.uint8[:, :, ::1])
