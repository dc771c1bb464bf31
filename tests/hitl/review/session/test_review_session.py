"""The correction session without a window: each edit exactly, undo, redo, minutes."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from annotations.objects import ObjectTable, Status
from hitl.review.errors import ReviewError
from hitl.review.session.review_session import ReviewSession
from tests.hitl.review.volumes import SHAPE, SPACING, ball, field, session


def test_accept_is_a_verdict_and_changes_no_voxel():
    found = session()
    before = found.labels.copy()
    operation = found.accept(1)
    assert found.accepted == [1]
    assert operation.patches == ()
    assert np.array_equal(found.labels, before)
    with pytest.raises(ReviewError, match="accepted already"):
        found.accept(1)


def test_reject_leaves_background_and_nothing_else_changes():
    found = session()
    before = found.labels.copy()
    found.reject(2)
    assert np.array_equal(found.labels, np.where(before == 2, 0, before))
    assert found.verdicts == {2: Status.REJECTED}
    with pytest.raises(ReviewError, match="no object 2"):
        found.accept(2)


@pytest.mark.parametrize("pair", [(4, 5), (5, 4)])
def test_merge_keeps_the_larger_id(pair):
    found = session()
    before = found.labels.copy()
    assert np.count_nonzero(before == 4) > np.count_nonzero(before == 5)
    operation = found.merge(*pair)
    assert np.array_equal(found.labels, np.where(before == 5, 4, before))
    assert operation.ids == (4, 5)
    with pytest.raises(ReviewError, match="twice"):
        found.merge(4, 4)
    with pytest.raises(ReviewError, match="the background"):
        found.merge(4, 0)


@pytest.mark.parametrize("clicks", [[(4, 8, 22), (4, 8, 31)], [(3, 9, 20), (5, 7, 32)]])
def test_split_cuts_two_touching_balls_where_they_touch(clicks):
    found = session()
    before = found.labels.copy()
    operation = found.split(3, clicks)
    assert sorted(operation.ids) == [3, 6]
    x = np.indices(SHAPE)[2]
    left, right = found.labels[clicks[0]], found.labels[clicks[1]]
    assert {int(left), int(right)} == {3, 6}
    three = before == 3
    assert np.all(found.labels[three & (x < 26)] == left)
    assert np.all(found.labels[three & (x > 27)] == right)
    assert np.array_equal(found.labels[~three], before[~three])


def test_split_of_three_gives_the_largest_part_the_id():
    labels = np.zeros(SHAPE, np.uint32)
    for x in (6, 15, 24):
        labels[ball((4, 16, x), 4 if x < 20 else 5.5)] = 9
    objects = ObjectTable.make([9], status=Status.PROPOSED, origin="model:m")
    found = ReviewSession(labels * 10, labels, np.zeros(SHAPE, np.uint8), objects, SPACING)
    operation = found.split(9, [(4, 16, 6), (4, 16, 15), (4, 16, 24)])
    assert operation.ids == (9, 10, 11)
    assert found.labels[4, 16, 24] == 9
    assert len({int(found.labels[4, 16, x]) for x in (6, 15, 24)}) == 3


def test_split_needs_points_in_the_object():
    found = session()
    with pytest.raises(ReviewError, match="two or more"):
        found.split(3, [(4, 8, 22), (4, 8, 22)])
    with pytest.raises(ReviewError, match=r"\(4, 24, 10\).*inside the object"):
        found.split(3, [(4, 8, 22), (4, 24, 10)])
    with pytest.raises(ReviewError, match="inside the field"):
        found.split(3, [(4, 8, 22), (40, 8, 22)])
    assert found.changes() == {}


def test_interpolate_fills_the_gap_and_takes_only_background():
    found = session()
    values = found.labels[:, 2:13, 2:13].copy()
    original = found.labels.copy()
    values[4] = 0
    values[4, 0:4, 0:4] = 2
    found.paint(values, (slice(0, 8), slice(2, 13), slice(2, 13)))
    operation = found.interpolate(1, 4)
    assert operation.text == "filled 1 in slice 4"
    assert np.all(found.labels[4, 2:6, 2:6] == 2)
    assert np.count_nonzero(found.labels[4] == 1) > 0
    assert np.all(original[4][found.labels[4] == 1] == 1)
    with pytest.raises(ReviewError, match="lacks no slice"):
        found.interpolate(5)


def test_painting_finds_out_what_differs():
    found = session()
    new = found.new_id()
    values = found.labels[2, 14:18, 20:30].copy()[None]
    values[0, 1:3, 2:5] = new
    operation = found.paint(values, (slice(2, 3), slice(14, 18), slice(20, 30)))
    assert operation is not None
    assert operation.kind == "added"
    assert operation.ids == (new,)
    assert operation.extent("labels") == (slice(2, 3), slice(15, 17), slice(22, 25))
    assert found.boxes[new] == (slice(2, 3), slice(15, 17), slice(22, 25))
    assert found.paint(found.labels.copy()) is None
    again = found.labels.copy()
    again[3, 15, 22] = new
    grown = found.paint(again)
    assert grown is not None
    assert grown.kind == "painted"
    with pytest.raises(ReviewError, match="shape"):
        found.paint(np.zeros((1, 1, 1)))


def test_ids_are_never_given_twice():
    image, labels, verified, objects = field()
    rows = objects.updated(ObjectTable.make([70], status=Status.REJECTED, origin="person:p"))
    found = ReviewSession(image, labels, verified, rows, SPACING)
    first = found.split(3, [(4, 8, 22), (4, 8, 31)]).ids[1]
    found.undo()
    assert first == 71
    assert found.split(3, [(4, 8, 22), (4, 8, 31)]).ids[1] == 72


def test_checked_slices_and_boxes():
    found = session()
    found.check_slice(3)
    assert np.array_equal(np.flatnonzero(found.verified.all(axis=(1, 2))), [3])
    assert found.check_box((6, 20, 30), (5, 10, 8)).text == "checked a box in slices 5–6"
    expected = np.zeros(SHAPE, np.uint8)
    expected[3] = 1
    expected[5:7, 10:21, 8:31] = 1
    assert np.array_equal(found.verified, expected)
    with pytest.raises(ReviewError, match="slice 3 is checked already"):
        found.check_slice(3)
    with pytest.raises(ReviewError, match="inside the field"):
        found.check_slice(8)


def test_changes_count_what_is_not_undone():
    found = session()
    found.accept(1)
    found.reject(2)
    found.merge(4, 5)
    found.undo()
    assert found.changes() == {"accepted": 1, "deleted": 1}
    assert found.handled == [1, 2]
    found.redo()
    assert found.changes() == {"accepted": 1, "deleted": 1, "merged": 1}
    with pytest.raises(ReviewError, match="nothing to redo"):
        found.redo()


EDITS = st.lists(
    st.tuples(
        st.sampled_from(["accept", "reject", "merge", "split", "paint", "slice", "undo", "redo"]),
        st.integers(0, 7),
        st.integers(0, 7),
    ),
    max_size=12,
)


def act(found: ReviewSession, what: str, a: int, b: int) -> None:
    match what:
        case "accept" | "reject" | "undo" | "redo":
            getattr(found, what)(*([a] if what in ("accept", "reject") else []))
        case "merge":
            found.merge(a, b)
        case "split":
            voxels = np.argwhere(found.labels == a)
            found.split(a, voxels[[0, -1]] if len(voxels) else np.zeros((2, 3)))
        case "paint":
            values = np.full((2, 6, 9), a, np.uint32)
            box = (slice(b % 7, b % 7 + 2), slice(3 * b, 3 * b + 6), slice(4 * b, 4 * b + 9))
            found.paint(values, box)
        case "slice":
            found.check_slice(a)


def state(found: ReviewSession) -> tuple:
    return found.labels.copy(), found.verified.copy(), dict(found.verdicts), found.changes()


def same(one: tuple, other: tuple) -> bool:
    return all(np.array_equal(p, q) for p, q in zip(one[:2], other[:2], strict=True)) and (
        one[2:] == other[2:]
    )


@settings(max_examples=40, deadline=None)
@given(EDITS)
def test_undo_and_redo_are_inverse(edits):
    found = session()
    states = [state(found)]
    for edit in edits:
        try:
            act(found, *edit)
        except ReviewError:
            continue
    # Undo whatever is left: the start; redo as often: the end.
    end = state(found)
    steps = 0
    while True:
        try:
            found.undo()
        except ReviewError:
            break
        steps += 1
    assert same(state(found), states[0])
    assert found.chunks.changed() == {}
    assert found.boxes.ids == [1, 2, 3, 4, 5]
    for _ in range(steps):
        found.redo()
    assert same(state(found), end)
    assert found.boxes.ids == [int(i) for i in np.unique(found.labels) if i]
    for i in found.boxes.ids:
        where = np.argwhere(found.labels == i)
        box = found.boxes[i]
        assert [p.start for p in box] == where.min(axis=0).tolist()
        assert [p.stop - 1 for p in box] == where.max(axis=0).tolist()


def test_arrays_must_belong_together():
    image, labels, verified, objects = field()
    with pytest.raises(ReviewError, match="one shape"):
        ReviewSession(image[1:], labels, verified, objects, SPACING)
    with pytest.raises(ReviewError, match="uint32"):
        ReviewSession(image, labels.astype(np.int64), verified, objects, SPACING)
