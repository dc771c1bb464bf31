"""Training StarDist, in 2D or 3D: data, network, thresholds."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

import numpy as np
from annotated_types import Ge, Interval, Le
from numpy.typing import NDArray

from labels.numbers import number_of
from labels.progress import Progress, no_progress
from labels.spacing import Spacing
from models.ahead import Ahead
from models.base import TrainingResult, TrainingSample, one_channel_of
from models.budget import COMPARE, Budget
from models.curves import LoggerName
from models.devices import Precision
from models.errors import TrainingDataError, TrainingMemoryError
from models.field_size import KnownSizes
from models.learner import History, Schedule
from models.options import BatchSize, Count, DiameterUm, Minutes, Rate, Seed
from models.runfolder import base_folder, fingerprint, options_but
from models.scale import of_one_size
from models.scarce_memory import check_fits
from models.schedules import cosine, halvings
from models.stardist3d import plan
from models.stardist3d.build import initialise
from models.stardist3d.fitting import StarDistLearner
from models.stardist3d.plan import Triple
from models.stardist3d.runfolder import (
    BEST_WEIGHTS,
    RunSettings,
    model_file,
    read_settings,
    weights_sha256,
    write_thresholds,
)
from models.stardist3d.runtime import compute_in
from models.stardist3d.samples import (
    PreparedStack,
    hide_unverified,
    kept_in_z,
    prepare,
    resampled_labels,
    rescaling,
    slices_of,
)
from models.stardist3d.thresholds import choose_thresholds, mean_f1
from models.stardist3d.weights import save_weights
from models.training import MAY_CHANGE, Training

if TYPE_CHECKING:
    from models.stardist3d.batches import Batch, PatchSampler, Targets

PLATEAU_EPOCHS = 40
WARM_UP_STEPS = 10
LOWEST_RATE = 0.01
"""Of the highest learning rate, at the end of the cosine."""


@dataclass(frozen=True, kw_only=True)
class StarDistTraining(ABC):
    """What trainings of StarDist share in 2D and 3D; None is taken from the data.

    Parameters
    ----------
    n_rays : int
        Directions in which distances to the object's border are learned.
    unet_n_depth : int
        Levels of the U-Net.
    unet_n_filter_base : int
        Features of the first level.
    net_conv_after : int
        Features of the last layer before the outputs.
    object_voxels : float, optional
        Stacks in which the median object has more voxels than this along an axis are
        resampled for the network; None never resamples. The objects are drawn at full resolution.
    batch_size : int
    epochs : int
    steps_per_epoch : int, optional
        By default as many as see the training voxels about twice, 16 to 100.
    learning_rate : float, optional
        Of Adam, at its highest; by default 1e-3, or 3e-4 from a base run.
    schedule : str
        ``"cosine"`` falls to 1 % at the last step or the end of the time, ``"plateau"`` halves
        after 40 epochs without a better validation loss.
    augment : bool
        Flips, any turn in yx, stretching, shear, intensity changes, blur and noise.
    object_share : float
        Share of the patches that hold an object; the others lie on any verified voxel.
    ema_decay : float
        Decay of the moving average of the weights, which is what is judged and kept.
    max_minutes : float, optional
        Time limit of the training, from preparing the stacks to the last file.
    patience : int, optional
        Epochs without a better validation before training stops; a third of `epochs`, and at
        least 10, when not given.
    validation_patches : int
        At most so many patches of the validation stacks are checked after each epoch.
    base_run : str, optional
        Folder of an earlier run, or of a stock StarDist model, to continue from; ``"starter"``
        is the one shipped with the package, where there is one.
    diameter_um : float, optional
        Diameter of the nuclei of all stacks; by default measured on the labels of each. The stacks
        are resampled so that all, and those of a base run, have as many voxels.
    precision : {"auto", "bf16", "fp32"}
        Number format of the convolutions; ``"auto"`` takes bfloat16 where the hardware has it.
    logger : {"tensorboard", "wandb", "csv"}
        Where the curves go besides ``curves.csv``.
    seed : int
    """

    n_rays: Annotated[int, Ge(4), Le(512)]
    unet_n_depth: Annotated[int, Ge(1), Le(5)] = 2
    unet_n_filter_base: Annotated[int, Ge(1), Le(1024)] = 16
    net_conv_after: Annotated[int, Ge(0), Le(4096)] = 64
    object_voxels: Annotated[float, Ge(6), Le(10_000)] | None
    batch_size: BatchSize
    epochs: Count = 400
    steps_per_epoch: Count | None = None
    learning_rate: Rate | None = None
    schedule: Literal["cosine", "plateau"] = "cosine"
    augment: bool = True
    object_share: Annotated[float, Interval(ge=0, le=1)] = 0.9
    ema_decay: Annotated[float, Ge(0), Le(0.99999)] = 0.99
    max_minutes: Minutes | None = None
    patience: Count | None = None
    validation_patches: Count = 16
    base_run: str | None = None
    diameter_um: DiameterUm | None = None
    precision: Precision = "auto"
    logger: LoggerName = "tensorboard"
    seed: Seed = 0

    model: ClassVar[str]
    """Name in the registry."""

    flat: ClassVar[bool] = False
    """Whether slices are learned, not stacks."""

    @abstractmethod
    def _network(
        self,
        folder: Path,
        sizes: plan.ObjectSizes,
        stacks: Sequence[PreparedStack],
        notes: list[str],
    ) -> Any:
        """Return the network to train: new, or the base run's with its weights."""

    @abstractmethod
    def _patch(
        self,
        network: Any,
        sizes: plan.ObjectSizes,
        stacks: Sequence[PreparedStack],
        notes: list[str],
    ) -> Triple:
        """Return the training patch (z, y, x)."""

    @abstractmethod
    def _targets(self, config: Any) -> Targets:
        """Return how labels become what a network learns."""

    def train(
        self,
        train: Sequence[TrainingSample],
        val: Sequence[TrainingSample],
        run_folder: Path,
        *,
        progress: Progress = no_progress,
    ) -> TrainingResult:
        """Train, choose the best epoch and the thresholds on `val`, fill `run_folder`.

        Where `val` holds fewer than 20 objects, the thresholds are chosen on `train` as well.

        The folder has csbdeep's layout (``config.json``, ``thresholds.json``,
        ``weights_best.h5``), ``curves.csv`` and ``model.json``; it can be loaded from the first
        finished epoch on. A folder that holds an interrupted training of the same data and
        options is continued.

        Voxels outside a sample's mask, and objects that reach outside it, count in no loss.

        Raises
        ------
        TrainingDataError
            When no training sample holds an object that is verified as a whole.
        ImageError
            When an image is constant or not finite.
        CheckpointError
            When `base_run` cannot be loaded, or an interrupted training is of other data.
        TrainingDivergedError
            When the loss is no longer finite; the best weights so far are kept.
        """
        budget = Budget(self.max_minutes)
        # For the thresholds, which are chosen among as many objects as there is time for.
        budget.keep(min(max(60.0, budget.limit / 20), budget.limit / 5))
        notes: list[str] = []
        one_channel_of([*train, *val], "StarDist")
        _require_objects(train)
        sizes_known = KnownSizes()
        if self.diameter_um is None:
            samples = of_one_size(train, val, notes, flat=self.flat)
            train, val, sizes_known = samples.train, samples.val, samples.sizes
        folder = Path(run_folder)
        settings = replace(self.run_settings(train, notes), sizes=sizes_known)
        stacks, checks = self._prepared(train, settings), self._prepared(val, settings)
        sizes = plan.object_sizes([stack.labels for stack in stacks])
        network = self._network(folder, sizes, stacks, notes)
        patch = self._patch(network, sizes, stacks, notes)
        bf16 = compute_in(network, self.precision, training=True)
        notes.append(f"computed in {'bfloat16' if bf16 else 'float32'}")
        file = model_file(settings, self.model)
        file["fingerprint"] = fingerprint((options_but(self, MAY_CHANGE), settings), [*train, *val])
        sampler, batches = self._patches(network, stacks, checks, patch, notes)
        steps = self.steps_per_epoch or _steps(stacks, patch, self.batch_size)
        schedule = Schedule(self.epochs, steps, self._rate, self.patience)
        has_base = self.base_run is not None
        base = network.keras_model.get_weights(), network.thresholds
        if not has_base:
            initialise(network, sampler)
        with closing(Ahead(sampler.batch)) as ahead:
            learner = StarDistLearner(network, ahead, batches, self.ema_decay, has_base)
            training = Training(learner, schedule, folder, file, budget, self.logger, progress)
            training.resume()
            training.run()
        network.keras_model.load_weights(str(folder / BEST_WEIGHTS))
        f1, told = choose_thresholds(network, checks, stacks, folder, budget, progress, has_base)
        training.conclude({}, f1)
        if has_base and f1 and training.history.best_epoch > 0:
            found = f1["f1_instances_tuned"]
            asked = partial(_finds_more, network, base, checks, found, training)
            budget.attempt(COMPARE, asked, progress)
        return training.result(BEST_WEIGHTS, settings.base, [*notes, *told])

    def _rate(self, done: float, history: History) -> float:
        rate = self._highest_rate * min(1.0, (history.steps + 1) / WARM_UP_STEPS)
        if self.schedule == "cosine":
            return rate * cosine(done, lowest=LOWEST_RATE)
        losses = [row.get("val_loss", math.inf) for row in history.rows]
        return rate * 0.5 ** halvings(losses, PLATEAU_EPOCHS)

    @property
    def _highest_rate(self) -> float:
        return self.learning_rate or (1e-3 if self.base_run is None else 3e-4)

    def run_settings(self, train: Sequence[TrainingSample], notes: list[str]) -> RunSettings:
        """Return normalisation, voxel size and origin: the base run's, or the data's."""
        stated = _median_spacing(train)
        diameter = self.diameter_um or self._diameter_um(train)
        if self.base_run is None:
            spacing = stated
            if self.object_voxels is not None:
                sizes = self._sizes(train, stated)
                spacing = plan.working_spacing(sizes, stated, self.object_voxels)
            return RunSettings(spacing_um=spacing, stack_spacing_um=stated, diameter_um=diameter)
        folder = base_folder(self.base_run, self.model)
        base = read_settings(folder, self.model)
        scaled = base.for_diameter(diameter)
        if scaled is not base:
            notes.append(
                f"the nuclei have a diameter of {diameter:.3g} µm, the base run's "
                f"{base.diameter_um:.3g} µm: stacks are resampled to make them alike"
            )
        return RunSettings(
            base.normalisation,
            scaled.spacing_um or stated,
            f"{Path(self.base_run).name} sha256:{weights_sha256(folder)}",
            stated,
            diameter,
        )

    def _patches(
        self,
        network: Any,
        stacks: Sequence[PreparedStack],
        checks: Sequence[PreparedStack],
        patch: Triple,
        notes: list[str],
    ) -> tuple[PatchSampler, list[Batch]]:
        """Return what draws the batches to learn from, and those that every epoch is judged on."""
        # Numba and SciPy, which nobody needs who only reads the options.
        from models.stardist3d.batches import PatchCutter, PatchSampler, validation_views

        targets = self._targets(network.config)
        self._check_batch(patch, targets.grid, int(network.config.n_rays))
        cutter = PatchCutter(stacks, patch, targets)
        checked = PatchCutter(checks, patch, targets)
        if not any((stack.labels > 0).any() for stack in checks):
            notes.append(
                "no verified object in the validation stacks: the best epoch was chosen on the "
                "training stacks, and will look better than it is"
            )
            checked = cutter
        views = validation_views(checked, self.validation_patches)
        patches = [checked.cut(view) for view in views]
        size = self.batch_size
        batches = [checked.batch(patches[i : i + size]) for i in range(0, len(patches), size)]
        sampler = PatchSampler(cutter, size, self.augment, self.object_share, self.seed)
        return sampler, batches

    def _check_batch(self, patch: Triple, grid: Triple, n_rays: int) -> None:
        """Refuse a batch that the machine cannot hold."""
        cells = math.prod(math.ceil(n / step) for n, step in zip(patch, grid, strict=True))
        # A patch and its first features, and a distance for each ray of each cell with its mask.
        need = 4 * (math.prod(patch) * (1 + self.unet_n_filter_base) + cells * (n_rays + 2))
        check_fits(
            need * self.batch_size,
            f"a batch of {number_of(self.batch_size, 'patch', 'patches')} of "
            f"{'×'.join(map(str, patch))} voxels",
            "take smaller patches (patch_size) or fewer at once (batch_size)",
            TrainingMemoryError,
        )

    def _prepared(
        self, samples: Sequence[TrainingSample], settings: RunSettings
    ) -> list[PreparedStack]:
        prepared = [
            prepare(
                one,
                settings.normalisation,
                kept_in_z(settings.spacing_um or one.spacing_um, one.spacing_um, self.flat),
            )
            for one in samples
        ]
        return [part for stack in prepared for part in slices_of(stack)] if self.flat else prepared

    def _sizes(self, samples: Sequence[TrainingSample], spacing_um: Spacing) -> plan.ObjectSizes:
        volumes: list[NDArray[np.int32]] = []
        for sample in samples:
            labels = hide_unverified(sample.labels, sample.mask)
            scale = rescaling(
                sample.spacing_um, kept_in_z(spacing_um, sample.spacing_um, self.flat)
            )
            zoomed = resampled_labels(labels, scale)
            volumes += list(zoomed[:, None]) if self.flat else [zoomed]
        return plan.object_sizes(volumes)

    def _diameter_um(self, samples: Sequence[TrainingSample]) -> float:
        return plan.diameter_um(
            [hide_unverified(one.labels, one.mask) for one in samples],
            [one.spacing_um for one in samples],
            flat=self.flat,
        )


def _finds_more(
    network: Any,
    base: tuple[list[Any], Any],
    stacks: Sequence[PreparedStack],
    f1: float,
    training: Training,
    progress: Progress,
) -> bool:
    """Keep the base after all if it finds more with its own thresholds; tell whether it does."""
    weights, thresholds = base
    network.keras_model.set_weights(weights)
    network.thresholds = thresholds._asdict()
    more = mean_f1(network, stacks, progress) > f1
    if more:
        save_weights(network.keras_model, training.folder / BEST_WEIGHTS)
        write_thresholds(training.folder, network, *map(float, thresholds))
        training.keep_base({"weights_sha256": weights_sha256(training.folder)})
    return more


def _require_objects(train: Sequence[TrainingSample]) -> None:
    if not any((hide_unverified(one.labels, one.mask) > 0).any() for one in train):
        names = ", ".join(sample.name for sample in train) or "no stack at all"
        raise TrainingDataError(
            f"expected at least one object whose voxels are all verified, got none in: {names}; "
            "label or accept some objects first"
        )


def _median_spacing(samples: Sequence[TrainingSample]) -> Spacing:
    z, y, x = np.median([sample.spacing_um for sample in samples], axis=0)
    return (float(z), float(y), float(x))


def largest_of(stacks: Sequence[PreparedStack]) -> Triple:
    """Return the largest extent (z, y, x) of stacks along each axis."""
    z, y, x = np.max([stack.image.shape for stack in stacks], axis=0)
    return (int(z), int(y), int(x))


def _steps(stacks: Sequence[PreparedStack], patch: Triple, batch_size: int) -> int:
    voxels = sum(stack.image.size for stack in stacks)
    return int(np.clip(2 * voxels / (math.prod(patch) * batch_size), 16, 100))
