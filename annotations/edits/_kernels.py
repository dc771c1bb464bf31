"""Compiled loops over label blocks; a module of its own so that numba loads only when used."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numba
import numpy as np

from labels.compiled import compiled


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


_member = compiled(_contains)


def _mark_seen(
    before: Any, after: Any, gone: Any, kept: Any, shell: Any, first: Any, depth: Any, out: Any
) -> None:
    """Set `out` where people saw: voxels of `kept`, its shell, what `gone` left as background.

    `shell` holds offsets (n, 3); the blocks are as large as the shell reaches. They begin at plane
    `first`, and each time point has `depth` planes: a shell does not leave its time point.
    """
    nz, ny, nx = after.shape
    for z in range(nz):
        low = max(0, z - (first + z) % depth)
        high = min(nz, z - (first + z) % depth + depth)
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
                    if low <= p < high and 0 <= q < ny and 0 <= r < nx and after[p, q, r] == 0:
                        out[p, q, r] = 1


_BLOCK = numba.types.Array(numba.uint32, 3, "C", readonly=True)
_IDS = numba.types.Array(numba.uint32, 1, "C", readonly=True)
_I8 = numba.int64


@functools.cache
def relabel() -> Callable[..., Any]:
    """`_relabel`, compiled: (block, ascending ids, values, keep_unknown, out)."""
    return compiled(_relabel, _BLOCK, _IDS, _IDS, numba.boolean, numba.uint32[:, :, ::1])


@functools.cache
def mark_seen() -> Callable[..., Any]:
    """`_mark_seen`, compiled: (before, after, gone ids, kept ids, shell, first, depth, out)."""
    out = numba.uint8[:, :, ::1]
    return compiled(_mark_seen, _BLOCK, _BLOCK, _IDS, _IDS, _I8[:, ::1], _I8, _I8, out)
