"""Which chunks were changed, and what they held before."""

from __future__ import annotations

import numpy as np

from tests.hitl.review.volumes import SHAPE, session


def test_what_was_touched_is_remembered_as_it_was():
    found = session()
    start = found.labels.copy()
    whole = tuple(slice(0, size) for size in SHAPE)
    found.reject(1)
    found.merge(4, 5)
    assert np.array_equal(found.chunks.base_labels(whole), start)
    part = (slice(2, 7), slice(3, 30), slice(5, 20))
    assert np.array_equal(found.chunks.base_labels(part), start[part])
    changed = found.chunks.changed()
    chunks = {
        tuple(i // c for i, c in zip(v, (4, 16, 16), strict=True))
        for v in np.argwhere(start != found.labels)
    }
    assert set(changed) == chunks
