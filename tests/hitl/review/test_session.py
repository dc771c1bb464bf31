"""The correction session without a window: each edit exactly, undo, redo, minutes."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from annotations.objects import ObjectTable, Status
from hitl.review.activity import ActivityClock
from hitl.review.errors import ReviewError
from hitl.review.history import History, Operation, Patch
from hitl.review.session import ReviewSession
from hitl.review.tools import first_along_ray, interpolate_slices, missing_runs, split_by_points
from tests.hitl.review.volumes import SHAPE, SPACING, Clock, ball, entry, session, stack


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
    with pytest.raises(ReviewError, match="inside the stack"):
        found.split(3, [(4, 8, 22), (40, 8, 22)])
    assert found.changes() == {}


def test_a_dark_line_decides_where_the_shape_says_nothing():
    mask = np.zeros((5, 12, 40), np.bool_)
    mask[1:4, 2:10, 2:38] = True
    image = np.full(mask.shape, 100, np.uint16)
    image[:, :, 27] = 10
    parts = split_by_points(mask, image, np.array([(2, 6, 12), (2, 6, 34)]), SPACING)
    assert np.all(parts[mask & (np.indices(mask.shape)[2] < 26)] == 1)
    assert np.all(parts[mask & (np.indices(mask.shape)[2] > 28)] == 2)


def test_two_points_below_one_summit_share_it_half_and_half():
    mask = ball((4, 16, 20), 10)
    image = np.full(SHAPE, 100, np.uint16)
    parts = split_by_points(mask, image, np.array([(4, 16, 16), (4, 16, 24)]), SPACING)
    left, right = np.count_nonzero(parts == 1), np.count_nonzero(parts == 2)
    assert left + right == np.count_nonzero(mask)
    assert 0.6 < left / right < 1.7


def test_a_piece_without_a_point_goes_to_the_nearest_part():
    mask = np.zeros((3, 8, 30), np.bool_)
    mask[1, 2:6, 0:12] = True
    mask[1, 3:5, 16:18] = True
    parts = split_by_points(
        mask, np.ones(mask.shape, np.uint8), np.array([(1, 4, 2), (1, 4, 9)]), SPACING
    )
    assert np.all(parts[1, 3:5, 16:18] == 2)
    assert np.all((parts > 0) == mask)


def test_a_missing_slice_lies_between_its_neighbours():
    small, large = np.zeros((2, 21, 21), np.bool_)
    small[8:13, 8:13] = True
    large[4:17, 4:17] = True
    (middle,) = interpolate_slices(small, large, 1, (1.0, 1.0))
    expected = np.zeros((21, 21), np.bool_)
    expected[6:15, 6:15] = True
    # The corners of a distance field are round.
    assert np.count_nonzero(middle != expected) <= 12
    assert np.all(middle[small])
    assert not np.any(middle & ~large)


def test_equal_outlines_give_the_same_and_a_drifting_one_is_followed():
    disc = np.hypot(*(np.indices((31, 41)) - 10)) <= 5
    moved = np.roll(disc, (6, 18), (0, 1))
    assert all(np.array_equal(one, disc) for one in interpolate_slices(disc, disc, 3, (1, 1)))
    (between,) = interpolate_slices(disc, moved, 1, (1, 1))
    assert np.array_equal(between, np.roll(disc, (3, 9), (0, 1)))


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
    assert found.index.box(new) == (slice(2, 3), slice(15, 17), slice(22, 25))
    assert found.paint(found.labels.copy()) is None
    again = found.labels.copy()
    again[3, 15, 22] = new
    grown = found.paint(again)
    assert grown is not None
    assert grown.kind == "painted"
    with pytest.raises(ReviewError, match="shape"):
        found.paint(np.zeros((1, 1, 1)))


def test_ids_are_never_given_twice():
    image, labels, verified, objects = stack()
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
    with pytest.raises(ReviewError, match="inside the stack"):
        found.check_slice(8)


def test_the_first_voxel_that_a_ray_meets():
    labels = stack()[1]
    start, stop = np.array([4.0, 7.0, -10.0]), np.array([4.0, 7.0, 60.0])
    assert first_along_ray(labels, start, stop) == (4, 7, 2)
    assert first_along_ray(labels, stop, start) == (4, 7, 35)
    assert first_along_ray(labels, np.array([0.0, 0, 0]), np.array([0.0, 0, 39])) is None


def test_missing_runs():
    assert missing_runs(np.array([0, 1, 0, 0, 1, 1, 0, 1, 0], bool)) == [(2, 4), (6, 7)]
    assert missing_runs(np.zeros(4, bool)) == []


def test_the_queue_goes_by_confidence_and_skips_what_is_done():
    found = session()
    assert [e.id for e in found.agenda.entries] == [2, 3, 4, 1, 5]
    assert found.agenda.left == 5
    found.reject(2)
    found.split(3, [(4, 8, 22), (4, 8, 31)])
    assert found.agenda.next().id == 4
    assert found.agenda.previous().id == 3
    assert found.agenda.left == 3
    found.undo()
    assert not found.agenda.is_done(1)
    assert all(found.labels[e.position_zyx] == e.id for e in found.agenda.entries[1:])


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


def test_idle_time_is_no_work():
    clock = Clock()
    found = ActivityClock(idle_after_s=60, seconds=30, now=clock)
    for now in (0, 20, 50, 50 + 61, 50 + 61 + 60):
        clock.now = now
        found.touch()
    assert found.seconds == 30 + 20 + 30 + 60
    clock.now += 1000
    assert found.minutes == 140 / 60


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
    assert found.touched.changed() == {}
    assert found.index.ids == [1, 2, 3, 4, 5]
    for _ in range(steps):
        found.redo()
    assert same(state(found), end)
    assert found.index.ids == [int(i) for i in np.unique(found.labels) if i]
    for i in found.index.ids:
        where = np.argwhere(found.labels == i)
        box = found.index.box(i)
        assert [p.start for p in box] == where.min(axis=0).tolist()
        assert [p.stop - 1 for p in box] == where.max(axis=0).tolist()


def test_what_was_touched_is_remembered_as_it_was():
    found = session()
    start = found.labels.copy()
    whole = tuple(slice(0, size) for size in SHAPE)
    found.reject(1)
    found.merge(4, 5)
    assert np.array_equal(found.touched.base_labels(whole), start)
    part = (slice(2, 7), slice(3, 30), slice(5, 20))
    assert np.array_equal(found.touched.base_labels(part), start[part])
    changed = found.touched.changed()
    chunks = {
        tuple(i // c for i, c in zip(v, (4, 16, 16), strict=True))
        for v in np.argwhere(start != found.labels)
    }
    assert set(changed) == chunks


def test_memory_of_undo_is_bounded_and_the_newest_stays():
    history = History(memory_bytes=3000)
    box = (slice(0, 1), slice(0, 30), slice(0, 30))
    noise = np.random.default_rng(0)
    for _ in range(6):
        blocks = noise.integers(0, 2**16, (2, 1, 30, 30)).astype(np.uint32)
        patch = Patch.between("labels", box, *blocks)
        assert patch is not None
        history.push(Operation(kind="painted", text="", patches=(patch,)))
    assert len(history) == 1
    assert history.nbytes > 3000
    assert history.undo() is not None
    assert history.undo() is None


def test_arrays_must_belong_together():
    image, labels, verified, objects = stack()
    with pytest.raises(ReviewError, match="one shape"):
        ReviewSession(image[1:], labels, verified, objects, SPACING)
    with pytest.raises(ReviewError, match="uint32"):
        ReviewSession(image, labels.astype(np.int64), verified, objects, SPACING)


def test_a_place_is_done_when_something_was_made_of_it():
    """An object may stand where a queue says that another one is missing."""
    places = [entry(None, place) for place in ((1, 20, 30), (4, 7, 7), (0, 0, 0))]
    image, labels, verified, objects = stack()
    found = ReviewSession(image, labels, verified, objects, SPACING, places)
    assert found.agenda.left == 3
    painted = labels.copy()
    painted[1, 18:22, 28:32] = 9
    found.paint(painted)
    assert [found.agenda.is_done(row) for row in range(3)] == [True, False, False]
    found.accept(1)
    found.check_slice(0)
    assert found.agenda.left == 0
    found.undo()
    assert [found.agenda.is_done(row) for row in range(3)] == [True, True, False]
