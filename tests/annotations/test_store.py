"""A store: created, opened, listed, and refused where there is none."""

from __future__ import annotations

from pathlib import Path

import icechunk
import numpy as np
import pytest
import zarr

from annotations.errors import (
    ConflictError,
    StoreError,
)
from annotations.status import labels_status
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


def test_a_new_store_is_empty_and_says_so(tmp_path: Path) -> None:
    AnnotationStore.create(tmp_path / "store")
    store = AnnotationStore.open(tmp_path / "store")
    assert store.all_labels() == []
    assert store.rounds() == []
    assert [entry.kind for entry in store.log()] == ["create"]


def test_create_leaves_what_is_there_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(StoreError, match="new or empty folder"):
        AnnotationStore.create(tmp_path)
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="new or empty folder"):
        AnnotationStore.create(tmp_path / "file")
    new_store(tmp_path / "store")
    with pytest.raises(StoreError, match="new or empty folder"):
        AnnotationStore.create(tmp_path / "store")
    assert [info.name for info in AnnotationStore.open(tmp_path / "store").fields()] == ["a"]
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]


def test_create_takes_an_empty_folder(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    assert AnnotationStore.create(tmp_path / "empty").all_labels() == []


@pytest.mark.parametrize("kind", ["missing", "folder", "file", "repository", "damaged"])
def test_open_refuses_what_is_no_store(tmp_path: Path, kind: str) -> None:
    place = tmp_path / "place"
    if kind == "folder":
        (place / "refs").mkdir(parents=True)
    elif kind == "file":
        place.write_text("no store")
    elif kind == "repository":
        icechunk.Repository.create(icechunk.local_filesystem_storage(str(place)))
    elif kind == "damaged":
        new_store(place)
        for snapshot in (place / "snapshots").iterdir():
            snapshot.write_bytes(b"")
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(StoreError) as caught:
        AnnotationStore.open(place)
    assert str(place) in str(caught.value)
    assert "\n" not in str(caught.value)
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize(
    ("version", "message"),
    [
        (99, "format 2, got 99; update this toolkit"),
        (1, "format 2, got 1, made by an earlier version of this toolkit; open it with that one"),
    ],
)
def test_open_refuses_another_format(tmp_path: Path, version: int, message: str) -> None:
    AnnotationStore.create(tmp_path / "store")
    storage = icechunk.local_filesystem_storage(str(tmp_path / "store"))
    session = icechunk.Repository.open(storage).writable_session("main")
    zarr.open_group(session.store, mode="r+").attrs["hitl_format"] = version
    session.commit("another format")
    with pytest.raises(StoreError, match=message) as caught:
        AnnotationStore.open(tmp_path / "store")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("ftp://host/x", "s3://, gs:// or az://"),
        ("s3://bucket", "no prefix"),
        ("s3:///prefix", "no bucket"),
        ("az://container/x", "AZURE_STORAGE_ACCOUNT_NAME"),
    ],
)
def test_urls_that_cannot_be_stores_are_refused(
    url: str, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AZURE_STORAGE_ACCOUNT_NAME", raising=False)
    with pytest.raises(StoreError, match=message):
        AnnotationStore.create(url)


def test_object_storage_works_without_a_lock_and_finds_conflicts() -> None:
    store = new_store("memory:conflicts")
    other = AnnotationStore.open("memory:conflicts")
    with pytest.raises(StoreError, match="expected nothing there"):
        AnnotationStore.create("memory:conflicts")
    with (
        pytest.raises(ConflictError, match="do it again"),
        store.begin_round(by_model()) as late,
    ):
        with other.begin_round(by_model("first")) as txn:
            txn.set_labels("a", boxes(), proposed([1, 2, 7]))
        late.set_labels("a", boxes() * 2, proposed([2, 4, 14]))
    assert [entry.message for entry in store.rounds()] == ["first"]
    assert np.array_equal(store.labels("a").labels[...], boxes())


def test_status_counts_without_being_told(tmp_path: Path) -> None:
    store = bootstrapped(tmp_path / "store")
    store.add_field("b", ArraySource(noise(seed=2)), split="test", labels={"nuclei": boxes()})
    with store.begin_round(by_person()) as txn:
        txn.write_verified("a", (slice(0, 10), slice(0, 40), slice(0, 30)))
        txn.write_verified("a", (slice(5, 10), slice(0, 40), slice(0, 15)), 0)
    a, b = (labels_status(store.labels(name)) for name in ("a", "b"))
    assert (a.info.address, b.info.split) == ("a", "test")
    assert a.objects == {"proposed": 3, "accepted": 0, "corrected": 0, "rejected": 0}
    assert a.verified_share == pytest.approx(0.375)
    assert b.verified_share == 1
