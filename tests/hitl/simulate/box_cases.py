"""Fields of a few boxes with known truth, for the tests of simulated corrections."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st
from numpy.typing import NDArray

from hitl.simulate.oracle import Case

SPACING_UM = (2.0, 1.0, 1.0)


SHAPE = (6, 20, 20)


def case_of(truth: NDArray, labels: NDArray, others: dict[str, NDArray] | None = None) -> Case:
    return Case(
        name="case",
        image=(truth > 0) * 100.0 + np.arange(truth.size).reshape(truth.shape) % 7,
        spacing_um=SPACING_UM,
        truth=truth.astype(np.uint32),
        labels=labels.astype(np.uint32),
        confidence={int(i): 0.5 for i in np.unique(labels)},
        others={} if others is None else others,
    )


def boxes(*where: tuple[slice, slice]) -> NDArray[np.uint32]:
    labels = np.zeros(SHAPE, np.uint32)
    for label, (y, x) in enumerate(where, start=1):
        labels[1:5, y, x] = label
    return labels


def same_objects(a: NDArray, b: NDArray) -> bool:
    """Whether two label images are equal but for the ids."""
    pairs = np.unique(np.stack([a.ravel(), b.ravel()]), axis=1)
    return all(len(set(side.tolist())) == pairs.shape[1] for side in pairs) and bool(
        np.array_equal(a > 0, b > 0)
    )


@st.composite
def fields(draw: st.DrawFn) -> Case:
    """Two unrelated partitions of a small field, and a third as another segmentation."""
    seed = draw(st.integers(0, 2**31))
    rng = np.random.default_rng(seed)

    def blobs(count: int) -> NDArray[np.uint32]:
        labels = np.zeros(SHAPE, np.uint32)
        for label in range(1, count + 1):
            z, y, x = (int(rng.integers(0, n - 3)) for n in SHAPE)
            d, h, w = rng.integers(1, (4, 9, 9))
            labels[z : z + d, y : y + h, x : x + w] = label * 3
        return labels

    truth = blobs(draw(st.integers(1, 8)))
    labels = draw(st.sampled_from([truth, blobs(6)]))
    noisy = np.where(rng.random(SHAPE) < 0.1, 0, labels)
    return case_of(truth, noisy, {"other": blobs(6)})
