"""Which cells a grid has, from the command line and from a config."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hitl.project.config import SweepConfig, load_config
from hitl.project.errors import ConfigError
from hitl.project.presets import find_preset
from hitl.training.requests import parse_grid, parse_seeds
from hitl.training.sweep.grid import make_cells
from models.registry import MODELS
from tests.hitl.fake_model import TRAINED, Bench
from tests.hitl.training.sweep.fake_trainer import FakeTrainer, Sweeper


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
        patch.setitem(MODELS, "fake", TRAINED)
        spec = SweepConfig(seeds=tuple(seeds), grids=({"shrink": shrinks, "rate": rates},))
        cells = make_cells("fake", {}, spec, "here")
    found = [(c.options["shrink"], c.options["rate"], c.options["seed"]) for c in cells]
    wanted = {(s, r, seed) for s in shrinks for r in rates for seed in (seeds or [0])}
    assert len(found) == len(wanted)
    assert set(found) == wanted


def test_an_option_of_two_models_is_told_apart() -> None:
    with pytest.raises(ConfigError, match="unknown key 'loss'"):
        make_cells("stardist3d", {}, SweepConfig(grids=({"loss": ["wce"]},)), "here")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "the grid is empty; give it with --grid"),
        (("--grid", "shrnk=1"), "unknown key 'shrnk': did you mean 'shrink'"),
        (("--grid", "rate=1,-1"), "rate: expected more than 0, got -1"),
        (("--grid", "sizes=1,2"), "sizes: expected a list, got 1"),
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
        (("--grid", "shrink=1", "--field", "nowhere"), "nowhere"),
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
    with (bench.project.folder / "hitl.yaml").open("a") as file:
        file.write("sweep: {fake: {grids: [{shrink: [0, 1]}]}}\n")
    assert [cell["options"] for cell in sweep()["cells"]] == [{"shrink": 0}, {"shrink": 1}]
    assert len(sweep("--grid", "shrink=0,1,2")["cells"]) == 3, "the command line comes first"


def test_a_base_run_is_named_by_its_id(sweep: Sweeper, bench: Bench) -> None:
    base = sweep("--grid", "shrink=0")["cells"][0]["run"]
    sweep("--grid", f"base_run=null,{base}")
    assert [one.base_run for one in FakeTrainer.trained[-2:]] == [
        None, str(bench.project.run(base)),
    ]  # fmt: skip
    assert "unknown run 'fake-0099'" in sweep("--grid", "base_run=fake-0099", code=1)["said"]
