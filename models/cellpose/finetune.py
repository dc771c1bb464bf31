"""The fine-tuning loop.

``cellpose.train.train_seg`` is not used: its loss has no mask, so that voxels nobody verified
would count as background; it cannot be cancelled, resumed or watched; and it keeps the last
weights, whatever became of them. Its targets, augmentation, loss (`models.cellpose.batches`) and
optimiser are.
"""

from __future__ import annotations

import math
import pickle
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from labels.numbers import number_of
from labels.progress import Progress
from models.budget import JUDGE, Budget
from models.cellpose import runfolder as files
from models.cellpose.batches import Tiles, TileSampler, counted, masked_loss
from models.cellpose.fast import FastTransformer
from models.curves import CurveLog
from models.devices import Compute, is_out_of_memory
from models.errors import CheckpointError, ModelError, TrainingDivergedError
from models.runfolder import MODEL_FILE, check_continues, read_model_file, write_json
from models.schedules import cosine

WARM_UP = 0.05
LOWEST_RATE = 0.05
OF_THE_BASE = 1 / 3
"""Share of the time left that judging the base may take: an epoch has to be judged too."""
COLUMNS = ("epoch", "train_loss", "val_loss", "lr", "seconds")


@dataclass(frozen=True)
class Schedule:
    """How long and how fast; see `CellposeTrainer`."""

    epochs: int
    steps_per_epoch: int
    batch_size: int
    learning_rate: float
    weight_decay: float
    seed: int

    def rate(self, done: float) -> float:
        """Return the learning rate after a fraction `done` of the training."""
        return self.learning_rate * cosine(done, lowest=LOWEST_RATE, warm_up=WARM_UP)


@dataclass
class History:
    """What has happened so far; written beside the last weights."""

    epoch: int = 0
    steps: int = 0
    best_epoch: int = 0
    best_loss: float = math.inf
    seconds: float = 0.0
    rows: list[dict[str, float]] = field(default_factory=list)

    @property
    def validation(self) -> dict[str, float]:
        """Losses of the best epoch and of the base, as far as they were judged."""
        found = {"loss": self.best_loss, "loss_before": self.rows[0].get("val_loss", math.inf)}
        return {key: value for key, value in found.items() if value < math.inf}


class Tunable:
    """Cellpose's network, all of it or its neck and readout only, ready to be tuned.

    Parameters
    ----------
    state : mapping of str to Tensor
        Checked weights.
    compute : Compute
    neck_only : bool
        The blocks stay as they are, and run by `FastTransformer`.
    """

    def __init__(self, state: dict[str, Tensor], compute: Compute, neck_only: bool) -> None:
        self.compute = compute
        self._frozen: FastTransformer | None = None
        self.network = _network(state, torch.float32, compute.device)
        self.network.requires_grad_(not neck_only)
        self.network.W2.requires_grad_(False)
        for name in ("diam_labels", "diam_mean"):
            getattr(self.network, name).requires_grad_(False)
        if neck_only:
            for part in (self.network.encoder.neck, self.network.out):
                part.requires_grad_(True)
            kind = torch.bfloat16 if compute.bf16 else torch.float32
            half = _network(state, kind, compute.device) if compute.bf16 else self.network
            self._frozen = FastTransformer(half)
        self.trainable = {k: p for k, p in self.network.named_parameters() if p.requires_grad}

    def logits(self, image: Tensor, training: bool) -> Tensor:
        """Return float32 flows and logits; the network drops blocks at random in training."""
        image = image.to(self.compute.device)
        self.network.train(training)
        if self._frozen is None:
            with self.compute.autocast():
                whole: Tensor = self.network(image)[0]
            return whole.float()
        with torch.no_grad():
            x = self._frozen.features(image.to(self._frozen.dtype)).float()
        net = self.network
        y = net.out(net.encoder.neck(x))
        return functional.conv_transpose2d(y, net.W2, stride=net.ps)


class FineTuning:
    """One training that can be interrupted after any epoch and continued.

    Parameters
    ----------
    tunable : Tunable
    train : TileSampler
    val : Tiles
        Fixed tiles that choose the best epoch.
    schedule : Schedule
    folder : Path
        Run folder.
    model_file : dict
        Content of `model.json`; its ``fingerprint`` says which data and options this is.
    notes : list of str
        Gets what the user must be told.
    """

    def __init__(
        self,
        tunable: Tunable,
        train: TileSampler,
        val: Tiles,
        schedule: Schedule,
        folder: Path,
        model_file: dict[str, Any],
        notes: list[str],
    ) -> None:
        self.history = History()
        self._tunable, self._train, self._val, self._schedule = tunable, train, val, schedule
        self._folder, self._model_file, self._notes = folder, model_file, notes
        self._together = schedule.batch_size
        self._optimiser = torch.optim.AdamW(
            tunable.trainable.values(),
            lr=schedule.learning_rate,
            weight_decay=schedule.weight_decay,
        )

    def run(self, log: CurveLog, budget: Budget, progress: Progress) -> History:
        """Train until the epochs or the time are used up.

        Raises
        ------
        TrainingDivergedError
            The loss or the gradient is no longer finite. Checkpoints written so far stay.
        """
        h = self.history
        budget.begin(h.seconds)
        if not h.rows:
            # The base is the first candidate: tuning that only makes it worse changes nothing.
            budget.close_epoch()
            self._close_epoch({"epoch": 0.0}, log, budget, progress, OF_THE_BASE)
        # Asked before the first epoch too: it learns how long judging takes.
        while h.epoch < self._schedule.epochs and (budget.has_room() or h.epoch == 0):
            before = budget.elapsed
            loss = self._epoch(budget, progress)
            h.epoch += 1
            row = {
                "epoch": float(h.epoch),
                "train_loss": loss,
                "lr": float(self._optimiser.param_groups[0]["lr"]),
                "seconds": budget.elapsed - before,
            }
            self._close_epoch(row, log, budget, progress)
        return h

    def _close_epoch(
        self,
        row: dict[str, float],
        log: CurveLog,
        budget: Budget,
        progress: Progress,
        share: float = 1.0,
    ) -> None:
        h = self.history
        loss = budget.attempt(JUDGE, self._validate, progress, share)
        if loss is not None:
            row["val_loss"] = loss
        h.seconds = budget.elapsed
        h.rows.append(row)
        judged = h.best_loss < math.inf
        if loss is not None and not (judged and loss >= h.best_loss):
            h.best_loss, h.best_epoch = loss, h.epoch
            self._save_best()
        elif h.epoch and not judged:
            h.best_epoch = h.epoch
            self._save_best()
        if h.epoch or loss is not None:
            self._save_last()
        log.write(h.rows)

    def _epoch(self, budget: Budget, progress: Progress) -> float:
        s, h, losses = self._schedule, self.history, []
        steps, first = s.epochs * s.steps_per_epoch, h.epoch * s.steps_per_epoch
        for step in budget.epoch(range(first, first + s.steps_per_epoch)):
            progress(step, steps, f"fine-tuning, epoch {h.epoch + 1}")
            losses.append(self._step(step, s.rate(max(step / steps, budget.done))))
        h.steps += len(losses)
        return sum(losses) / len(losses)

    def _step(self, step: int, rate: float) -> float:
        for group in self._optimiser.param_groups:
            group["lr"] = rate
        tiles = self._train.training(step, self._schedule.batch_size)
        self._optimiser.zero_grad(set_to_none=True)
        with torch.random.fork_rng():
            torch.manual_seed((self._schedule.seed << 20) + step)
            value = float(self._smaller_when_full(lambda: self._gradient(tiles)))
        norm = torch.nn.utils.clip_grad_norm_(self._tunable.trainable.values(), math.inf)
        for found in (value, float(norm)):
            if not math.isfinite(found):
                raise TrainingDivergedError(self._diverged(step, found))
        self._optimiser.step()
        return value

    def _gradient(self, tiles: Tiles) -> float:
        """Add up the batch's gradient, `_together` tiles at a time; return its loss."""
        self._optimiser.zero_grad(set_to_none=True)
        number = counted(tiles).to(self._tunable.compute.device)
        total = 0.0
        for start in range(0, len(tiles), self._together):
            part = _on(tiles.part(start, self._together), self._tunable.compute.device)
            loss = (masked_loss(self._tunable.logits(part.image, True), part) / number).sum()
            loss.backward()
            total += float(loss.detach())
        return total

    def _validate(self, progress: Progress) -> float:
        number, total = counted(self._val), torch.zeros(2)
        with torch.no_grad():
            for start in range(0, len(self._val), self._together):
                progress(start, len(self._val), "validating")
                part = _on(self._val.part(start, self._together), self._tunable.compute.device)

                def loss(part: Tiles = part) -> Tensor:
                    return masked_loss(self._tunable.logits(part.image, False), part).cpu()

                total += self._smaller_when_full(loss, divide=False)
        return float((total / number).sum())

    def _smaller_when_full(self, work: Callable[[], Any], divide: bool = True) -> Any:
        """Do the work; when memory does not hold it, with half as many tiles at a time."""
        while True:
            try:
                return work()
            except RuntimeError as error:
                if not is_out_of_memory(error):
                    raise
                if self._together == 1 or not divide:
                    raise ModelError(
                        "memory does not hold the fine-tuning of Cellpose with "
                        f"{number_of(self._together, 'tile')} at a time; set a smaller batch_size "
                        "or trainable=neck, or use a machine with more memory"
                    ) from error
                self._together = -(-self._together // 2)
                self._notes.append(
                    f"memory was full: {number_of(self._together, 'tile')} at a time, "
                    f"{self._schedule.batch_size} per step as before"
                )

    def _diverged(self, step: int, value: float) -> str:
        kept = self._folder / files.WEIGHTS_FILE
        return (
            f"epoch {self.history.epoch + 1}, step {step + 1}: expected a finite loss and "
            f"gradient, got {value}; the best checkpoint so far (epoch {self.history.best_epoch}) "
            f"is {kept}; train again with a lower learning_rate or precision fp32"
        )

    def _save_best(self) -> None:
        sha = files.write_tensors(
            self._folder / files.WEIGHTS_FILE, self._tunable.network.state_dict()
        )
        self._model_file |= {
            "weights_sha256": sha,
            "epoch": self.history.best_epoch,
            "validation": self.history.validation,
        }
        write_json(self._folder / MODEL_FILE, self._model_file)

    def _save_last(self) -> None:
        content = {
            "fingerprint": self._model_file["fingerprint"],
            "tensors": {k: p.detach() for k, p in self._tunable.trainable.items()},
            "optimiser": self._optimiser.state_dict(),
            "history": vars(self.history),
        }
        files.write_tensors(self._folder / files.LAST_FILE, content)

    def resume(self) -> bool:
        """Continue an interrupted training of this folder; tell whether there was one.

        Raises
        ------
        CheckpointError
            It is of other data or options, or damaged.
        """
        path = self._folder / files.LAST_FILE
        if not path.exists():
            return False
        try:
            found = torch.load(path, map_location="cpu", weights_only=True)
        except (RuntimeError, ValueError, EOFError, OSError, pickle.UnpicklingError) as error:
            raise CheckpointError(
                f"{path}: expected an interrupted training, got a damaged file ({error}); "
                "train into a new folder"
            ) from error
        check_continues(self._folder, found["fingerprint"], self._model_file["fingerprint"])
        with torch.no_grad():
            for name, value in found["tensors"].items():
                self._tunable.trainable[name].copy_(value)
        self._optimiser.load_state_dict(found["optimiser"])
        self.history = History(**found["history"])
        self._model_file |= read_model_file(self._folder, "cellpose", files.REQUIRED)
        return True


def _network(state: dict[str, Tensor], kind: torch.dtype, device: str) -> Any:
    from cellpose.vit import CPSAM

    with torch.device("meta"):
        network = CPSAM(dtype=kind)
    own = {name: state[name].to(device, kind, copy=True) for name in network.state_dict()}
    network.load_state_dict(own, assign=True)
    return network.eval()


def _on(tiles: Tiles, device: str) -> Tiles:
    return Tiles(*(getattr(tiles, k).to(device) for k in ("image", "target", "known", "sure")))
