"""The checks that all formats share."""

from __future__ import annotations

import pytest

from annotations.errors import LabelError
from annotations.formats import check_labels_match


def test_check_labels_match() -> None:
    check_labels_match((3, 4, 5), (3, 4, 5))
    with pytest.raises(LabelError, match=r"\(3, 4, 5\), got \(3, 5, 4\); give the labels of"):
        check_labels_match((3, 4, 5), (3, 5, 4))
