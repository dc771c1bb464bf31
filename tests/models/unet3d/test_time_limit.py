"""What `max_minutes` does to a training of the U-Net, on a clock of the tests' own."""

from __future__ import annotations

import csv
import dataclasses

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from models.registry import load_run  # noqa: E402
from models.unet3d import instances, validation  # noqa: E402
from models.unet3d import trainer as module  # noqa: E402
from models.unet3d.instances import InstanceSettings  # noqa: E402
from models.unet3d.train import UNetLearner  # noqa: E402
from tests.models.clock import Clock  # noqa: E402
from tests.models.unet3d.test_trainer import TINY  # noqa: E402
from tests.models.unet3d.volumes import SPACING, nuclei, sample  # noqa: E402

MINUTE = dataclasses.replace(TINY, epochs=1000, steps_per_epoch=20, max_minutes=1.0, logger="csv")


@pytest.fixture
def clock(monkeypatch):
    return Clock(monkeypatch)


def trained(folder, trainer=MINUTE):
    return trainer.train([sample("a", 0)], [sample("b", 1)], folder)


def rows(folder):
    with (folder / "curves.csv").open() as file:
        return list(csv.DictReader(file))


def limits(result):
    return [note for note in result.notes if "max_minutes" in note]


def finds_objects(folder):
    image, truth = nuclei(2)
    found = load_run("unet3d", folder).segment(image[None], SPACING)
    return found.labels.shape == truth.shape


def test_the_training_ends_in_time_with_thresholds_chosen(clock, tmp_path):
    clock.takes(module, "prepare", 2)
    steps = clock.takes(UNetLearner, "step", 4)
    clock.takes(validation, "judge", 1)
    clock.takes(validation, "tune", 4)
    result = trained(tmp_path)
    assert 44 < clock.now <= 60
    assert len(steps) == result.steps < 20 * result.epochs
    assert "f1_instances_tuned" in result.validation
    assert limits(result) == [f"stopped by max_minutes=1 in epoch {result.epochs}"]
    assert float(rows(tmp_path)[-1]["lr"]) < 0.2 * MINUTE.learning_rate


def test_when_preparing_takes_all_the_time_one_step_leaves_a_run(clock, tmp_path):
    clock.takes(module, "prepare", 40)
    steps = clock.takes(UNetLearner, "step", 3)
    result = trained(tmp_path)
    assert (len(steps), result.steps, result.epochs, result.best_epoch) == (1, 1, 1, 1)
    assert result.validation == {}
    assert limits(result) == [
        "stopped by max_minutes=1 in epoch 1: of 60 s given, preparing took 80 s, 1 step 3 s and "
        "all else 0 s; no time was left to judge every epoch and to choose thresholds, so that the "
        "usual ones are kept"
    ]
    (row,) = rows(tmp_path)
    assert row["train_loss"] and not row["val_loss"]
    assert finds_objects(tmp_path)
    usual = load_run("unet3d", tmp_path).instances
    assert (usual.foreground, usual.depth) == (
        InstanceSettings().foreground,
        InstanceSettings().depth,
    )


def test_an_epoch_that_was_not_judged_gives_way_to_one_that_was(clock, tmp_path, monkeypatch):
    clock.takes(module, "prepare", 40)
    trained(tmp_path)
    more = dataclasses.replace(MINUTE, epochs=2, max_minutes=None)
    result = trained(tmp_path, more)
    assert (result.epochs, result.best_epoch, result.steps) == (2, 2, 21)
    assert result.validation["loss"] > 0
    assert limits(result) == []


def test_thresholds_that_there_is_no_time_for_are_the_usual_ones(clock, tmp_path):
    steps = clock.takes(UNetLearner, "step", 2)
    clock.takes(instances, "Basins", 6)
    result = trained(tmp_path)
    # Judging takes 6 s, and choosing at least 48 s: all but 6 s are for training.
    assert len(steps) > 15
    assert clock.now <= 60 + 6
    assert result.validation["loss"] > 0 and "f1_instances_tuned" not in result.validation
    (said,) = limits(result)
    assert said.endswith("no time was left to choose thresholds, so that the usual ones are kept")
    assert finds_objects(tmp_path)


def test_without_a_limit_the_time_changes_nothing(clock, tmp_path):
    trainer = dataclasses.replace(TINY, logger="csv")
    trained(tmp_path / "quick", trainer)
    clock.takes(module, "prepare", 1e5)
    clock.takes(UNetLearner, "step", 1e5)
    result = trained(tmp_path / "slow", trainer)
    one, two = ((tmp_path / n / "weights.safetensors").read_bytes() for n in ("quick", "slow"))
    assert one == two
    assert limits(result) == []
    assert np.isfinite(result.validation["loss"])
