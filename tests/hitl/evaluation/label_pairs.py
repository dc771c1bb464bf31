"""Pairs of label images for the metrics: random, touching blobs, boxes."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

SHAPES = hnp.array_shapes(min_dims=3, max_dims=3, min_side=1, max_side=7)


def label_pairs(max_id=4, dtype=np.uint32):
    """Two random label images of the same shape, with runs rather than salt and pepper."""

    def of_shape(shape):
        image = hnp.arrays(dtype, shape, elements=st.integers(0, max_id))
        return st.tuples(image, image)

    pairs = SHAPES.flatmap(of_shape)
    return st.tuples(pairs, st.integers(1, 3)).map(
        lambda pair: tuple(np.repeat(image, pair[1], axis=2) for image in pair[0])
    )


def blobs(seed, shape=(12, 40, 40), n=25, jitter=3):
    """Two label images of touching blobs: the second has shifted centres and other radii."""
    rng = np.random.default_rng(seed)
    centres = rng.uniform(0, 1, (n, 3)) * shape
    grid = np.indices(shape).reshape(3, -1).T
    images = []
    for shift in (0, jitter):
        moved = centres + rng.normal(0, 1, (n, 3)) * shift * [0.3, 1, 1]
        distance = np.linalg.norm((grid[:, None] - moved) * [3, 1, 1], axis=2)
        label = distance.argmin(axis=1) + 1
        label[distance.min(axis=1) > 7] = 0
        images.append(label.reshape(shape).astype(np.uint32))
    return images


def box(shape, *boxes):
    """Labels 1, 2, … of boxes given as (z0, z1, y0, y1, x0, x1)."""
    labels = np.zeros(shape, np.uint32)
    for i, (z0, z1, y0, y1, x0, x1) in enumerate(boxes, start=1):
        labels[z0:z1, y0:y1, x0:x1] = i
    return labels


def every_kind_of_error():
    """Truth and prediction, shape (1, 10, 60), with each kind of error that is told apart."""
    shape = (1, 10, 60)
    truth = box(
        shape,
        (0, 1, 0, 10, 0, 8),  # matched
        (0, 1, 0, 10, 8, 18),  # split in two halves
        (0, 1, 0, 10, 20, 28),  # merged with the next
        (0, 1, 0, 10, 28, 36),
        (0, 1, 0, 10, 38, 46),  # shifted
        (0, 1, 0, 10, 56, 60),  # missed
    )
    pred = box(
        shape,
        (0, 1, 0, 10, 0, 7),
        (0, 1, 0, 10, 8, 13),
        (0, 1, 0, 10, 13, 18),
        (0, 1, 0, 10, 20, 36),
        (0, 1, 0, 10, 42, 50),
        (0, 1, 0, 10, 51, 55),  # spurious
    )
    return truth, pred
