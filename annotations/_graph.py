"""What hangs together."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def components(count: int, one: NDArray[np.int64], other: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the group, from 0 on, of each of `count` things of which pairs are linked.

    Parameters
    ----------
    count : int
    one, other : ndarray of int64, shape (P,)
        The things that each pair links, from 0 on.
    """
    if not one.size:
        # What most rounds come to; importing the library takes half a second.
        return np.arange(count, dtype=np.int64)
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    links = coo_array((np.ones(one.size, np.int8), (one, other)), shape=(count, count))
    return np.asarray(connected_components(links, directed=False)[1], np.int64)
