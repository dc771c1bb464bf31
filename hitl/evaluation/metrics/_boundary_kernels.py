"""Compiled loops over boundary voxels; a module of its own so that numba loads only when used."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numba
import numpy as np


def _mark(labels: Any, marks: Any, sums: Any) -> None:
    """Mark voxels of objects with a neighbour (6) of another label; sums[..., x]: marks before x.

    The first and last plane and row of a block only serve as neighbours, where they exist.
    """
    nz, ny, nx = labels.shape
    for z in range(nz):
        for y in range(ny):
            total = np.int32(0)
            sums[z, y, 0] = 0
            for x in range(nx):
                a = labels[z, y, x]
                edge = a != 0 and (
                    (x > 0 and labels[z, y, x - 1] != a)
                    or (x + 1 < nx and labels[z, y, x + 1] != a)
                    or (y > 0 and labels[z, y - 1, x] != a)
                    or (y + 1 < ny and labels[z, y + 1, x] != a)
                    or (z > 0 and labels[z - 1, y, x] != a)
                    or (z + 1 < nz and labels[z + 1, y, x] != a)
                )
                marks[z, y, x] = edge
                total += np.int32(edge)
                sums[z, y, x + 1] = total


def _count_near(marks: Any, sums: Any, core: Any, rows: Any) -> Any:
    """Count the marked voxels of the core, and those that have a mark of the other image near.

    `rows` has (dz, dy, reach in x), nearest first; `sums` is the other image's.
    """
    nz, ny, nx = marks.shape
    found = np.int64(0)
    near = np.int64(0)
    for z in range(core[0], core[1]):
        for y in range(core[2], core[3]):
            for x in range(nx):
                if not marks[z, y, x]:
                    continue
                found += 1
                for r in range(rows.shape[0]):
                    z2 = z + rows[r, 0]
                    y2 = y + rows[r, 1]
                    if z2 < 0 or z2 >= nz or y2 < 0 or y2 >= ny:
                        continue
                    low = max(x - rows[r, 2], 0)
                    high = min(x + rows[r, 2] + 1, nx)
                    if sums[z2, y2, high] > sums[z2, y2, low]:
                        near += 1
                        break
    return found, near


@functools.cache
def mark(dtype: np.dtype[Any]) -> Callable[..., Any]:
    """`_mark` for a block of `dtype`, writeable or not."""
    block = numba.types.Array(numba.from_dtype(dtype), 3, "C", readonly=True)
    compiled: Callable[..., Any] = numba.njit(
        [(block, numba.boolean[:, :, ::1], numba.int32[:, :, ::1])], cache=True, nogil=True
    )(_mark)
    return compiled


@functools.cache
def count_near() -> Callable[..., Any]:
    """`_count_near`, compiled."""
    signature = (
        numba.boolean[:, :, ::1],
        numba.int32[:, :, ::1],
        numba.int64[::1],
        numba.int64[:, ::1],
    )
    compiled: Callable[..., Any] = numba.njit([signature], cache=True, nogil=True)(_count_near)
    return compiled
