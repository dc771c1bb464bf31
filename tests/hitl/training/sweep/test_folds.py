"""Folds of a sweep: who is learned, chosen on and scored, what is told, and what is refused."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from annotations.formats import write_image_tiff, write_labels_tiff
from hitl.cli import run
from models.base import TrainingSample
from tests.hitl.fake_model import Bench, scene
from tests.hitl.training.sweep.fake_trainer import FakeTrainer, Sweeper, add, table_rows

SPACING = (2.0, 1.0, 1.0)
SHRINK = ("--grid", "shrink=0,1")


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> list[tuple[set[str], set[str]]]:
    """What each training learned from, and was chosen on: names of fields."""
    found: list[tuple[set[str], set[str]]] = []
    train = FakeTrainer.train

    def watched(
        self: Any,
        learned: Sequence[TrainingSample],
        val: Sequence[TrainingSample],
        *more: Any,
        **k: Any,
    ) -> Any:
        found.append(tuple({s.name.split()[0] for s in part} for part in (learned, val)))
        return train(self, learned, val, *more, **k)

    monkeypatch.setattr(FakeTrainer, "train", watched)
    return found


def test_every_field_is_scored_once_by_a_model_that_never_saw_it(
    sweep: Sweeper, bench: Bench, seen: list[tuple[set[str], set[str]]]
) -> None:
    every = {"learn", *(f"f{number}" for number in range(1, 6))}
    for number in range(1, 6):
        add(bench, f"f{number}", "val" if number == 5 else "train", seed=number)
    done = sweep(*SHRINK, "--folds", "3", "--sort", "dice")
    assert (done["done"], len({cell["run"] for cell in done["cells"]})) == (6, 6)
    assert sorted(cell["fold"] for cell in done["cells"]) == [1, 1, 2, 2, 3, 3]
    scored = [every - learned - chosen for learned, chosen in seen]
    assert all(
        len(fold) == 2 and not learned & chosen
        for fold, (learned, chosen) in zip(scored, seen, strict=True)
    )
    assert all(chosen for _, chosen in seen), "the epoch is chosen inside the training folds"
    assert set().union(*scored) == every and scored[::2] == scored[1::2]
    best, other = done["combinations"]
    assert best["options"] == {"shrink": 0} and best["mean"]["dice"] == 1.0
    assert best["sd"]["dice"] == 0.0 and other["mean"]["dice"] < 1
    assert other["behind_best"]["mean"] == pytest.approx(1 - other["mean"]["dice"])
    assert done["simplest"] == {"options": {"shrink": 0}}
    rows = table_rows(Path(done["table"]))
    assert {row["fold"] for row in rows} == {"1", "2", "3"} and float(rows[0]["dice"]) == 1.0
    assert any("3 folds by field of 2, 2, 2 fields" in note for note in done["notes"])
    assert sweep(*SHRINK, "--folds", "3", "--sort", "dice")["cells"] == done["cells"]
    assert len(seen) == 6, "what is trained is not trained again"


def test_two_fields_are_two_folds_both_ways(
    sweep: Sweeper,
    bench: Bench,
    seen: list[tuple[set[str], set[str]]],
    capsys: pytest.CaptureFixture[str],
) -> None:
    add(bench, "other", "train", seed=4)
    sweep("--grid", "shrink=0", "--folds", "2")
    assert sorted(sorted(learned) for learned, _ in seen) == [["learn"], ["other"]]
    assert all(learned == chosen for learned, chosen in seen), "on a part of it, held out"
    capsys.readouterr()
    assert run(["sweep", str(bench.project.folder), "fake", *SHRINK, "--folds", "2"]) == 0
    shown = capsys.readouterr().out
    told = " ".join(shown.split())
    assert "mean ± SD over them" in told and "° the smallest network within one" in told
    assert told.count("*°") == 1


def test_fields_of_one_specimen_stay_together(
    sweep: Sweeper, bench: Bench, seen: list[tuple[set[str], set[str]]]
) -> None:
    for number in range(4):
        _add_with(bench, f"m{number}", scene(number + 10), ["--meta", f"mouse={'AB'[number // 2]}"])
    fields = ["--field", *["m0", "--field", "m1", "--field", "m2", "--field", "m3"]]
    sweep("--grid", "shrink=0", "--folds", "2", "--by", "mouse", *fields)
    assert sorted(sorted(learned) for learned, _ in seen) == [["m0", "m1"], ["m2", "m3"]]
    said = sweep("--grid", "shrink=0", "--folds", "2", "--by", "mouse", code=1)["said"]
    assert "--by mouse: field learn does not say its mouse" in said
    said = sweep("--grid", "shrink=0", "--folds", "3", "--by", "mouse", *fields, code=1)["said"]
    assert "--folds 3: expected at most 2, as there are 2 values of mouse" in said


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (("--folds", "3"), 1, "--folds 3: expected at most 2, as there are 2 fields to train on"),
        (("--folds", "1"), 2, "--folds 1: expected 2 or more"),
        (("--by", "field"), 2, "--by field: it says how folds are made; give --folds too"),
    ],
)
def test_folds_that_cannot_be_are_refused(
    sweep: Sweeper, bench: Bench, arguments: tuple[str, ...], code: int, told: str
) -> None:
    add(bench, "other", "train", seed=4)
    assert told in sweep(*SHRINK, *arguments, code=code)["said"]
    assert not FakeTrainer.trained


def test_a_turned_copy_in_another_fold_is_refused_by_name(sweep: Sweeper, bench: Bench) -> None:
    image, labels = scene(5)
    turned = tuple(np.ascontiguousarray(np.rot90(each, 1, (1, 2))) for each in (image, labels))
    _add_with(bench, "one", (image, labels), ["--meta", "mouse=A"])
    _add_with(bench, "turned", turned, ["--meta", "mouse=A"])
    fields = ("--field", "one", "--field", "turned")
    said = sweep("--grid", "shrink=0", "--folds", "2", *fields, code=1)["said"]
    assert "fields one and turned, in folds" in said and "turned by 90°" in said
    assert said.count("\n") == 1 and not FakeTrainer.trained
    _add_with(bench, "else", scene(6), ["--meta", "mouse=B"])
    together = ("--by", "mouse", *fields, "--field", "else")
    assert sweep("--grid", "shrink=0", "--folds", "2", *together)["done"] == 2


def _add_with(bench: Bench, name: str, made: Any, more: list[str]) -> None:
    folder = bench.project.folder.parent
    image, labels = made
    write_image_tiff(folder / f"{name}.tif", image, SPACING)
    write_labels_tiff(folder / f"{name}_labels.tif", labels, SPACING)
    files = [str(folder / f"{name}.tif"), "--labels", str(folder / f"{name}_labels.tif")]
    assert run(["add", str(bench.project.folder), *files, *more]) == 0
