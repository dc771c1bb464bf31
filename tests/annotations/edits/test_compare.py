"""Edits found by comparing: cases that mislead, and random scripts whose truth is known."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from annotations.changes import kind_of
from annotations.edits.compare import compare_labels
from annotations.edits.partial import compare_regions
from annotations.edits.records import Edit, Edits
from annotations.edits.sources import StableLabels
from annotations.errors import LabelError
from annotations.objects import ObjectTable, Status
from tests.annotations.edits.edit_scripts import Script, build, scripts, shuffled
from tests.annotations.store_sources import planes_of

TINY = arrays(np.uint32, (2, 3, 4), elements=st.integers(0, 5))


def kind(edit: Edit) -> str:
    return kind_of(len(edit.before), len(edit.after))


def found_in(edits: Edits) -> list[tuple]:
    rows = [(kind(c), frozenset(c.before), len(c.after), c.gained, c.lost) for c in edits.changes]
    return sorted(rows, key=repr)


def line(*ids: int) -> np.ndarray:
    """One voxel per id, along x."""
    return np.array(ids, np.uint32).reshape(1, 1, -1)


def kinds(before: np.ndarray, after: np.ndarray) -> list[tuple]:
    return [(kind(c), c.before, c.after, c.stable) for c in compare_labels(before, after).changes]


@settings(max_examples=80, deadline=None)
@given(scripts())
def test_what_was_done_is_what_is_found(script: Script) -> None:
    edits = compare_labels(script.before, script.after)
    assert found_in(edits) == sorted(script.truth, key=repr)
    assert set(edits.unchanged.values()) == script.unchanged


@settings(max_examples=40, deadline=None)
@given(scripts(), st.integers(0, 99))
def test_ids_after_do_not_matter(script: Script, seed: int) -> None:
    other = shuffled(script.after, np.random.default_rng(seed))
    one, two = compare_labels(script.before, script.after), compare_labels(script.before, other)
    assert np.array_equal(one.apply_stable_ids(script.after), two.apply_stable_ids(other))
    assert found_in(one) == found_in(two)
    boxes = [[(kind(c), c.before, c.box) for c in e.changes] for e in (one, two)]
    assert boxes[0] == boxes[1]
    # Nor do they for what was done, whether or not they stayed.
    assert found_in(compare_labels(script.before, script.after, ids_stayed=None)) == found_in(one)


def test_ids_stay_where_the_tool_left_them() -> None:
    """The smaller piece goes on under its id, and what was drawn has the ids that it was given."""
    before = line(4, 4, 4, 4, 4, 0, 7, 0, 0, 0)
    after = line(4, 4, 8, 8, 8, 0, 7, 0, 12, 10)
    for stayed in (True, None):
        edits = compare_labels(before, after, ids_stayed=stayed)
        assert edits.stable == {4: 4, 8: 8, 7: 7, 12: 12, 10: 10}
        assert edits.ids_are_stable
    # A tool that numbers anew: 7 came back as 6.
    anew = compare_labels(before, np.where(after == 7, 6, after), ids_stayed=None)
    assert anew.stable == {8: 4, 4: 8, 6: 7, 12: 9, 10: 10}


def test_ids_that_were_given_or_are_out_of_all_proportion_are_not_kept() -> None:
    table = ObjectTable.make([1, 77], status=[0, Status.REJECTED], origin="x")
    after = line(1, 77, 2**32 - 1, 80)
    edits = compare_labels(line(1, 0, 0, 0), after, objects=table, ids_stayed=True)
    assert edits.stable == {1: 1, 77: 81, 2**32 - 1: 82, 80: 80}


@settings(max_examples=40, deadline=None)
@given(scripts())
def test_what_has_stable_ids_is_stable(script: Script) -> None:
    edits = compare_labels(script.before, script.after)
    stable = edits.apply_stable_ids(script.after)
    again = compare_labels(script.before, stable)
    assert again.ids_are_stable
    assert again.changes == edits.with_stable_ids().changes
    assert again.after.sizes.tolist() == edits.with_stable_ids().after.sizes.tolist()
    assert not compare_labels(script.after, stable).changes


@settings(max_examples=150, deadline=None)
@given(TINY, TINY)
def test_any_two_images_give_a_partition_by_the_rule(before: np.ndarray, after: np.ndarray) -> None:
    edits = compare_labels(before, after, objects=ObjectTable.make([9], status=3, origin="x"))
    olds, news = (sorted(set(i.ravel().tolist()) - {0}) for i in (before, after))
    near = {(b, a) for b in olds for a in news if shares_most(before == b, after == a)}
    groups = reference_groups(olds, news, near)
    same = {(b, a) for a, b in edits.unchanged.items()}
    assert same == {(b, a) for b, a in near if np.array_equal(before == b, after == a)}
    found = [(c.before, c.after) for c in edits.changes]
    assert sorted([*found, *(((b,), (a,)) for b, a in same)]) == sorted(groups)
    for change in edits.changes:
        was, is_ = np.isin(before, change.before), np.isin(after, change.after)
        assert (change.gained, change.lost) == ((is_ & ~was).sum(), (was & ~is_).sum())
        around = [(int(w.min()), int(w.max()) + 1) for w in np.nonzero(was | is_)]
        assert [(s.start, s.stop) for s in change.box] == around
    check_ids(edits, before, near, highest=max(9, before.max()))


def shares_most(b: np.ndarray, a: np.ndarray) -> bool:
    return bool(2 * (a & b).sum() > min(a.sum(), b.sum()))


def reference_groups(olds: list[int], news: list[int], near: set) -> list[tuple]:
    """Connected groups, by repeated joining."""
    groups = [({b}, set()) for b in olds] + [(set(), {a}) for a in news]
    for b, a in near:
        one = next(g for g in groups if b in g[0])
        two = next(g for g in groups if a in g[1])
        if one is not two:
            groups.remove(two)
            one[0].update(two[0])
            one[1].update(two[1])
    return [(tuple(sorted(b)), tuple(sorted(a))) for b, a in groups]


def check_ids(edits: Edits, before: np.ndarray, near: set, highest: int) -> None:
    stable = edits.stable
    assert len(set(stable.values())) == len(stable)
    new = sorted(s for s in stable.values() if s > highest)
    assert new == list(range(highest + 1, highest + 1 + len(new)))
    kept = {(s, a) for a, s in stable.items() if s <= highest}
    assert kept <= near
    # Nobody got a new id while one that belongs to it was free.
    for b, a in near:
        assert b in stable.values() or stable[a] <= highest


def test_the_largest_piece_and_the_largest_part_keep_the_id() -> None:
    assert kinds(line(4, 4, 4, 4, 4), line(8, 8, 4, 4, 4)) == [("split", (4,), (4, 8), (4, 5))]
    assert kinds(line(4, 4, 4, 4, 4), line(4, 4, 8, 8, 8)) == [("split", (4,), (4, 8), (5, 4))]
    assert kinds(line(6, 6, 2, 2, 2), line(1, 1, 1, 1, 1)) == [("merged", (2, 6), (1,), (2,))]
    # Of equals, the first voxel decides.
    assert kinds(line(6, 6, 2, 2), line(1, 1, 1, 1)) == [("merged", (2, 6), (1,), (6,))]
    assert kinds(line(6, 6, 6, 6), line(9, 9, 1, 1)) == [("split", (6,), (1, 9), (7, 6))]


def test_an_id_that_is_used_for_another_object_does_not_mislead() -> None:
    before, after = line(1, 1, 1, 0, 0, 2, 2, 2), line(2, 2, 2, 0, 1, 0, 0, 0)
    assert kinds(before, after) == [
        ("added", (), (1,), (3,)),
        ("deleted", (2,), (), ()),
    ]
    assert compare_labels(before, after).unchanged == {2: 1}


def test_two_objects_that_swap_ids_are_unchanged() -> None:
    before, after = line(1, 1, 2, 2), line(2, 2, 1, 1)
    edits = compare_labels(before, after)
    assert not edits.changes
    assert edits.stable == {1: 2, 2: 1}
    assert np.array_equal(edits.apply_stable_ids(after), before)


def test_ids_of_rejected_objects_are_never_given_again() -> None:
    table = ObjectTable.make([1, 77], status=[0, Status.REJECTED], origin="x")
    edits = compare_labels(line(1, 0, 0), line(1, 0, 5), objects=table)
    assert edits.stable == {1: 1, 5: 78}


def test_an_object_that_moved_by_half_is_another() -> None:
    assert [k[0] for k in kinds(line(1, 1, 1, 1, 0, 0), line(0, 0, 1, 1, 1, 1))] == [
        "deleted",
        "added",
    ]
    assert [k[0] for k in kinds(line(1, 1, 1, 1, 0), line(0, 1, 1, 1, 1))] == ["reshaped"]


def test_what_is_cut_off_and_joined_to_a_neighbour_is_regrouped() -> None:
    before = line(1, 1, 2, 2, 2, 2, 2, 0, 3)
    after = line(1, 1, 1, 1, 1, 5, 5, 0, 3)
    assert kinds(before, after) == [("regrouped", (1, 2), (1, 5), (2, 4))]
    edits = compare_labels(before, after)
    assert edits.unchanged == {3: 3}


def test_no_more_ids_are_refused() -> None:
    with pytest.raises(LabelError, match="room for 1 new id"):
        compare_labels(line(2**32 - 1, 0), line(2**32 - 1, 4))


@pytest.mark.parametrize(
    ("before", "after", "message"),
    [
        (np.zeros((1, 2, 2), int), np.zeros((1, 2, 3), int), "one shape"),
        (np.zeros((2, 2), int), np.zeros((2, 2), int), "one shape"),
        (np.zeros((1, 2, 2), int), np.zeros((1, 2, 2), float), "whole numbers, got float64"),
        (np.zeros((1, 2, 2), int), np.full((1, 2, 2), -1), "from 0"),
    ],
)
def test_what_are_not_labels_of_one_field_is_refused(
    before: np.ndarray, after: np.ndarray, message: str
) -> None:
    with pytest.raises(LabelError, match=message):
        compare_labels(before, after)


def test_labels_that_changed_after_the_comparison_are_refused() -> None:
    edits = compare_labels(line(1, 1), line(3, 3))
    with pytest.raises(LabelError, match="got 4"):
        edits.apply_stable_ids(line(3, 4))
    with pytest.raises(LabelError, match=r"\[4\]"):
        edits.stable_id([4])


class Slabs:
    """A source of slabs, as a file's reader is one."""

    def __init__(self, labels: np.ndarray) -> None:
        self.labels, self.shape = labels, labels.shape

    def read(self, z_start: int, z_stop: int) -> np.ndarray:
        return self.labels[z_start:z_stop]


@pytest.mark.parametrize("block_bytes", [1, 1 << 25])
def test_arrays_chunks_slabs_and_small_types_tell_the_same(
    block_bytes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("annotations.edits._overlaps.BLOCK_BYTES", block_bytes)
    script = build(4, [["merge", "split", "grow"], ["regroup", "delete", "add beside"]], 0)
    after = np.unique(script.after, return_inverse=True)[1].reshape(script.after.shape)
    expected = compare_labels(script.before, after)
    sources = [
        (planes_of(script.before, (3, 5, 7)), after.astype(np.uint8)),
        (planes_of(script.before, (3, 5, 7)), planes_of(after.astype(np.int64), (1, 4, 16))),
        (planes_of(script.before, (3, 5, 7)), Slabs(after.astype(np.uint16))),
        (script.before[:, ::-1][:, ::-1], Slabs(after)),
    ]
    for before, source in sources:
        edits = compare_labels(before, source)
        assert edits.changes == expected.changes
        assert edits.stable == expected.stable
        assert edits.after.boxes.tolist() == expected.after.boxes.tolist()
        assert edits.after.first.tolist() == expected.after.first.tolist()
        stable = StableLabels(source, edits)
        assert np.array_equal(stable.read(1, 3), expected.apply_stable_ids(after)[1:3])


@settings(max_examples=40, deadline=None)
@given(scripts(), st.tuples(st.integers(2, 4), st.integers(3, 9), st.integers(3, 9)), st.booleans())
def test_reading_only_what_differs_finds_the_same(script: Script, chunks: tuple, box: bool) -> None:
    before = script.before
    after = compare_labels(before, script.after).apply_stable_ids(script.after)
    where = np.argwhere(before != after)
    regions = [tuple(slice(int(i), int(i) + 1) for i in voxel) for voxel in where]
    if box and regions:
        low, high = where.min(axis=0), where.max(axis=0) + 1
        regions = [tuple(slice(int(a), int(b)) for a, b in zip(low, high, strict=True))]
    table = ObjectTable.make(np.unique(before[before > 0]), status=0, origin="x")
    planes = planes_of(before, chunks)
    for stayed in (False, True):
        edits = compare_regions(planes, after, regions, objects=table, ids_stayed=stayed)
        assert edits.changes == compare_labels(before, after, ids_stayed=stayed).changes
        assert np.array_equal(edits.apply_stable_ids(after), after)
        assert not edits.whole


def test_parts_are_read_and_the_rest_is_not() -> None:
    before = np.zeros((4, 8, 40), np.uint32)
    before[:, 1:7, 1:14], before[:, 1:7, 30:39] = 1, 2
    after = before.copy()
    after[0, 1, 1] = 0
    read: list[slice] = []

    class Watched(Slabs):
        def read_region(self, region: tuple) -> np.ndarray:
            read.append(region[2])
            return self.labels[region]

    table = ObjectTable.make([1, 2], status=0, origin="x")
    source = planes_of(before, (4, 8, 8))
    spot = (slice(0, 1), slice(1, 2), slice(1, 2))
    edits = compare_regions(source, Watched(after), [spot], objects=table)
    assert read == [slice(0, 8)]
    assert [(kind(c), c.before, c.lost) for c in edits.changes] == [("reshaped", (1,), 1)]
    assert edits.after.sizes.tolist() == [4 * 6 * 13 - 1]
    whole = compare_regions(
        source, after, [spot, (slice(0, 1), slice(0, 1), slice(30, 31))], objects=table, follow=[2]
    )
    assert whole.after.sizes.tolist() == [4 * 6 * 13 - 1, 4 * 6 * 9]
    assert not compare_regions(source, after, [], objects=table).changes
    with pytest.raises(LabelError, match="inside the field"):
        compare_regions(source, after, [(slice(0, 5), slice(0, 1), slice(0, 1))], objects=table)


class Endless:
    """Labels of any depth that are made when they are read: columns of 8 × 8 × 8 voxels."""

    def __init__(self, depth: int, offset: int) -> None:
        self.shape, self.offset = (depth, 128, 128), offset

    def read(self, z_start: int, z_stop: int) -> np.ndarray:
        z, y, x = np.ogrid[z_start:z_stop, :128, :128]
        return ((z // 8 * 256 + y // 8 * 16 + x // 8) + self.offset).astype(np.uint32)


def test_memory_does_not_grow_with_the_field(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("annotations.edits._overlaps.BLOCK_BYTES", 1 << 19)
    compare_labels(Endless(8, 1), Endless(8, 2))
    peaks = []
    for depth in (64, 256):
        tracemalloc.start()
        edits = compare_labels(Endless(depth, 1), Endless(depth, 2))
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
        assert len(edits.unchanged) == 256 * depth // 8
    # 12 MB of voxels more: only the tables of 6144 more objects may grow.
    assert peaks[1] - peaks[0] < 6e6


@pytest.mark.real
def test_edits_of_real_nuclei_are_found_whatever_the_ids(real_stack) -> None:
    _, labels, _ = real_stack("gonuclear_1136")
    before = labels.astype(np.uint32)
    rng = np.random.default_rng(0)
    ids = np.unique(before[before > 0])
    free = rng.permutation(ids).tolist()
    after, truth = before.copy(), []
    for one, other in zip(free[9:12], free[12:15], strict=True):
        after[after == other] = one
        truth.append(("merged", tuple(sorted((one, other)))))
    for number, id_ in enumerate(free[:9]):
        z, y, x = np.nonzero(before == id_)
        if number < 3:
            after[z, y, x] = 0
            truth.append(("deleted", (id_,)))
        elif number < 6:
            far = x > np.median(x)
            after[z[far], y[far], x[far]] = ids.max() + 1 + number
            truth.append(("split", (id_,)))
        else:
            after[z[z == z.min()], y[z == z.min()], x[z == z.min()]] = 0
            truth.append(("reshaped", (id_,)))
    edits = compare_labels(before, shuffled(after, rng))
    assert sorted((kind(c), c.before) for c in edits.changes) == sorted(truth)
    assert len(edits.unchanged) == ids.size - 6 - 9
