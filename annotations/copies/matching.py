"""Which landmarks of many volumes look like those of one, without looking at each pair."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

FARTHEST = 12
"""Bits of 64 in which landmarks that match may differ."""

NEAREST = 8
"""Matches that a landmark has at most."""

_PARTS, _CODES = 4, 1 << 16
_MIX = 40503
"""Odd, so that kinds of landmarks get codes of their own."""


@dataclass(frozen=True)
class Matches:
    """Pairs of landmarks that look alike.

    Parameters
    ----------
    mine, theirs : ndarray of int, shape (N,)
        Row of the landmark among those looked for, and among those looked at.
    weight : ndarray of float, shape (N,)
        By how many bits nearer than the first landmark that is no match any more.
    """

    mine: NDArray[np.intp]
    theirs: NDArray[np.intp]
    weight: NDArray[np.float64]


def near(mine: NDArray[np.void], theirs: NDArray[np.void]) -> NDArray[np.intp]:
    """Return pairs of landmarks that differ in few bits: rows of both, and bits that differ.

    Pairs that share none of the four quarters of their bits are not looked at (multi-index hashing,
    Norouzi et al., CVPR 2012): the time grows with the landmarks, not with their pairs.

    Parameters
    ----------
    mine, theirs : ndarray of `LANDMARK`

    Returns
    -------
    ndarray of int, shape (3, N)
    """
    row, other = _sharing_a_quarter(mine, theirs)
    far = np.bitwise_count(mine["bits"][row] ^ theirs["bits"][other]).astype(np.intp)
    good = (far <= FARTHEST) & (mine["kind"][row] == theirs["kind"][other])
    return np.stack([row[good], other[good], far[good]])


def nearest(pairs: NDArray[np.intp]) -> Matches:
    """Return for each landmark the few pairs of `near` that differ least.

    Parameters
    ----------
    pairs : ndarray of int, shape (3, N)
    """
    row, other, far = pairs[:, np.lexsort((pairs[2], pairs[0]))]
    rank = np.arange(len(row)) - np.searchsorted(row, row)
    limit = np.full(row.max(initial=-1) + 1, FARTHEST + 1)
    next_one = rank == NEAREST
    limit[row[next_one]] = far[next_one]
    weight = limit[row] - far
    kept = (rank < NEAREST) & (weight > 0)
    return Matches(row[kept], other[kept], weight[kept].astype(np.float64))


def alike(mine: NDArray[np.void], theirs: NDArray[np.void], most: int = 3) -> Matches:
    """Return for each landmark of one volume the few of another that look most like it.

    All pairs are looked at, so that nothing that lies elsewhere is in the way.
    """
    far = np.bitwise_count(mine["bits"][:, None] ^ theirs["bits"][None]).astype(np.intp)
    far[mine["kind"][:, None] != theirs["kind"][None]] = 64
    kept = far <= FARTHEST + 2
    for axis in (0, 1):
        if far.shape[axis] > most:
            limit = np.partition(far, most, axis=axis).take([most], axis=axis)
            kept &= far < np.maximum(limit, 2)
    row, other = np.nonzero(kept)
    return Matches(row, other, FARTHEST + 3.0 - far[row, other])


def _sharing_a_quarter(
    mine: NDArray[np.void], theirs: NDArray[np.void]
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return the rows of pairs, each pair once."""
    found = []
    my_codes, their_codes = _codes(mine), _codes(theirs)
    for part in range(_PARTS):
        order = np.argsort(my_codes[:, part], kind="stable")
        codes = my_codes[order, part]
        looked_for = np.zeros(_CODES, np.bool_)
        looked_for[codes] = True
        hits = np.flatnonzero(looked_for[their_codes[:, part]])
        wanted = their_codes[hits, part]
        first, last = (np.searchsorted(codes, wanted, side) for side in ("left", "right"))
        counts = last - first
        within = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
        rows = order[np.repeat(first, counts) + within]
        found.append(rows * len(theirs) + np.repeat(hits, counts))
    pairs = np.unique(np.concatenate(found))
    return pairs // max(len(theirs), 1), pairs % max(len(theirs), 1)


def _codes(landmarks: NDArray[np.void]) -> NDArray[np.uint16]:
    quarters = np.ascontiguousarray(landmarks["bits"]).view(np.uint16).reshape(-1, _PARTS)
    return quarters ^ (landmarks["kind"].astype(np.uint16) * np.uint16(_MIX))[:, None]
