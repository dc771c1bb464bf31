"""What a round notes of each object beside the labels is what a comparison of the rounds finds."""

from __future__ import annotations

import re
from collections import defaultdict
from itertools import count, pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from annotations import _edit_rows
from annotations._edit_rows import COLUMN, EDIT_COLUMNS, read_edits
from annotations.changes import ObjectChange
from annotations.differences import diff_rounds
from annotations.history import BlameEntry, blame
from annotations.objects import ObjectTable, Status
from annotations.rounds import EditCounts, RoundInfo
from annotations.store import AnnotationStore
from tests.annotations.store_sources import ArraySource, by_person, noise, proposed

TIMES, ZYX = 2, (3, 260, 6)
"""Two chunks in y at each time point."""

SHAPE = (TIMES * ZYX[0], *ZYX[1:])
IDS = range(1, 7)
_NAMES = count()


def empty_store(labels: NDArray[np.uint32] | None = None) -> AnnotationStore:
    store = AnnotationStore.create(f"memory:edit-rows-{next(_NAMES)}")
    given = {} if labels is None else {"nuclei": labels}
    store.add_field("a", ArraySource(noise((TIMES, 1, *ZYX), "uint8")), labels=given)
    return store


def changes_of(store: AnnotationStore, a: int, b: int) -> tuple[ObjectChange, ...]:
    found = diff_rounds(store, a, b).fields
    return found[0].changes if found else ()


def blamed(store: AnnotationStore) -> dict[int, dict[int, BlameEntry]]:
    """What blame says of each object that a round changed, by round and id."""
    found: dict[int, dict[int, BlameEntry]] = defaultdict(dict)
    for one in told(store):
        for entry in blame(store, "a", one):
            assert entry.entry.round is not None
            assert one not in found[entry.entry.round]
            found[entry.entry.round][one] = entry
    return found


@st.composite
def rows_for(draw: st.DrawFn, labels: NDArray[np.uint32]) -> ObjectTable:
    """A row for each id; an object without voxels may be rejected, or have none."""
    ids, statuses = [], []
    for one in IDS:
        choices = [Status.PROPOSED, Status.ACCEPTED, Status.CORRECTED]
        if not np.any(labels == one):
            choices += [Status.REJECTED, None]
        status = draw(st.sampled_from(choices))
        if status is not None:
            ids.append(one)
            statuses.append(status)
    return ObjectTable.make(ids, status=np.array(statuses, int), origin="person:anna")


@st.composite
def scripts(draw: st.DrawFn) -> list[tuple[list, list]]:
    """Rounds: boxes that are given ids one after the other, and what the objects are then."""
    labels, rounds = np.zeros(SHAPE, np.uint32), []
    for _ in range(draw(st.integers(2, 4))):
        boxes = []
        for _ in range(draw(st.integers(0, 5))):
            # Few places, so that objects meet; some of them reach across both chunks.
            y, deep = draw(st.sampled_from([0, 4, 250, 254])), draw(st.integers(1, 3))
            start = draw(st.integers(0, SHAPE[0] - deep))
            place = np.s_[start : start + deep, y : y + draw(st.sampled_from([2, 6])), 1:5]
            boxes.append((place, draw(st.integers(0, 6))))
            labels[place] = boxes[-1][1]
        rounds.append((boxes, draw(rows_for(labels))))
    return rounds


@settings(max_examples=8, deadline=None)
@given(scripts(), st.booleans())
def test_blame_agrees_with_diff(rounds: list, whole: bool) -> None:
    store = empty_store()
    labels = np.zeros(SHAPE, np.uint32)
    with store.begin_round(by_person()):
        pass
    for boxes, objects in rounds:
        with store.begin_round(by_person()) as txn:
            for place, value in boxes:
                labels[place] = value
                if not whole:
                    txn.write_labels("a", place, np.full(labels[place].shape, value))
            if whole:
                txn.set_labels("a", labels, objects)
            txn.set_objects("a", objects)
        assert np.array_equal(store.labels("a").labels[...], labels)
    entries = blamed(store)
    for number in range(1, len(rounds) + 1):
        check_round(changes_of(store, number - 1, number), entries[number])
    for one in told(store):
        voxels = sum(
            found[one].gained - found[one].lost for found in entries.values() if one in found
        )
        assert voxels == np.count_nonzero(labels == one)


def told(store: AnnotationStore) -> list[int]:
    """The objects that some round changed."""
    return np.unique(read_edits(store.labels("a").group)[:, COLUMN["id"]]).astype(int).tolist()


def check_round(changes: tuple[ObjectChange, ...], found: dict[int, BlameEntry]) -> None:
    """Each object that a comparison names has the entry that it tells of, and no other one has."""
    named = {one: change for change in changes for one in (*change.before, *change.after)}
    assert set(found) == set(named)
    for one, change in named.items():
        entry = found[one]
        status = change.statuses[one]
        said = f"status: {status[0]} to {status[1]}"
        if None not in status and status[0] != status[1]:
            assert said in entry.what
        words = {"verdict": (said,), "regrouped": ("split", "merged"), "rated": ("origin",)}
        assert entry.what[0].startswith(words.get(change.kind, (change.kind,)))
        assert (entry.gained, entry.lost) == change.voxels.get(one, (0, 0))
        assert entry.status == status[1]
        others = {*change.before, *change.after} - {one}
        assert {
            int(n) for n in re.findall(r"\d+", entry.what[0]) if change.kind != "verdict"
        } <= others


def one_round(labels: NDArray[np.uint32], *, info: RoundInfo | None = None) -> AnnotationStore:
    """A store in which a round made other labels of objects 1 to 4."""
    before = np.zeros(SHAPE, np.uint32)
    for one, y in zip(range(1, 5), (0, 10, 20, 30), strict=True):
        before[0:3, y : y + 8, 0:6] = one
    store = empty_store(before)
    with store.begin_round(info or by_person()):
        pass
    with store.begin_round(info or by_person()) as txn:
        txn.set_labels("a", np.where(labels > 0, labels, before) % 99, proposed([1, 3, 5, 6, 98]))
    return store


def test_splits_and_merges_are_told_to_each_object() -> None:
    labels = np.zeros(SHAPE, np.uint32)
    labels[0:3, 0:3, 0:6] = 5  # 1 is split into 1 and 5
    labels[0:3, 10:14, 0:6], labels[0:3, 14:18, 0:6] = 6, 98  # 2 into 6 and 98
    labels[0:3, 30:38, 0:6] = 3  # 4 joins 3
    store = one_round(labels)
    said = {one: blame(store, "a", one)[-1].what for one in (*IDS, 98)}
    status = "status: accepted to proposed"
    assert said[1] == ("split into 5", status, "origin")
    assert said[5] == ("split from 1", "added")
    assert said[2] == ("split into 6, 98", "deleted")
    assert said[6] == ("split from 2", "added")
    assert said[3] == ("merged with 4", status, "origin")
    assert said[4] == ("merged into 3", "deleted")
    assert [e.gained - e.lost for e in blame(store, "a", 4)] == [144, -144]


def test_of_a_change_of_many_each_object_is_told_its_own_part() -> None:
    labels = np.zeros(SHAPE, np.uint32)
    labels[0:3, 0:3, 0:6] = 5  # 1 is split into 1 and 5
    labels[0:3, 3:8, 0:6] = 1
    labels[0:3, 10:18, 0:6] = 1  # 2 joins 1
    labels[0:3, 30:38, 0:6] = 98  # 4 has another id now
    store = one_round(labels)
    (change,) = [c for c in changes_of(store, 0, 1) if c.kind == "regrouped"]
    assert (change.before, change.after, change.links) == ((1, 2), (1, 5), {2: 1, 5: 1})
    said = {one: blame(store, "a", one)[-1].what for one in (1, 2, 4, 5, 98)}
    status = "status: accepted to proposed"
    assert said[1] == ("split into 5", "merged with 2", status, "origin")
    assert said[2] == ("merged into 1", "deleted")
    assert said[5] == ("split from 1", "added")
    assert said[4] == ("reshaped into 98", "deleted")
    assert said[98] == ("reshaped from 4", "added")
    assert store.rounds()[-1].counts == {"a:nuclei": EditCounts(split=1, merged=1, reshaped=1)}


def test_rows_of_a_store_that_noted_no_links_are_read_and_added_to(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    labels = np.zeros(SHAPE, np.uint32)
    labels[0:3, 10:18, 0:6] = 1  # 2 joins 1
    labels[0:3, 30:38, 0:6] = 99  # 4 is gone
    with monkeypatch.context() as before:
        before.setattr(_edit_rows, "EDIT_COLUMNS", EDIT_COLUMNS[:-1])
        rows = _edit_rows._rows
        before.setattr(_edit_rows, "_rows", lambda *about: (row[:-1] for row in rows(*about)))
        store = one_round(labels)
        assert read_edits(store.labels("a").group).shape[1] == len(EDIT_COLUMNS) - 1
    assert blame(store, "a", 2)[-1].what == ("merged into 1", "deleted")
    with store.begin_round(by_person()) as txn:
        txn.set_labels("a", np.full(SHAPE, 1, np.uint32), proposed([1]))
    assert [e.what[0] for e in blame(store, "a", 1)] == ["added", "merged with 2", "merged with 3"]
    assert read_edits(store.labels("a").group).shape[1] == len(EDIT_COLUMNS)


def test_a_chunk_that_is_written_twice_is_told_net() -> None:
    store = empty_store()
    place, other = np.s_[0:3, 0:8, 0:6], np.s_[0:3, 4:8, 0:6]
    with store.begin_round(by_person()) as txn:
        # 9 has no row: it is gone before the round ends.
        txn.write_labels("a", place, np.full((3, 8, 6), 9))
        txn.write_labels("a", place, np.full((3, 8, 6), 1))
        txn.write_labels("a", other, np.full((3, 4, 6), 2))
        txn.set_objects("a", proposed([1, 2]))
    assert [(e.what, e.gained, e.lost) for e in blame(store, "a", 1)] == [(("added",), 72, 0)]
    with store.begin_round(by_person()) as txn:
        txn.write_labels("a", place, np.zeros((3, 8, 6), int))
        txn.write_labels("a", place, np.array(store.labels("a").labels[place]))
    assert len(blame(store, "a", 1)) == len(blame(store, "a", 2)) == 1
    assert changes_of(store, 0, 1) == ()
    assert told(store) == [1, 2]


def test_ratings_and_origins_are_told_though_no_voxel_changed() -> None:
    labels = np.zeros(SHAPE, np.uint32)
    labels[:, 0:4], labels[:, 100:104] = 1, 2
    store = empty_store(labels)
    with store.begin_round(by_person()) as txn:
        rows = ObjectTable.make(
            [1, 2],
            status=Status.ACCEPTED,
            origin=["model:x", "person:unknown"],
            confidence={2: 0.5},
        )
        txn.set_objects("a", rows)
    one, two = (blame(store, "a", i)[-1] for i in (1, 2))
    assert (one.what, one.confidence) == (("origin",), None)
    assert (two.what, two.confidence) == (("confidence",), 0.5)
    with store.begin_round(by_person()) as txn:
        txn.set_objects("a", rows)
    assert len(blame(store, "a", 1)) == len(blame(store, "a", 2)) == 2


def test_rows_stand_in_the_order_of_the_rounds() -> None:
    store = empty_store()
    for number in range(4):
        with store.begin_round(by_person()) as txn:
            txn.set_labels("a", np.full(SHAPE, number + 1, np.uint32), proposed([1, 2, 3, 4]))
    rows = read_edits(store.labels("a").group)
    assert all(a <= b for a, b in pairwise(rows[:, COLUMN["round"]]))
    # What an earlier round noted is kept in that round, and no more.
    assert len(read_edits(store.labels("a", round=1).group)) == np.count_nonzero(rows[:, 0] <= 1)
    assert [e.entry.round for e in blame(store, "a", 2)] == [1, 2]
