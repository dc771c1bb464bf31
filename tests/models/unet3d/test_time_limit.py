"""What `max_minutes` does to a training of the U-Net, on a clock of the tests' own."""

from __future__ import annotations

import csv
import dataclasses

import pytest

torch = pytest.importorskip("torch")

from models.registry import load_run  # noqa: E402
from models.unet3d import instances, validation  # noqa: E402
from models.unet3d import trainer as module  # noqa: E402
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
