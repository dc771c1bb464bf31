"""A model's labels join a person's: what must never change, and which ids live on."""

from __future__ import annotations

from dataclasses import dataclass

import cc3d
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from annotations.objects import ObjectTable, Status
from hitl.labelling.merge import SAME_IOU, merge_proposal

SHAPE = (4, 9, 8)
ROUND = 5
ORIGIN = "model:unet3d-0002"


@dataclass(frozen=True)
class Field:
    labels: NDArray[np.uint32]
    verified: NDArray[np.uint8]
    objects: ObjectTable

    def propose(
        self, proposed: NDArray[np.uint32], confidence: dict[int, float] | None = None
    ) -> tuple[NDArray[np.uint32], ObjectTable]:
        return merge_proposal(
            self.labels, self.verified, self.objects, proposed, confidence or {}, ORIGIN, ROUND
        )


def box(*ranges: tuple[int, int]) -> tuple[slice, ...]:
    return tuple(slice(a, b) for a, b in ranges)


def image(shape: tuple[int, int, int] = SHAPE, **boxes: tuple[slice, ...]) -> NDArray[np.uint32]:
    labels = np.zeros(shape, np.uint32)
    for name, place in boxes.items():
        labels[place] = int(name[1:])
    return labels


def table(statuses: dict[int, Status], highest_id: int = 0) -> ObjectTable:
    made = ObjectTable.make(
        list(statuses), status=list(statuses.values()), origin="model:classical", round=1
    )
    return ObjectTable.from_arrays(made.to_arrays(), highest_id=highest_id)


def row(objects: ObjectTable, i: int) -> dict[str, object]:
    columns = objects.to_arrays()
    at = columns["id"].tolist().index(i)
    return {name: values[at] for name, values in columns.items()}


# Invariants --------------------------------------------------------------------------------------


@st.composite
def fields(draw: st.DrawFn) -> Field:
    """Boxes over each other, some of whose objects are judged, and boxes that are verified."""
    labels = np.zeros(SHAPE, np.uint32)
    for _ in range(draw(st.integers(0, 6))):
        labels[draw(places())] = draw(st.sampled_from([1, 2, 3, 7, 90, 4_000_000_000]))
    verified = np.zeros(SHAPE, np.uint8)
    for _ in range(draw(st.integers(0, 3))):
        verified[draw(places())] = 1
    statuses = {
        int(i): draw(st.sampled_from([Status.PROPOSED, Status.ACCEPTED, Status.CORRECTED]))
        for i in np.unique(labels[labels > 0])
    }
    for i in draw(st.sets(st.sampled_from([4, 5, 95]))):
        statuses[i] = Status.REJECTED
    return Field(labels, verified, table(statuses, draw(st.sampled_from([0, 200]))))


@st.composite
def places(draw: st.DrawFn) -> tuple[slice, ...]:
    found = []
    for size in SHAPE:
        start = draw(st.integers(0, size - 1))
        found.append(slice(start, draw(st.integers(start + 1, size))))
    return tuple(found)


@st.composite
def proposals(draw: st.DrawFn) -> NDArray[np.uint32]:
    proposed = np.zeros(SHAPE, np.uint32)
    for _ in range(draw(st.integers(0, 6))):
        proposed[draw(places())] = draw(st.sampled_from([1, 2, 3, 50, 3_999_999_999]))
    return proposed


@settings(max_examples=250, deadline=None)
@given(fields(), proposals(), st.dictionaries(st.sampled_from([1, 2, 50]), st.floats(0, 1)))
def test_what_people_said_never_changes(
    field: Field, proposed: NDArray[np.uint32], confidence: dict[int, float]
) -> None:
    inputs = field.labels.copy(), field.verified.copy(), proposed.copy()
    merged, objects = field.propose(proposed, confidence)
    for given_array, kept in zip(inputs, (field.labels, field.verified, proposed), strict=True):
        np.testing.assert_array_equal(given_array, kept)
    seen = field.verified > 0
    np.testing.assert_array_equal(merged[seen], field.labels[seen])
    old, new = field.objects, objects
    judged = old.select(old.status != Status.PROPOSED)
    assert new.select(np.isin(new.id, judged.id)).equals(judged)
    for i in judged.live_ids:
        np.testing.assert_array_equal(merged == i, field.labels == i)
    present = np.unique(merged[merged > 0])
    np.testing.assert_array_equal(present, new.live_ids)
    added = np.setdiff1d(new.id, old.id)
    assert np.all(added > old.highest_id)
    assert new.highest_id >= old.highest_id
    check_origin_of_new_voxels(field, proposed, merged, added)
    check_rows(field, merged, new)
    again = Field(merged, field.verified, new).propose(proposed, confidence)
    if not seen.any() and judged.live_ids.size == 0:
        np.testing.assert_array_equal(again[0], merged)
        assert again[1].equals(new)


def check_origin_of_new_voxels(
    field: Field,
    proposed: NDArray[np.uint32],
    merged: NDArray[np.uint32],
    added: NDArray[np.uint32],
) -> None:
    """A new object is part of one that was proposed: half of it or more, in one piece if cut."""
    for i in added:
        here = merged == i
        sources = np.unique(proposed[here])
        assert sources.size == 1
        assert sources[0] > 0
        whole = proposed == sources[0]
        assert 2 * here.sum() >= whole.sum()
        if here.sum() < whole.sum():
            assert cc3d.connected_components(here, connectivity=26).max() == 1


def check_rows(field: Field, merged: NDArray[np.uint32], new: ObjectTable) -> None:
    """A row is of this round exactly when its object is another one, or somebody else's."""
    for i in new.id[new.status == Status.PROPOSED].tolist():
        found = row(new, i)
        same = i in field.objects.id and np.array_equal(merged == i, field.labels == i)
        assert found["round"] == ROUND or same
        if found["round"] != ROUND:
            assert row(field.objects, i)["origin"] == found["origin"]


# One case each -----------------------------------------------------------------------------------


def test_ids_live_on_where_objects_are_the_same_and_never_come_back() -> None:
    kept, moved = box((0, 3), (0, 3), (0, 4)), box((0, 3), (5, 8), (0, 4))
    labels = image(i3=kept, i9=moved)
    field = Field(
        labels,
        np.zeros(SHAPE, np.uint8),
        table({3: Status.PROPOSED, 9: Status.PROPOSED}, highest_id=40),
    )
    proposed = image(i1=box((0, 3), (0, 3), (0, 3)), i2=box((1, 4), (6, 9), (3, 8)))
    merged, objects = field.propose(proposed, {1: 0.75})
    np.testing.assert_array_equal(merged == 3, proposed == 1)
    np.testing.assert_array_equal(merged == 41, proposed == 2)
    assert objects.id.tolist() == [3, 41]
    assert row(objects, 3)["confidence"] == 0.75
    assert row(objects, 3)["round"] == ROUND
    assert np.isnan(objects.confidence[1])


def test_an_id_goes_to_the_better_of_two_and_only_once() -> None:
    labels = image(i1=box((0, 4), (0, 8), (0, 4)))
    field = Field(labels, np.zeros(SHAPE, np.uint8), table({1: Status.PROPOSED}))
    half = box((0, 4), (0, 4), (0, 4)), box((0, 4), (4, 8), (0, 4))
    merged, objects = field.propose(image(i5=half[0], i6=half[1]))
    assert SAME_IOU == 0.5, "the halves below are at the threshold"
    assert objects.id.tolist() == [1, 2]
    assert (merged[half[0]] == 1).all()
    assert (merged[half[1]] == 2).all()


def test_a_rejected_object_does_not_come_back_on_verified_background() -> None:
    verified = np.zeros(SHAPE, np.uint8)
    verified[:, :5] = 1
    field = Field(image(), verified, table({1: Status.REJECTED}))
    merged, objects = field.propose(image(i1=box((0, 4), (0, 5), (0, 8))))
    assert not merged.any()
    assert objects.equals(field.objects)


@pytest.mark.parametrize(("rows", "left"), [((1, 8), (3, 8)), ((0, 5), None), ((1, 4), None)])
def test_an_object_cut_in_two_keeps_its_larger_piece_if_that_is_half_of_it(
    rows: tuple[int, int], left: tuple[int, int] | None
) -> None:
    verified = np.zeros(SHAPE, np.uint8)
    verified[:, 2] = 1
    field = Field(image(), verified, table({}))
    merged, objects = field.propose(image(i7=box((0, 2), rows, (0, 6))))
    expected = image(i1=box((0, 2), left, (0, 6))) if left else image()
    np.testing.assert_array_equal(merged, expected)
    assert len(objects) == (left is not None)


def test_a_proposal_with_verified_voxels_takes_the_new_shape_around_them() -> None:
    labels = image(i1=box((0, 2), (0, 6), (0, 4)))
    verified = np.zeros(SHAPE, np.uint8)
    verified[:, :3] = 1
    field = Field(labels, verified, table({1: Status.PROPOSED}))
    proposed = image(i8=box((0, 2), (1, 8), (0, 4)))
    merged, objects = field.propose(proposed, {8: 0.5})
    np.testing.assert_array_equal(merged[:, :3], labels[:, :3])
    np.testing.assert_array_equal(merged[:, 3:] == 1, proposed[:, 3:] == 8)
    assert objects.id.tolist() == [1]
    assert row(objects, 1)["confidence"] == 0.5


def test_a_proposal_with_verified_voxels_that_the_model_does_not_find_stays() -> None:
    labels = image(i1=box((0, 2), (0, 6), (0, 4)))
    verified = np.zeros(SHAPE, np.uint8)
    verified[:, :3] = 1
    field = Field(labels, verified, table({1: Status.PROPOSED}))
    merged, objects = field.propose(image())
    np.testing.assert_array_equal(merged, labels)
    assert objects.equals(field.objects)


def test_an_accepted_object_stays_whole_where_nobody_verified_it() -> None:
    labels = image(i1=box((0, 2), (0, 6), (0, 4)))
    field = Field(labels, np.zeros(SHAPE, np.uint8), table({1: Status.ACCEPTED}))
    merged, objects = field.propose(image(i1=box((0, 2), (4, 9), (0, 8))))
    np.testing.assert_array_equal(merged == 1, labels == 1)
    assert objects.id.tolist() == [1, 2]


def test_the_same_shape_from_another_model_keeps_the_id_and_names_the_new_model() -> None:
    labels = image(i4=box((0, 2), (0, 6), (0, 4)))
    field = Field(labels, np.zeros(SHAPE, np.uint8), table({4: Status.PROPOSED}))
    merged, objects = field.propose(labels, {4: 0.9})
    np.testing.assert_array_equal(merged, labels)
    assert row(objects, 4)["origin"] == ORIGIN
