"""Boxes of voxels: around a mask, moved, joined, grown."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Box = tuple[slice, slice, slice]
"""Part of a stack, (z, y, x), with explicit ends."""


def box_shape(box: Box) -> tuple[int, int, int]:
    """Return the shape of a box."""
    z, y, x = (part.stop - part.start for part in box)
    return z, y, x


def bounds(mask: NDArray[np.bool_]) -> Box | None:
    """Return the smallest box around True, or None."""
    hits = [np.flatnonzero(mask.any(axis=others)) for others in ((1, 2), (0, 2), (0, 1))]
    if not hits[0].size:
        return None
    z, y, x = (slice(int(hit[0]), int(hit[-1]) + 1) for hit in hits)
    return z, y, x


def shifted(box: Box, offset: tuple[int, ...]) -> Box:
    """Return a box moved by (z, y, x) voxels."""
    z, y, x = (slice(part.start + by, part.stop + by) for part, by in zip(box, offset, strict=True))
    return z, y, x


def union(a: Box, b: Box) -> Box:
    """Return the smallest box around both."""
    z, y, x = (slice(min(p.start, q.start), max(p.stop, q.stop)) for p, q in zip(a, b, strict=True))
    return z, y, x


def grown(box: Box, by: tuple[int, int, int], shape: tuple[int, ...]) -> Box:
    """Return a box with a margin of (z, y, x) voxels, cut at the stack's border."""
    z, y, x = (
        slice(max(part.start - more, 0), min(part.stop + more, size))
        for part, more, size in zip(box, by, shape, strict=True)
    )
    return z, y, x


def overlap(box: Box, chunk: Box) -> tuple[Box, Box]:
    """Return where two boxes that meet do so, relative to the first and to the second."""
    common = [(max(p.start, q.start), min(p.stop, q.stop)) for p, q in zip(box, chunk, strict=True)]
    z, y, x = (slice(a - p.start, b - p.start) for (a, b), p in zip(common, box, strict=True))
    k, j, i = (slice(a - p.start, b - p.start) for (a, b), p in zip(common, chunk, strict=True))
    return (z, y, x), (k, j, i)
