"""The training of every model: epochs, judging, checkpoints, curves, and going on after a stop.

A model gives a `Learner`, which knows no files but that of its weights. Its run can be interrupted
at any time and goes on from the last epoch that was finished.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from labels.files import replace_durably, sync_file
from labels.json_files import parse_json
from labels.numbers import number_of
from labels.progress import Progress
from models.base import TrainingResult
from models.budget import JUDGE, Budget
from models.curves import CurveLog, LoggerName
from models.errors import CheckpointError, TrainingDivergedError
from models.learner import Arrays, History, Learner, Schedule, Step
from models.runfolder import FORMAT, MODEL_FILE, check_continues, described, write_json

STATE_FILE = "last.safetensors"
"""Holds what an interrupted training goes on from: tensors, and the rest as JSON beside them."""

EARLIER_STATES = ("last.json", "last.pth")
"""Where earlier versions kept theirs."""

OF_THE_BASE = 1 / 3
"""Share of the time left that judging the base may take: an epoch has to be judged too."""

MAY_CHANGE = ("epochs", "max_minutes", "patience", "threads", "logger")
"""Options that a continued training may have others of."""


@dataclass(frozen=True, kw_only=True)
class _State:
    """What is written beside the tensors."""

    model: str
    format: int
    history: History
    model_file: dict[str, Any]


class Training:
    """One training run that can be interrupted at any time and continued.

    Parameters
    ----------
    learner : Learner
    schedule : Schedule
    folder : Path
        Run folder.
    model_file : dict
        Content of `model.json` but for weights' sha256, epoch and validation. Its ``fingerprint``
        says which data and options this is, so that no other training is continued.
    budget : Budget
    logger : {"tensorboard", "wandb", "csv"}
    progress : callable
        Raising in it cancels.
    """

    def __init__(
        self,
        learner: Learner,
        schedule: Schedule,
        folder: Path,
        model_file: dict[str, Any],
        budget: Budget,
        logger: LoggerName,
        progress: Progress,
    ) -> None:
        self.history, self.notes, self.model_file = History(), list[str](), model_file
        self._learner, self._schedule, self.folder = learner, schedule, folder
        self._budget, self._logger, self._progress = budget, logger, progress
        train, val = (f"train_{x}" for x in learner.losses), (f"val_{x}" for x in learner.values)
        self._columns = ("epoch", *train, *val, "lr", "seconds")

    def resume(self) -> bool:
        """Go on with the training that the folder holds; tell whether it holds one.

        Raises
        ------
        CheckpointError
            It is of other data or options, of an earlier version, or damaged.
        """
        path = self.folder / STATE_FILE
        for name in EARLIER_STATES:
            if (self.folder / name).exists():
                raise CheckpointError(
                    f"{self.folder / name}: expected an interrupted training of this version, "
                    "got one of an earlier version; train into a new folder"
                )
        if not path.is_file():
            return False
        about, state = _read(path)
        own = self.model_file.get("fingerprint")
        check_continues(self.folder, about.model_file.get("fingerprint"), own)
        self._learner.restore(state, path)
        self.history, self.model_file = about.history, about.model_file
        self.notes.append(f"continued after epoch {self.history.epoch}")
        return True

    def run(self) -> History:
        """Train until the epochs, the time or the patience are used up.

        A base is judged first, as epoch 0, and kept unless an epoch is better. An epoch that there
        is no time to judge is kept if nothing was judged before.

        Raises
        ------
        TrainingDivergedError
            A loss is no longer finite. What was written so far stays.
        """
        h, budget = self.history, self._budget
        with CurveLog(self.folder, self._columns, self._logger) as log:
            budget.begin(h.seconds)
            if self._learner.has_base and not h.rows:
                budget.close_epoch()
                self._close_epoch({}, budget.elapsed, log, OF_THE_BASE)
            while not self._finished():
                began = budget.elapsed
                row = self._epoch()
                h.epoch += 1
                self._close_epoch(row, began, log)
        return h

    def conclude(self, more: Mapping[str, Any], values: Mapping[str, float]) -> None:
        """Write what was found out about the best epoch afterwards."""
        self.history.best |= values
        self._write_model_file(more)

    def keep_base(self, more: Mapping[str, Any]) -> None:
        """Write that the base is kept after all, since nothing was better in the end.

        Parameters
        ----------
        more : mapping
            What `model.json` says of the base's weights, which stand in their file already.
        """
        h = self.history
        h.best_epoch, h.best = 0, self._base_values()
        self._write_model_file(more)
        # What goes on from here is the network that learned, whatever was loaded since.
        self._write_state(_read(self.folder / STATE_FILE)[1])

    def result(
        self, weights: str, base: str, notes: list[str], licence: str | None = None
    ) -> TrainingResult:
        """Return what a trainer returns.

        Parameters
        ----------
        weights : str
            Name of the file of weights.
        base : str
            What the training started from.
        notes : list of str
            What the user must be told of how it was prepared.
        licence : str, optional
            Where it is not that of the training data.
        """
        h = self.history
        told = [*notes, *self._learner.notes, *self.notes, *self._of_the_base()]
        return TrainingResult(
            weights=self.folder / weights,
            best_epoch=h.best_epoch,
            epochs=h.epoch,
            validation=h.best,
            base=base,
            notes=(*told, *self._budget.notes(h.epoch)),
            steps=h.steps,
            **({} if licence is None else {"licence": licence}),
        )

    def _base_values(self) -> dict[str, float]:
        """Return what the base was judged by; nothing where there is none, or was no time."""
        first = next((row for row in self.history.rows if row["epoch"] == 0), {})
        return {x: first[f"val_{x}"] for x in self._learner.values if f"val_{x}" in first}

    def _of_the_base(self) -> list[str]:
        h = self.history
        if self._learner.has_base and h.best_epoch == 0:
            return [
                f"none of {number_of(h.epoch, 'epoch')} was better on validation than the base it "
                "started from: the run holds the base's weights"
            ]
        listed = ", ".join(f"{name} {value:.3f}" for name, value in self._base_values().items())
        return [f"the base it started from has on validation: {listed}"] if listed else []

    def _finished(self) -> bool:
        h, s = self.history, self._schedule
        if h.epoch >= s.epochs:
            return True
        if h.epoch - h.best_epoch >= s.waits:
            waited = number_of(s.waits, "epoch")
            self.notes.append(f"stopped after epoch {h.epoch}: none was better for {waited}")
            return True
        # Asked before the first epoch too: it learns how long judging takes.
        room = self._budget.has_room()
        return h.epoch > 0 and not room

    def _epoch(self) -> dict[str, float]:
        h, s, sums = self.history, self._schedule, dict.fromkeys(self._learner.losses, 0.0)
        first, total = h.epoch * s.steps_per_epoch, s.epochs * s.steps_per_epoch
        count, rate = 0, 0.0
        for at in self._budget.epoch(range(first, first + s.steps_per_epoch)):
            self._progress(at, total, f"training, epoch {h.epoch + 1}")
            done = max(at / total, self._budget.done)
            rate = s.rate(done, h)
            for name, value in self._learner.step(Step(h.steps, done, rate)).items():
                self._check(value, f"step {count + 1} of epoch {h.epoch + 1}")
                sums[name] += value
            h.steps, count = h.steps + 1, count + 1
        return {f"train_{name}": value / count for name, value in sums.items()} | {"lr": rate}

    def _close_epoch(
        self, row: dict[str, float], began: float, log: CurveLog, share: float = 1.0
    ) -> None:
        h = self.history
        judged = self._budget.attempt(JUDGE, self._learner.judge, self._progress, share)
        if judged is None and h.epoch == 0:
            return
        if judged is not None:
            self._check(judged.score, f"validation of epoch {h.epoch}")
            row |= {f"val_{name}": value for name, value in judged.values.items()}
        h.seconds = self._budget.elapsed
        h.rows.append({"epoch": h.epoch, **row, "seconds": h.seconds - began})
        if h.best_score is None or (judged is not None and judged.score > h.best_score):
            h.best_epoch = h.epoch
            if judged is not None:
                h.best_score, h.best = judged.score, dict(judged.values)
            self._write_model_file(self._learner.save(self.folder))
        self._write_state(self._learner.state())
        log.write(h.rows)

    def _write_state(self, state: Arrays) -> None:
        file = self.model_file
        about = _State(model=file["model"], format=FORMAT, history=self.history, model_file=file)
        _write(self.folder / STATE_FILE, about, state)

    def _write_model_file(self, more: Mapping[str, Any]) -> None:
        best = {"epoch": self.history.best_epoch, "validation": self.history.best}
        self.model_file |= {**more, **best}
        write_json(self.folder / MODEL_FILE, self.model_file)

    def _check(self, value: float, where: str) -> None:
        if math.isfinite(value):
            return
        h = self.history
        kept = f"{self.folder} holds that of epoch {h.best_epoch}" if h.rows else "there is none"
        raise TrainingDivergedError(
            f"{where}: expected a finite loss and gradient, got {value}; of the checkpoints "
            f"{kept}; train again with a lower learning_rate or precision fp32"
        )


def _write(path: Path, about: _State, state: Arrays) -> None:
    from safetensors.numpy import save_file

    draft = path.with_name(f".{path.name}")
    whole = {key: np.asarray(array, order="C") for key, array in state.items()}
    # Straight to the disk: what a large network is trained with is not held in memory twice.
    save_file(whole, draft, metadata={"state": json.dumps(asdict(about))})
    sync_file(draft)
    replace_durably(draft, path)


def _read(path: Path) -> tuple[_State, Arrays]:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="numpy") as file:
            about = parse_json((file.metadata() or {}).get("state", "{}").encode(), nan=True)
            return described(_State, about, path), {
                key: file.get_tensor(key)
                for key in file.keys()  # noqa: SIM118
            }
    except (OSError, ValueError, SafetensorError) as error:
        raise CheckpointError(
            f"{path}: expected the state of an interrupted training, got a damaged file ({error}); "
            "train into a new folder"
        ) from error
