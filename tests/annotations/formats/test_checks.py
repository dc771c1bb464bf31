"""The checks that all formats share."""

from __future__ import annotations

import numpy as np
import pytest

from annotations.errors import LabelError, VoxelValueError
from annotations.formats import check_labels_match
from annotations.formats.checks import check_finite


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_check_finite_names_the_slice(value: float) -> None:
    slab = np.zeros((2, 3, 4, 5), np.float32)
    check_finite(slab, 10, "a.tif")
    check_finite(slab.astype(np.uint8), 10, "a.tif")
    slab[1, 2, 0, 0] = value
    with pytest.raises(VoxelValueError, match=r"a\.tif.*1 NaN or infinite.*z = 12; replace them"):
        check_finite(slab, 10, "a.tif")


def test_check_labels_match() -> None:
    check_labels_match((3, 4, 5), (3, 4, 5))
    with pytest.raises(LabelError, match=r"\(3, 4, 5\), got \(3, 5, 4\); give the labels of"):
        check_labels_match((3, 4, 5), (3, 5, 4))
