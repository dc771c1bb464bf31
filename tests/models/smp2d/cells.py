"""Drawn cells: round nuclei in rings of cytoplasm, and the quickest way to learn them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from models.base import TrainingResult, TrainingSample
from models.smp2d import SMP2DTrainer

SPACING = (2.0, 0.5, 0.5)
QUICK: dict[str, Any] = {
    "encoder": "tu-test_resnet",
    "patch_size": (32, 32),
    "batch_size": 4,
    "epochs": 2,
    "steps_per_epoch": 2,
    "threads": 1,
    "precision": "fp32",
    "logger": "csv",
}


def cells(seed: int = 0, depth: int = 1, side: int = 64, channels: int = 3) -> Any:
    """Return an image (C, Z, Y, X), nuclei (ids) and cytoplasm (1) that surrounds them."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:side, :side]
    nuclei, cytoplasm = np.zeros((2, depth, side, side), np.uint32)
    for number, middle in enumerate(np.ndindex(2, 2), 1):
        at = (np.array(middle) + 0.5) * side / 2 + rng.uniform(-2, 2, 2)
        away = np.hypot(y - at[0], x - at[1])
        nuclei[:, away < side / 10] = number
        cytoplasm[:, (away >= side / 10) & (away < side / 6)] = 1
    image = rng.normal(40, 4, (channels, depth, side, side))
    for channel in range(channels):
        image[channel] += (90 - 20 * channel) * (nuclei > 0) + 15 * (1 + channel) * (cytoplasm > 0)
    return image.clip(0, 255).astype(np.uint8), nuclei, cytoplasm


def samples(seed: int = 0, **more: Any) -> list[TrainingSample]:
    """Return the two classes of one image."""
    image, nuclei, cytoplasm = cells(seed, **more)
    known = np.ones(nuclei.shape, bool)
    scene = f"cells{seed}"
    nucleus = TrainingSample(
        f"{scene}:nucleus", image, nuclei, known, SPACING, "nucleus", "instances", scene
    )
    name = "cytoplasm"
    area = replace(nucleus, name=f"{scene}:{name}", labels=cytoplasm, class_name=name, kind="area")
    return [nucleus, area]


def train(folder: Path, given: list[TrainingSample], **options: Any) -> TrainingResult:
    """Train for a moment, and judge on what is learned from."""
    return SMP2DTrainer(**{**QUICK, **options}).train(given, given, folder)
