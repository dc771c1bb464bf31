"""Options of a U-Net training, and how it is put together."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import numpy as np
from annotated_types import Ge, Gt, Le, MaxLen, MinLen

from labels.progress import Progress, no_progress
from labels.spacing import Spacing
from models.ahead import Ahead
from models.base import TrainingResult, TrainingSample, check_image, common_channels
from models.budget import CHOOSE, Budget
from models.curves import LoggerName
from models.devices import Compute, Precision, choose_compute, reused_memory, set_threads
from models.learner import Schedule
from models.objects import whole_sizes
from models.options import (
    BatchSize,
    Count,
    Features,
    Minutes,
    Percentiles,
    Positive,
    Rate,
    Seed,
    Share,
    Side,
    Threads,
    Weight,
    check_percentiles,
)
from models.runfolder import FORMAT, fingerprint, options_but, settings_from
from models.scale import of_one_size
from models.schedules import falling
from models.tensors import WEIGHTS_FILE
from models.training import MAY_CHANGE, Training
from models.unet3d import checkpoint as files
from models.unet3d.architecture import MOST_LEVELS, Architecture, Norm
from models.unet3d.augment import Augmentation
from models.unet3d.instances import InstanceSettings, Method
from models.unet3d.patches import (
    Batch,
    PatchSampler,
    PreparedStack,
    check_learnable,
    prepare,
)
from models.unet3d.plan import (
    check_training_fits,
    common_scale,
    own_instances,
    plan_network,
    read_base,
)
from models.unet3d.remembered import remember_background
from models.unet3d.settings import DEFAULT_CLASS_WEIGHTS, LossName, LossSettings
from models.unet3d.validation import Judge, windows
from models.validating import judged_and_tuned

if TYPE_CHECKING:
    from models.unet3d.train import UNetLearner

WARM_UP = 0.03
LOWEST_RATE = 0.01
"""Of the learning rate: the share of the training in which it rises, and how low it falls."""


@dataclass(frozen=True, kw_only=True)
class UNet3DTrainer:
    """Trains a 3D U-Net for background, edge and nucleus, with a distance head.

    Parameters
    ----------
    features : tuple of int
        Channels per level. (64, 128, 256) has 22.4 million parameters; (16, 32, 64) trains in a
        few minutes on two CPU cores.
    norm : {"frozen", "instance", "batch", "group"}
        Normalisation. "frozen": of each patch by its own values until `freeze_at` and by their
        running mean from then on; where it never froze, a large stack is predicted with the mean
        over some of its patches. "instance": of each patch by its own values always; "batch": by
        running values; "group": in groups of channels. "frozen" and "batch" fold into the
        convolutions, which makes prediction several times faster.
    freeze_at : float
        Share of the training after which "frozen" takes the running values; 1 is never.
    loss : {"wce", "focal", "iou", "tversky", "dice", "bce_dice", "binary_focal"}
        Loss of the three classes.
    class_weights : (float, float, float), optional
        Weights of background, edge, nucleus; (1, 3, 2) for the cross-entropies and (1, 2, 1.5)
        for the overlap losses when not given.
    focal_gamma, focal_alpha : float
        Exponent and factor of the focal losses.
    false_positive_weight, false_negative_weight : float
        Weights of false positives and of false negatives in the Tversky loss.
    gap_weighting : bool
        Stress background voxels in narrow gaps between objects.
    gap_amplitude, gap_sigma_px : float
        How much, and over which distance in xy pixels.
    head_weight : float
        Weight of the head's loss.
    edge_width_px : int
        Width of the edge class in pixels.
    patch_size : (int, int, int), optional
        Training patch (z, y, x) in voxels; from the objects' size when not given.
    batch_size : int
        Patches per step.
    object_share : float
        Share of patches centred on an object; the others lie anywhere.
    steps_per_epoch : int
        Steps after which the network is validated.
    epochs : int
        At most so many times.
    max_minutes : float, optional
        Time limit of the training, from preparing the stacks to the last file; the learning rate
        then falls with the time.
    patience : int, optional
        Epochs without a better validation before training stops; a third of `epochs`, and at
        least 10, when not given.
    learning_rate, weight_decay, clip_norm : float
        Of Adam (with decoupled weight decay), and the largest norm of the gradient.
    ema_decay : float
        Decay of the moving average of the weights, which is what is kept.
    percentiles : (float, float)
        Intensity percentiles of a stack that become 0 and 1.
    flip : bool
        Augmentation: mirror.
    rotate : {"none", "quarter", "any"}
        Augmentation: rotate in xy.
    elastic_px : float
        Augmentation: elastic displacement in xy, standard deviation in pixels.
    intensity : bool
        Augmentation: gain, offset, gamma, noise, blur along z.
    instances : {"watershed", "components"}
        How objects are made.
    min_volume_share : float
        Objects smaller than this share of the smallest usual training object are dropped.
    validation_voxels : int
        Voxels that are judged after each epoch, all validation stacks together.
    precision : {"auto", "bf16", "fp32"}
        Number format of the convolutions.
    threads : int, optional
        CPU threads.
    base_run : str, optional
        Run folder whose weights, architecture and voxel size training starts from; ``"starter"``
        is the shipped model.
    logger : {"tensorboard", "wandb", "csv"}
        What the curves are sent to besides `curves.csv`.
    seed : int
        Of weights, patches and augmentation; the same seed gives the same weights on a CPU.
    """

    features: Annotated[tuple[Features, ...], MinLen(1), MaxLen(MOST_LEVELS)] = (64, 128, 256)
    norm: Norm = "frozen"
    freeze_at: Share = 1.0
    loss: LossName = "wce"
    class_weights: tuple[Weight, Weight, Weight] | None = None
    focal_gamma: Annotated[float, Ge(0), Le(100)] = 7.0
    focal_alpha: Positive = 1.0
    false_positive_weight: Weight = 0.3
    false_negative_weight: Weight = 0.7
    gap_weighting: bool = False
    gap_amplitude: Weight = 100.0
    gap_sigma_px: Annotated[float, Gt(0), Le(1000)] = 5.0
    head_weight: Weight = 1.0
    edge_width_px: Annotated[int, Ge(1), Le(1000)] = 1
    patch_size: tuple[Side, Side, Side] | None = None
    batch_size: BatchSize = 2
    object_share: Share = 0.7
    steps_per_epoch: Count = 32
    epochs: Count = 100
    max_minutes: Minutes | None = None
    patience: Count | None = None
    learning_rate: Rate = 1e-3
    weight_decay: Annotated[float, Ge(0), Le(100)] = 1e-4
    clip_norm: Positive = 1.0
    ema_decay: Annotated[float, Ge(0), Le(0.99999)] = 0.99
    percentiles: Percentiles = (1.0, 99.8)
    flip: bool = True
    rotate: Literal["none", "quarter", "any"] = "any"
    elastic_px: Annotated[float, Ge(0), Le(1000)] = 1.0
    intensity: bool = True
    instances: Method = "watershed"
    min_volume_share: Share = 0.3
    validation_voxels: Annotated[int, Ge(1), Le(2**40)] = 600_000
    precision: Precision = "auto"
    threads: Threads | None = None
    base_run: str | None = None
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
        """Train on `train`, choose on `val`, write weights and `curves.csv` to `run_folder`.

        A folder that holds an interrupted training of the same data and options is continued.

        Parameters
        ----------
        train, val : sequence of TrainingSample
            Without `val` the choice is made on `train`, and the notes say so.
        run_folder : Path
        progress : callable
            Raising in it cancels; the last epoch's checkpoint stays.

        Returns
        -------
        TrainingResult

        Raises
        ------
        TrainingDataError
            When the samples hold no object or no voxel that counts.
        TrainingDivergedError
            When the loss is no longer finite.
        CheckpointError
            When `base_run`, or an interrupted training, does not fit.
        """
        budget = Budget(self.max_minutes)
        # For the thresholds, until an epoch tells how long they take.
        budget.keep(min(60.0, budget.limit / 8))
        notes: list[str] = []
        mine = (self.features, self.norm)
        base = None if self.base_run is None else read_base(self.base_run, mine, notes)
        samples = of_one_size(train, val, notes)
        spacing, diameter = common_scale(samples, base, notes)
        train, val = samples.train, samples.val
        common_channels([*train, *val])
        stacks = self._prepared(train, spacing)
        check_learnable(stacks, "training stacks")
        set_threads(self.threads)
        compute = choose_compute(self.precision, training=True)
        notes.append(compute.note)
        if base is not None:
            stacks = remember_background(stacks, base, compute, notes)
        held_out = windows(self._prepared(val, spacing), self.validation_voxels)
        found = sum(len(np.unique(each.labels[each.labels > 0])) for each in held_out)
        own = windows(stacks, self.validation_voxels)
        judged, tuned = judged_and_tuned(held_out, own, found, "stack", notes)
        architecture, patch = plan_network(stacks, spacing, base, mine, self.patch_size, notes)
        check_training_fits(architecture, patch, self.batch_size)
        method = self._usual_instances(base, self._min_volume(stacks, spacing))
        model_file = {
            "model": "unet3d",
            "format": FORMAT,
            "architecture": asdict(architecture),
            "spacing_um": spacing,
            "diameter_um": diameter,
            "sizes": asdict(samples.sizes),
            "percentiles": self.percentiles,
            "precision": self.precision,
            "patch_size": patch,
            "instances": asdict(method),
            "fingerprint": fingerprint(options_but(self, MAY_CHANGE), [*train, *val]),
        }
        judge = Judge(
            architecture=architecture,
            patch=patch,
            compute=compute,
            spacing_um=spacing,
            instances=method,
            judged=judged,
            tuned=tuned,
            budget=budget,
            base=None if base is None else files.load_network(base, architecture.channels),
            base_instances=own_instances(base, spacing),
        )
        run_folder = Path(run_folder)
        run_folder.mkdir(parents=True, exist_ok=True)
        ahead = Ahead(self._sampler(stacks, patch).batch)
        learner = self._learner(architecture, ahead, stacks, compute, base, judge)
        rate = falling(self.learning_rate, lowest=LOWEST_RATE, warm_up=WARM_UP)
        schedule = Schedule(self.epochs, self.steps_per_epoch, rate, self.patience)
        training = Training(
            learner, schedule, run_folder, model_file, budget, self.logger, progress
        )
        training.resume()
        with closing(ahead), reused_memory():
            training.run()
            budget.keep(0)
            choosing = partial(judge.choose, learner.best(run_folder), training)
            budget.attempt(CHOOSE, choosing, progress)
        return training.result(
            WEIGHTS_FILE,
            "random" if base is None else f"{base.folder.name} ({base.sha256})",
            notes,
        )

    def _gap(self) -> tuple[float, float] | None:
        return (self.gap_amplitude, self.gap_sigma_px) if self.gap_weighting else None

    def _prepared(self, samples: Sequence[TrainingSample], spacing: Spacing) -> list[PreparedStack]:
        for sample in samples:
            check_image(sample.image, f"stack {sample.name!r}")
        return [
            prepare(s, spacing, self.percentiles, self.edge_width_px, self._gap()) for s in samples
        ]

    def _min_volume(self, stacks: list[PreparedStack], spacing: Spacing) -> float:
        sizes = np.concatenate([whole_sizes(s.labels) for s in stacks])
        usual = float(np.percentile(sizes, 10))
        return self.min_volume_share * usual * float(np.prod(spacing))

    def _usual_instances(self, base: files.RunFile | None, smallest: float) -> InstanceSettings:
        """Return the thresholds of the run that training starts from, else the default ones."""
        usual = InstanceSettings() if base is None else base.settings.instances
        return replace(usual, method=self.instances, min_volume_um3=smallest)

    def _loss_settings(self) -> LossSettings:
        return LossSettings(
            self.loss,
            self.class_weights or DEFAULT_CLASS_WEIGHTS[self.loss],
            self.focal_gamma,
            self.focal_alpha,
            self.false_positive_weight,
            self.false_negative_weight,
        )

    def _shares(self, stacks: list[PreparedStack]) -> tuple[list[float], float, float]:
        known = [s.targets.voxels.ravel() > 0 for s in stacks]
        pairs = list(zip(stacks, known, strict=True))
        counts = sum(np.bincount(s.targets.classes.ravel()[k], minlength=3) for s, k in pairs)
        weighted = counts * np.asarray(self._loss_settings().class_weights)
        voxels = sum(int(k.sum()) for k in known)
        inside = sum(int(s.targets.inside.ravel()[k].sum()) for s, k in pairs) / voxels
        distance = sum(float(s.targets.distance.ravel()[k].sum()) for s, k in pairs) / voxels
        return list(weighted / weighted.sum()), inside, distance

    def _sampler(self, stacks: list[PreparedStack], patch: tuple[int, int, int]) -> PatchSampler:
        return PatchSampler(
            stacks,
            patch,
            batch_size=self.batch_size,
            object_share=self.object_share,
            augmentation=settings_from(Augmentation, self),
            seed=self.seed,
        )

    def _learner(
        self,
        architecture: Architecture,
        batch: Ahead[Batch],
        stacks: list[PreparedStack],
        compute: Compute,
        base: files.RunFile | None,
        judge: Judge,
    ) -> UNetLearner:
        from models.torch_learner import Optimisation
        from models.unet3d.train import UNetLearner

        learner = UNetLearner(
            architecture, batch, self._loss_settings(), self.head_weight, self.freeze_at,
            settings_from(Optimisation, self), compute, judge.epoch, base,
        )  # fmt: skip
        if base is None:
            learner.start_at(*self._shares(stacks))
        return learner
