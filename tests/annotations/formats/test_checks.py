"""The checks that all formats share."""

from __future__ import annotations

import pytest

from annotations.errors import LabelError
from annotations.formats import check_labels_match, label_axes


def test_check_labels_match() -> None:
    check_labels_match((3, 4, 5), (3, 4, 5))
    with pytest.raises(LabelError, match=r"\(3, 4, 5\), got \(3, 5, 4\); give the labels of"):
        check_labels_match((3, 4, 5), (3, 5, 4))
    check_labels_match((3, 4, 5), (3, 4, 5), times=(2, 2))
    with pytest.raises(LabelError, match="of 2 time points, as the image has, got 1; give the"):
        check_labels_match((3, 4, 5), (3, 4, 5), times=(2, 1))


def test_labels_have_no_channels_and_no_colours() -> None:
    assert label_axes("tczyx") == "TZYX"
    assert label_axes("YXS") == "YX"
    assert label_axes(None) is None
