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
from models.base import OneChannelSegmenter, Segmentation, TrainingResult, TrainingSample
from models.registry import ModelSpec

SPEC = ModelSpec(
    about="a threshold that is learned",
    trainer="tests.models.toy:ToyTrainer",
    run="tests.models.toy:load_run",
)


@dataclass(frozen=True, kw_only=True)
class ToyTrainer:
    """Learn a threshold.

    Parameters
    ----------
    between : float
        Where it lies between the mean of the background, 0, and that of the objects, 1.
    seed : int
        Not used; all is determined.
    """

    between: Annotated[float, Gt(0), Lt(1)] = 0.5
    seed: int = 0

    def train(
        self,
        train: Sequence[TrainingSample],
        val: Sequence[TrainingSample],
        run_folder: Path,
        *,
        progress: Progress = no_progress,
    ) -> TrainingResult:
        inside = np.concatenate([s.image[0][(s.labels > 0) & s.mask] for s in train]).mean()
        outside = np.concatenate([s.image[0][(s.labels == 0) & s.mask] for s in train]).mean()
        threshold = float(outside + self.between * (inside - outside))
        weights = run_folder / "threshold.json"
        weights.write_text(json.dumps(threshold))
        (run_folder / "curves.csv").write_text(f"epoch,threshold\n1,{threshold}\n")
        progress(1, 1, "training")
        right = [(s.image[0] > threshold) == (s.labels > 0) for s in val]
        return TrainingResult(weights, 1, 1, {"accuracy": float(np.mean(np.concatenate(right)))})


@dataclass(frozen=True)
class ToySegmenter(OneChannelSegmenter):
    """What is brighter than a threshold, in pieces."""

    weights: Path

    name: ClassVar[str] = "toy"

    def describe(self) -> dict[str, Any]:
        return {"weights_sha256": file_sha256(self.weights)}

    def _segment_channel(
        self, image: NDArray[Any], spacing_um: Spacing, progress: Progress
    ) -> Segmentation:
        above = image > json.loads(self.weights.read_text())
        labels = cc3d.connected_components(above, connectivity=6).astype(np.uint32)
        return Segmentation(labels, probability=above.astype(np.float32))


def load_run(run_folder: Path) -> ToySegmenter:
    return ToySegmenter(run_folder / "threshold.json")
