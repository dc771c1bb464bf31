"""What differs between rounds, who changed an object, the way back, and what is left over."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from annotations.differences import LabelsDiff, ObjectChange, diff_rounds
from annotations.errors import LabelError, StoreError, UnknownFieldError, UnknownRoundError
from annotations.history import blame, provenance_steps, roll_back
from annotations.objects import ObjectTable, Status
from annotations.rounds import EditCounts
from annotations.store import AnnotationStore
from tests.annotations.store_sources import (
    ArraySource,
    bootstrapped,
    boxes,
    by_model,
    by_person,
    new_store,
    noise,
    proposed,
)

SHAPE = (20, 132, 130)
"""More than one chunk in every direction."""


def table(labels: NDArray[np.uint32], status: Status = Status.PROPOSED) -> ObjectTable:
    return ObjectTable.make(np.unique(labels[labels > 0]), status=status, origin="model:classical")


def commit(store: AnnotationStore, labels: NDArray[np.uint32], objects: ObjectTable) -> int:
    with store.begin_round(by_person()) as txn:
        txn.set_labels("a", labels, objects)
    return txn.number


def only(found: tuple[LabelsDiff, ...]) -> LabelsDiff:
    (one,) = found
    return one


def state(store: AnnotationStore, round: int | None = None) -> tuple[bytes, ...]:
    view = store.labels("a", round=round)
    columns = view.objects.to_arrays()
    return (
        np.asarray(view.labels[...]).tobytes(),
        np.asarray(view.verified[...]).tobytes(),
        *(str(columns[name].tolist()).encode() for name in sorted(columns)),
        str(view.verified_voxels).encode(),
    )


# diff --------------------------------------------------------------------------------------------


def test_every_kind_of_change_is_told_apart(tmp_path: Path) -> None:
    store = new_store(tmp_path / "store")
    before = np.zeros((20, 40, 30), np.uint32)
    for number, (y, x) in enumerate([(0, 0), (0, 10), (0, 20), (20, 0), (20, 10), (20, 20)], 1):
        before[2:8, y : y + 8, x : x + 8] = number
    first = commit(store, before, table(before))
    after = before.copy()
    after[2:8, 0:3, 0:8] = 7  # 1 is split into 1 and 7
    after[before == 3] = 2  # 3 joins 2
    after[before == 4] = 0
    after[8:10, 20:28, 10:18] = 5
    after[15:18, 30:36, 2:8] = 8
    objects = table(after).updated(
        ObjectTable.make([6], status=Status.ACCEPTED, origin="person:anna")
    )
    second = commit(store, after, objects)
    found = only(diff_rounds(store, first, second).fields)
    assert [(c.kind, c.before, c.after) for c in found.changes] == [
        ("split", (1,), (1, 7)),
        ("merged", (2, 3), (2,)),
        ("deleted", (4,), ()),
        ("reshaped", (5,), (5,)),
        ("verdict", (6,), (6,)),
        ("added", (), (8,)),
    ]
    split, merged, deleted, reshaped, verdict, added = found.changes
    assert (split.gained, split.lost) == (0, 0)
    assert split.box == ((2, 8), (0, 3), (0, 8))
    assert (merged.gained, merged.lost) == (0, 0)
    assert (deleted.gained, deleted.lost) == (0, 384)
    assert deleted.statuses == {4: ("proposed", None)}
    assert (reshaped.gained, reshaped.lost) == (128, 0)
    assert verdict.statuses == {6: ("proposed", "accepted")}
    assert added.gained == 108
    assert found.voxels == int((before != after).sum())
    assert found.counts() == EditCounts(
        added=1, deleted=1, split=1, merged=1, reshaped=1, accepted=1
    )
    back = only(diff_rounds(store, second, first).fields)
    kinds = {"split": "merged", "merged": "split", "added": "deleted", "deleted": "added"}
    assert {(c.kind, c.before, c.after) for c in back.changes} == {
        (kinds.get(c.kind, c.kind), c.after, c.before) for c in found.changes
    }
    assert diff_rounds(store, second, second).fields == ()


@st.composite
def label_pairs(draw: st.DrawFn) -> list[NDArray[np.uint32]]:
    images = []
    for _ in range(2):
        labels = np.zeros(SHAPE, np.uint32)
        for _ in range(draw(st.integers(0, 6))):
            at = [draw(st.integers(0, n - 8)) for n in SHAPE]
            place = tuple(slice(a, a + draw(st.integers(1, 8))) for a in at)
            labels[place] = draw(st.integers(1, 5))
        images.append(labels)
    return images


@settings(max_examples=12, deadline=None)
@given(label_pairs())
def test_changed_chunks_tell_the_same_as_all_voxels(
    tmp_path_factory: pytest.TempPathFactory, images: list[NDArray[np.uint32]]
) -> None:
    store = AnnotationStore.create(tmp_path_factory.mktemp("store") / "store")
    store.add_field("a", ArraySource(noise((1, *SHAPE))))
    for labels in images:
        commit(store, labels, table(labels))
    before, after = images
    found = diff_rounds(store, 0, 1).fields
    changes = found[0].changes if found else ()
    check_changes(changes, before, after)
    # The rest of the images does not matter, so neither does where the chunks lie.
    with store.begin_round(by_person()) as txn:
        txn.set_labels("a", before, table(before))
    assert diff_rounds(store, 0, 2).fields == ()


def check_changes(
    changes: tuple[ObjectChange, ...], before: NDArray[np.uint32], after: NDArray[np.uint32]
) -> None:
    """Each object that differs is in one change, whose figures are those of all voxels."""
    ids = np.union1d(before, after)
    differ = {int(i) for i in ids[ids > 0] if not np.array_equal(before == i, after == i)}
    named = [i for change in changes for i in sorted({*change.before, *change.after})]
    assert sorted(named) == sorted(differ)
    for change in changes:
        had, has = np.isin(before, change.before), np.isin(after, change.after)
        mine = np.isin(before, list(change.before)) & (before != after)
        mine |= np.isin(after, list(change.after)) & (before != after)
        assert change.gained == int((has & ~had).sum())
        assert change.lost == int((had & ~has).sum())
        where = np.argwhere(mine)
        low, high = where.min(axis=0), where.max(axis=0) + 1
        assert change.box == tuple(zip(low.tolist(), high.tolist(), strict=True))
        assert set(change.before) == {i for i in (*change.before, *change.after) if i in before}
        expected = {(0, 1): "added", (1, 0): "deleted", (1, 1): "reshaped"}
        size = len(change.before), len(change.after)
        if size in expected:
            assert change.kind == expected[size]


def test_fields_that_came_and_went_are_named(tmp_path: Path) -> None:
    store = bootstrapped(tmp_path / "store")
    store.add_field("b", ArraySource(noise(seed=1)))
    store.remove_field("a")
    with store.begin_round(by_model()) as txn:
        txn.set_labels("b", boxes(), proposed([1, 2, 7]))
    found = diff_rounds(store, 0, 1)
    assert (found.fields, found.added, found.removed) == ((), ("b",), ("a",))


def test_a_field_that_was_made_anew_is_another_one(tmp_path: Path) -> None:
    store = bootstrapped(tmp_path / "store")
    store.remove_field("a")
    store.add_field("a", ArraySource(noise()), labels={"nuclei": boxes() * (boxes() < 7)})
    with store.begin_round(by_person()) as txn:
        txn.write_verified("a", (slice(0, 1), slice(0, 1), slice(0, 1)), 0)
    found = diff_rounds(store, 0, 1)
    assert (found.fields, found.added, found.removed) == ((), ("a",), ("a",))
    done = roll_back(store, 0, author="ben")
    assert (done.fields, done.left_alone, done.gone) == ((), ("a",), ("a",))
    assert not np.any(store.labels("a").labels[...] == 7)


@pytest.mark.parametrize(("a", "b"), [(0, 5), (5, 0), (-1, 0)])
def test_unknown_rounds_are_refused(tmp_path: Path, a: int, b: int) -> None:
    with pytest.raises(UnknownRoundError, match="0 to 0"):
        diff_rounds(bootstrapped(tmp_path / "store"), a, b)


# blame -------------------------------------------------------------------------------------------


def test_blame_tells_who_changed_an_object_with_what(tmp_path: Path) -> None:
    store = bootstrapped(tmp_path / "store")
    with store.begin_round(by_person("other object")) as txn:
        txn.write_labels("a", (slice(2, 3), slice(5, 12), slice(5, 12)), np.zeros((1, 7, 7), "u4"))
    with store.begin_round(by_person("trim")) as txn:
        labels = np.asarray(txn.labels("a").labels[...])
        labels[3] = 0
        rows = ObjectTable.make([2], status=Status.CORRECTED, origin="person:anna", round=2)
        txn.set_labels("a", labels, txn.labels("a").objects.updated(rows))
    with store.begin_round(by_person("delete")) as txn:
        labels = np.asarray(txn.labels("a").labels[...])
        labels[labels == 2] = 0
        rows = ObjectTable.make([2], status=Status.REJECTED, origin="person:anna", round=3)
        txn.set_labels("a", labels, txn.labels("a").objects.updated(rows))
    found = blame(store, "a", 2)
    assert [entry.entry.round for entry in found] == [0, 2, 3]
    made, trimmed, deleted = found
    assert (made.what, made.gained, made.lost) == (("added",), 400, 0)
    assert made.entry.model is not None
    assert made.entry.model.weights_sha256 == "ab" * 32
    assert trimmed.what == ("reshaped", "status: proposed to corrected", "origin")
    assert (trimmed.gained, trimmed.lost) == (0, 80)
    assert trimmed.entry.author == "anna"
    assert deleted.what == ("deleted", "status: corrected to rejected")
    assert (deleted.status, deleted.lost) == ("rejected", 320)


def test_blame_begins_with_the_labels_that_came_with_a_field(tmp_path: Path) -> None:
    store = new_store(tmp_path / "store", labels={"nuclei": boxes()}, annotator="anna")
    (entry,) = blame(store, "a", 7)
    assert (entry.entry.kind, entry.entry.author) == ("add", "anna")
    assert (entry.what, entry.gained) == (("added",), int((boxes() == 7).sum()))
    store.remove_field("a")
    assert [entry.what for entry in blame(store, "a", 7)] == [("added",), ("deleted",)]


def test_blame_refuses_what_never_was(tmp_path: Path) -> None:
    store = bootstrapped(tmp_path / "store")
    with pytest.raises(LabelError, match="got 99"):
        blame(store, "a", 99)
    with pytest.raises(LabelError, match="got 0"):
        blame(store, "a", 0)
    with pytest.raises(UnknownFieldError, match="'b'"):
        blame(store, "b", 1)


# rollback ----------------------------------------------------------------------------------------


def test_rollback_is_a_new_round_that_equals_an_earlier_one(tmp_path: Path) -> None:
    store = bootstrapped(tmp_path / "store")
    with store.begin_round(by_person()) as txn:
        labels = boxes()
        labels[labels == 7] = 9
        txn.set_labels("a", labels, table(labels, Status.ACCEPTED))
        txn.write_verified("a", np.s_[:, :, :], (labels > 0).astype(np.uint8))
    store.add_field("b", ArraySource(noise(seed=1)))
    earlier = [state(store, 0), state(store, 1)]
    log = store.log()
    done = roll_back(store, 0, author="ben")
    assert (done.round, done.to, done.undone, done.left_alone) == (2, 0, (1,), ("b",))
    assert state(store) == earlier[0]
    assert [state(store, 0), state(store, 1)] == earlier
    assert store.log()[1:] == log
    entry = store.rounds()[-1]
    assert (entry.kind, entry.author, entry.message) == ("rollback", "ben", "back to round 0")
    assert entry.counts["a:nuclei"] == only(done.fields).counts()
    assert entry.counts["a:nuclei"] != EditCounts()
    forth = roll_back(store, 1, author="ben")
    assert (forth.round, forth.undone) == (3, (2,))
    assert state(store) == earlier[1]


def test_ids_that_a_rollback_took_back_are_not_given_again(tmp_path: Path) -> None:
    store = bootstrapped(tmp_path / "store")
    labels = boxes()
    labels[0, 0, 0] = 50
    commit(store, labels, table(labels))
    roll_back(store, 0, author="ben")
    assert store.labels("a").objects.id.tolist() == [1, 2, 7]
    assert store.labels("a").objects.highest_id == 50


def test_rollback_says_which_fields_do_not_come_back(tmp_path: Path) -> None:
    store = bootstrapped(tmp_path / "store")
    store.add_field("b", ArraySource(noise(seed=1)))
    with store.begin_round(by_model()) as txn:
        txn.set_labels("b", boxes(), proposed([1, 2, 7]))
    store.remove_field("a")
    done = roll_back(store, 0, author="ben")
    assert (done.gone, done.left_alone) == (("a",), ("b",))


def test_rollback_refuses_and_leaves_the_store_as_it_was(tmp_path: Path) -> None:
    store = bootstrapped(tmp_path / "store")
    before = store.log()
    with pytest.raises(UnknownRoundError, match="round 7"):
        roll_back(store, 7, author="ben")
    with pytest.raises(StoreError, match="round 0 is the last one"):
        roll_back(store, 0, author="ben")
    reader = AnnotationStore.open(tmp_path / "store", read_only=True)
    with pytest.raises(StoreError, match="read-only"):
        roll_back(reader, 0, author="ben")
    assert store.log() == before


# garbage and provenance --------------------------------------------------------------------------


def leave_chunks_behind(store: AnnotationStore) -> None:
    """What a writer that is killed leaves: chunks that no commit refers to."""
    import zarr

    session = store._repository.writable_session("main")
    image = zarr.open_array(session.store, path="fields/a/0", mode="r+")
    image[0] = noise(seed=5)


def bytes_of(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())


def test_garbage_goes_and_every_round_stays(tmp_path: Path) -> None:
    store = bootstrapped(tmp_path / "store")
    commit(store, np.zeros_like(boxes()), ObjectTable.empty())
    earlier = [state(store, n) for n in (0, 1)]
    size = bytes_of(tmp_path / "store")
    assert store.collect_garbage().bytes == 0
    assert bytes_of(tmp_path / "store") == size
    leave_chunks_behind(store)
    assert bytes_of(tmp_path / "store") > size
    counted = store.collect_garbage(dry_run=True)
    assert (counted.removed, counted.chunks > 0) == (False, True)
    assert store.collect_garbage(timedelta(hours=1)).chunks == 0
    found = store.collect_garbage()
    assert found.bytes == counted.bytes
    assert bytes_of(tmp_path / "store") == size
    fresh = AnnotationStore.open(tmp_path / "store")
    assert [state(fresh, n) for n in (0, 1)] == earlier
    np.testing.assert_array_equal(fresh.labels("a").image, noise())


def test_garbage_is_left_where_somebody_may_be_writing(tmp_path: Path) -> None:
    store = bootstrapped(tmp_path / "store")
    with store.begin_round(by_person()):
        other = AnnotationStore.open(tmp_path / "store", lock_timeout_s=0.1)
        with pytest.raises(StoreError, match="another process is writing"):
            other.collect_garbage()
    with pytest.raises(StoreError, match="read-only"):
        AnnotationStore.open(tmp_path / "store", read_only=True).collect_garbage()
    with pytest.raises(StoreError, match="age of 0 or more"):
        store.collect_garbage(timedelta(hours=-1))
    remote = bootstrapped("memory:garbage")
    with pytest.raises(StoreError, match="an hour"):
        remote.collect_garbage(timedelta(minutes=5))
    assert remote.collect_garbage().bytes == 0


def test_provenance_steps_tell_how_a_field_came_to_be(tmp_path: Path) -> None:
    store = bootstrapped(tmp_path / "store")
    store.add_field("b", ArraySource(noise(seed=1)))
    with store.begin_round(by_person("by hand")) as txn:
        txn.write_verified("a", (slice(0, 1), slice(0, 1), slice(0, 1)))
    steps = provenance_steps(store, "a")["provenance:steps"]
    assert [step["name"] for step in steps] == ["add", "bootstrap", "correct"]
    assert steps[1]["model"] == "classical"
    assert steps[1]["weights_sha256"] == "ab" * 32
    assert (steps[2]["by"], steps[2]["minutes"]) == ("anna", 2.5)
    assert provenance_steps(store, "a", round=0)["provenance:steps"] == steps[:2]
    with pytest.raises(UnknownFieldError):
        provenance_steps(store, "c")
