"""The optimisation itself: losses that skip unknown voxels, schedule, checkpoints, curves."""

from __future__ import annotations

import csv
import math
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from models.base import Progress
from models.errors import TrainingDivergedError
from models.stardist3d.batches import Batch, Patch, PatchSampler, Targets
from models.stardist3d.runfolder import BEST_WEIGHTS, CURVES, LAST_WEIGHTS, save_weights
from models.stardist3d.runtime import import_stardist

Schedule = Literal["cosine", "plateau"]

BACKGROUND_WEIGHT = 1e-4
"""StarDist's ``train_background_reg``: pulls distances in the background towards 0."""

LOSS_WEIGHTS = (1.0, 0.2)
"""StarDist's weights of the probability's and the distances' loss."""

PLATEAU_EPOCHS = 40
WARM_UP_STEPS = 10

COLUMNS = (
    "epoch",
    "loss",
    "prob_loss",
    "dist_loss",
    "val_loss",
    "val_prob_loss",
    "val_dist_loss",
    "learning_rate",
    "seconds",
)


@dataclass(frozen=True)
class FitSettings:
    """How long and how fast to learn; see `StarDist3DTrainer` for each field."""

    batch_size: int
    epochs: int
    steps_per_epoch: int
    learning_rate: float
    schedule: Schedule
    patience: int | None
    max_minutes: float | None


@dataclass(frozen=True)
class FitResult:
    """Outcome of `fit`: the best epoch and its validation values, and why it ended."""

    best_epoch: int
    epochs: int
    validation: dict[str, float]
    notes: tuple[str, ...]


def masked_losses(n_rays: int) -> tuple[Callable[..., Any], Callable[..., Any]]:
    """Return StarDist's losses of probability and distances, blind to targets below 0.

    On fully known targets they equal StarDist's (Weigert et al. 2020, eq. 3 to 5). Otherwise
    unknown voxels count in neither loss, nor in the background term, which StarDist's own
    still applies there; a batch without any known voxel gives 0 instead of NaN.
    """
    tf = import_stardist().tf
    backend = tf.keras.backend

    def prob_loss(true: Any, predicted: Any) -> Any:
        known = tf.cast(true >= 0, predicted.dtype)
        entropy = backend.binary_crossentropy(tf.maximum(true, 0), predicted)
        return tf.reduce_sum(known * entropy) / tf.maximum(tf.reduce_sum(known), 1)

    def dist_loss(true: Any, predicted: Any) -> Any:
        distances, weight = tf.split(true, [n_rays, 1], axis=-1)
        known = tf.cast(weight >= 0, predicted.dtype)
        inside = tf.maximum(weight, 0)
        error = tf.reduce_mean(inside * tf.abs(distances - predicted))
        background = tf.reduce_mean(known * (1 - inside) * tf.abs(predicted))
        share = tf.reduce_mean(inside) + backend.epsilon()
        return error / share + BACKGROUND_WEIGHT * background

    return prob_loss, dist_loss


class Fit:
    """One training run of a StarDist network.

    Parameters
    ----------
    network : StarDist3D
    folder : Path
        Where weights and curves go.
    settings : FitSettings
    progress : callable
    """

    def __init__(
        self, network: Any, folder: Path, settings: FitSettings, progress: Progress
    ) -> None:
        self._model = network.keras_model
        self._folder = folder
        self._settings = settings
        self._progress = progress
        self._best = math.inf
        self._best_epoch = 0
        self._validation: dict[str, float] = {}
        self._steps = 0
        self._rate = settings.learning_rate
        self._rate_epoch = 0
        keras = import_stardist().tf.keras
        self._set_value = keras.backend.set_value
        self._model.compile(
            keras.optimizers.Adam(settings.learning_rate),
            loss=list(masked_losses(network.config.n_rays)),
            loss_weights=list(LOSS_WEIGHTS),
        )
        self._start = time.monotonic()

    def run(
        self, sampler: PatchSampler, validation: Sequence[Patch], targets: Targets
    ) -> FitResult:
        """Train until the epochs, the time or the patience is used up.

        Raises
        ------
        TrainingDivergedError
            When a loss is NaN or infinite.
        """
        checks = [
            targets.batch(validation[i : i + self._settings.batch_size])
            for i in range(0, len(validation), self._settings.batch_size)
        ]
        ahead = _ahead(_batches(sampler, targets, self._settings.batch_size))
        with (self._folder / CURVES).open("w", newline="") as table, closing(ahead) as batches:
            writer = csv.writer(table)
            writer.writerow(COLUMNS)
            for epoch in range(1, self._settings.epochs + 1):
                writer.writerow(self._epoch(epoch, batches, checks))
                table.flush()
                ended = self._ended(epoch)
                if ended is not None:
                    break
        return FitResult(self._best_epoch, epoch, self._validation, (ended,) if ended else ())

    def _epoch(self, epoch: int, batches: Iterator[Batch], checks: Sequence[Batch]) -> list[Any]:
        losses = []
        for step in range(1, self._settings.steps_per_epoch + 1):
            rate = self._next_rate()
            loss = self._model.train_on_batch(*next(batches))
            if not np.isfinite(loss).all():
                raise self._diverged(f"the training loss became {loss[0]}", epoch, step)
            losses.append(loss)
            self._steps += 1
            self._progress(self._steps, self._all_steps, f"epoch {epoch}, loss {loss[0]:.3f}")
            if self._spent() >= 1:
                break
        checked = np.mean([self._model.test_on_batch(*check) for check in checks], axis=0)
        if not np.isfinite(checked).all():
            raise self._diverged(f"the validation loss became {checked[0]}", epoch, step)
        self._keep(epoch, checked)
        seconds = time.monotonic() - self._start
        return [epoch, *np.mean(losses, axis=0), *checked, rate, round(seconds, 3)]

    @property
    def _all_steps(self) -> int:
        return self._settings.epochs * self._settings.steps_per_epoch

    def _keep(self, epoch: int, checked: Any) -> None:
        save_weights(self._model, self._folder / LAST_WEIGHTS)
        if checked[0] < self._best:
            save_weights(self._model, self._folder / BEST_WEIGHTS)
            self._best, self._best_epoch, self._rate_epoch = float(checked[0]), epoch, epoch
            self._validation = {
                "val_loss": float(checked[0]),
                "val_prob_loss": float(checked[1]),
                "val_dist_loss": float(checked[2]),
            }

    def _spent(self) -> float:
        """Return the share of the time limit that is used up."""
        if self._settings.max_minutes is None:
            return 0.0
        return (time.monotonic() - self._start) / (60 * self._settings.max_minutes)

    def _next_rate(self) -> float:
        rate = self._rate
        if self._settings.schedule == "cosine":
            done = min(1.0, max(self._steps / self._all_steps, self._spent()))
            rate *= 0.01 + 0.99 * (1 + math.cos(math.pi * done)) / 2
        rate *= min(1.0, (self._steps + 1) / WARM_UP_STEPS)
        self._set_value(self._model.optimizer.learning_rate, rate)
        return rate

    def _ended(self, epoch: int) -> str | None:
        """Say why to stop after this epoch, or None; on a plateau, halve the rate."""
        if self._settings.schedule == "plateau" and epoch - self._rate_epoch >= PLATEAU_EPOCHS:
            self._rate, self._rate_epoch = self._rate / 2, epoch
        if self._spent() >= 1:
            return f"stopped by max_minutes={self._settings.max_minutes:g} in epoch {epoch}"
        patience = self._settings.patience
        if patience is not None and epoch - self._best_epoch >= patience:
            return f"stopped in epoch {epoch}: no better validation loss for {patience} epochs"
        return None

    def _diverged(self, what: str, epoch: int, step: int) -> TrainingDivergedError:
        kept = (
            f"the weights of epoch {self._best_epoch} are kept in {self._folder / BEST_WEIGHTS}"
            if self._best_epoch
            else "no epoch was finished, so there are no weights to keep"
        )
        return TrainingDivergedError(
            f"expected a finite loss, got: {what} in epoch {epoch}, step {step}; {kept}; "
            f"try a learning rate under {self._settings.learning_rate:g}"
        )


def _batches(sampler: PatchSampler, targets: Targets, size: int) -> Iterator[Batch]:
    patches = iter(sampler)
    while True:
        yield targets.batch([next(patches) for _ in range(size)])


def _ahead(batches: Iterator[Batch]) -> Any:
    """Prepare the next batch while the network is busy with this one."""
    with ThreadPoolExecutor(max_workers=1) as pool:
        following = pool.submit(next, batches)
        while True:
            ready = following.result()
            following = pool.submit(next, batches)
            yield ready
