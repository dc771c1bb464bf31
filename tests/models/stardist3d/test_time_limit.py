"""What `max_minutes` does to a training of StarDist, on a clock of the tests' own."""

from __future__ import annotations

import csv
import math

import numpy as np
import pytest

from models.budget import Budget, OutOfTimeError
from models.stardist3d import StarDist3DTrainer, thresholds
from models.stardist3d import training as module
from models.stardist3d.losses import Stepper
from models.stardist3d.objects import Candidates
from tests.models.clock import Clock
from tests.models.stardist3d.test_samples import sample
from tests.models.stardist3d.test_trainer import TINY

MINUTE = StarDist3DTrainer(**TINY | {"epochs": 1000, "steps_per_epoch": 20, "max_minutes": 1.0})


@pytest.fixture
def clock(monkeypatch):
    return Clock(monkeypatch)


def trained(folder, trainer=MINUTE):
    return trainer.train([sample()], [sample(name="b", seed=1)], folder)


def rows(folder):
    with (folder / "curves.csv").open() as file:
        return list(csv.DictReader(file))


def limits(result):
    return [note for note in result.notes if "max_minutes" in note]


def test_the_training_ends_in_time_with_thresholds_chosen(clock, tmp_path):
    clock.takes(module, "prepare", 2)
    steps = clock.takes(Stepper, "train", 3)
    clock.takes(Stepper, "test", 0.1)
    clock.takes(thresholds, "_overlaps", 0.5)
    result = trained(tmp_path)
    assert 40 < clock.now <= 60
    assert len(steps) == result.steps < 20 * result.epochs
    assert "f1_instances_tuned" in result.validation
    assert limits(result) == [f"stopped by max_minutes=1 in epoch {result.epochs}"]
    assert float(rows(tmp_path)[-1]["lr"]) < 0.3 * 1e-3


def candidates(count):
    prob = np.linspace(0.2, 0.95, count, dtype=np.float32)
    return Candidates(prob, np.ones((count, 8), np.float32), np.zeros((count, 3), np.intp))


@pytest.fixture
def suppressed(clock, monkeypatch):
    """How many candidates were looked at each time, which takes 10 ms for each of them."""
    counts = []

    def overlaps(network, stack, found, nms):
        counts.append(len(found.prob))
        clock.now += 0.01 * len(found.prob)
        ids = np.arange(1, 4)
        prob = np.sort(found.prob)[::-1]
        known = np.ones(len(prob), bool)
        return thresholds.Overlaps(ids, ids, np.ones(3), prob, known, true_count=3)

    monkeypatch.setattr(thresholds, "_overlaps", overlaps)
    monkeypatch.setattr(thresholds, "find_candidates", lambda *_: candidates(5000))
    return counts


class Network:
    """As much of a network as is looked at."""

    class thresholds:
        prob, nms = 0.5, 0.4


class Stack:
    image = np.zeros((4, 4, 4))


def test_with_little_time_the_most_probable_candidates_are_looked_at(clock, suppressed):
    budget = Budget(0.5)
    best = thresholds.optimise(Network, [Stack, Stack], budget=budget)
    assert suppressed[0] == thresholds.FEW_CANDIDATES
    assert len(set(suppressed[1:])) == 1 and len(suppressed) == 7
    assert 400 < suppressed[1] < 500
    assert clock.now <= 30
    # Of what was not looked at nothing is said.
    assert best.lowest == pytest.approx(np.sort(candidates(5000).prob)[-suppressed[1]])
    assert best.prob >= best.lowest


def test_with_all_the_time_every_candidate_is_looked_at(suppressed):
    best = thresholds.optimise(Network, [Stack, Stack])
    assert suppressed == [5000] * 6
    assert best.lowest == thresholds.LOWEST_PROBABILITY


def test_with_too_little_time_nothing_is_chosen(clock, suppressed):
    with pytest.raises(OutOfTimeError):
        thresholds.optimise(Network, [Stack, Stack], budget=Budget(0.05))
    assert math.isclose(clock.now, 2.0)
