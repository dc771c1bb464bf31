"""From an empty folder to a second round of hand work on a real stack, through the window."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from numpy.typing import NDArray

from annotations.formats import write_image_tiff, write_labels_tiff
from annotations.objects import Status
from hitl.evaluation.metrics.all_metrics import score
from hitl.project.folder import Project
from tests.conftest import RealStack
from tests.hitl.review.window.conftest import Start

LIMIT_S = 240
"""Nobody waits that long; the whole test takes less than a minute."""


class Rounds:
    """A project with half of a real stack in it."""

    def __init__(
        self, field: RealStack, folder: Path, command: Callable, shots: Path, start: Start
    ) -> None:
        image, labels, spacing_um = field
        half = image.shape[1] // 2
        self.truth = labels[:, :half]
        self.folder = folder / "project"
        self.shots = shots
        self.start = start
        self.truth_file = folder / "truth.tif"
        write_image_tiff(folder / "ovule.tif", image[:, :half], spacing_um)
        write_labels_tiff(self.truth_file, self.truth, spacing_um)
        command("init", self.folder)
        command("add", self.folder, folder / "ovule.tif")
        command("bootstrap", self.folder, "--segmenter", "classical")

    def correct(self, what: str) -> dict[str, int]:
        """Work in the window; returns how many objects were handled, by kind."""
        child = self.start("rounds_child", self.folder, "ovule", self.truth_file, self.shots, what)
        done: dict[str, int] = json.loads(child.printed())
        return done

    def state(self, number: int | None = None) -> tuple[NDArray, NDArray, dict[int, Status]]:
        """Labels, verified voxels and each object's status as of a round."""
        view = Project.open(self.folder).store().labels("ovule", number)
        statuses = map(Status, view.objects.status.tolist())
        return (
            view.labels[...],
            view.verified[...] > 0,
            dict(zip(view.objects.id.tolist(), statuses, strict=True)),
        )

    def f1(self, number: int) -> float:
        return score(self.truth, self.state(number)[0]).at_half.f1


@pytest.mark.real
@pytest.mark.slow
def test_two_rounds_of_hand_work_in_the_window(
    real_stack: Callable[[str], RealStack],
    tmp_path: Path,
    command: Callable,
    shots: Path,
    start: Start,
) -> None:
    rounds = Rounds(real_stack("gonuclear_1136"), tmp_path, command, shots, start)
    done = rounds.correct("first")
    assert done == {"accepted": 3, "deleted": 3, "merged": 1, "split": 1, "added": 1}
    check_round(rounds, 1, "first look", done)
    settings = yaml.safe_load((rounds.folder / "hitl.yaml").read_text())
    settings["segmenters"] = {"classical": {"level": 0.35}}
    (rounds.folder / "hitl.yaml").write_text(yaml.safe_dump(settings))
    proposed = command("propose", rounds.folder, "--model", "classical")
    check_proposal(rounds, proposed)
    done = rounds.correct("second")
    assert done["accepted"] >= 2
    assert done["deleted"] >= 2
    check_round(rounds, 3, "second look", done)
    kinds = [entry["kind"] for entry in command("log", rounds.folder)["log"]]
    assert kinds == ["correct", "propose", "correct", "bootstrap", "add", "create"]
    assert rounds.f1(0) < rounds.f1(1) < rounds.f1(3)
    assert not list((rounds.folder / "drafts").rglob("*.zip"))


def check_round(rounds: Rounds, number: int, message: str, done: dict[str, int]) -> None:
    """A round of hand work says who did what in how long, and no object lost its id to it."""
    entry = Project.open(rounds.folder).store().rounds()[number]
    assert (entry.round, entry.kind, entry.author) == (number, "correct", "ann")
    assert (entry.message, entry.model, entry.labels) == (message, None, ("ovule:nuclei",))
    assert {kind: count for kind, count in asdict(entry.total).items() if count} == done
    assert entry.minutes is not None
    assert 0 < entry.minutes < LIMIT_S / 60
    (before, seen_before, _), (after, seen, objects) = map(rounds.state, (number - 1, number))
    assert seen[seen_before].all()
    assert seen[before != after].all()
    told = Counter(objects.values())
    assert told[Status.ACCEPTED] >= done["accepted"]
    for object_id, status in objects.items():
        mask = after == object_id
        assert mask.any() == (status is not Status.REJECTED)
        assert seen[mask].all() == (status is not Status.PROPOSED)
        if status is Status.PROPOSED:
            assert np.array_equal(mask, before == object_id)


def check_proposal(rounds: Rounds, proposed: dict[str, Any]) -> None:
    """The model changed much, but nothing that the person had verified."""
    assert proposed["round"] == 2
    (field,) = proposed["fields"]
    assert field["reshaped"] > 3
    (before, seen_before, _), (after, seen, objects) = map(rounds.state, (1, 2))
    assert np.array_equal(seen, seen_before)
    assert np.array_equal(after[seen], before[seen])
    assert np.count_nonzero(after != before) > 1000
    judged = rounds.state(1)[2]
    kept = {i: status for i, status in judged.items() if status is not Status.PROPOSED}
    assert kept.items() <= objects.items()
    assert field["kept"] == sum(status is not Status.REJECTED for status in kept.values())
