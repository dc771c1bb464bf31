"""Sweeps: which cells a grid has, what is trained once only, what is told, written and refused."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

import matplotlib.image
import numpy as np
import pytest
from annotated_types import Gt, MinLen
from hypothesis import given, settings
from hypothesis import strategies as st

from annotations.formats import write_image_tiff, write_labels_tiff
from hitl.cli import run
from hitl.project.config import SweepConfig, load_config
from hitl.project.errors import ConfigError
from hitl.project.folder import Project
from hitl.project.presets import find_preset
from hitl.training.sweep.grid import make_cells, parse_grid, parse_seeds
from labels.progress import Progress, no_progress
from models.base import TrainingResult, TrainingSample
from models.errors import TrainingDivergedError
from models.registry import TRAINERS
from tests.hitl.fake_model import Bench, make_bench, scene


@dataclass(frozen=True, kw_only=True)
class FakeTrainer:
    """Leaves a model with the faults that its options say; stops or fails when a test says so."""

    missing: Literal["nothing", "small"] = "nothing"
    shrink: int = 0
    sizes: Annotated[tuple[int, ...], MinLen(1)] = (1, 2)
    rate: Annotated[float, Gt(0)] = 1.0
    max_minutes: float | None = None
    base_run: str | None = None
    seed: int = 0

    trained: ClassVar[list[FakeTrainer]] = []
    stop_at: ClassVar[int | None] = None

    def train(
        self,
        train: Sequence[TrainingSample],
        val: Sequence[TrainingSample],
        run_folder: Path,
        *,
        progress: Progress = no_progress,
    ) -> TrainingResult:
        progress(0, 1, "training")
        resumed = (run_folder / "half").exists()
        (run_folder / "half").touch()
        if len(FakeTrainer.trained) == FakeTrainer.stop_at:
            raise KeyboardInterrupt
        if self.rate >= 5:
            raise TrainingDivergedError("epoch 1: expected a finite loss,\ngot nan")
        if self.rate >= 4:
            raise MemoryError
        FakeTrainer.trained.append(self)
        faults = {"missing": self.missing, "shrink": self.shrink, "spurious": self.seed}
        (run_folder / "faults.json").write_text(json.dumps(faults))
        notes = ("continued",) if resumed else ()
        return TrainingResult(
            run_folder / "faults.json", 1, 1, {"loss": self.rate / 2}, notes=notes
        )


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    """A project with one stack to learn from, and a model that is trained in no time."""
    monkeypatch.setitem(TRAINERS, "fake", "tests.hitl.training.test_sweep:FakeTrainer")
    monkeypatch.setattr(FakeTrainer, "trained", [])
    monkeypatch.setattr(FakeTrainer, "stop_at", None)
    made = make_bench(tmp_path, monkeypatch)
    add(made, "learn", "train")
    return made


def add(bench: Bench, name: str, split: str, seed: int = 0) -> None:
    """Add a labelled stack from files."""
    folder = bench.project.folder.parent
    image, labels = scene(seed)
    write_image_tiff(folder / f"{name}.tif", image, (2.0, 1.0, 1.0))
    write_labels_tiff(folder / f"{name}_labels.tif", labels, (2.0, 1.0, 1.0))
    files = [str(folder / f"{name}.tif"), "--labels", str(folder / f"{name}_labels.tif")]
    assert run(["add", str(bench.project.folder), *files, "--split", split]) == 0


Sweeper = Callable[..., dict[str, Any]]


@pytest.fixture
def sweep(bench: Bench, capsys: pytest.CaptureFixture[str]) -> Sweeper:
    """Run `hitl sweep` on the bench's project; give what it prints as JSON."""

    def call(*arguments: str, code: int = 0) -> dict[str, Any]:
        capsys.readouterr()
        got = run(["sweep", str(bench.project.folder), "fake", *arguments, "--json"])
        printed = capsys.readouterr()
        assert got == code, printed.err
        if code:
            assert printed.out == ""
            return {"said": printed.err}
        result: dict[str, Any] = json.loads(printed.out)
        return result

    return call


def table_rows(path: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(path.read_text().splitlines()))


GRID = ("--grid", "missing=nothing,small", "--grid", "shrink=0,1")


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


def test_people_get_a_table_with_the_best_in_bold(
    bench: Bench, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    assert run(["sweep", str(bench.project.folder), "fake", *GRID]) == 0
    printed = capsys.readouterr().out
    assert "fake-0001" in printed
    assert "plot.png" in printed
    (line,) = [line for line in printed.splitlines() if "fake-0001" in line]
    assert len(re.findall(r"\x1b\[1m *1\.000", line)) == 4
    (worst,) = [line for line in printed.splitlines() if "fake-0004" in line]
    assert "\x1b[1m" not in worst


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
    assert "2 of 4 cells are trained" in said
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


def test_seeds_are_averaged(
    sweep: Sweeper, bench: Bench, capsys: pytest.CaptureFixture[str]
) -> None:
    done = sweep("--grid", "shrink=0,1", "--seeds", "0,3")
    assert [(c["options"]["shrink"], c["seed"]) for c in done["cells"]] == [
        (0, 0), (0, 3), (1, 0), (1, 3),
    ]  # fmt: skip
    assert len(done["best"]["runs"]) == 2
    f1 = [cell["f1"] for cell in done["cells"][:2]]
    assert f1[0] > f1[1]
    run(["sweep", str(bench.project.folder), "fake", "--grid", "shrink=0,1", "--seeds", "0,3"])
    assert f"{np.mean(f1):.3f} ± {np.std(f1, ddof=1):.3f}" in capsys.readouterr().out
    assert sweep("--seeds", "0,3")["done"] == 2


def test_the_test_stacks_are_scored_but_not_sorted_by(sweep: Sweeper, bench: Bench) -> None:
    assert "no stack of split test" in sweep(*GRID, "--evaluate", code=1)["said"]
    assert not FakeTrainer.trained, "refused before anything is trained"
    add(bench, "unseen", "test", seed=5)
    done = sweep(*GRID, "--evaluate")
    assert done["cells"][0]["test"] == {"f1": 1.0, "evaluation_score": 1.0}
    assert "test_f1" in Path(done["table"]).read_text().splitlines()[0]
    assert not list(bench.project.folder.glob("evaluations/*/*.png"))


def test_only_known_voxels_count(bench: Bench) -> None:
    from hitl.training.sweep.scoring import _score

    truth = np.zeros((4, 20, 20), np.uint32)
    truth[:, 2:8, 2:8] = 1
    mask = np.zeros(truth.shape, bool)
    mask[:, :, :10] = True
    found = truth.copy()
    found[:, 12:18, 12:18] = 2
    sample = TrainingSample("s", truth.astype(float), truth, mask, (1.0, 1.0, 1.0))
    assert _score(sample, found, 1).at_half.f1 == 1.0
    found[:, 12:18, 2:8] = 3
    assert _score(sample, found, 1).at_half.f1 == pytest.approx(2 / 3)


def test_sorting_by_another_column(sweep: Sweeper) -> None:
    done = sweep("--grid", "rate=2,1,3", "--sort", "val_loss")
    assert [cell["val_loss"] for cell in done["cells"]] == [0.5, 1.0, 1.5]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "the grid is empty; give it with --grid"),
        (("--grid", "shrnk=1"), "unknown key 'shrnk': did you mean 'shrink'"),
        (("--grid", "rate=1,-1"), "rate: Input should be greater than 0, got -1"),
        (("--grid", "sizes=1,2"), "sizes: Input should be a valid tuple, got 1"),
        (("--grid", "shrink="), "shrink has no value"),
        (("--grid", "shrink"), "expected key=v1,v2"),
        (("--grid", "sizes=[1"), "write a list in brackets"),
        (("--grid", "shrink=1", "--grid", "shrink=2"), "shrink is given twice"),
        (("--grid", "shrink=1", "--set", "rat=2"), "did you mean 'rate'"),
        (("--grid", "seed=1,2", "--seeds", "1,2"), "seeds are given twice"),
        (("--grid", "shrink=1", "--seeds", "a"), "expected different whole numbers"),
        (("--grid", "shrink=1", "--seeds", "1,1"), "expected different whole numbers"),
        (("--grid", "shrink=1", "--sort", "f2"), "--sort f2: expected one of f1_edge"),
        (("--grid", "shrink=1", "--config", "nowhere"), "no config 'nowhere'"),
        (("--grid", "shrink=1", "--stack", "nowhere"), "nowhere"),
        (("--grid", "shrink=1", "--name", "../out"), "expected a name of letters"),
    ],
)
def test_bad_input_is_told_in_one_line(
    sweep: Sweeper, bench: Bench, arguments: tuple[str, ...], said: str
) -> None:
    told = sweep(*arguments, code=1)["said"]
    assert said in told
    assert told.count("\n") == 1
    assert not bench.project.runs_folder.exists(), "nothing is trained"


def test_a_large_grid_asks_first(sweep: Sweeper, bench: Bench) -> None:
    values = ",".join(map(str, range(1, 41)))
    large = ("--grid", f"rate={values}", "--grid", f"shrink={values}")
    assert "1600 cells of unknown length" in sweep(*large, code=1)["said"]
    told = sweep(*large, "--set", "max_minutes=3", code=1)["said"]
    assert "1600 cells, about 80 hours; take fewer values, or say --yes" in told
    larger = (*large, "--grid", f"seed={values}", "--yes")
    assert "at most 10000 cells, got 64000" in sweep(*larger, code=1)["said"]
    sweep("--grid", f"rate={','.join(['1'] * 101)}", "--yes")
    assert len(FakeTrainer.trained) == 1, "a combination is trained once"


def test_a_config_holds_grids(sweep: Sweeper, tmp_path: Path) -> None:
    file = tmp_path / "grids.yaml"
    file.write_text(
        "preprocess: [{step: gamma, gamma: 2}]\n"
        "training: {models: {fake: {sizes: [7]}}}\n"
        "sweep:\n  fake:\n    seeds: [1]\n    set: {rate: 1e-1}\n    grids:\n"
        "      - {missing: [small], shrink: [0, 1]}\n"
        "      - {missing: [nothing, small], shrink: [0]}\n"
    )
    done = sweep("--config", str(file))
    assert len(done["cells"]) == 3, "small without shrinking is in both grids"
    assert {(one.sizes, one.rate, one.seed) for one in FakeTrainer.trained} == {((7,), 0.1, 1)}
    assert any("preprocessing and all else is the project's own" in n for n in done["notes"])
    file.write_text("sweep: {fake: {grids: [{missin: [small]}]}}\n")
    assert "did you mean 'missing'" in sweep("--config", str(file), code=1)["said"]
    file.write_text("sweep: {fak: {}}\n")
    assert "did you mean 'fake'" in sweep("--config", str(file), code=1)["said"]


def test_the_projects_own_config_holds_grids(sweep: Sweeper, bench: Bench) -> None:
    with (bench.project.folder / "hitl.yaml").open("r+") as file:
        text = file.read().replace("sweep: {}", "sweep: {fake: {grids: [{shrink: [0, 1]}]}}")
        file.seek(0)
        file.write(text)
    assert [cell["options"] for cell in sweep()["cells"]] == [{"shrink": 0}, {"shrink": 1}]
    assert len(sweep("--grid", "shrink=0,1,2")["cells"]) == 3, "the command line comes first"


def test_a_base_run_is_named_by_its_id(sweep: Sweeper, bench: Bench) -> None:
    base = sweep("--grid", "shrink=0")["cells"][0]["run"]
    sweep("--grid", f"base_run=null,{base}")
    assert [one.base_run for one in FakeTrainer.trained[-2:]] == [
        None, str(bench.project.run(base)),
    ]  # fmt: skip
    assert "unknown run 'fake-0099'" in sweep("--grid", "base_run=fake-0099", code=1)["said"]


def test_two_sweeps_at_once_are_refused(sweep: Sweeper, bench: Bench) -> None:
    from filelock import FileLock

    (bench.project.folder / "sweeps").mkdir()
    with FileLock(bench.project.folder / "sweeps" / ".lock"):
        assert "another sweep is at work" in sweep(*GRID, code=1)["said"]


def test_the_shipped_comparison_of_losses() -> None:
    config = load_config(find_preset("sweep_losses"))
    cells = make_cells(
        "unet3d", config.training.models["unet3d"], config.sweep["unet3d"], "sweep_losses"
    )
    assert {cell.options["loss"] for cell in cells} == {"wce", "focal", "iou"}
    assert {1e-3, 1e-4} <= {cell.options["learning_rate"] for cell in cells}
    assert (64, 128, 256, 512) in {cell.options["features"] for cell in cells}
    gammas = {cell.options["focal_gamma"] for cell in cells if cell.options["loss"] == "focal"}
    assert gammas == {5.0, 7.0, 8.0}
    # The best of the published table is among them.
    assert any(
        c.options["loss"] == "iou"
        and c.options["class_weights"] == (1.0, 2.0, 1.5)
        and c.options["learning_rate"] == 1e-4
        and c.options["features"] == (64, 128, 256)
        for c in cells
    )


def test_values_are_read_as_yaml() -> None:
    assert parse_grid(["features=[16,32],[32,64]", "loss=wce, iou", "class_weights=null"]) == {
        "features": [[16, 32], [32, 64]],
        "loss": ["wce", "iou"],
        "class_weights": [None],
    }
    assert parse_seeds(" 0, 2 ") == (0, 2)
    assert parse_seeds("") == ()


@settings(deadline=None, max_examples=40)
@given(
    st.lists(st.integers(0, 9), min_size=1, max_size=4),
    st.lists(st.floats(0.1, 9), min_size=1, max_size=4),
    st.lists(st.integers(0, 9), max_size=3, unique=True),
)
def test_every_combination_is_there_once(
    shrinks: list[int], rates: list[float], seeds: list[int]
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(TRAINERS, "fake", "tests.hitl.training.test_sweep:FakeTrainer")
        spec = SweepConfig(seeds=tuple(seeds), grids=({"shrink": shrinks, "rate": rates},))
        cells = make_cells("fake", {}, spec, "here")
    found = [(c.options["shrink"], c.options["rate"], c.options["seed"]) for c in cells]
    wanted = {(s, r, seed) for s in shrinks for r in rates for seed in (seeds or [0])}
    assert len(found) == len(wanted)
    assert set(found) == wanted


def test_an_option_of_two_models_is_told_apart() -> None:
    with pytest.raises(ConfigError, match="unknown key 'loss'"):
        make_cells("stardist3d", {}, SweepConfig(grids=({"loss": ["wce"]},)), "here")


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
