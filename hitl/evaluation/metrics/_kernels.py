"""Compiled loops over blocks of labels; a module of its own so that numba loads only when used."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numba
import numpy as np

from labels.compiled import compiled


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


def _block(dtype: np.dtype[Any]) -> Any:
    return numba.types.Array(numba.from_dtype(dtype), 3, "C", readonly=True)


_I8 = numba.int64
_MARKS, _SUMS = numba.boolean[:, :, ::1], numba.int32[:, :, ::1]


@functools.cache
def count_in_boxes(dtype: np.dtype[Any]) -> Callable[..., Any]:
    """`_count_in_boxes` for a block of `dtype`, writeable or not."""
    ids = numba.from_dtype(dtype)[::1]
    return compiled(_count_in_boxes, _block(dtype), _I8, _I8, _I8[:, :, ::1], ids, _I8[::1])


@functools.cache
def mark(dtype: np.dtype[Any]) -> Callable[..., Any]:
    """`_mark` for a block of `dtype`, writeable or not."""
    return compiled(_mark, _block(dtype), _MARKS, _SUMS)


@functools.cache
def count_near() -> Callable[..., Any]:
    """`_count_near`, compiled."""
    return compiled(_count_near, _MARKS, _SUMS, _I8[::1], _I8[:, ::1])
