"""Bad input: exit code 1, one line that says what to do, and nothing changed in the store."""

from __future__ import annotations

import functools
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tifffile
from filelock import FileLock

from annotations.store import AnnotationStore
from hitl.cli import run

SHAPE = (6, 40, 36)


def write_field(path: Path, array: np.ndarray, *, spacing: float | None = 2.0) -> Path:
    """Write an ImageJ TIFF with axes ZYX and, if given, a voxel size of (2, 0.5, 0.5) µm."""
    metadata = {"axes": "ZYX"}
    resolution = None
    if spacing is not None:
        metadata |= {"spacing": spacing, "unit": "um"}
        resolution = (2.0, 2.0)
    tifffile.imwrite(path, array, imagej=True, metadata=metadata, resolution=resolution)
    return path


def noise(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(5, 200, SHAPE).astype(np.uint16)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    folder = tmp_path / "project"
    assert run(["init", str(folder)]) == 0
    return folder


@pytest.fixture
def refused(project: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """Run a command that must be refused; gives its one line on standard error."""

    def check(*arguments: object, expected: int = 1) -> str:
        before = [entry.snapshot for entry in store_of(project).log()]
        capsys.readouterr()
        code = run([str(a) for a in arguments])
        printed = capsys.readouterr()
        assert code == expected, printed
        assert printed.out == ""
        errors = [line for line in printed.err.splitlines() if not line.startswith("note: ")]
        assert len(errors) == 1, printed.err
        assert errors[0].startswith("error: ")
        assert "Traceback" not in printed.err
        assert [entry.snapshot for entry in store_of(project).log()] == before
        return errors[0]

    return check


def store_of(project: Path) -> AnnotationStore:
    return AnnotationStore.open(project / "store", read_only=True)


def test_missing_file(refused: Callable[..., str], project: Path) -> None:
    assert "no such file" in refused("add", project, "nowhere.tif")


def test_not_an_image(refused: Callable[..., str], project: Path, tmp_path: Path) -> None:
    file = tmp_path / "a.tif"
    file.write_text("hello, I am no image")
    assert "TIFF" in refused("add", project, file)
    text = tmp_path / "a.docx"
    text.write_text("hello")
    assert ".docx" in refused("add", project, text)


def test_truncated_tiff(refused: Callable[..., str], project: Path, tmp_path: Path) -> None:
    whole = write_field(tmp_path / "whole.tif", noise())
    cut = tmp_path / "cut.tif"
    cut.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    assert "truncated" in refused("add", project, cut)


def test_ambiguous_axes(refused: Callable[..., str], project: Path, tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "plain.tif", noise(), photometric="minisblack")
    said = refused("add", project, tmp_path / "plain.tif", "--spacing-um", 1, 1, 1)
    assert "--axes ZYX" in said


def test_no_voxel_size(refused: Callable[..., str], project: Path, tmp_path: Path) -> None:
    file = write_field(tmp_path / "a.tif", noise(), spacing=None)
    assert "--spacing-um Z Y X" in refused("add", project, file)
    said = refused("add", project, file, "--spacing-um", 0, 1, 1, expected=2)
    assert "--spacing-um: expected a number from 0.0001 to 100,000, got 0" in said


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_not_finite(refused: Callable[..., str], project: Path, tmp_path: Path, bad: float) -> None:
    voxels = noise().astype(np.float32)
    voxels[4, 3, 2] = bad
    said = refused("add", project, write_field(tmp_path / "a.tif", voxels))
    assert "NaN or infinite" in said
    assert "replace" in said


def test_constant(refused: Callable[..., str], project: Path, tmp_path: Path) -> None:
    file = write_field(tmp_path / "a.tif", np.full(SHAPE, 7, np.uint8))
    assert "7" in refused("add", project, file)


def test_labels_that_do_not_fit(refused: Callable[..., str], project: Path, tmp_path: Path) -> None:
    image = write_field(tmp_path / "a.tif", noise())
    small = write_field(tmp_path / "small.tif", np.ones((6, 40, 35), np.uint16))
    assert "(6, 40, 35)" in refused("add", project, image, "--labels", small)
    floats = write_field(tmp_path / "floats.tif", np.ones(SHAPE, np.float32))
    assert "integer" in refused("add", project, image, "--labels", floats)
    negative = np.ones(SHAPE, np.int32)
    negative[2, 3, 3] = -1
    np.save(tmp_path / "negative.npy", negative)
    said = refused("add", project, image, "--labels", tmp_path / "negative.npy")
    assert "negative" in said


def test_several_channels(refused: Callable[..., str], project: Path, tmp_path: Path) -> None:
    np.save(tmp_path / "two.npy", np.stack([noise(0), noise(1)]))
    arguments = ["add", project, tmp_path / "two.npy", "--axes", "CZYX", "--spacing-um", 2, 1, 1]
    assert "--channel" in refused(*arguments)
    assert "no channel 'GFP'" in refused(*arguments, "--channel", "GFP")


def test_a_name_twice(refused: Callable[..., str], project: Path, tmp_path: Path) -> None:
    file = write_field(tmp_path / "a.tif", noise())
    assert run(["add", str(project), str(file)]) == 0
    assert "--field" in refused("add", project, file)


@pytest.mark.parametrize("name", ["../escape", "a/b", " ", "zarr.json"])
def test_a_name_that_leaves_the_store(
    refused: Callable[..., str], project: Path, tmp_path: Path, name: str
) -> None:
    file = write_field(tmp_path / "a.tif", noise())
    assert "--field" in refused("add", project, file, "--name", name)


def test_unknown_segmenter(refused: Callable[..., str], project: Path, tmp_path: Path) -> None:
    assert run(["add", str(project), str(write_field(tmp_path / "a.tif", noise()))]) == 0
    said = refused("bootstrap", project, "--segmenter", "celpose", expected=2)
    assert "did you mean 'cellpose'" in said
    assert "did you mean 'unet3d'" in refused("train", project, "unet", expected=2)


def test_unknown_config_key(refused: Callable[..., str], project: Path, tmp_path: Path) -> None:
    config = tmp_path / "c.yaml"
    config.write_text("postproces: {}\n")
    assert "did you mean 'postprocess'" in refused("init", tmp_path / "other", "--config", config)
    assert not (tmp_path / "other").exists()
    said = refused("train", project, "unet3d", "--set", "epoch=3")
    assert "did you mean 'epochs'" in said


@pytest.mark.parametrize("model", ["unet3d", "stardist3d", "cellpose"])
@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ("learning_rate=.inf", "learning_rate: expected a finite number"),
        ("learning_rate=.nan", "learning_rate: expected a finite number"),
        ("batch_size=1000000000", "batch_size: expected at most 4096"),
        ("epochs=1000000000000", "epochs: expected at most"),
        ("epochs=0", "epochs: expected at least 1"),
        ("epochs=two", "epochs: expected a whole number"),
        ("max_minutes=1e300", "max_minutes: expected at most"),
        ("seed=99999999999", "seed: expected at most 4294967295"),
        ("epoch=3", "unknown key 'epoch': did you mean 'epochs'?"),
    ],
)
def test_settings_have_bounds_and_are_named(
    refused: Callable[..., str], project: Path, model: str, setting: str, said: str
) -> None:
    told = refused("train", project, model, "--set", setting)
    assert "--set: " in told and said in told and "hitl.yaml" not in told


@pytest.mark.parametrize("setting", ["threads=100000", "threads=0", "features=[0]"])
def test_what_would_end_the_process_is_refused(
    refused: Callable[..., str], project: Path, setting: str
) -> None:
    assert "--set: " in refused("train", project, "unet3d", "--set", setting)


@pytest.mark.parametrize("value", [1e-6, 1e9, -1, ".inf", ".nan"])
def test_diameters_out_of_all_proportion(
    refused: Callable[..., str], project: Path, value: object
) -> None:
    config = (project / "hitl.yaml").read_text()
    section = f"segmenters:\n  classical:\n    diameter_um: {value}\n"
    (project / "hitl.yaml").write_text(config + section)
    assert "segmenters.classical: diameter_um: expected" in refused("status", project)


def test_no_labels_to_train_on(refused: Callable[..., str], project: Path, tmp_path: Path) -> None:
    assert run(["add", str(project), str(write_field(tmp_path / "a.tif", noise()))]) == 0
    assert "hitl bootstrap" in refused("train", project, "unet3d")
    assert not (project / "runs").exists()


def test_no_test_field(refused: Callable[..., str], project: Path, tmp_path: Path) -> None:
    assert "--split test" in refused("evaluate", project)
    file = write_field(tmp_path / "a.tif", noise())
    assert run(["add", str(project), str(file), "--split", "test"]) == 0
    assert "by hand" in refused("evaluate", project)


def test_nothing_to_bootstrap(refused: Callable[..., str], project: Path, tmp_path: Path) -> None:
    assert "hitl add" in refused("bootstrap", project)
    file = write_field(tmp_path / "a.tif", noise())
    assert run(["add", str(project), str(file), "--split", "test"]) == 0
    assert "split test" in refused("bootstrap", project)


def test_a_test_field_never_reaches_training(
    refused: Callable[..., str], project: Path, tmp_path: Path
) -> None:
    labels = np.zeros(SHAPE, np.uint16)
    labels[1:4, 5:15, 5:15] = 1
    label_file = write_field(tmp_path / "labels.tif", labels)
    image = write_field(tmp_path / "a.tif", noise())
    other_dtype = write_field(tmp_path / "b.tif", noise().astype(np.float32))
    part = write_field(tmp_path / "c.tif", noise()[2:])
    part_labels = write_field(tmp_path / "c_labels.tif", labels[2:])
    held_out = ["--split", "test", "--labels", str(label_file)]
    assert run(["add", str(project), str(image), "--name", "held_out", *held_out]) == 0
    assert "split test" in refused("train", project, "unet3d", "--field", "held_out")
    for name, file, its_labels in (
        ("again", image, label_file),
        ("cast", other_dtype, label_file),
        ("part", part, part_labels),
    ):
        arguments = ["--name", name, "--labels", str(its_labels)]
        assert run(["add", str(project), str(file), *arguments]) == 0
        said = refused("train", project, "unet3d", "--field", name)
        assert "held_out" in said
        assert name in said
    assert not (project / "runs").exists()


def test_foreign_and_locked_folders(
    refused: Callable[..., str], project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "hitl init" in refused("status", tmp_path)
    assert "does not exist" in refused("status", tmp_path / "nowhere")
    foreign = tmp_path / "foreign"
    foreign.mkdir()
    (foreign / "thesis.docx").write_text("mine")
    assert "other files" in refused("init", foreign)
    assert [p.name for p in foreign.iterdir()] == ["thesis.docx"]
    assert "is a project already" in refused("init", project)
    image = write_field(tmp_path / "a.tif", noise())
    impatient = functools.partial(AnnotationStore.open, lock_timeout_s=0.2)
    monkeypatch.setattr("hitl.project.folder.AnnotationStore.open", impatient)
    lock = next(project.glob("*.lock"))
    with FileLock(lock):
        assert "another process" in refused("add", project, image)


def test_unknown_run_and_field(refused: Callable[..., str], project: Path, tmp_path: Path) -> None:
    assert run(["add", str(project), str(write_field(tmp_path / "a.tif", noise()))]) == 0
    assert "hitl train" in refused("predict", project, "--model", "unet3d-0009")
    assert "unknown run" in refused("predict", project, "--model", "../../etc")
    assert "did you mean 'a'" in refused("bootstrap", project, "--field", "aa")


def test_wrong_usage_is_exit_code_2(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["add"]) == 2
    assert run(["frobnicate"]) == 2
    assert run(["add", "p", "i", "--split", "tset"]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert [line.startswith("error: ") for line in lines] == [True] * 3


def test_json_is_the_only_output(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    capsys.readouterr()
    assert run(["status", str(project), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["fields"] == []


def test_no_space_left(
    project: Path, tmp_path: Path, refused: Callable[..., str], small_disk: Path
) -> None:
    shutil.rmtree(project)
    assert run(["init", str(small_disk / "p")]) == 0
    (tmp_path / "project").symlink_to(small_disk / "p")
    big = np.random.default_rng(0).integers(0, 60000, (16, 256, 256)).astype(np.uint16)
    file = write_field(tmp_path / "big.tif", big)
    assert "no space left" in refused("add", small_disk / "p", file).lower()
