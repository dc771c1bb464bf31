"""`hitl synth`: the files it writes, what it refuses, and that models learn from them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

import hitl.simulate.stacks
from annotations.formats import open_image, read_labels
from annotations.store import AnnotationStore
from hitl.cli import run
from hitl.project.errors import ConfigError
from hitl.project.reporter import Silent
from hitl.simulate.requests import SynthRequest
from hitl.simulate.stacks import synthesise
from models.synthetic import NucleiGenerator

SMALL = ("--shape", 10, 40, 44, "--spacing-um", 2, 1, 1, "--diameter-um", 10)

Command = Callable[..., dict[str, Any]]


@pytest.fixture
def refused(capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """Run a command that must be refused in one line; gives the line."""

    def call(*arguments: object, code: int = 1) -> str:
        capsys.readouterr()
        assert run([str(a) for a in arguments]) == code
        printed = capsys.readouterr()
        assert printed.out == ""
        if code == 1:
            (line,) = printed.err.splitlines()
            assert line.startswith("error: ")
            return line
        return printed.err

    return call


def sums(folder: Path) -> dict[str, str]:
    return {p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in sorted(folder.iterdir())}


def test_files_say_how_to_make_them_again(tmp_path: Path, command: Command) -> None:
    done = command("synth", tmp_path / "a", "--count", 2, "--seed", 3, *SMALL, "--set", "nuclei=9")
    assert [stack["name"] for stack in done["stacks"]] == ["synthetic_0003", "synthetic_0004"]
    for stack in done["stacks"]:
        with open_image(stack["image"]) as source:
            assert source.info.spacing_um == pytest.approx((2, 1, 1))
            image = source.read(0, 0, 10)[0]
        labels = read_labels(Path(stack["labels"]))
        record = json.loads(Path(stack["options"]).read_text())
        assert record["options"]["nuclei"] == 9
        assert record["nuclei"] == stack["nuclei"] == labels.max()
        assert len(record["contrast_to_noise"]) == stack["nuclei"]
        options = {k: tuple(v) if isinstance(v, list) else v for k, v in record["options"].items()}
        again = NucleiGenerator(**options).make(record["seed"])
        np.testing.assert_array_equal(again.image, image)
        np.testing.assert_array_equal(again.labels, labels)
        assert Path(stack["preview"]).read_bytes().startswith(b"\x89PNG")
    first, second = (Path(stack["image"]).read_bytes() for stack in done["stacks"])
    assert first != second


def test_the_same_seed_gives_the_same_files(tmp_path: Path, command: Command) -> None:
    for name in ("a", "b"):
        command("synth", tmp_path / name, "--count", 2, *SMALL)
    assert sums(tmp_path / "a") == sums(tmp_path / "b")
    command("synth", tmp_path / "c", "--seed", 1, *SMALL)
    # The second of two is the first of the next seed.
    assert sums(tmp_path / "c").items() <= sums(tmp_path / "a").items()


def test_nothing_is_replaced_unless_it_is_said(
    tmp_path: Path, command: Command, refused: Callable[..., str]
) -> None:
    command("synth", tmp_path, "--seed", 1, *SMALL)
    before = sums(tmp_path)
    line = refused("synth", tmp_path, "--count", 2, *SMALL, "--set", "photons=5")
    assert "synthetic_0001.tif exists already" in line
    assert sums(tmp_path) == before
    command("synth", tmp_path, "--seed", 1, *SMALL, "--set", "photons=5", "--overwrite")
    assert sums(tmp_path)["synthetic_0001.tif"] != before["synthetic_0001.tif"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--shape", 8, 10, 40, "--spacing-um", 1, 1, 1, "--diameter-um", 12), "no room for a nu"),
        (("--shape", 9000, 9000, 9000), "make several smaller ones"),
        (("--diameter-um", 1, "--spacing-um", 1, 1, 1), "less than two voxels"),
        (("--set", "nucleii=4"), "did you mean 'nuclei'"),
        (("--set", "photons=-1"), "photons"),
        (("--set", "photons"), "expected key=value"),
        (("--set", "shape=[4, 40, 40]"), "say --shape"),
        (("--like", "nowhere.tif"), "no such file"),
        (("--into", "nowhere"), "does not exist"),
        (("--like-project", "nowhere", "--stack", "a"), "does not exist"),
    ],
)
def test_bad_input_is_one_line_and_leaves_no_file(
    tmp_path: Path, refused: Callable[..., str], arguments: tuple[object, ...], words: str
) -> None:
    assert words in refused("synth", tmp_path / "new", *arguments)
    assert not (tmp_path / "new").exists() or not any((tmp_path / "new").iterdir())


@pytest.mark.parametrize(
    "arguments",
    [
        ("--shape", "0", "40", "40"),
        ("--spacing-um", "1", "-1", "1"),
        ("--spacing-um", "nan", "1", "1"),
        ("--diameter-um", "-4"),
    ],
)
def test_numbers_out_of_bounds_are_wrong_usage(
    tmp_path: Path, arguments: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["synth", str(tmp_path / "new"), *arguments]) == 2
    assert f"{arguments[0]}: expected a number from" in capsys.readouterr().err
    assert not (tmp_path / "new").exists()


def test_options_are_listed(command: Command, refused: Callable[..., str]) -> None:
    listed = command("synth", "--options")["options"]
    names = {option["key"] for option in listed}
    reserved = {"shape", "spacing_um", "diameter_um"}
    assert names == set(NucleiGenerator.__dataclass_fields__) - reserved
    assert all(option["meaning"] and option["default"].startswith("drawn") for option in listed)
    assert "DEST" in refused("synth", code=2)


def test_a_file_is_no_folder(tmp_path: Path, refused: Callable[..., str]) -> None:
    (tmp_path / "file").write_text("")
    assert "is a file; name a folder" in refused("synth", tmp_path / "file")
    assert "cannot be written" in refused("synth", tmp_path / "file" / "below", *SMALL)


@pytest.mark.parametrize(
    "arguments",
    [
        ("--like", "a.tif", "--like-project", "p"),
        ("--stack", "a"),
        ("--labels", "a.tif"),
        ("--count", "0"),
        ("--seed", "-1"),
        ("--shape", "1", "2", "x"),
    ],
)
def test_wrong_usage(tmp_path: Path, refused: Callable[..., str], arguments: tuple[str]) -> None:
    refused("synth", tmp_path / "new", *arguments, code=2)
    assert not (tmp_path / "new").exists()


def test_no_space_left(small_disk: Path, refused: Callable[..., str]) -> None:
    line = refused("synth", small_disk, "--shape", 32, 160, 160, "--set", "bits=16")
    assert "free some space" in line
    assert list(small_disk.iterdir()) == []


@pytest.mark.parametrize("when", [KeyboardInterrupt, OSError])
def test_interrupted_leaves_whole_pairs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, when: type[BaseException]
) -> None:
    calls = []
    write = hitl.simulate.stacks.write_image_tiff

    def failing(*arguments: Any, **options: Any) -> None:
        calls.append(arguments)
        if len(calls) == 3:
            raise when
        write(*arguments, **options)

    monkeypatch.setattr(hitl.simulate.stacks, "write_image_tiff", failing)
    code = run(["synth", str(tmp_path / "d"), "--count", "4", *map(str, SMALL)])
    assert code == (130 if when is KeyboardInterrupt else 1)
    names = sorted(path.name for path in (tmp_path / "d").iterdir())
    ends = (".json", ".png", ".tif", "_labels.tif")
    assert names == [f"synthetic_000{n}{end}" for n in (0, 1) for end in ends]


def test_like_an_image(tmp_path: Path, command: Command) -> None:
    options = ("--set", "nuclei=30", "--set", "photons=60", "--set", "clearance=1")
    own = command("synth", tmp_path / "own", *SMALL, *options)["stacks"][0]
    for labels in ((), ("--labels", own["labels"])):
        dest = tmp_path / f"like{len(labels)}"
        drawn = command("synth", dest, "--like", own["image"], *labels, "--set", "debris=0")
        record = json.loads(Path(drawn["stacks"][0]["options"]).read_text())["options"]
        assert record["shape"] == [10, 40, 44]
        assert record["spacing_um"] == pytest.approx([2, 1, 1])
        assert record["diameter_um"] == pytest.approx(10, rel=0.3)
        assert record["debris"] == 0


def test_like_a_stack_of_a_project_but_never_a_test_stack(
    tmp_path: Path, command: Command, refused: Callable[..., str]
) -> None:
    own = command("synth", tmp_path / "own", *SMALL, "--set", "nuclei=30")["stacks"][0]
    project = tmp_path / "project"
    command("init", project)
    command("add", project, own["image"], "--name", "mine", "--labels", own["labels"])
    command("add", project, own["image"], "--name", "held", "--split", "test")
    dest = tmp_path / "new"
    assert "there are: held, mine" in refused("synth", dest, "--like-project", project)
    line = refused("synth", dest, "--like-project", project, "--stack", "held")
    assert "is a test field" in line
    drawn = command("synth", dest, "--like-project", project, "--stack", "mine", "--seed", 4)
    record = json.loads(Path(drawn["stacks"][0]["options"]).read_text())["options"]
    assert record["shape"] == [10, 40, 44]


def test_a_model_learns_from_what_is_drawn_into_a_project(
    tmp_path: Path, command: Command, refused: Callable[..., str]
) -> None:
    project = tmp_path / "project"
    command("init", project)
    size = ("--shape", 10, 48, 48, "--spacing-um", 2, 1, 1, "--diameter-um", 10)
    fixed = ("--set", "photons=80", "--set", "nuclei=30", "--set", "arrangement=scattered")
    done = command("synth", tmp_path / "d", "--count", 2, *size, *fixed, "--into", project)
    store = AnnotationStore.open(project / "store", read_only=True)
    for stack in done["stacks"]:
        view = store.labels(stack["name"])
        assert view.info.split == "train"
        assert np.all(view.verified[...] == 1)
        np.testing.assert_array_equal(view.labels[...], read_labels(Path(stack["labels"])))
    settings = ("features=[4, 8]", "epochs=1", "steps_per_epoch=2", "patch_size=[8, 32, 32]")
    options = [part for setting in settings for part in ("--set", setting)]
    trained = command("train", project, "unet3d", *options)
    assert trained["run"] == "unet3d-0001"
    line = refused("synth", tmp_path / "e", "--seed", 1, *size, "--into", project)
    assert "has a field synthetic_0001 already" in line
    assert not (tmp_path / "e").exists()


@settings(max_examples=15, deadline=None)
@given(
    name=st.sampled_from(sorted(NucleiGenerator.__dataclass_fields__)),
    value=st.one_of(st.none(), st.text(max_size=3), st.floats(), st.lists(st.integers())),
)
@example(name="cytoplasm", value=3e17)
def test_any_setting_is_taken_or_refused(
    tmp_path_factory: pytest.TempPathFactory, name: str, value: object
) -> None:
    folder = tmp_path_factory.mktemp("any")
    request = SynthRequest(
        folder=folder,
        shape=(4, 24, 24),
        spacing_um=(2.0, 1.0, 1.0),
        diameter_um=8.0,
        settings={name: value, "nuclei": 4} if name != "nuclei" else {name: value},
    )
    from models.errors import ModelError

    try:
        done = synthesise(request, Silent())
    except (ConfigError, ModelError) as exc:
        assert "\n" not in str(exc)
        assert list(folder.iterdir()) == []
        return
    assert done.stacks[0].image.exists()
