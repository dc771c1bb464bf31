"""Stacks and rounds, written and read back."""

from __future__ import annotations

import hashlib
from pathlib import Path

import icechunk
import numpy as np
import pytest

from annotations.errors import (
    AxesError,
    ConflictError,
    LabelError,
    StoreError,
    UnknownRoundError,
    UnknownStackError,
    VoxelValueError,
)
from annotations.objects import NO_ROUND, ObjectTable, Status
from annotations.rounds import EditCounts, ModelRef, RoundInfo
from annotations.store import AnnotationStore
from tests.annotations.store_sources import (
    SPACING_UM,
    ArraySource,
    SlabLabels,
    bootstrapped,
    boxes,
    by_model,
    by_person,
    new_store,
    noise,
    proposed,
)


def snapshots(store: AnnotationStore) -> list[str]:
    return [entry.snapshot for entry in store.log()]


# Creating and opening --------------------------------------------------------------------------


def test_a_new_store_is_empty_and_says_so(tmp_path: Path) -> None:
    AnnotationStore.create(tmp_path / "store")
    store = AnnotationStore.open(tmp_path / "store")
    assert store.stacks() == []
    assert store.rounds() == []
    assert [entry.kind for entry in store.log()] == ["create"]
    assert store.status().last_round is None


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
    assert [info.name for info in AnnotationStore.open(tmp_path / "store").stacks()] == ["a"]
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]


def test_create_takes_an_empty_folder(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    assert AnnotationStore.create(tmp_path / "empty").stacks() == []


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


def test_open_refuses_a_later_format(tmp_path: Path) -> None:
    AnnotationStore.create(tmp_path / "store")
    storage = icechunk.local_filesystem_storage(str(tmp_path / "store"))
    session = icechunk.Repository.open(storage).writable_session("main")
    import zarr

    zarr.open_group(session.store, mode="r+").attrs["hitl_format"] = 99
    session.commit("from the future")
    with pytest.raises(StoreError, match="format 1 or older, got 99; update"):
        AnnotationStore.open(tmp_path / "store")


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
    assert np.array_equal(store.stack("a").labels[...], boxes())


# Stacks ----------------------------------------------------------------------------------------


def test_a_stack_comes_back_as_it_went_in(tmp_path: Path) -> None:
    file = tmp_path / "embryo.npy"
    image = noise((2, 35, 140, 130), "uint16")
    np.save(file, image)
    source = ArraySource(image, file)
    store = AnnotationStore.create(tmp_path / "store")
    calls: list[tuple[int, int, str]] = []
    info = store.add_stack(
        "a.b-c_1",
        source,
        channel=1,
        split="val",
        group="field-1",
        progress=lambda *call: calls.append(call),
    )
    view = AnnotationStore.open(tmp_path / "store").stack("a.b-c_1")
    assert view.info == info
    assert info.shape == (2, 35, 140, 130)
    assert (info.channel, info.split, info.group, info.source) == (
        1,
        "val",
        "field-1",
        "embryo.npy",
    )
    assert info.spacing_um == SPACING_UM
    assert info.source_sha256 == hashlib.sha256(file.read_bytes()).hexdigest()
    assert view.image.dtype == np.uint16
    assert np.array_equal(view.image[...], image)
    assert np.array_equal(view.read_channel(), image[1])
    assert view.image.chunks == (1, 16, 128, 128)
    assert not view.labels[...].any()
    assert not view.verified[...].any()
    assert len(view.objects) == 0
    assert source.most_slices == 16
    assert calls[0][:2] == (0, 35)
    assert calls[-1][:2] == (35, 35)


@pytest.mark.parametrize("dtype", ["uint8", "int16", ">u2", "uint32", "float32", ">f8"])
def test_every_dtype_is_kept(tmp_path: Path, dtype: str) -> None:
    store = AnnotationStore.create(tmp_path / "store")
    image = noise(dtype=dtype)
    store.add_stack("a", ArraySource(image))
    view = store.stack("a")
    assert view.image.dtype == np.dtype(dtype).newbyteorder("=")
    assert np.array_equal(view.image[...], image)


def test_small_stacks_get_small_chunks(tmp_path: Path) -> None:
    view = new_store(tmp_path / "store").stack("a")
    assert view.image.chunks == (1, 16, 40, 30)
    assert view.labels.chunks == view.verified.chunks == (16, 40, 30)


@pytest.mark.parametrize("wrap", [SlabLabels, np.asarray])
def test_labels_that_come_with_a_stack_are_a_persons(tmp_path: Path, wrap: type) -> None:
    labels = wrap(boxes().astype(np.int64))
    view = new_store(tmp_path / "store", labels=labels, annotator="anna").stack("a")
    assert np.array_equal(view.labels[...], boxes())
    assert view.verified[...].all()
    assert view.verified_voxels == boxes().size
    expected = ObjectTable.make([1, 2, 7], status=Status.ACCEPTED, origin="person:anna")
    assert view.objects.equals(expected)
    assert view.objects.round.tolist() == [NO_ROUND] * 3


@pytest.mark.parametrize(
    ("image", "options", "error", "message"),
    [
        (noise(), {"labels": boxes()[:, :-1]}, LabelError, r"shape \(20, 40, 30\).*\(20, 39, 30\)"),
        (noise(), {"labels": boxes() * 0.5}, LabelError, "whole numbers"),
        (noise(), {"labels": boxes().astype(int) - 1}, LabelError, "from 0 to"),
        (noise(), {"channel": 1}, AxesError, "channel from 0 to 0, got 1"),
        (noise(), {"channel": -1}, AxesError, "channel"),
        (noise(), {"split": "testing"}, StoreError, "train, val, test, got 'testing'"),
        (noise()[:, :0], {}, AxesError, "empty shape"),
        (noise() * 1j, {}, VoxelValueError, "complex"),
        (np.full((1, 20, 40, 30), 7, "u1"), {}, VoxelValueError, "value 7 in every voxel"),
    ],
)
def test_a_bad_stack_changes_nothing(
    tmp_path: Path, image: np.ndarray, options: dict, error: type[Exception], message: str
) -> None:
    store = AnnotationStore.create(tmp_path / "store")
    before = snapshots(store)
    with pytest.raises(error, match=message):
        store.add_stack("a", ArraySource(image), **options)
    assert snapshots(store) == before
    assert store.stacks() == []
    assert not list((tmp_path / "store").glob("chunks/*"))


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_single_voxel_that_is_not_finite_is_found(tmp_path: Path, value: float) -> None:
    store = AnnotationStore.create(tmp_path / "store")
    image = noise((2, 20, 40, 30), "float32")
    image[1, 17, 3, 4] = value
    with pytest.raises(VoxelValueError, match="channel 1, slice 17"):
        store.add_stack("a", ArraySource(image))
    assert store.stacks() == []


def test_a_reader_that_gives_less_than_it_said_is_found(tmp_path: Path) -> None:
    source = ArraySource(noise())
    source.array = source.array[:, :18]
    store = AnnotationStore.create(tmp_path / "store")
    with pytest.raises(AxesError, match="not what its header says"):
        store.add_stack("a", source)
    assert store.stacks() == []


@pytest.mark.parametrize(
    "name", ["", "..", ".hidden", "a/b", "../a", "a\\b", "a b", "é", "-x", "x" * 101, "zarr.json"]
)
def test_names_that_could_be_paths_are_refused(tmp_path: Path, name: str) -> None:
    store = new_store(tmp_path / "store")
    with pytest.raises(UnknownStackError, match="--name"):
        store.add_stack(name, ArraySource(noise()))
    with pytest.raises(UnknownStackError):
        store.stack(name)
    with pytest.raises(UnknownStackError), store.begin_round(by_person()) as txn:
        txn.stack(name)


def test_a_taken_name_is_refused_and_the_stack_kept(tmp_path: Path) -> None:
    store = new_store(tmp_path / "store")
    with pytest.raises(UnknownStackError, match="--name"):
        store.add_stack("a", ArraySource(noise(seed=1)))
    assert np.array_equal(store.stack("a").image[...], noise())


def test_unknown_names_come_with_the_nearest(tmp_path: Path) -> None:
    store = AnnotationStore.create(tmp_path / "store")
    with pytest.raises(UnknownStackError, match="none yet"):
        store.stack("embryo")
    store.add_stack("embryo-1", ArraySource(noise()))
    with pytest.raises(UnknownStackError, match="did you mean 'embryo-1'"):
        store.stack("embryo1")
    with pytest.raises(UnknownStackError, match="did you mean 'embryo-1'"):
        store.remove_stack("embryo_1")


def test_a_removed_stack_stays_in_earlier_rounds(tmp_path: Path) -> None:
    store = bootstrapped(tmp_path / "store")
    store.remove_stack("a")
    assert store.stacks() == []
    assert [info.name for info in store.stacks(round=0)] == ["a"]
    assert np.array_equal(store.stack("a", round=0).labels[...], boxes())
    assert [entry.kind for entry in store.log()] == ["remove", "bootstrap", "add", "create"]
    store.add_stack("a", ArraySource(noise(seed=3)))
    assert not store.stack("a").labels[...].any()


def test_the_same_voxels_are_found_under_another_name_and_dtype(tmp_path: Path) -> None:
    store = AnnotationStore.create(tmp_path / "store")
    image = noise((1, 20, 40, 30), "uint8")
    image[0, 4] = 9
    store.add_stack("a", ArraySource(image))
    store.add_stack("again", ArraySource(image[:, 3:12].astype(">f4")), split="test")
    other = noise((1, 20, 40, 30), "uint8", seed=5)
    other[0, 4] = 9
    store.add_stack("other", ArraySource(other))
    expected = tuple((z, z - 3) for z in range(3, 12) if z != 4)
    assert store.shared_slices("a", "again") == expected
    assert store.shared_slices("a", "other") == ()
    found = store.find_overlaps(["a", "other"], ["again"])
    assert [(overlap.a, overlap.b, overlap.slices) for overlap in found] == [
        ("a", "again", expected)
    ]


# Rounds ----------------------------------------------------------------------------------------


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
        txn.count("a", EditCounts(added=2))
        txn.count("a", EditCounts(added=1, merged=4))
    with store.begin_round(by_person("second")) as txn:
        assert txn.number == 1
        txn.write_labels("a", (slice(2, 5), slice(5, 12), slice(5, 12)), np.zeros((3, 7, 7), int))
        rejected = ObjectTable.make(
            [1], status=Status.REJECTED, origin="person:anna", round=txn.number
        )
        txn.set_objects("a", txn.stack("a").objects.updated(rejected))
        assert not np.any(txn.stack("a").labels[...] == 1)
    store = AnnotationStore.open(tmp_path / "store", read_only=True)
    zero, one = store.rounds()
    assert (zero.round, one.round) == (0, 1)
    assert zero.model == first.model
    assert zero.config == first.config
    assert zero.counts == {"a": EditCounts(added=3, merged=4)}
    assert zero.total == EditCounts(added=3, merged=4)
    assert zero.stacks == ("a",)
    assert (one.model, one.minutes, one.author, one.message) == (None, 2.5, "anna", "second")
    assert zero.when < one.when
    assert zero.when.tzinfo is not None
    assert [entry.round for entry in store.log()] == [1, 0, None, None]
    assert store.round_snapshot(0) == zero.snapshot
    assert store.stack("a").objects.counts()["rejected"] == 1
    assert np.array_equal(store.stack("a", round=0).labels[...], boxes())
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
    assert np.array_equal(store.stack("a").labels[...], boxes())
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
    view = store.stack("a")
    with store.begin_round(by_person()) as txn:
        txn.set_labels("a", boxes() * 0, proposed([]))
        assert np.array_equal(store.stack("a").labels[...], boxes())
    assert np.array_equal(view.labels[...], boxes())
    assert not store.stack("a").labels[...].any()


def test_only_chunks_that_differ_are_written(tmp_path: Path) -> None:
    store = AnnotationStore.create(tmp_path / "store")
    store.add_stack("a", ArraySource(noise((1, 40, 260, 260))))
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
    assert np.array_equal(store.stack("a").labels[...], labels)


def test_unknown_rounds_say_which_there_are(tmp_path: Path) -> None:
    store = new_store(tmp_path / "store")
    with pytest.raises(UnknownRoundError, match="none yet"):
        store.stack("a", round=0)
    with store.begin_round(by_model()):
        pass
    for wrong in (1, -1):
        with pytest.raises(UnknownRoundError, match="0 to 0"):
            store.stacks(round=wrong)


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


# Status ----------------------------------------------------------------------------------------


def test_status_counts_without_being_told(tmp_path: Path) -> None:
    store = bootstrapped(tmp_path / "store")
    store.add_stack("b", ArraySource(noise(seed=2)), split="test", labels=boxes())
    with store.begin_round(by_person()) as txn:
        txn.write_verified("a", (slice(0, 10), slice(0, 40), slice(0, 30)))
        txn.write_verified("a", (slice(5, 10), slice(0, 40), slice(0, 15)), 0)
    status = store.status()
    a, b = status.stacks
    assert (a.info.name, b.info.split) == ("a", "test")
    assert a.objects == {"proposed": 3, "accepted": 0, "corrected": 0, "rejected": 0}
    assert a.verified_share == pytest.approx(0.375)
    assert b.verified_share == 1
    assert status.rounds == 2
    assert status.last_round is not None
    assert status.last_round.round == 1
    files = [f for f in (tmp_path / "store").rglob("*") if f.is_file()]
    assert status.size_bytes == sum(f.stat().st_size for f in files) > 0


def test_the_size_of_a_remote_store_is_known() -> None:
    assert new_store("memory:size").status().size_bytes > 0
