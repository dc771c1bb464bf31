"""Rounds that write only the chunks that something meets, several at the same time."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from annotations._chunks import chunks_meeting
from annotations._guards import VerifiedError
from annotations.errors import LabelError, StoreError
from annotations.store import AnnotationStore
from tests.annotations.store_sources import (
    ArraySource,
    SlabLabels,
    by_model,
    by_person,
    noise,
    proposed,
)

SHAPE = (20, 140, 150)
"""Two chunks along each axis."""


class Unreadable:
    """Labels whose last slices cannot be read."""

    shape = SHAPE

    def read(self, z_start: int, z_stop: int) -> np.ndarray:
        if z_start >= 16:
            raise RuntimeError("unreadable")
        return np.full((z_stop - z_start, *SHAPE[1:]), 3, np.uint32)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> AnnotationStore:
    store = AnnotationStore.create(tmp_path_factory.mktemp("store") / "s")
    store.add_field("a", ArraySource(noise((1, *SHAPE), "uint8")))
    return store


@st.composite
def regions(draw: st.DrawFn) -> tuple[slice, slice, slice]:
    parts = []
    for size in SHAPE:
        start = draw(st.integers(0, size - 1))
        parts.append(slice(start, draw(st.integers(start + 1, size))))
    return parts[0], parts[1], parts[2]


COMMON = settings(
    max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@COMMON
@given(st.lists(regions(), max_size=4), st.integers(0, 99), st.booleans(), st.booleans())
def test_labels_are_copied_in_the_chunks_that_regions_meet(
    store: AnnotationStore,
    places: list[tuple[slice, slice, slice]],
    seed: int,
    slabs: bool,
    known: bool,
) -> None:
    before = np.asarray(store.labels("a").labels[...])
    labels = np.random.default_rng(seed).integers(0, 5, SHAPE).astype(np.uint32)
    with store.begin_round(by_person()) as txn:
        source = SlabLabels(labels) if slabs else labels
        changed = txn.copy_labels("a", source, places, before.__getitem__ if known else None)
        txn.set_objects("a", proposed([1, 2, 3, 4]))
    view = store.labels("a")
    expected = before.copy()
    for place in chunks_meeting(view.labels, places):
        expected[place] = labels[place]
    assert np.array_equal(view.labels[...], expected)
    assert changed == np.count_nonzero(before != expected)
    for place in places:
        assert np.array_equal(expected[place], labels[place])


@COMMON
@given(st.lists(st.tuples(regions(), st.integers(0, 99)), max_size=4))
def test_masks_add_to_what_is_verified(
    store: AnnotationStore, given: list[tuple[tuple[slice, slice, slice], int]]
) -> None:
    expected = np.asarray(store.labels("a").verified[...]) > 0
    before = np.count_nonzero(expected)
    patches = []
    for place, seed in given:
        mask = np.random.default_rng(seed).random(expected[place].shape) < 0.1
        expected[place] |= mask
        patches.append((place, mask))
    with store.begin_round(by_person()) as txn:
        assert txn.verify("a", iter(patches)) == np.count_nonzero(expected) - before
    view = store.labels("a")
    assert np.array_equal(view.verified[...], expected)
    assert view.verified_voxels == np.count_nonzero(expected)


def test_verified_voxels_are_replaced_and_counted(tmp_path: Path) -> None:
    store = AnnotationStore.create(tmp_path / "store")
    store.add_field("a", ArraySource(noise((1, *SHAPE), "uint8")))
    for seed in (0, 1):
        mask = np.random.default_rng(seed).random(SHAPE) < 0.3
        with store.begin_round(by_person()) as txn:
            txn.write_verified("a", np.s_[:, :, :], mask)
        view = store.labels("a")
        assert np.array_equal(view.verified[...], mask)
        assert view.verified_voxels == np.count_nonzero(mask)


def test_each_chunk_is_named_once(store: AnnotationStore) -> None:
    array = store.labels("a").labels
    whole = (slice(0, 20), slice(0, 140), slice(0, 150))
    places = chunks_meeting(array, [whole, (slice(3, 4), slice(5, 6), slice(100, 129))])
    assert len(places) == len({str(place) for place in places}) == 8
    assert places[-1] == (slice(16, 20), slice(128, 140), slice(128, 150))
    assert sum(np.empty(SHAPE, np.int8)[place].size for place in places) == np.prod(SHAPE)
    assert chunks_meeting(array, []) == []


def test_what_a_round_must_not_write_is_refused(tmp_path: Path) -> None:
    store = AnnotationStore.create(tmp_path / "store")
    store.add_field("a", ArraySource(noise((1, *SHAPE), "uint8")))
    place = (slice(0, 2), slice(0, 3), slice(0, 4))
    ones = np.ones(SHAPE, np.uint32)
    with store.begin_round(by_person()) as txn:
        txn.copy_labels("a", ones, [place])
        txn.set_objects("a", proposed([1]))
        txn.verify("a", [(place, np.ones((2, 3, 4), np.uint8))])
    refused = [
        (by_model(), VerifiedError, lambda txn: txn.copy_labels("a", ones * 0, [place])),
        (by_model(), VerifiedError, lambda txn: txn.verify("a", [])),
        (by_person(), LabelError, lambda txn: txn.copy_labels("a", ones * 9, [place])),
        (by_person(), LabelError, lambda txn: txn.copy_labels("a", ones[1:], [place])),
        (by_person(), LabelError, lambda txn: txn.copy_labels("a", ones / 2, [place])),
        (by_person(), LabelError, lambda txn: txn.verify("a", [(place, np.ones((2, 3, 5)))])),
        (by_person(), LabelError, lambda txn: txn.verify("a", [(place, np.full((2, 3, 4), 2))])),
    ]
    for info, error, write in refused:
        with pytest.raises(error), store.begin_round(info) as txn:
            write(txn)
    with (
        pytest.raises(StoreError, match="cannot be committed"),
        store.begin_round(by_person()) as txn,
        pytest.raises(RuntimeError, match="unreadable"),
    ):
        txn.copy_labels("a", Unreadable(), [(slice(0, 20), slice(0, 140), slice(0, 150))])
    assert len(store.rounds()) == 1
    assert np.all(store.labels("a").labels[place] == 1)
    assert store.labels("a").verified_voxels == 24
