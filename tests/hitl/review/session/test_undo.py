"""What undo holds."""

from __future__ import annotations

import numpy as np
import pytest

from hitl.review.errors import ReviewError
from hitl.review.session.undo import Operation, Patch, UndoHistory


def test_memory_of_undo_is_bounded_and_the_newest_stays():
    history = UndoHistory(memory_bytes=3000)
    box = (slice(0, 1), slice(0, 30), slice(0, 30))
    noise = np.random.default_rng(0)
    for _ in range(6):
        blocks = noise.integers(0, 2**16, (2, 1, 30, 30)).astype(np.uint32)
        patch = Patch.between("labels", box, *blocks)
        assert patch is not None
        history.push(Operation(kind="painted", text="", patches=(patch,)))
    assert len(history) == 1
    assert history.nbytes > 3000
    assert history.undo().kind == "painted"
    with pytest.raises(ReviewError, match="nothing to undo"):
        history.undo()
