"""What is read is what was written, and memory does not grow with the field."""

from __future__ import annotations

import tempfile
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from annotations.objects import ObjectTable
from annotations.store import AnnotationStore
from annotations.volume import ImageInfo
from tests.annotations.store_sources import (
    SPACING_UM,
    ArraySource,
    SlabLabels,
    by_model,
    by_person,
    new_store,
    proposed,
)

SHAPES = st.tuples(st.integers(1, 34), st.integers(2, 140), st.integers(1, 20))
IDS = [0, 1, 2, 300, 2**32 - 1]


def regions(shape: tuple[int, ...]) -> st.SearchStrategy[tuple[slice, ...]]:
    """Parts of a field that are not empty."""
    axis = [
        st.tuples(st.integers(0, size - 1), st.integers(1, size)).map(
            lambda ends: slice(min(ends[0], ends[1] - 1), max(ends[0] + 1, ends[1]))
        )
        for size in shape
    ]
    return st.tuples(*axis)


@settings(max_examples=8, deadline=None)
@given(data=st.data(), shape=SHAPES)
def test_what_is_committed_is_what_is_reopened(data: st.DataObject, shape: tuple) -> None:
    labels = data.draw(hnp.arrays(np.uint32, shape, elements=st.sampled_from(IDS)))
    region = data.draw(regions(shape))
    part = data.draw(hnp.arrays(np.uint32, labels[region].shape, elements=st.sampled_from(IDS)))
    seen = data.draw(hnp.arrays(np.bool_, labels[region].shape))
    image = np.arange(2 * labels.size, dtype=np.float32).reshape(2, *shape)
    objects = proposed(IDS[1:])
    with tempfile.TemporaryDirectory() as folder:
        store = AnnotationStore.create(Path(folder) / "store")
        store.add_field("a", ArraySource(image))
        with store.begin_round(by_model()) as txn:
            changed = txn.set_labels("a", SlabLabels(labels), objects)
        assert changed == np.count_nonzero(labels)
        with store.begin_round(by_person()) as txn:
            txn.write_labels("a", region, part)
            txn.write_verified("a", region, seen)
        view = AnnotationStore.open(Path(folder) / "store").labels("a")
        before = AnnotationStore.open(Path(folder) / "store", read_only=True).labels("a", round=0)
        assert np.array_equal(before.labels[...], labels)
        labels[region] = part
        assert np.array_equal(view.labels[...], labels)
        assert np.array_equal(view.image[...], image)
        verified = np.zeros(shape, np.uint8)
        verified[region] = seen
        assert np.array_equal(view.verified[...], verified)
        assert view.verified_voxels == verified.sum()
        assert view.objects.equals(objects)
        assert not before.verified[...].any()


@settings(max_examples=5, deadline=None)
@given(st.lists(st.sets(st.integers(1, 60000), max_size=40), min_size=1, max_size=3))
def test_objects_grow_and_shrink(steps: list[set[int]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        store = new_store(Path(folder) / "store")
        tables = [proposed(sorted(ids), n) for n, ids in enumerate(steps)]
        for table in tables:
            with store.begin_round(by_person()) as txn:
                txn.set_objects("a", table)
        for n, table in enumerate(tables):
            assert store.labels("a", round=n).objects.equals(table)


class Endless:
    """An image made slab by slab, larger than what a test may hold."""

    def __init__(self, depth: int) -> None:
        self.info = ImageInfo(
            path=Path("endless.npy"),
            shape=(1, 1, depth, 256, 256),
            dtype=np.dtype(np.uint16),
            spacing_um=SPACING_UM,
            time_step_s=None,
            channels=("nuclei",),
            format="npy",
        )

    def read(self, time: int, z_start: int, z_stop: int) -> Any:
        plane = np.arange(256 * 256, dtype=np.uint16).reshape(256, 256)
        return np.stack([plane * (z + 1) for z in range(z_start, z_stop)])[np.newaxis]

    def close(self) -> None:
        """Nothing is open."""

    def __enter__(self) -> Endless:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class EndlessLabels:
    """Labels made slab by slab."""

    def __init__(self, depth: int) -> None:
        self.shape = (depth, 256, 256)

    def read(self, z_start: int, z_stop: int) -> Any:
        return Endless(self.shape[0]).read(0, z_start, z_stop)[0] % 5


def test_memory_does_not_grow_with_the_field(tmp_path: Path) -> None:
    store = AnnotationStore.create(tmp_path / "store")
    peaks = []
    for depth in (32, 32, 128):
        name = f"field-{len(peaks)}"
        tracemalloc.start()
        store.add_field(name, Endless(depth), labels={"nuclei": EndlessLabels(depth)})
        with store.begin_round(by_person()) as txn:
            txn.set_labels(name, EndlessLabels(depth), proposed([1, 2, 3, 4]))
            for z in range(0, depth, 16):
                slab = np.s_[z : z + 16, :, :]
                txn.write_verified(name, slab, txn.labels(name).verified[slab])
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    # The first field pays for imports. A slab of this field is 2 MB, the whole of it 17 MB.
    assert peaks[2] < 1.2 * peaks[1]
    assert isinstance(store.labels("field-2").objects, ObjectTable)
