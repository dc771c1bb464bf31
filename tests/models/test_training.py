"""The training of every model, with a learner that is a single number."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from labels.progress import no_progress
from models.base import TrainingResult
from models.budget import Budget
from models.curves import read_curves
from models.errors import CheckpointError, TrainingDivergedError
from models.learner import Judged, Schedule, Step
from models.training import STATE_FILE, Training
from tests.models.clock import Clock


class Number:
    """A number that is halved by each step; the nearer to its aim, the better."""

    losses, values = ("loss", "size"), ("loss",)

    def __init__(self, aim: float = 0.0, has_base: bool = False) -> None:
        self.now, self.aim, self.has_base, self.notes = 16.0, aim, has_base, ["a note of its own"]
        self.rates: list[float] = []

    def step(self, step: Step) -> dict[str, float]:
        self.rates.append(step.rate)
        self.now /= 2
        return {"loss": abs(self.now - self.aim), "size": self.now}

    def judge(self, progress: Any) -> Judged:
        loss = abs(self.now - self.aim)
        return Judged({"loss": loss}, -loss)

    def save(self, folder: Path) -> dict[str, Any]:
        (folder / "weights.json").write_text(json.dumps(self.now))
        return {"weights_sha256": str(self.now)}

    def state(self) -> dict[str, Any]:
        return {"now": np.array(self.now)}

    def restore(self, state: dict[str, Any], path: Path) -> None:
        self.now = float(state["now"])


def trained(folder: Path, learner: Number, epochs: int = 3, **more: Any) -> TrainingResult:
    folder.mkdir(exist_ok=True)
    file = {"model": "number", "fingerprint": more.pop("fingerprint", "one")}
    budget = Budget(more.pop("minutes", None))
    progress = more.pop("progress", no_progress)
    schedule = Schedule(epochs, 2, lambda done, _: 1 - done, **more)
    training = Training(learner, schedule, folder, file, budget, "csv", progress)
    training.resume()
    training.run()
    return training.result("weights.json", "a base", ["first"])


def kept(folder: Path) -> Any:
    said = json.loads((folder / "model.json").read_text())
    weights = json.loads((folder / "weights.json").read_text())
    assert said["weights_sha256"] == str(weights)
    return weights, said["epoch"], said["validation"]


def test_the_best_epoch_is_kept_and_the_curves_tell_all(tmp_path: Path) -> None:
    result = trained(tmp_path, Number(aim=1.0))
    assert kept(tmp_path) == (1.0, 2, {"loss": 0.0})
    assert (result.best_epoch, result.epochs, result.steps) == (2, 3, 6)
    assert result.weights == tmp_path / "weights.json"
    assert result.notes == ("first", "a note of its own")
    header = (tmp_path / "curves.csv").read_text().splitlines()[0]
    assert header == "epoch,train_loss,train_size,val_loss,lr,seconds"
    rows = [{k: v for k, v in row.items() if k != "seconds"} for row in read_curves(tmp_path)]
    assert rows[0] == {
        "epoch": 1, "train_loss": 5.0, "train_size": 6.0, "val_loss": 3.0, "lr": 0.833333
    }  # fmt: skip


class Stop(Exception):
    """Raised to interrupt a training."""


@pytest.mark.parametrize("at", range(6))
def test_interrupted_anywhere_it_goes_on_to_the_same_end(tmp_path: Path, at: int) -> None:
    def stop(done: int, total: int, doing: str) -> None:
        if done == at:
            raise Stop

    with pytest.raises(Stop):
        trained(tmp_path / "cut", Number(0.5, has_base=True), progress=stop)
    whole = trained(tmp_path / "whole", Number(0.5, has_base=True))
    result = trained(tmp_path / "cut", learner := Number(0.5, has_base=True))
    assert kept(tmp_path / "cut") == kept(tmp_path / "whole")
    assert (result.steps, result.best_epoch) == (whole.steps, whole.best_epoch)
    assert f"continued after epoch {at // 2}" in result.notes
    assert learner.rates == pytest.approx([1 - i / 6 for i in range(at - at % 2, 6)])
    one, two = (read_curves(tmp_path / name) for name in ("cut", "whole"))
    assert [{**row, "seconds": 0} for row in one] == [{**row, "seconds": 0} for row in two]


def test_another_training_is_not_continued(tmp_path: Path) -> None:
    trained(tmp_path, Number())
    with pytest.raises(CheckpointError, match="same data and options"):
        trained(tmp_path, Number(), fingerprint="another")
    (tmp_path / STATE_FILE).write_bytes(b"no tensors")
    with pytest.raises(CheckpointError, match=r"last\.safetensors.*damaged file.*a new folder"):
        trained(tmp_path, Number())
    (tmp_path / "last.pth").write_bytes(b"")
    with pytest.raises(CheckpointError, match=r"last\.pth.*earlier version.*a new folder"):
        trained(tmp_path, Number())


@pytest.mark.parametrize(("patience", "epochs"), [(None, 11), (2, 3), (40, 30)])
def test_patience_is_a_third_of_the_epochs_unless_given(
    tmp_path: Path, patience: int | None, epochs: int
) -> None:
    result = trained(tmp_path, Number(aim=4.0), epochs=30, patience=patience)
    assert (result.best_epoch, result.epochs) == (1, epochs)
    stopped = [note for note in result.notes if note.startswith("stopped after epoch")]
    assert len(stopped) == (epochs < 30)


def test_a_base_is_epoch_0_and_stays_when_nothing_is_better(tmp_path: Path) -> None:
    result = trained(tmp_path, Number(aim=16.0, has_base=True))
    assert (result.best_epoch, result.epochs, result.validation) == (0, 3, {"loss": 0.0})
    assert kept(tmp_path) == (16.0, 0, {"loss": 0.0})
    assert any("the run holds the base's weights" in note for note in result.notes)
    first = read_curves(tmp_path)[0]
    assert (first["epoch"], first["val_loss"], "train_loss" in first) == (0, 0.0, False)
    better = trained(tmp_path / "better", Number(has_base=True))
    assert "the base it started from has on validation: loss 16.000" in better.notes


def test_a_base_that_there_is_no_time_to_judge_gives_way(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock(monkeypatch)
    clock.takes(Number, "step", 5)
    learner = Number(aim=16.0, has_base=True)
    monkeypatch.setattr("models.training.OF_THE_BASE", 0.0)
    result = trained(tmp_path, learner, minutes=0.1)
    assert (result.best_epoch, result.steps) == (1, 1) and kept(tmp_path)[:2] == (8.0, 1)
    assert [row["epoch"] for row in read_curves(tmp_path)] == [1]
    assert any("no time was left to judge every epoch" in note for note in result.notes)


@pytest.mark.parametrize("spoilt", ["step", "judge"])
def test_what_is_not_finite_ends_it_and_the_best_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, spoilt: str
) -> None:
    calls, plain = itertools.count(), getattr(Number, spoilt)

    def broken(self: Number, given: Any) -> Any:
        if next(calls) < 1:
            return plain(self, given)
        return Judged({}, np.nan) if spoilt == "judge" else {"loss": np.inf, "size": 0.0}

    monkeypatch.setattr(Number, spoilt, broken)
    where = "validation of epoch 1" if spoilt == "judge" else "step 2 of epoch 1"
    with pytest.raises(TrainingDivergedError, match=rf"{where}: expected.*holds that of epoch 0"):
        trained(tmp_path, Number(has_base=True))
    assert kept(tmp_path)[0] == 16.0


def test_an_epoch_that_was_not_judged_gives_way_to_one_that_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Clock(monkeypatch).takes(Number, "step", 90)
    result = trained(tmp_path, Number(), minutes=1.0)
    assert (result.best_epoch, result.steps, result.validation) == (1, 1, {})
    result = trained(tmp_path, Number(aim=8.0), epochs=2)
    assert (result.epochs, result.best_epoch, result.steps) == (2, 2, 3)
    assert result.validation == {"loss": 6.0}


def test_without_a_limit_the_time_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    quick = trained(tmp_path / "quick", Number())
    Clock(monkeypatch).takes(Number, "step", 1e5)
    slow = trained(tmp_path / "slow", Number())
    assert kept(tmp_path / "quick") == kept(tmp_path / "slow") and quick.notes == slow.notes
