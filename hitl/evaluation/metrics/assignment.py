"""The best one-to-one assignment among a few allowed pairs."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]


def is_contested(index: Ints) -> bool:
    """Whether an object occurs in more than one pair."""
    return len(np.unique(index)) < len(index)


def best_assignment(i: Ints, j: Ints, gain: NDArray[np.float64]) -> Ints:
    """Choose pairs, each object at most once, so that their gains add up to the most.

    Jonker–Volgenant on the sparse graph of the pairs (SciPy's, which gives the same sum as
    `scipy.optimize.linear_sum_assignment` on the full matrix, where missing pairs gain 0).

    Parameters
    ----------
    i, j : ndarray of int64, shape (n_pairs,)
        The two objects of each pair; a pair occurs once.
    gain : ndarray of float64, shape (n_pairs,)
        At least 0.

    Returns
    -------
    ndarray of int64
        Indices of the chosen pairs, ascending.
    """
    if not is_contested(i) and not is_contested(j):
        return np.arange(len(i))
    from scipy.sparse import csr_array
    from scipy.sparse.csgraph import min_weight_full_bipartite_matching

    rows, row = np.unique(i, return_inverse=True)
    columns, column = np.unique(j, return_inverse=True)
    # A private column per row lets it stay free; the added constant keeps every cost above zero.
    n, top = len(rows), float(gain.max()) + 1
    cost = csr_array(
        (
            np.r_[top - gain, np.full(n, top)],
            (np.r_[row, np.arange(n)], np.r_[column, len(columns) + np.arange(n)]),
        ),
        shape=(n, len(columns) + n),
    )
    _, assigned = min_weight_full_bipartite_matching(cost)
    return np.flatnonzero(assigned[row] == column)
