"""A tiled prediction that is cancelled or fails leaves no thread behind, and can be run again."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from labels.progress import Progress
from models.runfolder import starter_folder
from models.tiling import Tiling, predict_tiled
from tests.models.stardist3d.tiny_stardist import write_tiny_run

SPACING_UM = (0.5, 0.25, 0.25)
FAULTS = ("progress", "predict", "read", "write")

Work = Callable[[Progress], Any]


@pytest.fixture
def no_thread_is_left() -> Iterator[None]:
    before = set(threading.enumerate())
    yield
    assert {thread.name for thread in set(threading.enumerate()) - before} == set()


class Cancelled(BaseException):
    """As Ctrl+C is, not an Exception."""


class Failing:
    """An array whose third use fails, and whose uses take a while."""

    def __init__(self, array: NDArray[np.float32], fails: bool) -> None:
        self.array, self.shape, self.left = array, array.shape, 3 if fails else 10**6

    def _use(self) -> None:
        time.sleep(0.01)
        self.left -= 1
        if not self.left:
            raise OSError("the disk is gone")

    def __getitem__(self, key: Any) -> Any:
        self._use()
        return self.array[key]

    def __setitem__(self, key: Any, value: Any) -> None:
        self._use()
        self.array[key] = value


@pytest.mark.usefixtures("no_thread_is_left")
@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("batch_size", [1, 3])
def test_whatever_stops_a_tiled_prediction_ends_its_threads(fault: str, batch_size: int) -> None:
    image = np.zeros((1, 12, 24, 24), np.float32)
    calls = {"progress": 0, "predict": 0}

    def count(what: str) -> None:
        calls[what] += 1
        if fault == what and calls[what] == 3:
            raise Cancelled

    def predict(tiles: NDArray[np.float32]) -> NDArray[np.float32]:
        assert {"tile-reader_0"} <= {thread.name for thread in threading.enumerate()}
        count("predict")
        return tiles

    with pytest.raises((Cancelled, OSError)):
        predict_tiled(
            predict,
            Failing(image, fault == "read"),
            1,
            Tiling(tile=(4, 8, 8), overlap=0.25, batch_size=batch_size),
            out=Failing(image.copy(), fault == "write"),
            progress=lambda *_: count("progress"),
        )


def stopped_in_each_step(work: Work) -> set[str]:
    """Run the work once, then cancel it in the middle of each of its steps."""
    told: dict[str, int] = {}

    def listen(done: int, total: int, what: str) -> None:
        told[what] = told.get(what, 0) + 1

    work(listen)
    for step, times in told.items():
        seen = []

        def cancel(
            done: int, total: int, what: str, step: str = step, seen: list[str] = seen,
            last: int = times // 2,
        ) -> None:  # fmt: skip
            seen += [what] * (what == step)
            if len(seen) > last:
                raise Cancelled

        with pytest.raises(Cancelled):
            work(cancel)
    return set(told)


def noise(*shape: int) -> NDArray[np.float32]:
    return np.random.default_rng(0).random(shape).astype(np.float32)


@pytest.mark.usefixtures("no_thread_is_left")
def test_a_cancelled_unet() -> None:
    pytest.importorskip("torch")
    from models.unet3d import load_run

    network, image = load_run(starter_folder("unet3d")), noise(12, 40, 40)
    steps = stopped_in_each_step(
        lambda progress: network.segment(image[None], SPACING_UM, progress=progress)
    )
    assert "predicting" in steps


@pytest.mark.usefixtures("no_thread_is_left")
def test_a_cancelled_stardist(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from models.stardist3d import load_run, objects

    monkeypatch.setattr(objects, "TILE_VOXELS", 2**13)

    write_tiny_run(tmp_path)
    network, image = load_run(tmp_path), noise(6, 24, 220)

    def blocks(progress: Progress) -> None:
        sink = np.zeros(image.shape, np.uint32)
        network.segment_blocks(image[None], sink, SPACING_UM, tile_voxels=2**13, progress=progress)

    steps = stopped_in_each_step(
        lambda progress: network.segment(image[None], SPACING_UM, progress=progress)
    )
    assert "predicting" in steps
    assert {"reading", "predicting", "drawing"} <= stopped_in_each_step(blocks)
