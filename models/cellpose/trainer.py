"""Options of a Cellpose fine-tuning, and how it is put together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
from annotated_types import Ge, Le, MinLen

from labels.numbers import number_of
from labels.progress import Progress, no_progress
from models.base import TrainingResult, TrainingSample, check_image, common_channels
from models.budget import Budget
from models.cellpose import runfolder as files
from models.cellpose import weights
from models.cellpose.segmenter import NATIVE_DIAMETER_PX
from models.cellpose.slices import View
from models.curves import LoggerName
from models.devices import Compute, Precision, choose_compute, set_threads
from models.errors import TrainingDataError
from models.learner import Schedule
from models.options import (
    BatchSize,
    Count,
    DiameterUm,
    Minutes,
    Percentiles,
    Rate,
    Seed,
    Threads,
    check_percentiles,
)
from models.runfolder import FORMAT, fingerprint, options_but, read_model_file, settings_from
from models.schedules import falling
from models.training import MAY_CHANGE, Training

if TYPE_CHECKING:
    from models.cellpose.batches import TileSampler
    from models.cellpose.finetune import CellposeLearner


WARM_UP = LOWEST_RATE = 0.05
"""Of the learning rate: the share of the training in which it rises, and how low it falls."""


@dataclass(frozen=True, kw_only=True)
class CellposeTrainer:
    """Fine-tunes Cellpose-SAM on paired slices of labelled stacks.

    Slices are cut along each view, with z resampled so that pixels are square, from where labels
    count; no other voxel is learned from. Tuning all 307 million weights is meant for a GPU; on a
    CPU the neck and readout are tuned.

    Parameters
    ----------
    model : str
        Weights to start from: see `CellposeSegmenter`.
    base_run : str, optional
        Run folder of an earlier fine-tuning, whose weights are taken in place of `model`.
    trainable : {"auto", "all", "neck"}
        What is tuned: all weights, or the neck and the readout behind the transformer's blocks.
        ``"auto"`` takes all on a GPU and the neck on a CPU.
    views : tuple of {"xy", "xz", "yz"}
        Directions that slices are cut in.
    min_objects : int
        Slices with fewer labelled objects are not used.
    diameter_um : float, optional
        Diameter of a nucleus in µm; slices are rescaled so that it measures 30 pixels, in
        training and in prediction. Not rescaled when not given.
    mode : {"stitch", "do_3D"}
        How the tuned model predicts: see `CellposeSegmenter`.
    epochs : int
        At most so many times.
    tiles_per_epoch : int
        Tiles of 256 × 256 pixels, each from a random slice, after which the network is validated.
    batch_size : int
        Tiles per step. Where memory is short, fewer are computed at a time.
    max_minutes : float, optional
        Time limit of the training, from preparing the stacks to the last file; the learning rate
        then falls with the time.
    patience : int, optional
        Epochs without a better validation before training stops; a third of `epochs`, and at
        least 10, when not given.
    learning_rate, weight_decay : float
        Of AdamW; Cellpose's own are 1e-5 and 0.1 for all weights.
    validation_tiles : int
        Tiles that choose the best epoch.
    percentiles : (float, float)
        Intensity percentiles of a stack that become 0 and 1.
    precision : {"auto", "bf16", "fp32"}
        Number format of the transformer.
    threads : int, optional
        CPU threads.
    logger : {"tensorboard", "wandb", "csv"}
        Where curves go besides ``curves.csv``.
    seed : int
        Of tiles and augmentation; the same seed gives the same weights on a CPU.
    """

    model: str = weights.PRETRAINED[0]
    base_run: str | None = None
    trainable: Literal["auto", "all", "neck"] = "auto"
    views: Annotated[tuple[View, ...], MinLen(1)] = ("xy", "xz", "yz")
    min_objects: Count = 1
    diameter_um: DiameterUm | None = None
    mode: Literal["stitch", "do_3D"] = "stitch"
    epochs: Count = 50
    tiles_per_epoch: Count = 32
    batch_size: BatchSize = 2
    max_minutes: Minutes | None = None
    patience: Count | None = None
    learning_rate: Rate = 5e-5
    weight_decay: Annotated[float, Ge(0), Le(100)] = 0.1
    validation_tiles: Count = 16
    percentiles: Percentiles = (1.0, 99.0)
    precision: Precision = "auto"
    threads: Threads | None = None
    logger: LoggerName = "tensorboard"
    seed: Seed = 0

    def __post_init__(self) -> None:
        check_percentiles(self.percentiles)

    def train(
        self,
        train: Sequence[TrainingSample],
        val: Sequence[TrainingSample],
        run_folder: Path,
        *,
        progress: Progress = no_progress,
    ) -> TrainingResult:
        """Fine-tune on `train`, choose on `val`, write weights and `curves.csv` to `run_folder`.

        A folder that holds an interrupted training of the same data and options is continued.

        Parameters
        ----------
        train, val : sequence of TrainingSample
            Without an object in `val` the choice is made on `train`, and the notes say so.
        run_folder : Path
        progress : callable
            Raising in it cancels; the last epoch's checkpoint stays.

        Returns
        -------
        TrainingResult
            `weights` is a state dict as Cellpose itself saves and loads it.

        Raises
        ------
        TrainingDataError
            No slice shows an object that counts.
        TrainingDivergedError
            The loss is no longer finite; the best checkpoint stays.
        CheckpointError
            The weights to start from, or an interrupted training, do not fit.
        WeightsUnavailableError
            The pretrained weights are neither here nor to be had from the network.
        """
        budget = Budget(self.max_minutes)
        notes: list[str] = []
        set_threads(self.threads)
        sampler, judge = self._samplers(train, val, notes)
        base, base_name, licence = self._base(progress)
        compute = choose_compute(self.precision, training=True)
        notes.append(compute.note)
        folder = Path(run_folder)
        folder.mkdir(parents=True, exist_ok=True)
        model_file = self._model_file(base_name, licence, [*train, *val])
        learner = self._learner(base, sampler, judge, compute, notes)
        steps = -(-self.tiles_per_epoch // self.batch_size)
        rate = falling(self.learning_rate, lowest=LOWEST_RATE, warm_up=WARM_UP)
        schedule = Schedule(self.epochs, steps, rate, self.patience)
        training = Training(learner, schedule, folder, model_file, budget, self.logger, progress)
        training.resume()
        training.run()
        return training.result(files.WEIGHTS_FILE, base_name, notes, licence)

    def _samplers(
        self, train: Sequence[TrainingSample], val: Sequence[TrainingSample], notes: list[str]
    ) -> tuple[TileSampler, TileSampler]:
        sampler, judge = self._sampler(train), self._sampler(val)
        if not sampler.slices:
            raise TrainingDataError(
                f"expected slices with at least {number_of(self.min_objects, 'labelled object')} "
                f"in {', '.join(self.views)}, got none in {number_of(len(train), 'training stack')}"
                "; correct or accept some objects first, or lower min_objects"
            )
        if not judge.slices:
            notes.append(
                "no validation stack holds a labelled object: the best epoch was chosen on the "
                "training stacks"
            )
            judge = sampler
        return sampler, judge

    def _sampler(self, samples: Sequence[TrainingSample]) -> TileSampler:
        from models.cellpose import engine
        from models.cellpose.batches import TileSampler

        for sample in samples:
            check_image(sample.image, f"stack {sample.name!r}")
        if common_channels(samples) > engine.MOST_CHANNELS:
            raise TrainingDataError(
                f"Cellpose takes at most {engine.MOST_CHANNELS} channels, got "
                f"{common_channels(samples)}; name those that show the objects"
            )
        stretched = [
            replace(
                s, image=np.moveaxis(engine.normalise_channels(s.image, self.percentiles), -1, 0)
            )
            for s in samples
        ]
        return TileSampler(
            stretched, self.views, self.min_objects, [self._pixel_um(s) for s in samples], self.seed
        )

    def _pixel_um(self, sample: TrainingSample) -> float:
        if self.diameter_um is not None:
            return self.diameter_um / NATIVE_DIAMETER_PX
        return float(np.sqrt(sample.spacing_um[1] * sample.spacing_um[2]))

    def _base(self, progress: Progress) -> tuple[Path, str, str]:
        """Return the weights to start from, what they are, and their licence."""
        from models.cellpose.checkpoint import check_checkpoint

        if self.base_run is not None:
            folder = Path(self.base_run)
            data = read_model_file(folder, "cellpose", files.REQUIRED)
            path = files.checked_weights(folder, data)
            name, licence = folder.name, str(data["licence"])
        else:
            path = weights.ensure_weights(self.model, progress)
            name, licence = self.model, weights.licence(self.model)
        check_checkpoint(path)
        return path, f"{name} ({weights.sha256(path)})", licence

    def _model_file(
        self, base: str, licence: str, samples: Sequence[TrainingSample]
    ) -> dict[str, Any]:
        free = (*MAY_CHANGE, "model", "base_run")
        return {
            "model": "cellpose",
            "format": FORMAT,
            "base": base,
            "licence": licence,
            "percentiles": list(self.percentiles),
            "diameter_um": self.diameter_um,
            "mode": self.mode,
            "views": list(self.views),
            "fingerprint": fingerprint((base, options_but(self, free)), samples),
        }

    def _learner(
        self,
        base: Path,
        sampler: TileSampler,
        judge: TileSampler,
        compute: Compute,
        notes: list[str],
    ) -> CellposeLearner:
        from models.cellpose.finetune import CellposeLearner, Tunable
        from models.torch_learner import Optimisation

        neck_only = self.trainable == "neck" or (
            self.trainable == "auto" and compute.device == "cpu"
        )
        notes.append("tuned: " + ("neck and readout" if neck_only else "all weights"))
        tunable = Tunable(files.read_state(base), compute, neck_only)
        tiles = judge.fixed(self.validation_tiles)
        return CellposeLearner(tunable, sampler, tiles, settings_from(Optimisation, self))
