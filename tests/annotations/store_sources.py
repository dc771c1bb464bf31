"""Small images, stores and rounds that the store's tests share."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Self

import numpy as np
import zarr
from numpy.typing import NDArray

from annotations._storage import parse_location
from annotations.objects import ObjectTable, Status
from annotations.planes import Planes
from annotations.rounds import ModelRef, RoundInfo
from annotations.store import AnnotationStore
from annotations.volume import ImageInfo

SPACING_UM = (2.0, 0.5, 0.4)
CLASSICAL = ModelRef(name="classical", weights_sha256="ab" * 32)


class ArraySource:
    """An image file that is an array, (T, C, Z, Y, X) or (C, Z, Y, X), and counts what was read."""

    def __init__(self, array: NDArray[Any], path: Path = Path("memory.npy")) -> None:
        self.array = array if array.ndim == 5 else array[None]
        self.most_slices = 0
        self.info = ImageInfo(
            path=path,
            shape=self.array.shape,
            dtype=array.dtype,
            spacing_um=SPACING_UM,
            time_step_s=None,
            channels=tuple(f"channel-{i}" for i in range(self.array.shape[1])),
            format="npy",
        )

    def read(self, time: int, z_start: int, z_stop: int) -> NDArray[Any]:
        self.most_slices = max(self.most_slices, z_stop - z_start)
        return self.array[time, :, z_start:z_stop]

    def close(self) -> None:
        """Nothing is open."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class SlabLabels:
    """Labels that are read by slabs."""

    def __init__(self, array: NDArray[Any]) -> None:
        self.array = array
        self.shape = array.shape

    def read(self, z_start: int, z_stop: int) -> NDArray[Any]:
        return self.array[z_start:z_stop]


def noise(
    shape: tuple[int, int, int, int] = (1, 20, 40, 30), dtype: str = "uint16", seed: int = 0
) -> NDArray[Any]:
    """An image of which no two slices are equal."""
    return np.random.default_rng(seed).integers(0, 250, shape).astype(dtype)


def boxes(shape: tuple[int, int, int] = (20, 40, 30)) -> NDArray[np.uint32]:
    """Labels 1, 2 and 7 in three boxes that do not touch."""
    labels = np.zeros(shape, np.uint32)
    labels[2:5, 5:12, 5:12] = 1
    labels[3:8, 20:30, 4:12] = 2
    labels[15:19, 20:30, 18:28] = 7
    return labels


def planes_of(labels: NDArray[Any], chunks: tuple[int, int, int], times: int = 1) -> Planes:
    """Planes (T·Z, Y, X) as a store holds them, chunk by chunk."""
    shape = (times, labels.shape[0] // times, *labels.shape[1:])
    array = zarr.create_array({}, shape=shape, chunks=(1, *chunks), dtype=labels.dtype)
    array[...] = labels.reshape(shape)
    return Planes(array, parse_location("memory:planes"))


def proposed(ids: list[int], round: int = 0) -> ObjectTable:
    return ObjectTable.make(ids, status=Status.PROPOSED, origin="model:classical", round=round)


def by_model(message: str = "bootstrap") -> RoundInfo:
    return RoundInfo(kind="bootstrap", message=message, author="anna", model=CLASSICAL)


def by_person(message: str = "correct") -> RoundInfo:
    return RoundInfo(kind="correct", message=message, author="anna", minutes=2.5)


def new_store(location: str | Path, **add: Any) -> AnnotationStore:
    """A store with one field `a`."""
    store = AnnotationStore.create(location)
    store.add_field("a", ArraySource(noise()), **add)
    return store


def bootstrapped(location: str | Path) -> AnnotationStore:
    """A store with one field `a` and round 0, a model's."""
    store = new_store(location)
    with store.begin_round(by_model()) as txn:
        txn.set_labels("a", boxes(), proposed([1, 2, 7]))
    return store


def snapshots(store: AnnotationStore) -> list[str]:
    """The commits of a store, newest first."""
    return [entry.snapshot for entry in store.log()]
