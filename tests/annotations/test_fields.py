"""Fields come and go: what is kept of them, and what is refused."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest

from annotations.errors import (
    AxesError,
    LabelError,
    StoreError,
    UnknownFieldError,
    VoxelValueError,
)
from annotations.fields import ClassInfo
from annotations.objects import NO_ROUND, ObjectTable, Status
from annotations.store import AnnotationStore
from tests.annotations.store_sources import (
    SPACING_UM,
    ArraySource,
    SlabLabels,
    bootstrapped,
    boxes,
    by_person,
    new_store,
    noise,
    snapshots,
)


def seeing(*channels: int) -> ClassInfo:
    return ClassInfo(name="nuclei", seen=channels)


def made(**about: str) -> ClassInfo:
    return ClassInfo(name="nuclei", **about)


def given(labels: np.ndarray) -> dict:
    return {"labels": {"nuclei": labels}}


def test_a_field_comes_back_as_it_went_in(tmp_path: Path) -> None:
    file = tmp_path / "embryo.npy"
    image = noise((2, 35, 140, 130), "uint16")
    np.save(file, image)
    source = ArraySource(image, file)
    store = AnnotationStore.create(tmp_path / "store")
    calls: list[tuple[int, int, str]] = []
    info = store.add_field(
        "a.b-c_1",
        source,
        classes=[ClassInfo(name="nuclei", seen=(1,))],
        split="val",
        metadata={"condition": "drug", "well": "B3"},
        progress=lambda *call: calls.append(call),
    )
    view = AnnotationStore.open(tmp_path / "store").labels("a.b-c_1")
    assert view.info.field == info
    assert (info.shape, view.info.zyx) == ((1, 2, 35, 140, 130), (35, 140, 130))
    assert (view.info.seen, info.split, info.source) == ((1,), "val", "embryo.npy")
    assert info.metadata == {"condition": "drug", "well": "B3"}
    assert info.spacing_um == SPACING_UM
    assert info.source_sha256 == hashlib.sha256(file.read_bytes()).hexdigest()
    assert view.image.dtype == np.uint16
    assert np.array_equal(view.image[...], image)
    assert np.array_equal(view.read_image(), image[1:])
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
    store.add_field("a", ArraySource(image))
    view = store.labels("a")
    assert view.image.dtype == np.dtype(dtype).newbyteorder("=")
    assert np.array_equal(view.image[...], image)


def test_small_fields_get_small_chunks(tmp_path: Path) -> None:
    view = new_store(tmp_path / "store").labels("a")
    assert view.image.chunks == (1, 16, 40, 30)
    assert view.labels.chunks == view.verified.chunks == (16, 40, 30)


@pytest.mark.parametrize("wrap", [SlabLabels, np.asarray])
def test_labels_that_come_with_a_field_are_a_persons(tmp_path: Path, wrap: type) -> None:
    labels = {"nuclei": wrap(boxes().astype(np.int64))}
    view = new_store(tmp_path / "store", labels=labels, annotator="anna").labels("a")
    assert np.array_equal(view.labels[...], boxes())
    assert view.verified[...].all()
    assert view.verified_voxels == boxes().size
    expected = ObjectTable.make([1, 2, 7], status=Status.ACCEPTED, origin="person:anna")
    assert view.objects.equals(expected)
    assert view.objects.round.tolist() == [NO_ROUND] * 3


@pytest.mark.parametrize(
    ("image", "options", "error", "message"),
    [
        (noise(), given(boxes()[:, :-1]), LabelError, r"shape \(20, 40, 30\).*\(20, 39, 30\)"),
        (noise(), given(boxes() * 0.5), LabelError, "whole numbers"),
        (noise(), given(boxes().astype(int) - 1), LabelError, "from 0 to"),
        (noise(), {"labels": {"golgi": boxes()}}, LabelError, "labels of golgi"),
        (noise(), {"classes": [seeing()]}, AxesError, "channels from 0 to 0"),
        (noise(), {"classes": []}, LabelError, "one class or more"),
        (noise(), {"classes": [seeing(0), seeing(0)]}, LabelError, "each once"),
        (noise(), {"classes": [made(kind="areas")]}, LabelError, "instances, area, got 'areas'"),
        (noise(), {"classes": [made(projection="min")]}, LabelError, "none, max, mean"),
        (noise(), {"classes": [seeing(1)]}, AxesError, r"channels from 0 to 0, got \[1\]"),
        (noise(), {"classes": [seeing(0, -1)]}, AxesError, "channel"),
        (noise(), {"split": "testing"}, StoreError, "train, val, test, got 'testing'"),
        (noise()[:, :0], {}, AxesError, "empty shape"),
        (noise() * 1j, {}, VoxelValueError, "complex"),
        (np.full((1, 20, 40, 30), 7, "u1"), {}, VoxelValueError, "value 7 in every voxel"),
    ],
)
def test_a_bad_field_changes_nothing(
    tmp_path: Path, image: np.ndarray, options: dict, error: type[Exception], message: str
) -> None:
    store = AnnotationStore.create(tmp_path / "store")
    before = snapshots(store)
    with pytest.raises(error, match=message):
        store.add_field("a", ArraySource(image), **options)
    assert snapshots(store) == before
    assert store.all_labels() == []
    assert not list((tmp_path / "store").glob("chunks/*"))


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_single_voxel_that_is_not_finite_is_found(tmp_path: Path, value: float) -> None:
    store = AnnotationStore.create(tmp_path / "store")
    image = noise((2, 20, 40, 30), "float32")
    image[1, 17, 3, 4] = value
    with pytest.raises(VoxelValueError, match="channel 1, slice 17"):
        store.add_field("a", ArraySource(image))
    assert store.all_labels() == []


def test_a_reader_that_gives_less_than_it_said_is_found(tmp_path: Path) -> None:
    source = ArraySource(noise())
    source.array = source.array[:, :, :18]
    store = AnnotationStore.create(tmp_path / "store")
    with pytest.raises(AxesError, match="not what its header says"):
        store.add_field("a", source)
    assert store.all_labels() == []


@pytest.mark.parametrize(
    "name", ["", "..", ".hidden", "a/b", "../a", "a\\b", "a b", "é", "-x", "x" * 101, "zarr.json"]
)
def test_names_that_could_be_paths_are_refused(tmp_path: Path, name: str) -> None:
    store = new_store(tmp_path / "store")
    with pytest.raises(UnknownFieldError, match="--field"):
        store.add_field(name, ArraySource(noise()))
    with pytest.raises(UnknownFieldError):
        store.labels(name)
    with pytest.raises(UnknownFieldError), store.begin_round(by_person()) as txn:
        txn.labels(name)


def test_a_taken_name_is_refused_and_the_field_kept(tmp_path: Path) -> None:
    store = new_store(tmp_path / "store")
    with pytest.raises(UnknownFieldError, match="--field"):
        store.add_field("a", ArraySource(noise(seed=1)))
    assert np.array_equal(store.labels("a").image[...], noise())


def test_unknown_names_come_with_the_nearest(tmp_path: Path) -> None:
    store = AnnotationStore.create(tmp_path / "store")
    with pytest.raises(UnknownFieldError, match="none yet"):
        store.labels("embryo")
    store.add_field("embryo-1", ArraySource(noise()))
    with pytest.raises(UnknownFieldError, match="did you mean 'embryo-1'"):
        store.labels("embryo1")
    with pytest.raises(UnknownFieldError, match="did you mean 'embryo-1'"):
        store.remove_field("embryo_1")


def test_a_removed_field_stays_in_earlier_rounds(tmp_path: Path) -> None:
    store = bootstrapped(tmp_path / "store")
    store.remove_field("a")
    assert store.all_labels() == []
    assert [info.address for info in store.all_labels(round=0)] == ["a"]
    assert np.array_equal(store.labels("a", round=0).labels[...], boxes())
    assert [entry.kind for entry in store.log()] == ["remove", "bootstrap", "add", "create"]
    store.add_field("a", ArraySource(noise(seed=3)))
    assert not store.labels("a").labels[...].any()


def test_the_same_voxels_are_found_under_another_name_and_dtype(tmp_path: Path) -> None:
    store = AnnotationStore.create(tmp_path / "store")
    image = noise(dtype="uint8")
    image[0, 4] = 9
    store.add_field("a", ArraySource(image))
    store.add_field("again", ArraySource(image[:, 3:12].astype(">f4")), split="test")
    other = noise((1, 20, 40, 30), "uint8", seed=5)
    other[0, 4] = 9
    store.add_field("other", ArraySource(other))
    expected = [z for z in range(3, 12) if z != 4]
    assert {each.names: each.slices for each in store.copies()} == {("a", "again"): len(expected)}
