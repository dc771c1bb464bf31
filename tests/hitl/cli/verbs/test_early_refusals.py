"""What is refused is refused at once: before a model is loaded or an image is read."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from filelock import FileLock

from annotations.fields import ClassInfo
from annotations.formats import write_image_tiff
from hitl.cli import run
from hitl.labelling.propose import propose
from hitl.project.reporter import Silent
from hitl.training.promote import promote
from tests.annotations.store_sources import ArraySource
from tests.hitl.fake_model import Bench, BrightSegmenter, make_bench, scene

Refused = Callable[..., str]

LONG = {
    "tests.hitl.fake_model.BrightSegmenter.segment": "an image was segmented",
    "tests.hitl.fake_model.load_run": "a model was loaded",
    "hitl.training.samples.preprocess": "a training image was read",
    "hitl.evaluation.evaluate.score_labels": "a prediction was scored",
}
"""What takes long, and what a test says when it is begun all the same."""


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    """A field to learn from with proposals only, one to test on, a run in use and others."""
    made = make_bench(tmp_path, monkeypatch)
    made.add("learn", "train", labelled=False)
    propose(made.project, "bright", (), Silent())
    promote(made.project, made.run("fake-0001"), Silent(), force=True, why="to begin with")
    made.run("fake-0002")
    (made.project.runs_folder / "fake-0003").mkdir()
    write_image_tiff(tmp_path / "image.tif", scene()[0], (2.0, 1.0, 1.0))
    return made


@pytest.fixture
def refused(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Refused:
    """Run a verb that must be refused, in one line, without anything that takes long."""

    def call(verb: str, *arguments: object, code: int = 1) -> str:
        for name, what in LONG.items():
            monkeypatch.setattr(name, lambda *_, what=what, **__: pytest.fail(what))
        before = bench.store.log()
        capsys.readouterr()
        assert run([verb, *map(str, arguments)]) == code
        printed = capsys.readouterr()
        assert printed.out == ""
        assert bench.store.log() == before
        (error,) = (line for line in printed.err.splitlines() if line.startswith("error: "))
        return error

    return call


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("fake-0009",), "unknown run 'fake-0009'; there are: fake-0001, fake-0002; did you mean"),
        (("fake-0003",), "fake-0003 did not finish"),
        (("fake-0001",), "fake-0001 is in use already"),
        (("fake-0002",), "there is no verified object to compare on"),
    ],
)
def test_promote(bench: Bench, refused: Refused, arguments: tuple[str, ...], said: str) -> None:
    assert said in refused("promote", bench.project.folder, *arguments)
    assert said in refused("promote", bench.project.folder, *arguments, "--dry-run")


def test_promote_of_other_classes_or_without_a_reason(bench: Bench, refused: Refused) -> None:
    folder = bench.project.folder
    other = bench.run("fake-0004", ("golgi",))
    assert "trained on no class in common" in refused("promote", folder, other)
    for wrong in (["--force"], ["--why", "because"]):
        error = refused("promote", folder, "fake-0002", *wrong, code=2)
        assert "--force" in error and "--why" in error


def test_a_field_of_which_only_background_is_verified_is_nothing_to_compare_on(
    bench: Bench, refused: Refused
) -> None:
    from annotations.rounds import RoundInfo

    bench.add("check", "val", labelled=False, seed=1)
    with bench.store.begin_round(RoundInfo(kind="correct", message="x", author="anna")) as round_:
        round_.write_verified("check", (slice(0, 1), slice(0, 60), slice(0, 60)))
    error = refused("promote", bench.project.folder, "fake-0002")
    assert "there is no verified object to compare on" in error


def test_evaluate(bench: Bench, refused: Refused) -> None:
    folder = bench.project.folder
    assert "no field of split test" in refused("evaluate", folder)
    bench.add("open", "test", labelled=False, seed=2)
    assert "no field of split test is labelled by hand" in refused("evaluate", folder)
    bench.add("held", "test", labelled=True, seed=1)
    models = ("--model", "bright", "--model", "fake-0001", "--model")
    assert "did you mean 'fake-0001'" in refused("evaluate", folder, *models, "fake-00001")
    assert "did you mean 'bright'" in refused("evaluate", folder, *models, "brigt")
    assert "fake-0003 did not finish" in refused("evaluate", folder, *models, "fake-0003")
    other = bench.run("fake-0004", ("golgi",))
    assert "no model takes a class" in refused("evaluate", folder, "--model", other)


def test_predict(bench: Bench, refused: Refused, tmp_path: Path) -> None:
    folder = bench.project.folder
    assert "did you mean 'learn'" in refused("predict", folder, "--field", "lern")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "learn.tif").touch()
    assert "exists already" in refused("predict", folder, "--output", tmp_path / "out")
    blocked = tmp_path / "image.tif" / "out"
    assert "Not a directory" in refused("predict", folder, "--output", blocked)
    other = bench.run("fake-0004", channels=2)
    assert "takes 2 channels, got 1" in refused(
        "predict", folder, "--model", other, "--class", "nuclei"
    )


def test_propose(bench: Bench, refused: Refused, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = bench.project.folder
    bench.add("held", "test", labelled=True, seed=1)
    assert "did you mean 'learn'" in refused("propose", folder, "--field", "lern")
    assert "held is of split test" in refused("propose", folder, "--field", "held")
    other = bench.run("fake-0004", ("golgi",))
    assert "was trained on golgi, not on nuclei" in refused("propose", folder, "--model", other)
    monkeypatch.setattr("os.access", lambda _, mode, **__: mode != os.W_OK)
    assert "no permission; nothing was changed" in refused("propose", folder)


def test_bootstrap(bench: Bench, refused: Refused, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = bench.project.folder
    assert "has labels already" in refused("bootstrap", folder)
    again = ("bootstrap", folder, "--replace")
    assert "did you mean 'starter'" in refused(*again, "--segmenter", "startr", code=2)
    assert "did you mean 'shrink'" in refused(*again, "--set", "shrnk=1")
    assert "expected key=value" in refused(*again, "--set", "shrink")
    config = folder / "hitl.yaml"
    config.write_text(config.read_text() + "\npreprocess: [{step: project}]\n")
    assert "makes one slice of all" in refused(*again)


def test_a_store_that_cannot_be_written_is_told_before_the_bootstrap(
    bench: Bench, refused: Refused, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.access", lambda _, mode, **__: mode != os.W_OK)
    assert "no permission" in refused("bootstrap", bench.project.folder, "--replace")


def test_a_segmenter_that_takes_fewer_channels(
    bench: Bench, refused: Refused, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(BrightSegmenter, "most_channels", 0, raising=False)
    error = refused("bootstrap", bench.project.folder, "--replace")
    assert "learn: bright takes at most 0 channels, got 1" in error


def test_train(bench: Bench, refused: Refused, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = bench.project.folder
    assert "did you mean 'unet3d'" in refused("train", folder, "unet3", code=2)
    assert "did you mean 'epochs'" in refused("train", folder, "unet3d", "--set", "epoch=1")
    assert "unknown run 'x'" in refused("train", folder, "unet3d", "--set", "base_run=x")
    everywhere = "hitl.training.held_out.held_out_pixels"
    monkeypatch.setattr(everywhere, lambda shape, _: np.ones(shape, np.bool_))
    assert "too few to hold some out" in refused("train", folder, "unet3d")
    assert [path.name for path in bench.project.run_folders()][-1] == "fake-0003"


def test_sweep(bench: Bench, refused: Refused) -> None:
    folder = bench.project.folder
    grid = ("sweep", folder, "cellpose", "--grid", "epochs=1,2")
    wrong = ("sweep", folder, "cellpose", "--grid", "percentiles=[1,99],[99,1]")
    assert "expected 0 <= low < high" in refused(*wrong)
    assert "no field of split test" in refused(*grid, "--evaluate")
    bench.add("open", "test", labelled=False, seed=2)
    assert "--evaluate: no field of split test is labelled" in refused(*grid, "--evaluate")
    (folder / "sweeps").mkdir(exist_ok=True)
    with FileLock(folder / "sweeps" / ".lock"):
        assert "another sweep is at work" in refused(*grid)


def test_segment(refused: Refused, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(LONG, "hitl.prediction.files.open_image", "the image was read")
    files = (tmp_path / "image.tif", tmp_path / "out.tif")
    folder = tmp_path / "project" / "runs" / "fake-0001"
    assert "did you mean 'bright'" in refused("segment", *files, "--segmenter", "brigt", code=2)
    options = ("--segmenter", "bright", "--set", "shrnk=1")
    assert "did you mean 'shrink'" in refused("segment", *files, *options)
    run_of = ("segment", *files, "--model", folder)
    assert "valid keys are diameter_um" in refused(*run_of, "--set", "shrink=1")
    assert "folder of a finished run" in refused(*run_of[:-1], folder.parent)


def test_train_of_a_model_of_one_channel(bench: Bench, refused: Refused) -> None:
    both = ClassInfo(name="nuclei", seen=(0, 1))
    source = ArraySource(np.stack([scene()[0]] * 2))
    source.info = replace(source.info, channels=("a", "b"))
    labels = {"nuclei": bench.labels}
    bench.store.add_field("two", source, classes=(both,), split="train", labels=labels)
    error = refused("train", bench.project.folder, "stardist3d", "--field", "two")
    assert "class nuclei is seen in 2 channels, and the model takes one" in error


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--strategy", "rndom"], "did you mean 'random'"),
        (["--retrain", "unet3d"], "--rounds N"),
        ([], "labelled by hand everywhere"),
        (["--field", "held", "--retrain", "unet3d", "--rounds", "1"], "held is of split test"),
        (["--field", "held", "--retrain", "unet", "--rounds", "1"], "is of split test"),
    ],
)
def test_simulate(bench: Bench, refused: Refused, arguments: list[Any], said: str) -> None:
    bench.add("held", "test", labelled=True, seed=1)
    assert said in refused("simulate", bench.project.folder, *arguments)
