"""Time series: a round on one time point leaves the others, and history goes over all of them."""

from __future__ import annotations

from dataclasses import replace
from itertools import count
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from annotations._guards import VerifiedError
from annotations.differences import diff_rounds
from annotations.errors import LabelError, StoreError
from annotations.history import blame, roll_back
from annotations.objects import ObjectTable, Status
from annotations.status import labels_status
from annotations.store import AnnotationStore
from tests.annotations.store_sources import ArraySource, by_model, by_person, noise, proposed

TIMES = 11
ZYX = (20, 30, 26)
"""A depth that chunks of 16 slices would not divide."""

PLANES = (TIMES * ZYX[0], *ZYX[1:])
_NAMES = count()


def tracked() -> NDArray[np.uint32]:
    """One object that moves in x from time to time, and one that is there twice only."""
    labels = np.zeros((TIMES, *ZYX), np.uint32)
    for time in range(TIMES):
        labels[time, 4:9, 5:12, time : time + 8] = 1
    labels[3:5, 15:19, 20:28, 2:9] = 2
    return labels.reshape(PLANES)


def series(location: str | Path, **add: object) -> AnnotationStore:
    """A store with the series ``a``: two channels, a time point every 90 s."""
    source = ArraySource(noise((TIMES, 2, *ZYX)))
    source.info = replace(source.info, time_step_s=90.0)
    store = AnnotationStore.create(location)
    store.add_field("a", source, **add)
    return store


def test_a_series_comes_back_as_it_went_in(tmp_path: Path) -> None:
    series(tmp_path / "store", labels={"nuclei": tracked()})
    view = AnnotationStore.open(tmp_path / "store").labels("a")
    image = noise((TIMES, 2, *ZYX))
    assert (view.info.times, view.info.zyx, view.info.field.time_step_s) == (TIMES, ZYX, 90.0)
    assert np.array_equal(view.labels[...], tracked())
    assert view.verified[...].all()
    assert labels_status(view).verified_share == 1
    points = list(view.time_points())
    assert [point.time for point in points] == list(range(TIMES))
    for time, point in enumerate(points):
        assert np.array_equal(point.image, image[time])
        assert np.array_equal(point.read_image(), image[time, :1])
        assert np.array_equal(point.labels, tracked().reshape(TIMES, *ZYX)[time])
        assert point.objects.id.tolist() == [1, 2]
    assert ZYX[0] % view.labels.chunks[0] == 0
    assert [entry.what for entry in blame(AnnotationStore.open(tmp_path / "store"), "a", 2)] == [
        ("added",)
    ]


def test_time_points_that_are_not_there_are_refused(tmp_path: Path) -> None:
    store = series(tmp_path / "store")
    view = store.labels("a")
    for time in (-1, TIMES):
        with pytest.raises(StoreError, match=f"from 0 to 10, got {time}"):
            view.at(time)
    with pytest.raises(StoreError, match="one time point, got all 11; choose one"):
        _ = view.image
    place = np.s_[0:1, 0:1, 0:1]
    with pytest.raises(StoreError, match="time point"), store.begin_round(by_person()) as txn:
        txn.write_labels("a", place, np.ones((1, 1, 1), int), time=TIMES)
    with pytest.raises(LabelError, match="planes"), store.begin_round(by_person()) as txn:
        txn.set_labels("a", tracked()[: ZYX[0]], proposed([1, 2]))
    assert store.rounds() == []


def test_labels_of_another_length_are_refused(tmp_path: Path) -> None:
    with pytest.raises(LabelError, match=r"\(220, 30, 26\) \(planes, Y, X\), got \(20, 30, 26\)"):
        series(tmp_path / "store", labels={"nuclei": tracked()[: ZYX[0]]})


def test_a_round_on_one_time_point_leaves_the_others(tmp_path: Path) -> None:
    store = series(tmp_path / "store")
    with store.begin_round(by_model()) as txn:
        txn.set_labels("a", tracked(), proposed([1, 2]))
    with store.begin_round(by_person()) as txn:
        one = np.array(txn.labels("a").at(7).labels)
        one[4:9, 5:7] = 0
        changed = txn.copy_labels("a", one, [np.s_[4:9, 5:7, 0:26]], time=7)
        seen = txn.write_verified("a", np.s_[0:10, :, :], time=7)
        assert txn.verify("a", [(np.s_[9:12, 0:2, 0:2], np.ones((3, 2, 2), bool))], time=7) == 8
    assert (changed, seen) == (5 * 2 * 8, 10 * 30 * 26)
    expected = tracked().reshape(TIMES, *ZYX)
    expected[7, 4:9, 5:7] = 0
    view = store.labels("a")
    assert np.array_equal(view.labels[...], expected.reshape(PLANES))
    verified = np.zeros((TIMES, *ZYX), np.uint8)
    verified[7, :10], verified[7, 10:12, :2, :2] = 1, 1
    assert np.array_equal(view.verified[...], verified.reshape(PLANES))
    assert view.verified_voxels == verified.sum()
    (found,) = diff_rounds(store, 0, 1).fields
    (change,) = found.changes
    assert (change.kind, change.before, change.gained, change.lost) == ("reshaped", (1,), 0, 80)
    # The box is of planes: time point 7 begins at plane 140.
    assert change.box == ((144, 149), (5, 7), (7, 15))
    assert found.verified_voxels == verified.sum()
    assert [entry.lost for entry in blame(store, "a", 1)] == [0, 80]
    assert len(blame(store, "a", 2)) == 1
    done = roll_back(store, 0, author="ben")
    assert done.fields[0].changes[0].gained == 80
    assert np.array_equal(store.labels("a").labels[...], tracked())
    assert store.labels("a").verified_voxels == 0
    assert not store.labels("a").verified[...].any()


def test_a_model_keeps_what_is_verified_at_its_time_point_only(tmp_path: Path) -> None:
    store = series(tmp_path / "store", labels={"nuclei": tracked()})
    with store.begin_round(by_person()) as txn:
        txn.write_verified("a", np.s_[:, :, :], 0)
        txn.write_verified("a", np.s_[:, :, :], time=2)
    place, none = np.s_[0:20, 0:30, 0:26], np.zeros(ZYX, np.uint32)
    with store.begin_round(by_model()) as txn:
        txn.write_labels("a", place, none, time=3)
    with pytest.raises(VerifiedError, match="verified"), store.begin_round(by_model()) as txn:
        txn.write_labels("a", place, none, time=2)
    labels = np.array(store.labels("a").labels).reshape(TIMES, *ZYX)
    assert not labels[3].any()
    assert labels[2].any()


@st.composite
def writes(draw: st.DrawFn) -> tuple[int | None, tuple[slice, ...], int]:
    """Where a round writes which id: at one time point, or in planes of several."""
    time = draw(st.one_of(st.none(), st.integers(0, 2)))
    shape = (4, 9, 7) if time is not None else (12, 9, 7)
    ends = [sorted((draw(st.integers(0, n - 1)), draw(st.integers(0, n - 1)))) for n in shape]
    return time, tuple(slice(a, b + 1) for a, b in ends), draw(st.integers(0, 4))


@settings(max_examples=15, deadline=None)
@given(st.lists(st.lists(writes(), max_size=3), min_size=1, max_size=3), st.integers(0, 2))
def test_rounds_over_time_are_those_of_an_array(rounds: list, to: int) -> None:
    store = AnnotationStore.create(f"memory:series-{next(_NAMES)}")
    store.add_field("a", ArraySource(noise((3, 1, 4, 9, 7))))
    labels, verified = np.zeros((12, 9, 7), np.uint32), np.zeros((12, 9, 7), np.uint8)
    states = []
    for number, script in enumerate(rounds):
        with store.begin_round(by_person()) as txn:
            txn.set_objects("a", proposed([1, 2, 3, 4], number))
            for time, place, value in script:
                start = 0 if time is None else 4 * time
                there = (slice(place[0].start + start, place[0].stop + start), *place[1:])
                labels[there], verified[there] = value, value % 2
                size = labels[there].shape
                txn.write_labels("a", place, np.full(size, value), time=time)
                txn.write_verified("a", place, value % 2, time=time)
        states.append((labels.copy(), verified.copy()))
        view = store.labels("a")
        assert np.array_equal(view.labels[...], labels)
        assert np.array_equal(view.verified[...], verified)
        assert view.verified_voxels == verified.sum()
    if to < len(states) - 1:
        roll_back(store, to, author="ben")
        view = store.labels("a")
        assert np.array_equal(view.labels[...], states[to][0])
        assert np.array_equal(view.verified[...], states[to][1])
        assert view.verified_voxels == states[to][1].sum()
        assert diff_rounds(store, to, len(states)).fields == ()


def test_an_object_is_one_over_all_time_points(tmp_path: Path) -> None:
    store = series(tmp_path / "store", labels={"nuclei": tracked()})
    with store.begin_round(by_person()) as txn:
        labels = tracked().reshape(TIMES, *ZYX)
        labels[4][labels[4] == 2] = 3
        rows = ObjectTable.make([3], status=Status.CORRECTED, origin="person:anna", round=0)
        txn.set_labels("a", labels.reshape(PLANES), txn.labels("a").objects.updated(rows))
    last = blame(store, "a", 3)[-1]
    assert last.what == ("split from 2", "added")
    assert blame(store, "a", 2)[-1].lost == 4 * 8 * 7
