"""Fields that hold the same slices are found, whatever their names, dtypes and channels."""

from __future__ import annotations

from itertools import combinations, count
from pathlib import Path

import numpy as np
import pytest
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import ndimage

from annotations._twins import HASH_BYTES, slice_hash, tells_apart
from annotations.copies.catalogue import COPIES
from annotations.store import AnnotationStore
from tests.annotations.store_sources import ArraySource, noise

_NAMES = count()


def scene() -> NDArray[np.float64]:
    """Blobs of light in 12 × 72 × 64 voxels."""
    random = np.random.default_rng(0)
    points = np.zeros((12, 72, 64))
    points[tuple(random.integers(0, points.shape, (150, 3)).T)] = random.uniform(0.3, 1, 150)
    blurred = ndimage.gaussian_filter(points, (1.0, 2.0, 2.0))
    return np.asarray(20 + 300 * blurred / blurred.max())


def equal_slices(store: AnnotationStore, name: str | None = None) -> dict[tuple[str, str], int]:
    """Return how many slices fields have in common, the one that was added first standing first."""
    return {copy.names: copy.slices for copy in store.copies(name)}


def test_slices_are_found_across_channels_dtypes_and_times(tmp_path: Path) -> None:
    store = AnnotationStore.create(tmp_path / "store")
    image = noise((3, 9, 8, 6), "uint8")
    store.add_field("three", ArraySource(image))
    store.add_field("one", ArraySource(image[2:, 3:7].astype(">f4")), split="test")
    series = np.stack([noise((1, 4, 8, 6), "uint16", seed=n) for n in (1, 2, 3)])
    series[1, 0, 2] = image[1, 5]
    store.add_field("series", ArraySource(series))
    store.add_field("other", ArraySource(noise((1, 9, 8, 6), "uint8", seed=9)))
    assert equal_slices(store) == {("three", "one"): 4, ("three", "series"): 1}
    assert equal_slices(store, "series") == {("three", "series"): 1}
    assert equal_slices(store, "three") == equal_slices(store)
    assert equal_slices(store, "other") == {}


def test_constant_and_repeated_slices_say_nothing_more(tmp_path: Path) -> None:
    store = AnnotationStore.create(tmp_path / "store")
    image = noise((1, 6, 8, 6), "uint8")
    image[0, 1] = 7
    image[0, 3:5] = image[0, 2]
    store.add_field("a", ArraySource(image))
    again = noise((1, 6, 8, 6), "uint8", seed=1)
    again[0, 0], again[0, 4] = 7, image[0, 2]
    store.add_field("b", ArraySource(again))
    assert equal_slices(store) == {("a", "b"): 1}


def test_a_removed_field_is_no_twin(tmp_path: Path) -> None:
    store = AnnotationStore.create(tmp_path / "store")
    for name in ("a", "b", "c"):
        store.add_field(name, ArraySource(noise((1, 3, 8, 6))))
    store.remove_field("b")
    assert equal_slices(store) == {("a", "c"): 3}
    store.add_field("b", ArraySource(noise((1, 3, 8, 6), seed=5)))
    assert equal_slices(store) == {("a", "c"): 3}
    assert equal_slices(store, "b") == {}
    store.remove_field("a")
    assert equal_slices(store) == {}
    store.add_field("a", ArraySource(noise((1, 3, 8, 6))))
    assert equal_slices(store) == {("c", "a"): 3}


@settings(max_examples=10, deadline=None)
@given(st.lists(st.lists(st.integers(0, 12), min_size=1, max_size=5), min_size=1, max_size=5))
def test_each_pair_shares_the_slices_of_both(fields: list[list[int]]) -> None:
    slices = noise((1, 13, 5, 4), "uint8")
    store = AnnotationStore.create(f"memory:twins-{next(_NAMES)}")
    for name, planes in enumerate(fields):
        store.add_field(str(name), ArraySource(slices[:, planes]))
    expected = {
        (str(a), str(b)): len(shared)
        for a, b in combinations(range(len(fields)), 2)
        if (shared := set(fields[a]) & set(fields[b]))
    }
    assert equal_slices(store) == expected
    for name in map(str, range(len(fields))):
        assert equal_slices(store, name) == {
            pair: n for pair, n in expected.items() if name in pair
        }


def test_the_cost_does_not_grow_with_the_pairs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = AnnotationStore.create(tmp_path / "store")
    read: list[str] = []
    getitem = zarr.Array.__getitem__

    def watched(array: zarr.Array, key: object) -> object:
        read.append(array.path)
        return getitem(array, key)

    with monkeypatch.context() as patch:
        patch.setattr(zarr.Array, "__getitem__", watched)
        for number in range(6):
            store.add_field(f"f{number}", ArraySource(noise((1, 3, 8, 6), seed=number % 2)))
            # What was added before is not read to add another one.
            own = f"fields/f{number}/"
            assert not [p for p in read if p.startswith("fields/") and own not in f"{p}/"]
            read.clear()
            equal_slices(store, f"f{number}")
            assert {path.partition("/")[0] for path in read} <= {"slices", COPIES}
            read.clear()
    assert len(equal_slices(store)) == 6


def test_a_hash_is_of_values_and_shape() -> None:
    plane = noise((1, 1, 6, 4), "uint8")[0, 0]
    digest = slice_hash(plane)
    assert len(digest) == HASH_BYTES
    for same in (plane.astype("f4"), plane.astype(">i2"), np.asfortranarray(plane)):
        assert slice_hash(same) == digest
    signed = plane.astype("f4") * np.where(plane == plane.min(), -0.0, 1)
    unsigned = np.where(plane == plane.min(), 0, plane)
    assert slice_hash(signed) == slice_hash(unsigned)
    for other in (plane.reshape(4, 6), plane.T, plane[::-1], plane + 1):
        assert slice_hash(other) != digest
    assert slice_hash(np.full((6, 4), 3)) == slice_hash(plane[:0]) == bytes(HASH_BYTES)


def test_a_slice_that_shows_nothing_of_its_own_is_no_copy() -> None:
    ramp = np.add.outer(np.arange(64), np.arange(48))
    bar = np.zeros((64, 48), "uint8")
    bar[58:60, 4:30] = 255
    hot = np.zeros((64, 48), "uint16")
    hot[[3, 40], [5, 6]] = 4000
    for blank in (ramp.astype("uint16"), ramp / 7, bar, hot, np.full((64, 48), 3), ramp[:0]):
        assert not tells_apart(blank)
    for shown in (noise((1, 1, 6, 4))[0, 0], noise((1, 1, 64, 48))[0, 0], bar + noise((64, 48))):
        assert tells_apart(shown)


def test_equal_blank_slices_make_no_copy(tmp_path: Path) -> None:
    store = AnnotationStore.create(tmp_path / "store")
    ramp = np.add.outer(np.arange(64), np.arange(48)).astype("uint16")
    for seed in (1, 2):
        image = noise((1, 4, 64, 48), seed=seed)
        image[0, :2] = ramp
        store.add_field(f"f{seed}", ArraySource(image))
    assert store.copies() == []


def test_fields_of_an_earlier_version_are_compared_when_asked_and_kept_with_the_next(
    tmp_path: Path,
) -> None:
    image = np.random.default_rng(1).poisson(scene(), scene().shape).astype(np.uint16)
    store = AnnotationStore.create(tmp_path / "store")
    store.add_field("a", ArraySource(image[None]))
    store.add_field("b", ArraySource(image[None, :, 3:, ::-1]), split="test")
    found = store.copies()
    assert [copy.names for copy in found] == [("a", "b")]
    assert (found[0].how, round(found[0].share or 0, 2)) == (("flipped in x", "cropped"), 1.0)
    with store._writing() as session:
        del zarr.open_group(session.store, mode="r+")[COPIES]
        store._commit(session, "as it was", {})
    assert store.looks_at_copies_again()
    assert [str(copy) for copy in store.copies()] == [str(copy) for copy in found]
    store.add_field("c", ArraySource(noise((1, 4, 8, 6))))
    assert not store.looks_at_copies_again()
    assert [str(copy) for copy in store.copies("b")] == [str(copy) for copy in found]
    store.remove_field("a")
    assert store.copies() == []
