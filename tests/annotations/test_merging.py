"""Two people's edits of the same labels: both land, or a conflict says where they meet."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from annotations.edits.compare import compare_labels
from annotations.edits.table import updated_objects
from annotations.edits.verified import verified_mask_update
from annotations.errors import ConflictError, LabelError
from annotations.merging import MergeConflictError, Merged, merge_edits
from annotations.objects import ObjectTable
from tests.annotations.edits.edit_scripts import LONE, PAIR, Script, build, scripts, shuffled
from tests.annotations.store_sources import planes_of

ALL = (slice(None), slice(None), slice(None))


def first_table(labels: np.ndarray) -> ObjectTable:
    return ObjectTable.make(np.unique(labels[labels > 0]), status=0, origin="model:u")


def committed(base: np.ndarray, after: np.ndarray) -> tuple[np.ndarray, ObjectTable]:
    """The store after somebody committed `after` over `base`."""
    table = first_table(base)
    edits = compare_labels(base, after, objects=table)
    return edits.apply_stable_ids(after), updated_objects(table, edits, annotator="b", round=1)[0]


def merged_array(merged: Merged) -> np.ndarray:
    return merged.labels.read(0, merged.labels.shape[0])


def beside(mine: Script, theirs: Script) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Base, my labels (the first part edited), theirs (the second), and both (ids are free)."""
    offset = np.uint32(mine.before.max(initial=0))
    their_base = np.where(theirs.before > 0, theirs.before + offset, 0).astype(np.uint32)
    base = np.concatenate([mine.before, their_base], axis=1)
    ids = np.unique(theirs.after)
    their_after = np.searchsorted(ids, theirs.after).astype(np.uint32)
    their_after = np.where(theirs.after > 0, their_after + 500, 0)
    lookup = np.unique(mine.after, return_inverse=True)[1].reshape(mine.after.shape)
    my_after = np.where(mine.after > 0, lookup + 1000, 0)
    my_image = np.concatenate([my_after, their_base], axis=1)
    their_image = np.concatenate([mine.before, their_after], axis=1)
    return base, my_image, their_image, np.concatenate([my_after, their_after], axis=1)


@settings(max_examples=30, deadline=None)
@given(scripts(), scripts(), st.integers(0, 99))
def test_edits_of_different_objects_both_land(mine: Script, theirs: Script, seed: int) -> None:
    base, my_image, their_image, both = beside(mine, theirs)
    my_image = shuffled(my_image, np.random.default_rng(seed))
    now, table = committed(base, their_image)
    merged = merge_edits(base, my_image, now, objects=table)
    labels = merged_array(merged)
    # The same objects as in both, and ids that neither of us had given another.
    assert not compare_labels(both, labels).changes
    truth = sorted((len(t[1]), *t[2:]) for t in mine.truth)
    found = [(len(c.before), len(c.after), c.gained, c.lost) for c in merged.edits.changes]
    assert sorted(found) == truth
    assert merged.edits.ids_are_stable
    assert merged.edits.changes == compare_labels(now, labels, objects=table).changes
    rows, _ = updated_objects(table, merged.edits, annotator="a", round=2)
    assert rows.live_ids.tolist() == np.unique(labels[labels > 0]).tolist()
    kept = {i for change in merged.edits.changes for i in change.before}
    for id_ in set(np.unique(now[now > 0]).tolist()) - kept:
        assert np.array_equal(now == id_, labels == id_)


@settings(max_examples=30, deadline=None)
@given(st.sampled_from(LONE[1:-1]), st.sampled_from(LONE[1:-1]), st.integers(0, 99))
def test_one_object_in_both_is_a_conflict_unless_the_edit_is_the_same(
    one: str, other: str, seed: int
) -> None:
    mine, theirs = (build(2, [[op, "keep"]], 0) for op in (one, other))
    after = shuffled(mine.after, np.random.default_rng(seed))
    now, table = committed(mine.before, theirs.after)
    if one == other:
        merged = merge_edits(mine.before, after, now, objects=table)
        assert not merged.edits.changes
        assert np.array_equal(merged_array(merged), now)
        return
    with pytest.raises(ConflictError, match=r"nothing was written.*import again") as caught:
        merge_edits(mine.before, after, now, objects=table)
    assert [c.reason for c in caught.value.conflicts] == ["object"]
    (edited,) = mine.truth[0][1]
    assert caught.value.conflicts[0].objects == (edited,)


@pytest.mark.parametrize("op", PAIR[:-1])
def test_a_pair_that_i_edit_and_of_which_they_edit_one(op: str) -> None:
    mine = build(2, [[op]], 0)
    theirs = mine.before.copy()
    theirs[1, 1, 1] = 0
    now, table = committed(mine.before, theirs)
    with pytest.raises(MergeConflictError):
        merge_edits(mine.before, mine.after, now, objects=table)
    now, table = committed(mine.before, mine.after)
    with pytest.raises(MergeConflictError):
        merge_edits(mine.before, theirs, now, objects=table)


def field() -> np.ndarray:
    """Two objects with room between them."""
    labels = np.zeros((6, 5, 12), np.uint32)
    labels[1:4, 1:4, 1:4], labels[1:4, 1:4, 8:11] = 3, 7
    return labels


def test_background_that_both_gave_to_an_object_is_a_conflict() -> None:
    base, mine, theirs = field(), field(), field()
    mine[2:4, 1:4, 4:7] = 3
    theirs[3:5, 1:4, 6:8] = 7
    now, table = committed(base, theirs)
    with pytest.raises(MergeConflictError, match=r"spheroid: .*objects 7; z 3 to 3") as caught:
        merge_edits(base, mine, now, objects=table, name="spheroid")
    (conflict,) = caught.value.conflicts
    assert conflict.reason == "voxels"
    assert conflict.box == (slice(3, 4), slice(1, 4), slice(6, 7))
    assert "\n" not in str(caught.value)
    # One voxel less, and both land.
    mine[:, :, 6] = 0
    labels = merged_array(merge_edits(base, mine, now, objects=table))
    assert np.array_equal(labels, np.maximum(mine, theirs))


def test_two_new_objects_get_two_ids() -> None:
    base, mine, theirs = field(), field(), field()
    mine[5, 0, 0:2] = 8
    theirs[5, 4, 0:2] = 8
    now, table = committed(base, theirs)
    merged = merge_edits(base, mine, now, objects=table)
    labels = merged_array(merged)
    assert labels[5, 0, :2].tolist() == [9, 9]
    assert labels[5, 4, :2].tolist() == [8, 8]
    assert [(c.before, c.after) for c in merged.edits.changes] == [((), (9,))]


def test_what_i_accept_or_check_must_not_have_changed() -> None:
    base, theirs = field(), field()
    theirs[1, 1, 8] = 0
    now, table = committed(base, theirs)
    mine = np.where(base == 7, 30, base)
    merged = merge_edits(base, mine, now, objects=table, accepted=[3])
    assert merged.accepted == (3,)
    assert not merged.edits.changes
    with pytest.raises(MergeConflictError, match="objects 7") as caught:
        merge_edits(base, mine, now, objects=table, accepted=[30])
    assert caught.value.conflicts[0].reason == "accepted"
    left = (slice(0, 6), slice(0, 5), slice(0, 8))
    assert merge_edits(base, mine, now, objects=table, checked=[left]).accepted == ()
    with pytest.raises(MergeConflictError, match="objects 7; z 1 to 3") as caught:
        merge_edits(base, mine, now, objects=table, checked=[ALL])
    assert caught.value.conflicts[0].reason == "checked"
    with pytest.raises(LabelError, match=r"\[7\]"):
        merge_edits(base, mine, now, objects=table, accepted=[7])


def test_an_object_that_only_got_another_id_meanwhile_is_still_mine_to_edit() -> None:
    base = field()
    now = np.where(base == 7, 12, base).astype(np.uint32)
    table = ObjectTable.make([3, 7, 12], status=[0, 3, 0], origin="model:u")
    mine = base.copy()
    mine[1, 1:4, 8:11] = 0
    merged = merge_edits(base, mine, now, objects=table, accepted=[3])
    assert np.array_equal(merged_array(merged), np.where(mine == 7, 12, mine))
    assert [(c.before, c.after) for c in merged.edits.changes] == [((12,), (12,))]


def test_accepting_what_only_got_another_id_accepts_it() -> None:
    base = field()
    now = np.where(base == 7, 12, base).astype(np.uint32)
    table = ObjectTable.make([3, 7, 12], status=[0, 3, 0], origin="model:u")
    merged = merge_edits(base, base.copy(), now, objects=table, accepted=[7])
    assert merged.accepted == (12,)
    rows, counts = updated_objects(
        table, merged.edits, annotator="a", round=2, accepted=merged.accepted
    )
    assert counts.accepted == 1
    assert rows.counts()["accepted"] == 1
    patches = verified_mask_update(
        now, merged.labels, merged.edits, merged.accepted, shell=(0, 0, 0)
    )
    assert sum(int(mask.sum()) for _, mask in patches) == int((base == 7).sum())


def test_nothing_committed_meanwhile_needs_no_merge() -> None:
    script = build(4, [["merge", "split", "delete"], ["keep", "swap", "grow"]], 1)
    table = first_table(script.before)
    edits = compare_labels(script.before, script.after, objects=table)
    kept = list(edits.unchanged)
    fast = merge_edits(script.before, script.after, script.before, objects=table, accepted=kept)
    slow = merge_edits(
        script.before, script.after, script.before.copy(), objects=table, accepted=kept
    )
    for merged in (fast, slow):
        assert np.array_equal(merged_array(merged), edits.apply_stable_ids(script.after))
        assert merged.accepted == tuple(sorted(script.unchanged))
        assert merged.edits.changes == edits.with_stable_ids().changes


def test_chunks_in_a_store_merge_the_same_and_stay_as_they_are() -> None:
    mine, theirs = build(2, [["merge"]], 0), build(2, [["split", "delete"]], 1)
    base, my_image, their_image, _ = beside(mine, theirs)
    now, table = committed(base, their_image)
    expected = merged_array(merge_edits(base, my_image, now, objects=table))
    arrays = [planes_of(labels, (3, 5, 6)) for labels in (base, my_image, now)]
    merged = merge_edits(*arrays, objects=table)
    assert np.array_equal(merged_array(merged), expected)
    for change in merged.edits.changes:
        now[change.box] = merged.labels.read_region(change.box)
    assert np.array_equal(now, expected)
    assert np.array_equal(arrays[2][...], committed(base, their_image)[0])


def test_labels_of_another_field_are_refused() -> None:
    base = field()
    with pytest.raises(LabelError, match="one shape"):
        merge_edits(base, base, base[1:], objects=first_table(base))
    with pytest.raises(LabelError, match="one shape"):
        merge_edits(base, base[1:], base, objects=first_table(base))
