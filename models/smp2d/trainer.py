"""Options of a training of 2D networks, and how it is put together."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
from annotated_types import Ge, Le

from labels.progress import Progress, no_progress
from models.ahead import Ahead
from models.base import TrainingResult, TrainingSample, common_channels
from models.budget import CHOOSE, Budget
from models.curves import LoggerName
from models.devices import Compute, Precision, choose_compute, reused_memory, set_threads
from models.errors import ModelError
from models.learner import Schedule
from models.options import (
    BatchSize,
    Count,
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
from models.runfolder import FORMAT, base_folder, fingerprint, options_but, settings_from
from models.schedules import falling
from models.smp2d.architecture import SIDES, Arch, Architecture
from models.smp2d.checkpoint import MODEL, Overlap, RunFile, load_network, read_run
from models.smp2d.patches import (
    Batch,
    PatchSampler,
    automatic_patch,
    check_learnable,
    prepare,
)
from models.smp2d.plan import (
    check_samples,
    check_training_fits,
    common_spacing,
    of_the_base,
    usual_instances,
)
from models.smp2d.scenes import Classes, join, plan_outputs
from models.smp2d.validation import Judge, windows
from models.tensors import WEIGHTS_FILE
from models.training import MAY_CHANGE, Training
from models.unet3d.augment import Augmentation
from models.unet3d.instances import Method
from models.unet3d.settings import LossName, LossSettings
from models.validating import judged_and_tuned

if TYPE_CHECKING:
    from models.smp2d.learner import SMPLearner

WARM_UP = 0.03
LOWEST_RATE = 0.01
"""Of the learning rate: the share of the training in which it rises, and how low it falls."""


@dataclass(frozen=True, kw_only=True)
class SMP2DTrainer:
    """Trains a 2D network of segmentation-models-pytorch on slices.

    Parameters
    ----------
    arch : {"unet", "unetplusplus", "fpn", "pspnet", "deeplabv3plus", "manet", "linknet", "pan"}
        Architecture.
    encoder : str
        Encoder of segmentation-models-pytorch (resnet18, resnet34, efficientnet-b0, …), or
        "tu-NAME" of one of timm.
    encoder_weights : str, optional
        A safetensors file of the encoder's weights, or the name of weights that are in Hugging
        Face's cache on this machine ("imagenet"); random when not given.
    classes : {"auto", "pooled", "softmax", "sigmoid"}
        How several classes are learned: all as one, one class for each pixel, or classes that may
        overlap. "auto" pools classes that are never seen in the same image, and else takes softmax
        where no two of them overlap.
    loss : {"wce", "focal", "iou", "tversky", "dice", "bce_dice", "binary_focal"}
        Loss of the classes.
    focal_gamma, focal_alpha : float
        Exponent and factor of the focal losses.
    false_positive_weight, false_negative_weight : float
        What false positives and false negatives weigh in the Tversky loss.
    distance_weight : float
        Weight of the loss of the distance to the objects' borders, which parts touching objects.
    patch_size : (int, int), optional
        Training patch (y, x) in pixels; from the objects' size when not given.
    batch_size : int
        Patches per step.
    object_share : float
        Share of patches around an object or a part of an area; the others lie anywhere.
    steps_per_epoch : int
        Steps after which the network is validated.
    epochs : int
        At most so many times.
    max_minutes : float, optional
        Time limit of the training, from preparing the images to the last file; the learning rate
        then falls with the time.
    patience : int, optional
        Epochs without a better validation before training stops; a third of `epochs`, and at
        least 10, when not given.
    learning_rate, weight_decay, clip_norm : float
        Of Adam (with decoupled weight decay), and the largest norm of the gradient.
    ema_decay : float
        Decay of the moving average of the weights, which is what is kept.
    percentiles : (float, float)
        Intensity percentiles of an image that become 0 and 1.
    flip : bool
        Augmentation: mirror.
    rotate : {"none", "quarter", "any"}
        Augmentation: rotate.
    elastic_px : float
        Augmentation: elastic displacement, standard deviation in pixels.
    intensity : bool
        Augmentation: gain, offset, gamma, noise, of each channel.
    instances : {"watershed", "components"}
        How objects are made.
    min_size_share : float
        Objects smaller than this share of the smallest usual training object are dropped.
    stitch_overlap : float
        Overlap (intersection over union) at which two slices of a stack show one object.
    validation_voxels : int
        Voxels that are judged after each epoch, all validation images together.
    precision : {"auto", "bf16", "fp32"}
        Number format of the convolutions.
    threads : int, optional
        CPU threads.
    base_run : str, optional
        Run folder whose weights, architecture and pixel size training starts from.
    logger : {"tensorboard", "wandb", "csv"}
        What the curves are sent to besides `curves.csv`.
    seed : int
        Of weights, patches and augmentation; the same seed gives the same weights on a CPU.
    """

    arch: Arch = "unet"
    encoder: str = "resnet34"
    encoder_weights: str | None = None
    classes: Classes = "auto"
    loss: LossName = "bce_dice"
    focal_gamma: Annotated[float, Ge(0), Le(100)] = 2.0
    focal_alpha: Positive = 0.5
    false_positive_weight: Weight = 0.3
    false_negative_weight: Weight = 0.7
    distance_weight: Weight = 1.0
    patch_size: tuple[Side, Side] | None = None
    batch_size: BatchSize = 8
    object_share: Share = 0.7
    steps_per_epoch: Count = 16
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
    min_size_share: Share = 0.3
    stitch_overlap: Overlap = 0.25
    validation_voxels: Annotated[int, Ge(1), Le(2**40)] = 600_000
    precision: Precision = "auto"
    threads: Threads | None = None
    base_run: str | None = None
    logger: LoggerName = "tensorboard"
    seed: Seed = 0

    def __post_init__(self) -> None:
        check_percentiles(self.percentiles)
        sides = SIDES[self.arch]
        if self.patch_size is not None and any(
            side % sides.multiple or side < sides.least for side in self.patch_size
        ):
            y, x = (sides.fitted(side) for side in self.patch_size)
            raise ModelError(
                f"patch_size {self.patch_size}: {self.arch} takes multiples of {sides.multiple} "
                f"from {sides.least}; give [{y}, {x}], or another arch"
            )

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
            Those of one scene are classes of the same image. Without `val` the choice is made on
            `train`, and the notes say so.
        run_folder : Path
        progress : callable
            Raising in it cancels; the last epoch's checkpoint stays.

        Returns
        -------
        TrainingResult

        Raises
        ------
        TrainingDataError
            Nothing that counts, a class without a label, or classes that do not go together.
        ModelError
            An unknown encoder, or no pretrained weights for it.
        TrainingDivergedError
            When the loss is no longer finite.
        CheckpointError
            When `base_run`, or an interrupted training, does not fit.
        """
        budget = Budget(self.max_minutes)
        # For the thresholds, until an epoch tells how long they take.
        budget.keep(min(60.0, budget.limit / 8))
        notes: list[str] = []
        check_samples(train, val)
        base = None if self.base_run is None else read_run(base_folder(self.base_run, MODEL))
        outputs, activation = plan_outputs(train, self.classes, notes)
        channels = common_channels([*train, *val])
        architecture = Architecture(self.arch, self.encoder, outputs, activation, channels)
        if base is not None:
            architecture = of_the_base(base, architecture, notes)
        spacing = common_spacing(train, base)
        ready = partial(
            prepare,
            outputs=architecture.outputs,
            spacing_um=spacing,
            percentiles=self.percentiles,
        )
        scenes = [ready(scene) for scene in join(train, architecture.outputs)]
        check_learnable(scenes, architecture.outputs, "training images")
        set_threads(self.threads)
        compute = choose_compute(self.precision, training=True)
        notes.append(compute.note)
        others = [ready(scene) for scene in join(val, architecture.outputs)]
        held_out = windows(others, self.validation_voxels)
        found = sum(len(np.unique(x[x > 0])) for scene in held_out for x in scene.labels)
        own = windows(scenes, self.validation_voxels)
        judged, tuned = judged_and_tuned(held_out, own, found, "image", notes)
        patch = self.patch_size or automatic_patch(scenes, architecture.sides)
        usual = usual_instances(
            scenes, architecture, base, spacing, self.instances, self.min_size_share
        )
        model_file = {
            "model": MODEL,
            "format": FORMAT,
            "architecture": asdict(architecture),
            "spacing_um": spacing,
            "percentiles": self.percentiles,
            "precision": self.precision,
            "patch_size": patch,
            "instances": [asdict(each) for each in usual],
            "stitch_overlap": self.stitch_overlap,
            "fingerprint": fingerprint(options_but(self, MAY_CHANGE), [*train, *val]),
        }
        judge = Judge(
            architecture=architecture,
            compute=compute,
            instances=usual,
            judged=judged,
            tuned=tuned,
            budget=budget,
        )
        run_folder = Path(run_folder)
        run_folder.mkdir(parents=True, exist_ok=True)
        sampler = PatchSampler(
            scenes,
            patch,
            batch_size=self.batch_size,
            object_share=self.object_share,
            augmentation=settings_from(Augmentation, self),
            seed=self.seed,
        )
        ahead = Ahead(sampler.batch)
        learner, started = self._learner(architecture, patch, ahead, compute, base, judge)
        rate = falling(self.learning_rate, lowest=LOWEST_RATE, warm_up=WARM_UP)
        schedule = Schedule(self.epochs, self.steps_per_epoch, rate, self.patience)
        training = Training(
            learner, schedule, run_folder, model_file, budget, self.logger, progress
        )
        training.resume()
        with closing(ahead), reused_memory():
            training.run()
            if architecture.objects:
                budget.keep(0)
                choosing = partial(judge.thresholds, learner.best(run_folder))
                chosen = budget.attempt(CHOOSE, choosing, progress)
                if chosen is not None:
                    training.conclude(
                        {"instances": [asdict(each) for each in chosen[0]]},
                        {"f1_instances_tuned": chosen[1]},
                    )
        return training.result(WEIGHTS_FILE, started, notes)

    def _loss_settings(self, architecture: Architecture) -> LossSettings:
        count = architecture.class_logits if architecture.activation == "softmax" else 2
        return LossSettings(
            self.loss,
            (1.0,) * count,
            self.focal_gamma,
            self.focal_alpha,
            self.false_positive_weight,
            self.false_negative_weight,
        )

    def _learner(
        self,
        architecture: Architecture,
        patch: tuple[int, int],
        ahead: Ahead[Batch],
        compute: Compute,
        base: RunFile | None,
        judge: Judge,
    ) -> tuple[SMPLearner, str]:
        """Return what learns, and what it starts from."""
        from models.smp2d.learner import SMPLearner
        from models.torch_learner import Optimisation

        network, started = self._network(architecture, base)
        check_training_fits(network, architecture, patch, self.batch_size)
        learner = SMPLearner(
            network, architecture, ahead, self._loss_settings(architecture),
            self.distance_weight, settings_from(Optimisation, self), compute, judge.epoch,
            judge.values, base is not None,
        )  # fmt: skip
        return learner, started

    def _network(self, architecture: Architecture, base: RunFile | None) -> tuple[Any, str]:
        import torch

        from models.smp2d.architecture import build_network
        from models.smp2d.weights import fill_encoder

        if base is not None:
            sha = base.settings.weights_sha256
            return load_network(base), f"{base.folder.name} ({sha})"
        with torch.random.fork_rng():
            torch.manual_seed(self.seed)
            network = build_network(architecture)
        if self.encoder_weights is None:
            return network, "random"
        path = fill_encoder(network, self.encoder, self.encoder_weights)
        return network, f"encoder weights {path.name}"
