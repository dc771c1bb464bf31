"""The smallest model that can be trained: a threshold between the means of objects and the rest."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar

import cc3d
import numpy as np
from annotated_types import Gt, Lt
from numpy.typing import NDArray

from labels.hashing import file_sha256
from labels.progress import Progress, no_progress
from labels.spacing import Spacing
from models.base import (
    OneChannelSegmenter,
    Segmentation,
    TrainingResult,
    TrainingSample,
    check_image,
    one_channel_of,
)
from models.budget import Budget
from models.curves import LoggerName
from models.errors import TrainingDataError
from models.learner import Judged, Schedule, Step
from models.options import Count, Minutes, Seed
from models.registry import ModelSpec
from models.runfolder import FORMAT, fingerprint, options_but
from models.training import MAY_CHANGE, Training

SPEC = ModelSpec(
    about="a threshold that is learned",
    trainer="tests.models.toy:ToyTrainer",
    run="tests.models.toy:load_run",
)
WEIGHTS_FILE = "threshold.json"


class ToyLearner:
    """A threshold that goes to where it lies well between objects and the rest."""

    losses: tuple[str, ...] = ("loss",)
    values: tuple[str, ...] = ("loss", "accuracy")

    def __init__(
        self, aim: float, val: Sequence[TrainingSample], start: float, has_base: bool
    ) -> None:
        self.aim, self.val, self.now, self.has_base = aim, val, start, has_base
        self.notes: list[str] = []

    def step(self, step: Step) -> dict[str, float]:
        self.now += step.rate * (self.aim - self.now)
        with np.errstate(over="ignore"):
            return {"loss": float(np.square(np.float32(self.aim - self.now)))}

    def judge(self, progress: Progress) -> Judged:
        right = [(s.image[0] > self.now) == (s.labels > 0) for s in self.val]
        accuracy = float(np.mean(np.concatenate(right)))
        return Judged({"loss": 1 - accuracy, "accuracy": accuracy}, accuracy)

    def save(self, folder: Path) -> dict[str, Any]:
        (folder / WEIGHTS_FILE).write_text(json.dumps(self.now))
        return {"weights_sha256": file_sha256(folder / WEIGHTS_FILE)}

    def state(self) -> dict[str, NDArray[Any]]:
        return {"now": np.array(self.now)}

    def restore(self, state: dict[str, NDArray[Any]], path: Path) -> None:
        self.now = float(state["now"])


@dataclass(frozen=True, kw_only=True)
class ToyTrainer:
    """Learn a threshold.

    Parameters
    ----------
    between : float
        Where it lies between the mean of the background, 0, and that of the objects, 1.
    epochs : int
    max_minutes : float, optional
    patience : int, optional
    base_run : str, optional
    logger : str
    seed : int
        Not used; all is determined.
    """

    between: Annotated[float, Gt(0), Lt(1)] = 0.5
    epochs: Count = 2
    max_minutes: Minutes | None = None
    patience: Count | None = None
    base_run: str | None = None
    logger: LoggerName = "csv"
    seed: Seed = 0

    def train(
        self,
        train: Sequence[TrainingSample],
        val: Sequence[TrainingSample],
        run_folder: Path,
        *,
        progress: Progress = no_progress,
    ) -> TrainingResult:
        budget = Budget(self.max_minutes)
        one_channel_of([*train, *val], "the toy")
        for sample in [*train, *val]:
            check_image(sample.image, f"stack {sample.name!r}")
        if not any((s.labels[s.mask] > 0).any() for s in train):
            raise TrainingDataError("expected an object, got none; label some objects first")
        inside = np.concatenate([s.image[0][(s.labels > 0) & s.mask] for s in train]).mean()
        outside = np.concatenate([s.image[0][(s.labels == 0) & s.mask] for s in train]).mean()
        aim = float(outside + self.between * (inside - outside))
        start = float(outside) if self.base_run is None else threshold_of(Path(self.base_run))
        learner = ToyLearner(aim, val or train, start, self.base_run is not None)
        file = {
            "model": "toy",
            "format": FORMAT,
            "fingerprint": fingerprint(options_but(self, MAY_CHANGE), [*train, *val]),
        }
        run_folder.mkdir(parents=True, exist_ok=True)
        schedule = Schedule(self.epochs, 3, lambda done, _: 0.8, self.patience)
        training = Training(learner, schedule, run_folder, file, budget, self.logger, progress)
        training.resume()
        training.run()
        return training.result(WEIGHTS_FILE, self.base_run or "nothing", [])


@dataclass(frozen=True)
class ToySegmenter(OneChannelSegmenter):
    """What is brighter than a threshold, in pieces."""

    folder: Path

    name: ClassVar[str] = "toy"

    def describe(self) -> dict[str, Any]:
        return {"name": self.name, "weights_sha256": file_sha256(self.folder / WEIGHTS_FILE)}

    def _segment_channel(
        self, image: NDArray[Any], spacing_um: Spacing, progress: Progress
    ) -> Segmentation:
        progress(0, 1, "finding pieces")
        above = image > threshold_of(self.folder)
        labels = cc3d.connected_components(above, connectivity=6).astype(np.uint32)
        progress(1, 1, "finding pieces")
        return Segmentation(labels, probability=above.astype(np.float32))


def threshold_of(folder: Path) -> float:
    return float(json.loads((folder / WEIGHTS_FILE).read_text()))


def load_run(run_folder: Path) -> ToySegmenter:
    return ToySegmenter(run_folder)
