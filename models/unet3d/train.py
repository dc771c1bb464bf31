"""The training loop."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from labels.progress import Progress
from models.budget import CHOOSE, JUDGE, Budget
from models.curves import CurveLog, LoggerName
from models.devices import Compute, is_out_of_memory, reused_memory
from models.errors import CheckpointError, TrainingDivergedError, TrainingMemoryError
from models.options import Done, Seconds
from models.runfolder import (
    FORMAT,
    MODEL_FILE,
    check_continues,
    described,
    read_model_file,
    write_json,
)
from models.schedules import cosine
from models.unet3d import checkpoint as files
from models.unet3d.architecture import Architecture
from models.unet3d.instances import InstanceSettings
from models.unet3d.losses import class_loss, head_loss
from models.unet3d.network import UNet3D, freeze_norms
from models.unet3d.patches import Batch, PatchSampler, batches
from models.unet3d.settings import LossSettings
from models.unet3d.validation import Validation

Judging = Callable[[Any, Progress], Validation]
"""From a network to how good it is."""

Choosing = Callable[[Any, Progress], tuple[InstanceSettings, float]]
"""From a network to the thresholds that suit it, and their F1."""

WARM_UP = 0.03
LOWEST_RATE = 0.01
COLUMNS = (
    "epoch", "train_loss", "val_loss", "val_f1_edge", "val_f1_nucleus", "val_f1_instances",
    "lr", "seconds",
)  # fmt: skip


@dataclass(frozen=True)
class Schedule:
    """How long and how fast.

    Parameters
    ----------
    epochs, steps_per_epoch : int
    learning_rate : float
        Highest rate, after a short warm-up; falls to a hundredth along a cosine.
    weight_decay : float
    ema_decay : float
        Decay of the moving average of the weights, which is what is judged and kept.
    clip_norm : float
        Largest norm of the gradient.
    head_weight : float
        Weight of the head's loss beside the classes'.
    freeze_at : float
        Share of the training after which normalisation that can be frozen is; 1 is never.
    patience : int
        Epochs without a better validation before training stops.
    seed : int
        Of the first weights.
    """

    epochs: int
    steps_per_epoch: int
    learning_rate: float
    weight_decay: float
    ema_decay: float
    clip_norm: float
    head_weight: float
    freeze_at: float
    patience: int
    seed: int

    def rate(self, done: float) -> float:
        """Return the learning rate after a fraction `done` of the training."""
        return self.learning_rate * cosine(done, lowest=LOWEST_RATE, warm_up=WARM_UP)


@dataclass
class History:
    """What has happened so far; written to `last.json`."""

    epoch: Done = 0
    steps: Done = 0
    best_epoch: Done = 0
    best_score: float = -1e9
    best: dict[str, float] = field(default_factory=dict)
    seconds: Seconds = 0.0
    rows: list[dict[str, int | float]] = field(default_factory=list)


@dataclass(frozen=True, kw_only=True)
class _LastState:
    """What is read of `last.json`."""

    tensors_sha256: str
    history: History
    model_file: dict[str, Any]


class Training:
    """One training run that can be interrupted after any epoch and continued.

    Parameters
    ----------
    architecture : Architecture
    sampler : PatchSampler
    loss : LossSettings
    schedule : Schedule
    compute : Compute
    folder : Path
        Run folder.
    model_file : dict
        Content of `model.json` but for weights' sha256, epoch and validation. Its ``fingerprint``
        says which data and options this is, so that no other training is continued.
    """

    def __init__(
        self,
        architecture: Architecture,
        sampler: PatchSampler,
        loss: LossSettings,
        schedule: Schedule,
        compute: Compute,
        folder: Path,
        model_file: dict[str, Any],
        logger: LoggerName = "tensorboard",
    ) -> None:
        with torch.random.fork_rng():
            torch.manual_seed(schedule.seed)
            network = UNet3D(architecture)
        self.network = network.to(compute.device).to(memory_format=torch.channels_last_3d)
        self.averaged = copy.deepcopy(self.network)
        self.history = History()
        self.notes: list[str] = []
        self._one_by_one = False
        self._sampler, self._schedule, self._compute = sampler, schedule, compute
        self._folder, self.model_file, self._logger = folder, model_file, logger
        self._loss = class_loss(loss)
        self._optimiser = torch.optim.AdamW(
            self.network.parameters(),
            lr=schedule.learning_rate,
            weight_decay=schedule.weight_decay,
        )

    def start_at(self, frequencies: Sequence[float], inside: float, distance: float) -> None:
        """See `UNet3D.start_at`."""
        for network in (self.network, self.averaged):
            network.start_at(frequencies, inside, distance)

    def start_from(self, tensors: files.Tensors, where: Path) -> None:
        """Begin with given weights.

        Raises
        ------
        CheckpointError
            The weights are of another architecture.
        """
        for network in (self.network, self.averaged):
            files.fill(network, tensors, where)

    def run(self, judge: Judging, budget: Budget, progress: Progress) -> History:
        """Train until the epochs, the time or the patience are used up.

        An epoch that there is no time to judge is kept if none was judged before.

        Raises
        ------
        TrainingDivergedError
            The loss is no longer finite. Checkpoints written so far stay.
        """
        h = self.history
        with reused_memory(), CurveLog(self._folder, COLUMNS, self._logger) as log:
            budget.begin(h.seconds)
            while not self._finished(budget):
                before = budget.elapsed
                train_loss = self._epoch(budget, progress)
                values = budget.attempt(JUDGE, partial(judge, self.averaged.eval()), progress)
                h.epoch += 1
                h.seconds = budget.elapsed
                self._record(log, train_loss, values, h.seconds - before)
                self._save(values)
        return h

    def _finished(self, budget: Budget) -> bool:
        h, s = self.history, self._schedule
        if h.epoch >= s.epochs or h.epoch - h.best_epoch >= s.patience:
            return True
        return h.epoch > 0 and not budget.has_room()

    def _epoch(self, budget: Budget, progress: Progress) -> float:
        h, s, losses = self.history, self._schedule, []
        steps = s.epochs * s.steps_per_epoch
        self.network.train()
        first = h.epoch * s.steps_per_epoch
        for step, batch in budget.epoch(batches(self._sampler, first, s.steps_per_epoch)):
            progress(step, steps, f"training, epoch {h.epoch + 1}")
            done = max(step / steps, budget.done)
            if s.freeze_at < 1 and done >= s.freeze_at:
                freeze_norms(self.network, self.averaged)
            losses.append(self._step(step, s.rate(done), batch))
        h.steps += len(losses)
        return sum(losses) / len(losses)

    def _step(self, step: int, rate: float, batch: Batch) -> float:
        for group in self._optimiser.param_groups:
            group["lr"] = rate
        value = self._gradient(step, batch)
        norm = torch.nn.utils.clip_grad_norm_(
            self.network.parameters(), self._schedule.clip_norm, foreach=True
        )
        if not math.isfinite(float(norm)):
            raise TrainingDivergedError(self._diverged(step, float(norm)))
        self._optimiser.step()
        # A young average follows closely, so that short trainings are not held back.
        decay = min(self._schedule.ema_decay, (1 + step) / (10 + step))
        with torch.no_grad():
            mean, now = self.averaged.state_dict(), self.network.state_dict()
            moving = [key for key, value in now.items() if value.is_floating_point()]
            torch._foreach_lerp_([mean[k] for k in moving], [now[k] for k in moving], 1 - decay)
        return value

    def _gradient(self, step: int, batch: Batch) -> float:
        """Return the loss; where the batch does not fit into memory, its patches go one by one."""
        if not self._one_by_one:
            try:
                return self._gradient_of([batch], step)
            except (RuntimeError, MemoryError) as error:
                if not is_out_of_memory(error):
                    raise
                self._one_by_one = True
                self.notes.append(
                    f"memory did not suffice for {len(batch.image)} patches at once in step "
                    f"{step + 1}: they are computed one by one from there on"
                )
        try:
            return self._gradient_of(batch.single(), step)
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            raise TrainingMemoryError(
                f"step {step + 1}: expected memory for one patch of {batch.image.shape[1:]} "
                "voxels, got none; give a smaller patch_size or fewer features"
            ) from error

    def _gradient_of(self, parts: Sequence[Batch], step: int) -> float:
        self._optimiser.zero_grad(set_to_none=True)
        total = 0.0
        for part in parts:
            loss = self.batch_loss(part) / len(parts)
            value = float(loss.detach())
            if not math.isfinite(value):
                raise TrainingDivergedError(self._diverged(step, value))
            loss.backward()
            total += value
        return total

    def _diverged(self, step: int, value: float) -> str:
        kept = self._folder / files.WEIGHTS_FILE
        epoch = self.history.epoch + 1
        where = f"the best checkpoint so far is {kept}" if kept.exists() else "no checkpoint yet"
        return (
            f"epoch {epoch}, step {step + 1}: expected a finite loss and gradient, got {value}; "
            f"{where}; train again with a lower learning_rate or precision fp32"
        )

    def batch_loss(self, batch: Batch) -> torch.Tensor:
        """Return the loss of a batch: that of the classes, and that of the head by its weight."""
        device, t = self._compute.device, batch.targets

        def tensor(array: np.ndarray[Any, Any], kind: torch.dtype) -> torch.Tensor:
            return torch.from_numpy(array).to(device, kind)

        x = tensor(batch.image, torch.float32)
        with self._compute.autocast():
            logits = self.network(x.contiguous(memory_format=torch.channels_last_3d))
        voxels = tensor(t.voxels, torch.float32)
        loss = self._loss(logits[:, :3], tensor(t.classes, torch.int64), voxels)
        head = head_loss(
            logits[:, 3:],
            tensor(t.inside, torch.float32),
            tensor(t.distance, torch.float32),
            voxels,
            tensor(t.sure, torch.float32),
        )
        return loss + self._schedule.head_weight * head

    def _record(
        self, log: CurveLog, train_loss: float, values: Validation | None, seconds: float
    ) -> None:
        row = {"epoch": self.history.epoch, "train_loss": train_loss}
        if values is not None:
            row |= {f"val_{key}": value for key, value in asdict(values).items()}
        rate = self._optimiser.param_groups[0]["lr"]
        self.history.rows.append(row | {"lr": rate, "seconds": seconds})
        log.write(self.history.rows)

    def _save(self, values: Validation | None) -> None:
        h = self.history
        better = values is not None and values.score > h.best_score
        if better or not h.best:
            h.best_epoch = h.epoch
            if values is not None:
                h.best_score, h.best = values.score, asdict(values)
            sha = files.write_tensors(self._folder / files.WEIGHTS_FILE, self.averaged.state_dict())
            self.write_model_file({"weights_sha256": sha})
        self._save_last()

    def write_model_file(self, more: dict[str, Any]) -> None:
        """Write `model.json`; `more` is kept for later writes too."""
        self.model_file.update(more, epoch=self.history.best_epoch, validation=self.history.best)
        write_json(self._folder / MODEL_FILE, self.model_file)

    def choose(self, choose: Choosing, budget: Budget, progress: Progress) -> None:
        """Choose the thresholds of the best epoch's network, unless there is no time for it."""
        weights = files.read_tensors(self._folder / files.WEIGHTS_FILE)
        files.fill(self.averaged, weights, self._folder)
        budget.keep(0)
        chosen = budget.attempt(CHOOSE, partial(choose, self.averaged.eval()), progress)
        if chosen is not None:
            self.history.best["f1_instances_tuned"] = chosen[1]
            self.write_model_file({"instances": asdict(chosen[0])})

    def _save_last(self) -> None:
        tensors = {f"network.{k}": v for k, v in self.network.state_dict().items()}
        tensors |= {f"averaged.{k}": v for k, v in self.averaged.state_dict().items()}
        state = self._optimiser.state_dict()["state"]
        for index, values in state.items():
            tensors |= {f"adam.{index}.{key}": value for key, value in values.items()}
        sha = files.write_tensors(self._folder / files.LAST_WEIGHTS_FILE, tensors)
        data = {
            "model": "unet3d",
            "format": FORMAT,
            "tensors_sha256": sha,
            "history": vars(self.history),
            "model_file": self.model_file,
        }
        write_json(self._folder / files.LAST_STATE_FILE, data)

    def resume(self) -> bool:
        """Continue from `last.safetensors` when the folder holds an interrupted training.

        Returns
        -------
        bool
            True when there was one.

        Raises
        ------
        CheckpointError
            It is of other data or options, or damaged.
        """
        if not (self._folder / files.LAST_STATE_FILE).exists():
            return False
        data = read_model_file(self._folder, "unet3d", name=files.LAST_STATE_FILE)
        last = described(_LastState, data, self._folder / files.LAST_STATE_FILE)
        found = last.model_file.get("fingerprint")
        check_continues(self._folder, found, self.model_file["fingerprint"])
        path = self._folder / files.LAST_WEIGHTS_FILE
        tensors = files.read_tensors(path, last.tensors_sha256)
        parts: dict[str, Any] = {"network": {}, "averaged": {}, "adam": {}}
        for key, value in tensors.items():
            part, _, name = key.partition(".")
            parts.setdefault(part, {})[name] = value
        files.fill(self.network, parts["network"], path)
        files.fill(self.averaged, parts["averaged"], path)
        adam = self._optimiser.state_dict()
        sizes = {str(i): p.shape for i, p in enumerate(self._optimiser.param_groups[0]["params"])}
        for key, value in parts["adam"].items():
            index, _, name = key.partition(".")
            if value.shape not in (sizes.get(index), ()):
                raise CheckpointError(
                    f"{path}: expected Adam's state of the network, got {key} of shape "
                    f"{tuple(value.shape)}; train into a new folder"
                )
            adam["state"].setdefault(int(index), {})[name] = value
        self._optimiser.load_state_dict(adam)
        self.history, self.model_file = last.history, last.model_file
        return True
