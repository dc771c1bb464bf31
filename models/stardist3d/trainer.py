"""Training StarDist 3D: options, data, network, thresholds."""

from __future__ import annotations

import contextlib
import math
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from annotated_types import Ge, Gt, Le
from scipy import ndimage

from models.base import Progress, Spacing, TrainingResult, TrainingSample, no_progress
from models.errors import TrainingDataError
from models.stardist3d import plan
from models.stardist3d.batches import PatchSampler, Targets, validation_patches
from models.stardist3d.fitting import Fit, FitResult, FitSettings, Schedule
from models.stardist3d.initialise import initialise
from models.stardist3d.plan import Factors, Triple
from models.stardist3d.runfolder import (
    BEST_WEIGHTS,
    RunSettings,
    load_network,
    new_network,
    read_settings,
    sha256,
    write_settings,
    write_thresholds,
)
from models.stardist3d.runtime import import_stardist, quiet
from models.stardist3d.samples import (
    PreparedStack,
    hide_unverified,
    pad_to,
    prepare,
    rescaling,
)
from models.stardist3d.thresholds import optimise


@dataclass(frozen=True, kw_only=True)
class StarDist3DTrainer:
    """Options of a StarDist 3D training (Weigert et al. 2020); None is taken from the data.

    Parameters
    ----------
    n_rays : int
        Directions in which distances to the object's border are learned.
    grid : (int, int, int), optional
        Subsampling of the output, powers of two.
    anisotropy : (float, float, float), optional
        Relative voxel size of the rays; by default from the objects' extents.
    backbone : str
        ``"unet"`` or ``"resnet"``.
    unet_n_depth : int
        Levels of the U-Net.
    unet_n_filter_base : int
        Features of the first level, for both backbones.
    net_conv_after : int
        Features of the last layer before the outputs.
    resnet_n_blocks : int
        Blocks of the ResNet.
    object_voxels : float, optional
        Stacks in which the median object has more voxels than this along an axis are
        resampled for the network; None never resamples. The objects are drawn at full resolution.
    patch_size : (int, int, int), optional
        Training patch in voxels.
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
        Flips, yx quarter turns, intensity changes and noise.
    max_minutes : float, optional
        Time limit of the optimisation.
    patience : int, optional
        Stop after so many epochs without a better validation loss.
    validation_patches : int
        At most so many patches of the validation stacks are checked after each epoch.
    base_run : str, optional
        Folder of an earlier run, or of a stock StarDist 3D model, to continue from.
    seed : int
    """

    n_rays: Annotated[int, Ge(4), Le(512)] = 96
    grid: tuple[int, int, int] | None = None
    anisotropy: tuple[float, float, float] | None = None
    backbone: Literal["unet", "resnet"] = "unet"
    unet_n_depth: Annotated[int, Ge(1), Le(5)] = 2
    unet_n_filter_base: Annotated[int, Ge(1)] = 16
    net_conv_after: Annotated[int, Ge(0)] = 64
    resnet_n_blocks: Annotated[int, Ge(1)] = 4
    object_voxels: Annotated[float, Ge(6)] | None = 14.0
    patch_size: tuple[int, int, int] | None = None
    batch_size: Annotated[int, Ge(1)] = 2
    epochs: Annotated[int, Ge(1)] = 400
    steps_per_epoch: Annotated[int, Ge(1)] | None = None
    learning_rate: Annotated[float, Gt(0)] | None = None
    schedule: Schedule = "cosine"
    augment: bool = True
    max_minutes: Annotated[float, Gt(0)] | None = None
    patience: Annotated[int, Ge(1)] | None = None
    validation_patches: Annotated[int, Ge(1)] = 16
    base_run: str | None = None
    seed: int = 0

    def train(
        self,
        train: Sequence[TrainingSample],
        val: Sequence[TrainingSample],
        run_folder: Path,
        *,
        progress: Progress = no_progress,
    ) -> TrainingResult:
        """Train, choose the best epoch and the thresholds on `val`, fill `run_folder`.

        The folder has csbdeep's layout (``config.json``, ``thresholds.json``,
        ``weights_best.h5``, ``weights_last.h5``), ``curves.csv`` and ``model.json``; it can be
        loaded from the first finished epoch on, also when the training is interrupted.

        Voxels outside a sample's mask, and objects that reach outside it, count in no loss.

        Raises
        ------
        TrainingDataError
            When no training sample holds an object that is verified as a whole.
        ImageError
            When an image is constant or not finite.
        CheckpointError
            When `base_run` cannot be loaded.
        TrainingDivergedError
            When the loss is no longer finite; the best weights so far are kept.
        """
        notes: list[str] = []
        _require_objects(train)
        settings = self._settings(train)
        stacks = _prepared(train, settings)
        checks = _prepared(val, settings)
        sizes = plan.object_sizes([stack.labels for stack in stacks])
        network = self._network(Path(run_folder), sizes, stacks, notes)
        patch = self._patch(network, sizes, stacks, notes)
        stacks = [pad_to(stack, patch) for stack in stacks]
        write_settings(Path(run_folder), settings)
        fitted = self._fit(network, stacks, checks, patch, Path(run_folder), notes, progress)
        network.keras_model.load_weights(str(Path(run_folder) / BEST_WEIGHTS))
        f1, told = _choose_thresholds(network, checks, stacks, Path(run_folder), progress)
        return TrainingResult(
            weights=Path(run_folder) / BEST_WEIGHTS,
            best_epoch=fitted.best_epoch,
            epochs=fitted.epochs,
            validation={**fitted.validation, **f1},
            base=settings.base,
            notes=(*notes, *fitted.notes, *told),
        )

    @property
    def _rate(self) -> float:
        return self.learning_rate or (1e-3 if self.base_run is None else 3e-4)

    def _settings(self, train: Sequence[TrainingSample]) -> RunSettings:
        """Return normalisation, voxel size and origin: the base run's, or the data's."""
        if self.base_run is None:
            return RunSettings(
                spacing_um=self._spacing(train), stack_spacing_um=_median_spacing(train)
            )
        folder = Path(self.base_run)
        base = read_settings(folder)
        digest = sha256(folder / BEST_WEIGHTS) if (folder / BEST_WEIGHTS).is_file() else "missing"
        spacing = base.spacing_um or _median_spacing(train)
        return RunSettings(
            base.normalisation, spacing, f"{folder.name} sha256:{digest}", _median_spacing(train)
        )

    def _spacing(self, train: Sequence[TrainingSample]) -> Spacing:
        spacing = _median_spacing(train)
        if self.object_voxels is None:
            return spacing
        return plan.working_spacing(_sizes(train, spacing), spacing, self.object_voxels)

    def _network(
        self,
        folder: Path,
        sizes: plan.ObjectSizes,
        stacks: Sequence[PreparedStack],
        notes: list[str],
    ) -> Any:
        """Return the network to train: new, or the base run's with its weights."""
        grid = self.grid or plan.choose_grid(sizes)
        anisotropy = self.anisotropy or plan.choose_anisotropy(sizes)
        if self.base_run is None:
            pool = plan.choose_pool(sizes, grid, self.unet_n_depth, _largest(stacks))
            with _seeded(self.seed):
                return new_network(folder, self._config(grid, anisotropy, pool))
        base = load_network(Path(self.base_run))
        with _seeded(self.seed):
            network = new_network(folder, base.config)
        network.keras_model.set_weights(base.keras_model.get_weights())
        network.thresholds = base.thresholds._asdict()
        notes += _differences(base.config, self.n_rays, grid, anisotropy, self.backbone)
        return network

    def _config(self, grid: Triple, anisotropy: Factors, pool: Triple) -> Any:
        if self.backbone == "unet":
            options: dict[str, Any] = {
                "unet_n_depth": self.unet_n_depth,
                "unet_n_filter_base": self.unet_n_filter_base,
                "unet_pool": pool,
                "net_conv_after_unet": self.net_conv_after,
            }
        else:
            options = {
                "resnet_n_blocks": self.resnet_n_blocks,
                "resnet_n_filter_base": self.unet_n_filter_base,
                "net_conv_after_resnet": self.net_conv_after,
            }
        stardist = import_stardist()
        try:
            with quiet():
                return stardist.models.Config3D(
                    rays=stardist.rays.Rays_GoldenSpiral(self.n_rays, anisotropy=anisotropy),
                    grid=grid,
                    anisotropy=anisotropy,
                    backbone=self.backbone,
                    train_batch_size=self.batch_size,
                    train_epochs=self.epochs,
                    train_learning_rate=self._rate,
                    **options,
                )
        except ValueError as exc:
            raise TrainingDataError(f"StarDist refuses the options: {exc}") from exc

    def _patch(
        self,
        network: Any,
        sizes: plan.ObjectSizes,
        stacks: Sequence[PreparedStack],
        notes: list[str],
    ) -> Triple:
        z, y, x = (int(step) for step in network._axes_div_by("ZYX"))
        largest = _largest(stacks)
        if self.patch_size is None:
            return plan.choose_patch(sizes, (z, y, x), largest)
        patch = plan.fit_patch(self.patch_size, (z, y, x), largest)
        if patch != tuple(self.patch_size):
            notes.append(
                f"patch_size {tuple(self.patch_size)} became {patch}: the network divides by "
                f"{(z, y, x)} and the training stacks have at most {largest} voxels"
            )
        return patch

    def _fit(
        self,
        network: Any,
        stacks: Sequence[PreparedStack],
        checks: Sequence[PreparedStack],
        patch: Triple,
        folder: Path,
        notes: list[str],
        progress: Progress,
    ) -> FitResult:
        stardist = import_stardist()
        config = network.config
        anisotropy = None if config.anisotropy is None else tuple(config.anisotropy)
        targets = Targets(
            stardist.rays.rays_from_json(config.rays_json), tuple(config.grid), anisotropy
        )
        padded = [pad_to(stack, patch) for stack in checks]
        checked = validation_patches(padded, patch, self.validation_patches)
        if not any((labels > 0).any() for _, labels in checked):
            notes.append(
                "no verified object in the validation stacks: the best epoch was chosen on the "
                "training stacks, and will look better than it is"
            )
            checked = validation_patches(stacks, patch, self.validation_patches)
        steps = self.steps_per_epoch or _steps(stacks, patch, self.batch_size)
        settings = FitSettings(
            self.batch_size,
            self.epochs,
            steps,
            self._rate,
            self.schedule,
            self.patience,
            self.max_minutes,
        )
        sampler = PatchSampler(stacks, patch, self.augment, self.seed)
        if self.base_run is None:
            initialise(network, sampler, targets)
        return Fit(network, folder, settings, progress).run(sampler, checked, targets)


def _prepared(samples: Sequence[TrainingSample], settings: RunSettings) -> list[PreparedStack]:
    stacks = []
    for sample in samples:
        spacing = settings.spacing_um or sample.spacing_um
        stacks.append(prepare(sample, settings.normalisation, spacing))
    return stacks


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


def _sizes(samples: Sequence[TrainingSample], spacing_um: Spacing) -> plan.ObjectSizes:
    volumes = []
    for sample in samples:
        labels = hide_unverified(sample.labels, sample.mask)
        scale = rescaling(sample.spacing_um, spacing_um)
        volumes.append(labels if scale is None else ndimage.zoom(labels, scale, order=0))
    return plan.object_sizes(volumes)


def _largest(stacks: Sequence[PreparedStack]) -> Triple:
    z, y, x = np.max([stack.image.shape for stack in stacks], axis=0)
    return (int(z), int(y), int(x))


def _steps(stacks: Sequence[PreparedStack], patch: Triple, batch_size: int) -> int:
    voxels = sum(stack.image.size for stack in stacks)
    return int(np.clip(2 * voxels / (math.prod(patch) * batch_size), 16, 100))


def _differences(
    config: Any, n_rays: int, grid: Triple, anisotropy: Factors, backbone: str
) -> list[str]:
    """Say where the base run's architecture is not what the options and data ask for."""
    pairs = {
        "n_rays": (int(config.n_rays), n_rays),
        "grid": (tuple(config.grid), grid),
        "anisotropy": (config.anisotropy and tuple(config.anisotropy), anisotropy),
        "backbone": (config.backbone, backbone),
    }
    return [
        f"{what} is the base run's {have}; the options and data would give {want}"
        for what, (have, want) in pairs.items()
        if have != want
    ]


def _choose_thresholds(
    network: Any,
    checks: Sequence[PreparedStack],
    stacks: Sequence[PreparedStack],
    folder: Path,
    progress: Progress,
) -> tuple[dict[str, float], list[str]]:
    """Write the thresholds best on the validation stacks, else on the training stacks.

    Returns the validation value, if there is one, and what the user must be told.
    """
    notes: list[str] = []
    for where, tried in (("validation", checks), ("training", stacks)):
        known = [stack for stack in tried if (stack.labels > 0).any()]
        best = optimise(network, known, progress) if known else None
        if best is not None and best.f1 > 0:
            write_thresholds(folder, network, best.prob, best.nms)
            return {"val_f1": best.f1} if where == "validation" else {}, notes
        why = "nothing was found" if known else "there is no verified object"
        notes.append(f"{why} in the {where} stacks: thresholds were not chosen on them")
    prob, nms = float(network.thresholds.prob), float(network.thresholds.nms)
    write_thresholds(folder, network, prob, nms)
    notes.append(f"thresholds are the defaults, prob {prob:g} and nms {nms:g}; train longer")
    return {}, notes


@contextlib.contextmanager
def _seeded(seed: int) -> Iterator[None]:
    """Seed Keras, and give Python's and NumPy's global generators back as they were."""
    python, numpy = random.getstate(), np.random.get_state()  # noqa: NPY002
    import_stardist().tf.keras.utils.set_random_seed(seed)
    try:
        yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy)  # noqa: NPY002
