"""The optimisation itself: schedule, checkpoints, curves, and the state from which it goes on."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
from annotated_types import Ge, Le
from numpy.typing import NDArray

from labels.files import write_atomically
from labels.json_files import parse_json
from labels.numbers import number_of
from labels.progress import Progress
from models.budget import JUDGE, Budget
from models.curves import CurveLog, LoggerName
from models.errors import CheckpointError, TrainingDivergedError
from models.options import Done, Seconds
from models.runfolder import FORMAT, check_continues, described
from models.schedules import cosine
from models.stardist3d.losses import Stepper
from models.stardist3d.runfolder import BEST_WEIGHTS
from models.stardist3d.weights import save_weights

if TYPE_CHECKING:
    from models.stardist3d.batches import Batch, PatchSampler

STATE = "last.safetensors"


@dataclass
class History:
    """What has happened so far.

    Parameters
    ----------
    steps, epoch, best_epoch : int
        Steps and epochs done, and the epoch of the best validation loss.
    best : float, optional
        The best validation loss.
    seconds : float
        Spent in training, all sessions together.
    rate : float
        Highest learning rate, before the schedule.
    rate_epoch : int
        Epoch of the last change on a plateau.
    validation : dict
        Losses of the best epoch.
    rows : list of dict
        The curves.
    """

    steps: Done = 0
    epoch: Done = 0
    best_epoch: Done = 0
    best: float | None = None
    seconds: Seconds = 0.0
    rate: Annotated[float, Ge(0), Le(100)] = 0.0
    rate_epoch: Done = 0
    validation: dict[str, float] = field(default_factory=dict)
    rows: list[dict[str, int | float]] = field(default_factory=list)


def save_state(folder: Path, fingerprint: str, stepper: Stepper, history: History) -> None:
    """Write weights, their average, the optimiser's moments and the history."""
    from safetensors.numpy import save

    tensors = {
        f"{part}.{index:04d}": np.asarray(variable.numpy(), order="C")
        for part, variables in _parts(stepper).items()
        for index, variable in enumerate(variables)
    }
    state = {"model": "stardist3d", "format": FORMAT, "fingerprint": fingerprint}
    about = {"state": json.dumps({**state, "history": asdict(history)})}
    write_atomically(folder / STATE, save(tensors, metadata=about))


def has_state(folder: Path) -> bool:
    """Tell whether a folder holds a training that can go on."""
    return (folder / STATE).is_file()


def load_state(folder: Path, fingerprint: str, stepper: Stepper) -> History:
    """Bring back what `save_state` wrote.

    Raises
    ------
    CheckpointError
        The file is damaged, or of other data or options.
    """
    path = folder / STATE
    about, tensors = _read(path)
    check_continues(folder, about.get("fingerprint"), fingerprint)
    for part, variables in _parts(stepper).items():
        for index, variable in enumerate(variables):
            stored = tensors.get(f"{part}.{index:04d}")
            if stored is None or stored.shape != tuple(variable.shape):
                raise CheckpointError(
                    f"{path}: expected {part} {index} of shape {tuple(variable.shape)}, got "
                    f"{None if stored is None else stored.shape}; train into a new folder"
                )
            variable.assign(stored)
    return described(History, about.get("history"), path)


def _parts(stepper: Stepper) -> dict[str, list[Any]]:
    return {
        "model": list(stepper.model.weights),
        "average": list(stepper.average),
        "adam": list(stepper.optimiser.variables),
    }


def _read(path: Path) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="numpy") as file:
            about = parse_json((file.metadata() or {}).get("state", "{}").encode(), nan=True)
            return about, {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
    except (OSError, ValueError, SafetensorError) as exc:
        raise CheckpointError(
            f"{path}: expected the state of an interrupted training, got a damaged file ({exc}); "
            "delete the folder and train again"
        ) from exc


Schedule = Literal["cosine", "plateau"]

PLATEAU_EPOCHS = 40
LOWEST_RATE = 0.01
WARM_UP_STEPS = 10
LOSSES = ("loss", "prob_loss", "dist_loss")
VAL_LOSSES = tuple(f"val_{loss}" for loss in LOSSES)
COLUMNS = ("epoch", *LOSSES, *VAL_LOSSES, "learning_rate", "seconds")


@dataclass(frozen=True)
class FitSettings:
    """How long and how fast to learn; see `StarDist3DTrainer` for each field."""

    epochs: int
    steps_per_epoch: int
    learning_rate: float
    schedule: Schedule
    ema_decay: float
    patience: int | None
    logger: LoggerName


@dataclass(frozen=True)
class FitResult:
    """Outcome of `Fit.run`: the best epoch and its validation values, and why it ended."""

    best_epoch: int
    epochs: int
    steps: int
    validation: dict[str, float]
    notes: tuple[str, ...]


class Fit:
    """One training run of a StarDist network, which can be interrupted after any epoch.

    Parameters
    ----------
    network : StarDist3D
    folder : Path
        Where weights and curves go.
    settings : FitSettings
    fingerprint : str
        Hash of the data and options, so that no other training is continued.
    budget : Budget
    progress : callable
    """

    def __init__(
        self,
        network: Any,
        folder: Path,
        settings: FitSettings,
        fingerprint: str,
        budget: Budget,
        progress: Progress,
    ) -> None:
        self._folder, self._settings, self._progress = folder, settings, progress
        self._fingerprint, self._budget = fingerprint, budget
        self._notes: list[str] = []
        self._stepper = Stepper(network, settings.learning_rate)
        self._history = History(rate=settings.learning_rate)

    def resume(self) -> bool:
        """Go on with the training that the folder holds; return False when it holds none.

        Raises
        ------
        CheckpointError
            It is of other data or options, or damaged.
        """
        if not has_state(self._folder):
            return False
        self._history = load_state(self._folder, self._fingerprint, self._stepper)
        return True

    def run(self, sampler: PatchSampler, checks: Sequence[Batch]) -> FitResult:
        """Train until the epochs, the time or the patience is used up.

        Raises
        ------
        TrainingDivergedError
            When a loss is NaN or infinite.
        """
        h = self._history
        if h.steps == 0:
            self._stepper.restart_average()
        with (
            CurveLog(self._folder, COLUMNS, self._settings.logger) as curves,
            closing(_ahead(sampler, h.steps)) as batches,
        ):
            curves.write(h.rows)
            self._budget.begin(h.seconds)
            while not self._finished():
                self._epoch(batches, checks)
                save_state(self._folder, self._fingerprint, self._stepper, h)
                curves.write(h.rows)
        return FitResult(h.best_epoch, h.epoch, h.steps, h.validation, tuple(self._notes))

    def _epoch(self, batches: Iterator[Batch], checks: Sequence[Batch]) -> None:
        h, budget = self._history, self._budget
        planned = itertools.islice(batches, self._settings.steps_per_epoch)
        losses = [self._step(batch) for batch in budget.epoch(planned)]
        row = dict(zip(LOSSES, np.mean(losses, axis=0), strict=True))
        self._stepper.swap()
        checked = budget.attempt(JUDGE, partial(self._check, checks), self._progress)
        h.epoch += 1
        if checked is not None:
            if not np.isfinite(checked).all():
                raise self._diverged(f"the validation loss became {checked[0]}")
            row |= zip(VAL_LOSSES, checked, strict=True)
        self._keep(checked)
        self._stepper.swap()
        h.seconds = round(budget.elapsed, 3)
        row |= {"epoch": h.epoch, "learning_rate": self._last_rate, "seconds": h.seconds}
        h.rows.append({key: float(value) for key, value in row.items()})

    def _check(self, checks: Sequence[Batch], progress: Progress) -> list[float]:
        losses = []
        for number, check in enumerate(checks):
            progress(number, len(checks), "validating")
            losses.append(self._stepper.test(check))
        return [float(value) for value in np.mean(losses, axis=0)]

    def _step(self, batch: Batch) -> tuple[float, float, float]:
        h = self._history
        self._last_rate = self.next_rate()
        # A young average follows closely, so that short trainings are not held back.
        decay = min(self._settings.ema_decay, (1 + h.steps) / (10 + h.steps))
        loss = self._stepper.train(batch, self._last_rate, decay)
        if not np.isfinite(loss).all():
            h.epoch += 1
            raise self._diverged(f"the training loss became {loss[0]}")
        h.steps += 1
        total = self._settings.epochs * self._settings.steps_per_epoch
        self._progress(h.steps, total, f"epoch {h.epoch + 1}, loss {loss[0]:.3f}")
        return loss

    def _keep(self, checked: list[float] | None) -> None:
        """Keep the weights of a better epoch; those of one that was not judged, if none was."""
        h = self._history
        if h.best is None or (checked is not None and checked[0] < h.best):
            save_weights(self._stepper.model, self._folder / BEST_WEIGHTS)
            h.best_epoch, h.rate_epoch = h.epoch, h.epoch
            if checked is not None:
                h.best, h.validation = checked[0], dict(zip(VAL_LOSSES, checked, strict=True))

    def next_rate(self) -> float:
        """Return the learning rate of the step that comes next."""
        h, rate = self._history, self._history.rate
        if self._settings.schedule == "cosine":
            done = h.steps / (self._settings.epochs * self._settings.steps_per_epoch)
            done = min(1.0, max(done, self._budget.done))
            rate *= cosine(done, lowest=LOWEST_RATE)
        return rate * min(1.0, (h.steps + 1) / WARM_UP_STEPS)

    def _finished(self) -> bool:
        """Tell whether no epoch follows; on a plateau, halve the rate."""
        h, patience = self._history, self._settings.patience
        if h.epoch == 0:
            return False
        if self._settings.schedule == "plateau" and h.epoch - h.rate_epoch >= PLATEAU_EPOCHS:
            h.rate, h.rate_epoch = h.rate / 2, h.epoch
        if h.epoch >= self._settings.epochs:
            return True
        if patience is not None and h.epoch - h.best_epoch >= patience:
            waited = number_of(patience, "epoch")
            self._notes.append(
                f"stopped in epoch {h.epoch}: no better validation loss for {waited}"
            )
            return True
        return not self._budget.has_room()

    def _diverged(self, what: str) -> TrainingDivergedError:
        h = self._history
        kept = (
            f"the weights of epoch {h.best_epoch} are kept in {self._folder / BEST_WEIGHTS}"
            if h.best_epoch
            else "no epoch was finished, so there are no weights to keep"
        )
        return TrainingDivergedError(
            f"expected a finite loss, got: {what} in epoch {h.epoch}, step {h.steps + 1}; {kept}; "
            f"train into a new folder with a learning rate under {self._settings.learning_rate:g}"
        )


def _ahead(sampler: PatchSampler, step: int) -> Any:
    """Prepare the next batch while the network is busy with this one."""
    with ThreadPoolExecutor(max_workers=1) as pool:
        following = pool.submit(sampler.batch, step)
        while True:
            ready = following.result()
            step += 1
            following = pool.submit(sampler.batch, step)
            yield ready
