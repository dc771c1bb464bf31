"""Runs whose model finds bright objects, with faults that a test chooses; nothing is trained."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cc3d
import numpy as np
import pytest
import yaml
from numpy.typing import NDArray
from scipy import ndimage

from annotations.store import AnnotationStore
from hitl.project.config import parse_config
from hitl.project.folder import Project
from hitl.training.held_out import WHOLE_OBJECTS
from labels.progress import Progress, no_progress
from models.base import Segmentation
from models.registry import MODELS, ModelSpec
from tests.annotations.store_sources import ArraySource

SHAPE = (12, 60, 60)
BRIGHT = 100
SEGMENTER = ModelSpec(
    about="connected bright voxels", segmenter="tests.hitl.fake_model:BrightSegmenter"
)
TRAINED = ModelSpec(
    about="bright voxels with faults",
    trainer="tests.hitl.training.sweep.fake_trainer:FakeTrainer",
    run="tests.hitl.fake_model:load_run",
)


@dataclass(frozen=True, kw_only=True)
class BrightSegmenter:
    """Connected bright voxels; `faults` spoil what it finds."""

    missing: str = "nothing"
    shrink: int = 0
    spurious: int = 0

    name = "bright"

    def describe(self) -> dict[str, Any]:
        return {"missing": self.missing, "shrink": self.shrink, "spurious": self.spurious}

    def segment(
        self,
        image: NDArray[Any],
        spacing_um: tuple[float, float, float],
        *,
        progress: Progress = no_progress,
    ) -> Segmentation:
        labels = cc3d.connected_components(image[0] > BRIGHT, connectivity=6).astype(np.uint32)
        sizes = np.bincount(labels.ravel())
        limit = np.median(sizes[1:]) if sizes.size > 1 else 0
        gone = {
            "nothing": [],
            "all": list(range(1, sizes.size)),
            "small": [i for i in range(1, sizes.size) if sizes[i] < limit],
        }[self.missing]
        labels[np.isin(labels, gone)] = 0
        if self.shrink:
            square = np.ones((1, 3, 3), bool)
            labels[~ndimage.binary_erosion(labels > 0, square, self.shrink)] = 0
        for number in range(self.spurious):
            labels[0, 0:2, 3 * number : 3 * number + 2] = labels.max() + 1
        ids = np.unique(labels)
        return Segmentation(labels, {int(i): 0.5 for i in ids[ids > 0]})


def load_run(folder: Path) -> BrightSegmenter:
    return BrightSegmenter(**json.loads((folder / "faults.json").read_text()))


@dataclass(frozen=True)
class Bench:
    """A project with bright objects, and a way to make runs."""

    project: Project
    labels: NDArray[np.uint32]

    @property
    def store(self) -> AnnotationStore:
        return self.project.store(read_only=False)

    def run(
        self, name: str, classes: Sequence[str] = ("nuclei",), channels: int = 1, **faults: Any
    ) -> str:
        """A finished run `name` whose model has these faults."""
        folder = self.project.runs_folder / name
        folder.mkdir(parents=True)
        config = {
            "model": "fake",
            "options": {},
            "preprocess": {each: [] for each in classes},
            "validation_share": 0.2,
            "held_out": WHOLE_OBJECTS,
        }
        (folder / "config.yaml").write_text(yaml.safe_dump(config))
        (folder / "faults.json").write_text(json.dumps(faults))
        card: Mapping[str, Any] = {
            "run": name,
            "model": "fake",
            "classes": list(classes),
            "channels": channels,
            "made": "2026-01-01T00:00:00+00:00",
            "weights_sha256": f"{int(name[-4:]):064x}",
            "trained_on": [
                {"field": "learn", "class": each, "split": "train", "source_sha256": None}
                for each in classes
            ],
            "round": 0,
            "validation": {},
            "config": config,
        }
        (folder / "card.json").write_text(json.dumps(card))
        return name

    def add(self, name: str, split: str, labelled: bool, seed: int = 0) -> None:
        image, labels = scene(seed)
        source = ArraySource(image[None])
        self.store.add_field(
            name, source, split=split, labels={"nuclei": labels} if labelled else None
        )


def scene(seed: int = 0) -> tuple[NDArray[np.uint8], NDArray[np.uint32]]:
    """An image with a grid of bright boxes, small and large ones, and their labels."""
    random = np.random.default_rng(seed)
    labels = np.zeros(SHAPE, np.uint32)
    number = 0
    for y in range(2, 56, 9):
        for x in range(2, 56, 9):
            number += 1
            z = int(random.integers(0, 7))
            side = 3 + 3 * (number % 2)
            labels[z : z + 4, y : y + side, x : x + side] = number
    noise = random.integers(0, 40, SHAPE)
    return (noise + 150 * (labels > 0)).astype(np.uint8), labels


def make_bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    """An empty project in which models of kind `fake` and the segmenter `bright` can be had."""
    monkeypatch.setitem(MODELS, "fake", TRAINED)
    monkeypatch.setitem(MODELS, "bright", SEGMENTER)
    config = parse_config({"preprocess": [], "bootstrap": {"segmenter": "bright", "clean": False}})
    return Bench(Project.create(tmp_path / "project", config), scene()[1])
