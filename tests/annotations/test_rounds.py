"""Rounds: commits with tags and their story, all or nothing."""

from __future__ import annotations

from pathlib import Path

import icechunk
import numpy as np
import pytest

from annotations.errors import (
    LabelError,
    StoreError,
    UnknownRoundError,
)
from annotations.objects import ObjectTable, Status
from annotations.rounds import EditCounts, ModelRef, RoundInfo
from annotations.store import AnnotationStore
from tests.annotations.store_sources import (
    ArraySource,
    SlabLabels,
    bootstrapped,
    boxes,
    by_model,
    by_person,
    new_store,
    noise,
    proposed,
    snapshots,
)


def test_rounds_are_commits_with_tags_and_their_story(tmp_path: Path) -> None:
    store = new_store(tmp_path / "store")
    first = RoundInfo(
        kind="bootstrap",
        message="classical",
        author="anna",
        model=ModelRef(name="classical", weights_sha256="cd" * 32, settings={"sigma_um": 1.5}),
        config={"tile": [1, 2], "nested": {"a": None}},
    )
    with store.begin_round(first) as txn:
        assert txn.number == 0
        assert txn.set_labels("a", boxes(), proposed([1, 2, 7])) == np.count_nonzero(boxes())
    with store.begin_round(by_person("second")) as txn:
        assert txn.number == 1
        txn.write_labels("a", (slice(2, 5), slice(5, 12), slice(5, 12)), np.zeros((3, 7, 7), int))
        rejected = ObjectTable.make(
            [1], status=Status.REJECTED, origin="person:anna", round=txn.number
        )
        txn.set_objects("a", txn.labels("a").objects.updated(rejected))
        assert not np.any(txn.labels("a").labels[...] == 1)
    store = AnnotationStore.open(tmp_path / "store", read_only=True)
    zero, one = store.rounds()
    assert (zero.round, one.round) == (0, 1)
    assert zero.model == first.model
    assert zero.config == first.config
    assert zero.counts == {"a:nuclei": EditCounts(added=3)}
    assert zero.total == EditCounts(added=3)
    assert one.counts == {"a:nuclei": EditCounts(deleted=1)}
    assert zero.labels == ("a:nuclei",)
    assert (one.model, one.minutes, one.author, one.message) == (None, 2.5, "anna", "second")
    assert zero.when < one.when
    assert zero.when.tzinfo is not None
    assert [entry.round for entry in store.log()] == [1, 0, None, None]
    assert store.round_snapshot(0) == zero.snapshot
    assert store.labels("a").objects.counts()["rejected"] == 1
    assert np.array_equal(store.labels("a", round=0).labels[...], boxes())
    repository = icechunk.Repository.open(
        icechunk.local_filesystem_storage(str(tmp_path / "store"))
    )
    assert repository.list_tags() == {"round-0000", "round-0001"}
    assert repository.lookup_tag("round-0001") == one.snapshot


def test_a_round_without_a_change_is_still_a_round(tmp_path: Path) -> None:
    store = bootstrapped(tmp_path / "store")
    with store.begin_round(by_person("looked, all fine")):
        pass
    assert [entry.message for entry in store.rounds()] == ["bootstrap", "looked, all fine"]


def test_an_exception_drops_the_round_and_its_chunks(tmp_path: Path) -> None:
    store = bootstrapped(tmp_path / "store")
    before, chunks = snapshots(store), sorted((tmp_path / "store" / "chunks").iterdir())
    with pytest.raises(KeyboardInterrupt), store.begin_round(by_person()) as txn:
        txn.set_labels("a", boxes() * 3, proposed([3, 6, 21]))
        raise KeyboardInterrupt
    assert snapshots(store) == before
    assert sorted((tmp_path / "store" / "chunks").iterdir()) == chunks
    assert np.array_equal(store.labels("a").labels[...], boxes())
    with store.begin_round(by_person()) as txn:
        assert txn.number == 1


def test_a_failed_write_cannot_be_committed_in_part(tmp_path: Path) -> None:
    store = bootstrapped(tmp_path / "store")
    before = snapshots(store)
    labels = boxes() * 3
    labels[18, 0, 0] = 99
    with (
        pytest.raises(StoreError, match="begin the round again"),
        store.begin_round(by_person()) as txn,
        pytest.raises(LabelError, match="99"),
    ):
        txn.set_labels("a", labels, proposed([3, 6, 21]))
    assert snapshots(store) == before


def test_a_round_that_is_over_takes_no_more(tmp_path: Path) -> None:
    store = bootstrapped(tmp_path / "store")
    with store.begin_round(by_person()) as txn:
        pass
    with pytest.raises(StoreError, match="the round is over"):
        txn.write_verified("a", (slice(0, 1), slice(0, 1), slice(0, 1)))


def test_a_view_does_not_change_under_its_reader(tmp_path: Path) -> None:
    store = bootstrapped(tmp_path / "store")
    view = store.labels("a")
    with store.begin_round(by_person()) as txn:
        txn.set_labels("a", boxes() * 0, proposed([]))
        assert np.array_equal(store.labels("a").labels[...], boxes())
    assert np.array_equal(view.labels[...], boxes())
    assert not store.labels("a").labels[...].any()


def test_only_chunks_that_differ_are_written(tmp_path: Path) -> None:
    store = AnnotationStore.create(tmp_path / "store")
    store.add_field("a", ArraySource(noise((1, 40, 260, 260))))
    labels = np.random.default_rng(0).integers(0, 9, (40, 260, 260)).astype(np.uint32)
    objects = proposed(list(range(1, 10)))
    chunks = tmp_path / "store" / "chunks"
    with store.begin_round(by_model()) as txn:
        txn.set_labels("a", labels, objects)
    before = len(list(chunks.iterdir()))
    labels[17, 200, 200] = 9
    with store.begin_round(by_person()) as txn:
        assert txn.set_labels("a", SlabLabels(labels), objects) == 1
    assert len(list(chunks.iterdir())) == before + 1
    labels[15:18, 127:129, 5] = 9
    with store.begin_round(by_person()) as txn:
        txn.write_labels(
            "a", (slice(10, 20), slice(120, 130), slice(0, 20)), labels[10:20, 120:130, :20]
        )
    assert len(list(chunks.iterdir())) == before + 5
    assert np.array_equal(store.labels("a").labels[...], labels)


def test_unknown_rounds_say_which_there_are(tmp_path: Path) -> None:
    store = new_store(tmp_path / "store")
    with pytest.raises(UnknownRoundError, match="none yet"):
        store.labels("a", round=0)
    with store.begin_round(by_model()):
        pass
    for wrong in (1, -1):
        with pytest.raises(UnknownRoundError, match="0 to 0"):
            store.all_labels(round=wrong)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"kind": "guess"}, "bootstrap, propose"),
        ({"message": " "}, "message"),
        ({"author": ""}, "author"),
        ({"minutes": -1.0}, "minutes"),
        ({"minutes": float("nan")}, "minutes"),
        ({"config": {"a": np.zeros(3)}}, "JSON"),
        ({"config": {"a": float("nan")}}, "JSON"),
    ],
)
def test_a_round_must_be_able_to_tell_its_story(change: dict, message: str) -> None:
    known = {"kind": "correct", "message": "m", "author": "a"}
    with pytest.raises(StoreError, match=message):
        RoundInfo(**{**known, **change})
