"""Sweeps: what is trained once only, what is told and written, what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import matplotlib.image
import pytest

from hitl.cli import run
from hitl.project.folder import Project
from tests.hitl.fake_model import Bench
from tests.hitl.training.sweep.fake_trainer import GRID, FakeTrainer, Sweeper, add, table_rows


def test_a_grid_becomes_runs_a_table_and_a_plot(sweep: Sweeper, bench: Bench) -> None:
    done = sweep(*GRID, "--set", "rate=2")
    assert (done["done"], done["failed"]) == (4, 0)
    best = done["cells"][0]
    assert best["options"] == {"missing": "nothing", "shrink": 0}
    assert (best["f1"], best["evaluation_score"], best["f1_edge"]) == (1.0, 1.0, 1.0)
    assert best["val_loss"] == 1.0
    assert done["best"] == {"options": best["options"], "runs": [best["run"]]}
    f1 = [cell["f1"] for cell in done["cells"]]
    assert f1 == sorted(f1, reverse=True)
    assert f1[-1] < 1
    for cell in done["cells"]:
        folder = bench.project.run(cell["run"])
        assert {"card.json", "MODEL_CARD.md", "config.yaml"} <= {p.name for p in folder.iterdir()}
        assert json.loads((folder / "card.json").read_text())["config"]["options"]["rate"] == 2.0
    rows = table_rows(Path(done["table"]))
    assert [row["run"] for row in rows] == [cell["run"] for cell in done["cells"]]
    assert [float(row["f1"]) for row in rows] == pytest.approx(f1, rel=1e-5)
    record = json.loads(Path(done["table"]).with_name("sweep.json").read_text())
    assert record["cells"] == done["cells"]
    assert matplotlib.image.imread(done["plot"]).shape[1] > 1000
    assert Path(done["table"]).is_relative_to(bench.project.folder / "sweeps")


def test_people_get_a_table_with_the_best_marked(
    bench: Bench, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["sweep", str(bench.project.folder), "fake", *GRID]) == 0
    printed = capsys.readouterr().out
    assert "fake-0001" in printed
    assert "plot.png" in printed
    (line,) = [line for line in printed.splitlines() if "fake-0001" in line]
    assert line.count("1.000*") == 4
    (worst,) = [line for line in printed.splitlines() if "fake-0004" in line]
    assert "*" not in worst


def test_what_is_trained_is_not_trained_again(sweep: Sweeper) -> None:
    first = sweep(*GRID)
    assert sweep(*GRID)["cells"] == first["cells"]
    assert len(FakeTrainer.trained) == 4
    more = sweep("--grid", "missing=nothing,small", "--grid", "shrink=0,1,2")
    assert len(FakeTrainer.trained) == 6, "a larger grid trains what is new in it"
    assert {c["run"] for c in first["cells"]} <= {c["run"] for c in more["cells"]}
    assert any("4 trained already" in note for note in more["notes"])
    sweep(*GRID, "--set", "rate=3")
    assert len(FakeTrainer.trained) == 10, "another option of every cell is another training"


def test_other_labels_are_another_training(sweep: Sweeper, bench: Bench) -> None:
    sweep("--grid", "shrink=0,1")
    add(bench, "more", "train", seed=3)
    sweep("--grid", "shrink=0,1")
    assert len(FakeTrainer.trained) == 4


def test_an_interrupted_sweep_says_how_to_go_on_and_does(
    sweep: Sweeper, bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(FakeTrainer, "stop_at", 2)
    said = sweep(*GRID, code=130)["said"]
    assert "trained so far: 2 of 4 cells" in said
    assert "same command again" in said
    (table,) = bench.project.folder.glob("sweeps/*/table.csv")
    assert [row["state"] for row in table_rows(table)] == [
        "done", "done", "waiting", "waiting",
    ]  # fmt: skip
    monkeypatch.setattr(FakeTrainer, "stop_at", None)
    done = sweep(*GRID)
    assert done["done"] == 4
    assert len(FakeTrainer.trained) == 4
    assert any("continued" in note for note in done["notes"]), "in the folder that was begun"
    assert any("1 to continue" in note for note in done["notes"])
    assert len(list(bench.project.runs_folder.iterdir())) == 4


def test_a_sweep_killed_before_scoring_only_scores(
    sweep: Sweeper, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("hitl.training.sweep.running.score_cell", killed)
        sweep("--grid", "shrink=0,1", code=130)
    assert sweep("--grid", "shrink=0,1")["done"] == 2
    assert len(FakeTrainer.trained) == 2


def test_a_cell_that_fails_is_recorded_and_the_rest_is_trained(sweep: Sweeper) -> None:
    done = sweep("--grid", "rate=5,1,4")
    assert (done["done"], done["failed"]) == (1, 2)
    first, *failed = done["cells"]
    assert first["options"] == {"rate": 1.0}
    assert [cell["reason"] for cell in failed] == [
        "epoch 1: expected a finite loss, got nan", "out of memory",
    ]  # fmt: skip
    assert failed[0]["f1"] is None
    rows = table_rows(Path(done["table"]))
    assert rows[1]["reason"] == failed[0]["reason"]
    again = sweep("--grid", "rate=5,1,4")
    assert [c["run"] for c in again["cells"]] == [c["run"] for c in done["cells"]]
    anew = sweep("--grid", "rate=5,1,4", "--retry-failed")
    assert anew["failed"] == 2
    assert {c["run"] for c in anew["cells"][1:]}.isdisjoint(c["run"] for c in done["cells"])


def test_nothing_could_be_trained(sweep: Sweeper) -> None:
    assert "none of 2 cells could be trained; rate=5" in sweep("--grid", "rate=5,6", code=1)["said"]


def test_two_sweeps_at_once_are_refused(sweep: Sweeper, bench: Bench) -> None:
    from filelock import FileLock

    (bench.project.folder / "sweeps").mkdir()
    with FileLock(bench.project.folder / "sweeps" / ".lock"):
        assert "another sweep is at work" in sweep(*GRID, code=1)["said"]


def test_a_true_network_is_swept(bench: Bench, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = [
        "--grid", "loss=wce,iou", "--set", "features=[4, 8]", "--set", "epochs=1",
        "--set", "steps_per_epoch=1", "--set", "patch_size=[4, 16, 16]", "--set", "threads=1",
    ]  # fmt: skip
    folder = str(bench.project.folder)
    assert run(["sweep", folder, "unet3d", *arguments, "--json"]) == 0
    done = json.loads(capsys.readouterr().out)
    assert {cell["options"]["loss"] for cell in done["cells"]} == {"wce", "iou"}
    for cell in done["cells"]:
        card = json.loads((bench.project.run(cell["run"]) / "card.json").read_text())
        assert cell["f1_edge"] == card["validation"]["f1_edge"]
        assert cell["val_loss"] == card["validation"]["loss"]
    assert Project.open(bench.project.folder).finished_runs()
