"""Outlines of objects along the corners of pixels, and back: nothing is lost on the way."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Loop = NDArray[np.int64]
"""Corners (x, y) of a closed outline, shape (N, 2); the last is joined to the first."""

_STEPS = np.array([[1, 0], [0, 1], [-1, 0], [0, -1]])
_CROSSINGS = 1 << 20
"""Crossings of outlines with rows that are worked on at a time."""
_MOST_WINDINGS = 16
"""Crossings for each pixel; an outline along pixels has at most one for each."""


def trace(plane: NDArray[Any]) -> dict[int, list[Loop]]:
    """Trace the outlines of all objects of a slice.

    Pixel (x, y) lies between the corners (x, y) and (x + 1, y + 1), as in ImageJ. Pieces that
    touch at a corner only have outlines of their own; holes run the other way round.

    Parameters
    ----------
    plane : ndarray of integer, shape (Y, X)
        Object ids, 0 is background.

    Returns
    -------
    dict of int to list of ndarray of int, shape (N, 2)
        Outlines by id, ids ascending; only corners at which the outline turns.
    """
    owner, start, direction = _edges(plane)
    if owner.size == 0:
        return {}
    following = _following(owner, start, direction, plane.shape[1] + 3)
    turns = (direction != direction[following]).tolist()
    ends = (start + _STEPS[direction]).tolist()
    after, ids = following.tolist(), owner.tolist()
    seen = bytearray(len(after))
    found: dict[int, list[Loop]] = {}
    for first in range(len(after)):
        if seen[first]:
            continue
        corners, edge = [], first
        while not seen[edge]:
            seen[edge] = 1
            if turns[edge]:
                corners.append(ends[edge])
            edge = after[edge]
        found.setdefault(ids[first], []).append(np.array(corners, dtype=np.int64))
    return dict(sorted(found.items()))


def _edges(plane: NDArray[Any]) -> tuple[NDArray[Any], NDArray[np.int64], NDArray[np.int64]]:
    """Sides of pixels that bound their object: id, first corner (x, y), direction.

    Directions are right, down, left, up; the object is on the right hand.
    """
    padded = np.pad(plane, 1)
    inner = padded[1:-1, 1:-1]
    beyond = (padded[:-2, 1:-1], padded[1:-1, 2:], padded[2:, 1:-1], padded[1:-1, :-2])
    first_corner = ((0, 0), (1, 0), (1, 1), (0, 1))
    owners, starts, directions = [], [], []
    for way, (other, corner) in enumerate(zip(beyond, first_corner, strict=True)):
        y, x = np.nonzero((inner != 0) & (inner != other))
        owners.append(inner[y, x])
        starts.append(np.stack([x + corner[0], y + corner[1]], axis=1))
        directions.append(np.full(x.size, way, np.int64))
    return np.concatenate(owners), np.concatenate(starts), np.concatenate(directions)


def _following(
    owner: NDArray[Any], start: NDArray[np.int64], direction: NDArray[np.int64], width: int
) -> NDArray[np.int64]:
    """Index of the side that goes on from each side's end, turning right where two do."""
    _, code = np.unique(owner, return_inverse=True)
    size = width * (int(start[:, 1].max()) + 2)

    def key(corner: NDArray[np.int64]) -> NDArray[np.int64]:
        return np.asarray(code * size + corner[:, 1] * width + corner[:, 0], np.int64)

    begins, ends = key(start), key(start + _STEPS[direction])
    order = np.argsort(begins, kind="stable")
    ordered = begins[order]
    low = np.searchsorted(ordered, ends)
    second = np.minimum(low + 1, order.size - 1)
    right = (direction + 1) % 4
    use_second = (ordered[second] == ends) & (direction[order[second]] == right)
    return np.where(use_second, order[second], order[low]).astype(np.int64)


class WindingError(ValueError):
    """An outline that crosses the rows of an image more often than any that was drawn."""


def fill(loops: Sequence[NDArray[Any]], shape: tuple[int, int]) -> NDArray[np.bool_]:
    """Return the pixels whose centres lie inside outlines, by the even-odd rule.

    Parameters
    ----------
    loops : sequence of ndarray, shape (N, 2)
        Corners (x, y), whole or not; all inside the image.
    shape : (int, int)
        (Y, X) of the image.

    Returns
    -------
    ndarray of bool, shape (Y, X)

    Raises
    ------
    WindingError
        Some thousand corners can ask for the work of a day.
    """
    toggles = np.zeros((shape[0], shape[1] + 1), np.uint8)
    begin, end, first, count = _sides(loops)
    crossing = np.flatnonzero(count > 0)
    total = int(count[crossing].sum())
    if total > _MOST_WINDINGS * (toggles.size + shape[0]):
        raise WindingError(f"{total} crossings in an image of {shape[1]} x {shape[0]} pixels")
    parts = max(1, -(-total // _CROSSINGS))
    for part in np.array_split(crossing, min(parts, max(1, crossing.size))):
        _toggle(toggles, begin[part], end[part], first[part], count[part])
    inside = np.bitwise_xor.accumulate(toggles[:, :-1], axis=1)
    return inside.astype(np.bool_)


def _sides(
    loops: Sequence[NDArray[Any]],
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.int64], NDArray[np.int64]]:
    """Return the ends (x, y) of all sides, the first row that each crosses, and how many."""
    begin = np.concatenate(loops).astype(np.float64)
    after = np.arange(1, len(begin) + 1)
    stops = np.cumsum([len(loop) for loop in loops])
    after[stops - 1] = np.concatenate([[0], stops[:-1]])
    end = begin[after]
    top, bottom = np.minimum(begin[:, 1], end[:, 1]), np.maximum(begin[:, 1], end[:, 1])
    # Rows whose centre line the side crosses; of a corner on that line, one side only.
    first = np.ceil(top - 0.5).astype(np.int64)
    return begin, end, first, np.ceil(bottom - 0.5).astype(np.int64) - first


def _toggle(
    toggles: NDArray[np.uint8],
    begin: NDArray[np.float64],
    end: NDArray[np.float64],
    first: NDArray[np.int64],
    count: NDArray[np.int64],
) -> None:
    """Flip, for each crossing of a side with a row of centres, the first pixel right of it."""
    side = np.repeat(np.arange(count.size), count)
    within = np.arange(side.size) - np.repeat(np.cumsum(count) - count, count)
    row = first[side] + within
    slope = (end[:, 0] - begin[:, 0]) / (end[:, 1] - begin[:, 1])
    x = begin[side, 0] + (row + 0.5 - begin[side, 1]) * slope[side]
    column = np.ceil(x - 0.5).astype(np.int64)
    np.bitwise_xor.at(toggles, (row, column), np.uint8(1))
