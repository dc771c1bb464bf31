"""Labels coded as classes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from numpy.typing import NDArray

from annotations.errors import LabelError
from annotations.formats import read_labels
from annotations.formats.coded import CODED, decode, encode
from tests.annotations.formats.contract import FormatContract, content_of
from tests.annotations.formats.exchange_labels import FAST, blobs, small_labels


@FAST
@given(labels=small_labels)
def test_a_code_is_background_edge_or_nucleus(labels: NDArray[np.uint32]) -> None:
    coded = encode(labels)
    near = np.pad(labels, ((0, 0), (1, 1), (1, 1))) > 0
    beside = near[:, :-2, 1:-1] | near[:, 2:, 1:-1] | near[:, 1:-1, :-2] | near[:, 1:-1, 2:]
    np.testing.assert_array_equal(coded > 1, labels > 0)
    np.testing.assert_array_equal(coded == 1, (labels == 0) & beside)
    np.testing.assert_array_equal(decode(coded), labels)


def test_the_file_holds_the_code(tmp_path: Path) -> None:
    CODED.write(tmp_path / "a.tif", content_of(blobs(), tmp_path))
    np.testing.assert_array_equal(read_labels(tmp_path / "a.tif"), encode(blobs()))


def test_a_code_by_hand() -> None:
    labels = np.array([[[0, 0, 7, 7, 9, 9, 0, 0]]], np.uint16)
    coded = encode(labels)
    assert coded.dtype == np.uint32
    np.testing.assert_array_equal(coded, [[[0, 1, 8, 8, 10, 10, 1, 0]]])
    np.testing.assert_array_equal(decode(np.array([[[0, 1, 8, 1, 2]]])), [[[0, 0, 7, 0, 1]]])


def test_no_room_for_one_more_id() -> None:
    with pytest.raises(LabelError, match="under 4294967295"):
        encode(np.full((1, 2, 2), 2**32 - 1, np.uint32))


class TestContract(FormatContract):
    format = CODED
