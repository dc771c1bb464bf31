"""Train the starter models on synthetic nuclei and write them to where they are shipped.

The same command gives the same data and, on one kind of processor, the same weights.
"""

from __future__ import annotations

import os

# Volumes are drawn by one process per core, which must not compete with threads of their own.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import argparse
import math
import sys
import time
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.base import TrainingSample
from models.objects import (
    NOMINAL_DIAMETER,
    NOMINAL_KEY,
    NOMINAL_SPACING,
    SMALLEST_SHARE,
)
from models.runfolder import MODEL_FILE, SHIPPED, read_json, write_json
from models.synthetic import NucleiGenerator, Ranges, SyntheticError, random_generator
from models.unet3d.volumes import resize

DIAMETER_PX = (8.0, 26.0)
ANISOTROPY = (1.0, 6.0)
SIZE = (28, 112, 112)
"""Extent of a training volume (z, y, x) in the voxels that the network sees."""

SCALE_ERROR = 0.2
"""Standard deviation of the logarithm by which a diameter is given wrongly in training."""

DRAWN_OUTSIDE = 1.0
"""People draw nuclei at the foot of the blur: by so many of the network's pixels too large."""

FOREGROUND = 0.6
"""Least probability of a nucleus's voxel, at which nuclei are as large as people drew real ones."""

FEWEST_OBJECTS = 3


@dataclass(frozen=True)
class Stage:
    """One part of the U-Net's training; it starts from the weights of the part before.

    Parameters
    ----------
    name : str
        Folder of its run.
    ranges : Ranges
        From where the volumes are drawn.
    first_seed, volumes : int
    steps : int
        Over which the learning rate would fall to nothing.
    stopped : int
        Steps after which it ends, the best weights until then kept.
    learning_rate : float
    """

    name: str
    ranges: Ranges
    first_seed: int
    volumes: int
    steps: int
    stopped: int
    learning_rate: float


STAGES = (
    Stage("broad", Ranges(), 3_000_000, 500, 6000, 4200, 3e-3),
    # Walls brighter than nuclei, and more of everything that is no nucleus.
    Stage("walls", Ranges(sheets=(0.3, 8.0), absent=0.1), 3_500_000, 400, 1500, 1500, 1.5e-3),
)
"""What the shipped U-Net went through."""

VALIDATION_SEED = 3_900_000
TWIN_SEED, TWIN_VOLUMES, TWIN_STEPS = 1_000_000, 100, 2400
"""Of the StarDist twin: first seed of its volumes, how many, and its steps."""

ABOUT_UNET = {
    "trained_on": "synthetic nuclei of models.synthetic.random_generator",
    "volumes": sum(stage.volumes for stage in STAGES),
    "steps": sum(stage.stopped for stage in STAGES),
    "seed": STAGES[0].first_seed,
    "licence": "BSD-3-Clause",
}


class StageEndedError(Exception):
    """Raised by the progress display when a stage has had its steps."""


@dataclass(frozen=True)
class Drawn:
    """One volume as the network sees it, and the options that it was made with."""

    sample: TrainingSample
    generator: NucleiGenerator


def draw(seed: int, ranges: Ranges | None = None, outside: float = DRAWN_OUTSIDE) -> Drawn:
    """Draw one volume: nuclei at a microscope's voxel size, resampled to the network's."""
    for attempt in range(50):
        rng = np.random.default_rng((seed, attempt))
        width = math.exp(rng.uniform(*np.log(DIAMETER_PX)))
        ratio = math.exp(rng.uniform(*np.log(ANISOTROPY)))
        believed = width * math.exp(rng.normal(0, SCALE_ERROR))
        # Voxels of the network per voxel of the microscope, (z, y, x).
        zoom = np.array([ratio / NOMINAL_SPACING[0], 1.0, 1.0]) * NOMINAL_DIAMETER / believed
        z, y, x = (max(3, round(n / f)) for n, f in zip(SIZE, zoom, strict=True))
        try:
            options = random_generator(rng, (z, y, x), (ratio, 1.0, 1.0), width, ranges)
            stack = options.make(int(rng.integers(2**31)))
        except SyntheticError:
            continue
        labels = grown(resize(stack.labels, SIZE, linear=False), outside)
        if len(np.unique(labels)) > FEWEST_OBJECTS:
            image = resize(stack.image, SIZE, linear=True)
            known = np.ones(SIZE, bool)
            # One field: each volume keeps the error of its size, which is what is to be learned.
            sample = TrainingSample(
                f"synthetic-{seed}", image[None], labels, known, NOMINAL_SPACING, field="synthetic"
            )
            return Drawn(sample, options)
    raise SyntheticError(f"seed {seed}: expected a volume with nuclei in 50 draws, got none")


def grown(labels: NDArray[np.uint32], pixels: float) -> NDArray[np.uint32]:
    """Return labels (Z, Y, X) at the network's voxel size, each grown where there is room."""
    from skimage.segmentation import expand_labels

    larger: NDArray[np.uint32] = expand_labels(labels, pixels, NOMINAL_SPACING)
    return larger


def draw_all(
    first: int, count: int, ranges: Ranges | None = None, outside: float = DRAWN_OUTSIDE
) -> list[TrainingSample]:
    """Draw volumes of consecutive seeds, on all cores."""
    from concurrent.futures import ProcessPoolExecutor

    with ProcessPoolExecutor() as pool:
        one = partial(draw, ranges=ranges, outside=outside)
        return [d.sample for d in pool.map(one, range(first, first + count), chunksize=4)]


def show(done: int, total: int, what: str) -> None:
    """Print progress every hundredth step."""
    if done % 100 == 0:
        print(f"{time.strftime('%H:%M:%S')} {what}: {done} of {total}", flush=True)


def train_unet(folder: Path) -> Path:
    """Train the U-Net stage by stage below `folder`; return the last stage's run folder.

    Continues where it was interrupted.
    """
    val = draw_all(VALIDATION_SEED, 12)
    before: Path | None = None
    for stage in STAGES:
        run = folder / stage.name
        ended = run / "ended"
        if not ended.exists():
            train_stage(stage, run, before, val)
            ended.touch()
        before = run
    assert before is not None
    return before


def train_stage(stage: Stage, run: Path, before: Path | None, val: list[TrainingSample]) -> None:
    """Train one stage into `run`, from the weights that the one before left."""
    from models.unet3d import UNet3DTrainer

    def show_until(done: int, total: int, what: str) -> None:
        show(done, total, what)
        if done >= stage.stopped < stage.steps:
            raise StageEndedError

    trainer = UNet3DTrainer(
        features=(16, 32, 64),
        patch_size=(24, 96, 96),
        batch_size=2,
        object_share=0.5,
        steps_per_epoch=100,
        epochs=stage.steps // 100,
        patience=stage.steps,
        learning_rate=stage.learning_rate,
        ema_decay=0.997,
        min_volume_share=0.1,
        validation_voxels=4_000_000,
        threads=2,
        seed=3,
        base_run=None if before is None else str(before),
    )
    train = draw_all(stage.first_seed, stage.volumes, stage.ranges)
    try:
        print(trainer.train(train, val, run, progress=show_until).validation)
    except StageEndedError:
        print(f"{stage.name}: ended after {stage.stopped} of {stage.steps} steps, as meant")


def train_stardist(folder: Path) -> Any:
    """Train the StarDist twin into `folder`; continues where it was interrupted."""
    from models.stardist3d import StarDist3DTrainer

    trainer = StarDist3DTrainer(
        n_rays=64,
        grid=(1, 2, 2),
        anisotropy=NOMINAL_SPACING,
        object_voxels=None,
        patch_size=(16, 64, 64),
        batch_size=2,
        epochs=TWIN_STEPS // 200,
        steps_per_epoch=200,
        learning_rate=1e-3,
        ema_decay=0.997,
        validation_patches=48,
        diameter_um=NOMINAL_DIAMETER,
        seed=1,
    )
    # It only serves to start trainings from, which learn where people draw outlines.
    train = draw_all(TWIN_SEED, TWIN_VOLUMES, outside=0.0)
    val = draw_all(TWIN_SEED + 900_000, 8, outside=0.0)
    return trainer.train(train, val, folder, progress=show)


def ship_unet(run_folder: Path, folder: Path, about: dict[str, Any]) -> None:
    """Write the slim run folder that ships: weights in half precision, no training state."""
    import torch

    from models.tensors import WEIGHTS_FILE, read_tensors, write_tensors
    from models.unet3d.checkpoint import read_run

    run = read_run(run_folder)
    tensors = read_tensors(run.folder / WEIGHTS_FILE, run.sha256)
    folder.mkdir(parents=True, exist_ok=True)
    # What half precision cannot hold would become infinite.
    most = torch.finfo(torch.float16).max
    half = {
        k: t.clamp(-most, most).half() if t.is_floating_point() else t for k, t in tensors.items()
    }
    sha = write_tensors(folder / WEIGHTS_FILE, half)
    said = read_json(run_folder / MODEL_FILE, "unet3d")
    kept = {k: v for k, v in said.items() if k != "fingerprint"}
    smallest = SMALLEST_SHARE * math.pi / 6 * NOMINAL_DIAMETER**3
    kept["instances"] = {
        **asdict(run.settings.instances),
        "min_volume_um3": smallest,
        "foreground": FOREGROUND,
    }
    write_json(
        folder / MODEL_FILE,
        {**kept, "weights_sha256": sha, NOMINAL_KEY: NOMINAL_DIAMETER, "about": about},
    )


def main() -> int:
    """Parse the arguments and train."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", choices=("unet3d", "stardist3d"))
    parser.add_argument("folder", type=Path, help="where the run is kept, interrupted or not")
    arguments = parser.parse_args()
    shipped = SHIPPED / arguments.model
    if arguments.model == "unet3d":
        ship_unet(train_unet(arguments.folder), shipped, ABOUT_UNET)
    else:
        from models.stardist3d.runfolder import export_run

        result = train_stardist(arguments.folder)
        export_run(arguments.folder, shipped)
        print(f"best epoch {result.best_epoch} of {result.epochs}: {result.validation}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
