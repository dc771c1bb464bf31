"""Label images that files of other tools are tested with."""

from __future__ import annotations

import numpy as np
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

SPACING_UM = (2.0, 0.5, 0.25)
FAST = settings(
    max_examples=60,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


def blobs() -> NDArray[np.uint32]:
    """Three objects, one with a hole, one of two pieces that touch at a corner."""
    labels = np.zeros((4, 12, 15), np.uint32)
    labels[1:3, 2:7, 2:8] = 7
    labels[1, 4, 4:6] = 0
    labels[0:2, 8:10, 10:12] = 70_000
    labels[0:2, 10:12, 12:15] = 70_000
    labels[3, 0:2, 0:3] = 3
    return labels


def compact(labels: NDArray[np.uint32]) -> NDArray[np.uint32]:
    return np.unique(labels, return_inverse=True)[1].reshape(labels.shape).astype(np.uint32)


small_labels = hnp.arrays(np.uint32, (3, 6, 7), elements=st.integers(0, 4))
