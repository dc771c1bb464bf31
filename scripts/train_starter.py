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
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.base import TrainingSample
from models.files import write_json
from models.starter.scale import (
    NOMINAL_DIAMETER,
    NOMINAL_KEY,
    NOMINAL_SPACING,
    SMALLEST_SHARE,
)
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

FEWEST_OBJECTS = 3


@dataclass(frozen=True)
class Drawn:
    """One volume as the network sees it, and the options that it was made with."""

    sample: TrainingSample
    generator: NucleiGenerator


def draw(seed: int) -> Drawn:
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
            options = random_generator(rng, (z, y, x), (ratio, 1.0, 1.0), width, Ranges())
            stack = options.make(int(rng.integers(2**31)))
        except SyntheticError:
            continue
        labels = as_drawn(resize(stack.labels, SIZE, linear=False))
        if len(np.unique(labels)) > FEWEST_OBJECTS:
            image = resize(stack.image, SIZE, linear=True)
            known = np.ones(SIZE, bool)
            sample = TrainingSample(f"synthetic-{seed}", image, labels, known, NOMINAL_SPACING)
            return Drawn(sample, options)
    raise SyntheticError(f"seed {seed}: expected a volume with nuclei in 50 draws, got none")


def as_drawn(labels: NDArray[np.uint32]) -> NDArray[np.uint32]:
    """Return labels (Z, Y, X) at the network's voxel size, grown to where a person draws them."""
    from skimage.segmentation import expand_labels

    grown: NDArray[np.uint32] = expand_labels(labels, DRAWN_OUTSIDE, NOMINAL_SPACING)
    return grown


def draw_all(first: int, count: int) -> list[TrainingSample]:
    """Draw volumes of consecutive seeds, on all cores."""
    from concurrent.futures import ProcessPoolExecutor

    with ProcessPoolExecutor() as pool:
        return [d.sample for d in pool.map(draw, range(first, first + count), chunksize=4)]


def starter_home() -> Path:
    """Folder of the package that the models ship in."""
    import models.starter

    return Path(models.starter.__file__).parent


def show(done: int, total: int, what: str) -> None:
    """Print progress every hundredth step."""
    if done % 100 == 0:
        print(f"{time.strftime('%H:%M:%S')} {what}: {done} of {total}", flush=True)


def train_unet(folder: Path, arguments: argparse.Namespace) -> Any:
    """Train the U-Net into `folder`; continues where it was interrupted."""
    from models.unet3d import UNet3DTrainer

    trainer = UNet3DTrainer(
        features=(16, 32, 64),
        patch_size=(24, 96, 96),
        batch_size=2,
        object_share=0.5,
        steps_per_epoch=100,
        epochs=arguments.steps // 100,
        patience=arguments.steps,
        learning_rate=3e-3,
        freeze_at=arguments.freeze_at,
        ema_decay=0.997,
        min_volume_share=0.1,
        validation_voxels=4_000_000,
        threads=2,
        seed=arguments.seed,
    )
    train = draw_all(1_000_000 * arguments.seed, arguments.volumes)
    val = draw_all(1_000_000 * arguments.seed + 900_000, 12)
    return trainer.train(train, val, folder, progress=show)


def train_stardist(folder: Path, arguments: argparse.Namespace) -> Any:
    """Train the StarDist twin into `folder`; continues where it was interrupted."""
    from models.stardist3d import StarDist3DTrainer

    trainer = StarDist3DTrainer(
        n_rays=64,
        grid=(1, 2, 2),
        anisotropy=NOMINAL_SPACING,
        object_voxels=None,
        patch_size=(16, 64, 64),
        batch_size=2,
        epochs=arguments.steps // 200,
        steps_per_epoch=200,
        learning_rate=1e-3,
        ema_decay=0.997,
        validation_patches=48,
        diameter_um=NOMINAL_DIAMETER,
        seed=arguments.seed,
    )
    train = draw_all(1_000_000 * arguments.seed, arguments.volumes)
    val = draw_all(1_000_000 * arguments.seed + 900_000, 8)
    return trainer.train(train, val, folder, progress=show)


def ship_unet(run_folder: Path, folder: Path, about: dict[str, Any]) -> None:
    """Write the slim run folder that ships: weights in half precision, no training state."""
    from models.unet3d import checkpoint

    run = checkpoint.read_run(run_folder)
    tensors = checkpoint.read_tensors(run.folder / checkpoint.WEIGHTS_FILE, run.sha256)
    folder.mkdir(parents=True, exist_ok=True)
    half = {k: t.half() if t.is_floating_point() else t for k, t in tensors.items()}
    sha = checkpoint.write_tensors(folder / checkpoint.WEIGHTS_FILE, half)
    kept = {k: v for k, v in run.data.items() if k != "fingerprint"}
    smallest = SMALLEST_SHARE * math.pi / 6 * NOMINAL_DIAMETER**3
    kept["instances"] = {**run.data["instances"], "min_volume_um3": smallest}
    write_json(
        folder / checkpoint.MODEL_FILE,
        {**kept, "weights_sha256": sha, NOMINAL_KEY: NOMINAL_DIAMETER, "about": about},
    )


def main() -> int:
    """Parse the arguments and train."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", choices=("unet3d", "stardist3d"))
    parser.add_argument("folder", type=Path, help="where the run is kept, interrupted or not")
    parser.add_argument("--volumes", type=int, default=200)
    parser.add_argument("--steps", type=int, default=3000)
    parser.add_argument("--freeze-at", type=float, default=1.0, help="see UNet3DTrainer")
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    about = {
        "trained_on": "synthetic nuclei of models.synthetic.random_generator",
        "volumes": arguments.volumes,
        "steps": arguments.steps,
        "seed": arguments.seed,
        "licence": "BSD-3-Clause",
    }
    shipped = starter_home() / arguments.model
    if arguments.model == "unet3d":
        result = train_unet(arguments.folder, arguments)
        ship_unet(arguments.folder, shipped, about)
    else:
        from models.stardist3d.runfolder import export_run

        result = train_stardist(arguments.folder, arguments)
        export_run(arguments.folder, shipped)
    print(f"best epoch {result.best_epoch} of {result.epochs}: {result.validation}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
