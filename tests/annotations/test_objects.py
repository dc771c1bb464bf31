"""The table of objects."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from annotations.errors import LabelError
from annotations.objects import ObjectTable, Status

ROWS = st.lists(
    st.tuples(
        st.integers(1, 2**32 - 1),
        st.sampled_from(list(Status)),
        st.sampled_from(["person:anna", "person:ben", "model:unet3d-7", "model:ü µ"]),
        st.one_of(st.just(np.nan), st.floats(0, 1, width=32)),
        st.integers(-1, 2**31 - 1),
    ),
    unique_by=lambda row: row[0],
    max_size=12,
)


def table(rows: list[tuple]) -> ObjectTable:
    ids, status, origin, confidence, number = ([row[i] for row in rows] for i in range(5))
    return ObjectTable.make(ids, status=status, origin=origin, confidence=confidence, round=number)


@settings(max_examples=40, deadline=None)
@given(ROWS)
def test_columns_go_there_and_back(rows: list[tuple]) -> None:
    made = table(rows)
    assert ObjectTable.from_arrays(made.to_arrays()).equals(made)
    assert made.id.tolist() == sorted(row[0] for row in rows)
    assert [str(o) for o in made.to_arrays()["origin"]] == [row[2] for row in sorted(rows)]
    assert sum(made.counts().values()) == len(made) == len(rows)


@settings(max_examples=40, deadline=None)
@given(ROWS, ROWS)
def test_updating_is_what_a_dict_does(old: list[tuple], new: list[tuple]) -> None:
    expected = {row[0]: row for row in old} | {row[0]: row for row in new}
    assert table(old).updated(table(new)).equals(table(list(expected.values())))


def test_confidence_comes_by_id() -> None:
    made = ObjectTable.make([9, 2, 5], status=0, origin="x", confidence={2: 0.25, 9: 1, 70: 0.5})
    assert made.id.tolist() == [2, 5, 9]
    assert np.array_equal(made.confidence, np.float32([0.25, np.nan, 1]), equal_nan=True)


def test_rejected_objects_have_no_voxels() -> None:
    made = ObjectTable.make([1, 2, 3], status=[0, 3, 2], origin="x")
    assert made.live_ids.tolist() == [1, 3]
    assert made.counts() == {"proposed": 1, "accepted": 0, "corrected": 1, "rejected": 1}


def test_a_table_does_not_change_with_what_it_was_made_of() -> None:
    ids = np.array([1, 2], np.uint32)
    made = ObjectTable.make(ids, status=0, origin="x")
    ids[0] = 9
    assert made.id.tolist() == [1, 2]
    with pytest.raises(ValueError, match="read-only"):
        made.status[0] = 1
    assert len(ObjectTable.empty()) == 0


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"id": [0, 1]}, "background"),
        ({"id": [4, 4]}, "each once"),
        ({"id": [-1, 4]}, "whole numbers from 0"),
        ({"id": [2**32, 4]}, "whole numbers from 0"),
        ({"id": [1.5, 4]}, "whole numbers"),
        ({"id": ["1", "4"]}, "numbers in column 'id'"),
        ({"status": [0, 4]}, "status"),
        ({"confidence": [0.5, 1.5]}, r"\[0, 1\]"),
        ({"confidence": [-0.5, 0.5]}, r"\[0, 1\]"),
        ({"round": [0, -2]}, "rounds from -1"),
        ({"round": [0]}, "one length"),
        ({"colour": [1, 2]}, "colour"),
    ],
)
def test_columns_that_make_no_sense_are_refused(change: dict, message: str) -> None:
    good = ObjectTable.make([1, 4], status=0, origin="x").to_arrays()
    with pytest.raises(LabelError, match=message):
        ObjectTable.from_arrays({**good, **change})


def test_origins_must_be_there() -> None:
    good = ObjectTable.make([1, 4], status=0, origin="x")
    columns = {name: getattr(good, name) for name in ("id", "status", "confidence", "round")}
    with pytest.raises(LabelError, match="origins below 1, got 1"):
        ObjectTable(**columns, origin=np.array([0, 1], np.uint16), origins=("x",))
    with pytest.raises(LabelError, match="one length"):
        ObjectTable(**columns, origin=np.zeros(3, np.uint16), origins=("x",))
    columns["id"] = columns["id"][::-1]
    with pytest.raises(LabelError, match="out of order"):
        ObjectTable(**columns, origin=np.zeros(2, np.uint16), origins=("x",))
