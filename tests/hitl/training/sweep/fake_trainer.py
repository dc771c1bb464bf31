"""A model that is trained in no time, and what the tests of sweeps do with it."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from annotated_types import Gt, MinLen

from annotations.formats import write_image_tiff, write_labels_tiff
from hitl.cli import run
from labels.progress import Progress, no_progress
from models.base import TrainingResult, TrainingSample
from models.errors import TrainingDivergedError
from tests.hitl.fake_model import Bench, scene

Sweeper = Callable[..., dict[str, Any]]
GRID = ("--grid", "missing=nothing,small", "--grid", "shrink=0,1")


@dataclass(frozen=True, kw_only=True)
class FakeTrainer:
    """Leaves a model with the faults that its options say; stops or fails when a test says so."""

    missing: Literal["nothing", "small"] = "nothing"
    shrink: int = 0
    sizes: Annotated[tuple[int, ...], MinLen(1)] = (1, 2)
    rate: Annotated[float, Gt(0)] = 1.0
    max_minutes: float | None = None
    base_run: str | None = None
    seed: int = 0

    trained: ClassVar[list[FakeTrainer]] = []
    stop_at: ClassVar[int | None] = None

    def train(
        self,
        train: Sequence[TrainingSample],
        val: Sequence[TrainingSample],
        run_folder: Path,
        *,
        progress: Progress = no_progress,
    ) -> TrainingResult:
        progress(0, 1, "training")
        resumed = (run_folder / "half").exists()
        (run_folder / "half").touch()
        if len(FakeTrainer.trained) == FakeTrainer.stop_at:
            raise KeyboardInterrupt
        if self.rate >= 5:
            raise TrainingDivergedError("epoch 1: expected a finite loss,\ngot nan")
        if self.rate >= 4:
            raise MemoryError
        FakeTrainer.trained.append(self)
        faults = {"missing": self.missing, "shrink": self.shrink, "spurious": self.seed}
        (run_folder / "faults.json").write_text(json.dumps(faults))
        notes = ("continued",) if resumed else ()
        return TrainingResult(
            run_folder / "faults.json", 1, 1, {"loss": self.rate / 2}, notes=notes
        )


def add(bench: Bench, name: str, split: str, seed: int = 0) -> None:
    """Add a labelled field from files."""
    folder = bench.project.folder.parent
    image, labels = scene(seed)
    write_image_tiff(folder / f"{name}.tif", image, (2.0, 1.0, 1.0))
    write_labels_tiff(folder / f"{name}_labels.tif", labels, (2.0, 1.0, 1.0))
    files = [str(folder / f"{name}.tif"), "--labels", str(folder / f"{name}_labels.tif")]
    assert run(["add", str(bench.project.folder), *files, "--split", split]) == 0


def table_rows(path: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(path.read_text().splitlines()))
