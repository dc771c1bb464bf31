"""What a shell completes: a project's names, and nothing at all where something is wrong."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from annotations.rounds import RoundInfo
from hitl.cli import run
from hitl.labelling.propose import propose
from hitl.project.completion import KEPT
from hitl.project.reporter import Silent
from tests.hitl.class_fields import add_classes
from tests.hitl.fake_model import Bench, make_bench

Completed = Callable[..., list[str]]


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    """Two fields, two rounds of a model and of people, two runs and an evaluation."""
    made = make_bench(tmp_path, monkeypatch)
    made.add("learn", "train", labelled=False)
    add_classes(made, "many", "test")
    propose(made.project, made.run("fake-0001"), ("learn",), Silent())
    for author in ("anna", "two words", "semi;colon", "$(reboot)", "-x", "*", "Zoë"):
        with made.store.begin_round(RoundInfo(kind="correct", message="m", author=author)) as txn:
            txn.write_verified("learn", (slice(0, 1), slice(0, 1), slice(0, 1)))
    (made.project.runs_folder / "fake-0002").mkdir()
    scores = made.project.folder / "evaluations" / "0001" / "scores.json"
    scores.parent.mkdir(parents=True)
    scores.write_text("{}")
    return made


@pytest.fixture
def completed(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Completed:
    """Press the key behind a line that names the project as P; the last word may be begun."""

    def call(line: str) -> list[str]:
        words = line.replace("P", str(bench.project.folder)).split(" ")
        monkeypatch.setenv("_HITL_COMPLETE", "complete_bash")
        monkeypatch.setenv("COMP_WORDS", " ".join(words))
        monkeypatch.setenv("COMP_CWORD", str(len(words) - 1))
        capsys.readouterr()
        assert run([]) == 0
        printed = capsys.readouterr()
        assert printed.err == ""
        return printed.out.split()

    return call


NAMES = {
    "hitl promo": ["promote"],
    "hitl blame P ": ["learn", "many:g1", "many:g2", "many:nuclei"],
    "hitl blame P l": ["learn"],
    "hitl export P many:g": ["many:g1", "many:g2"],
    "hitl propose P --field ": ["learn", "many", "many:g1", "many:g2", "many:nuclei"],
    "hitl propose P --field learn --class ": ["nuclei", "g1", "g2"],
    "hitl promote P ": ["fake-0001"],
    "hitl predict P --model b": ["bright"],
    "hitl evaluate P --model bright --model fa": ["fake-0001"],
    "hitl evaluate P --split t": ["train", "test"],
    "hitl rollback P ": ["0", "1", "2", "3", "4", "5", "6", "7"],
    "hitl diff P 1 7": ["7"],
    "hitl export P learn out --round 2": ["2"],
    "hitl export P learn out --format l": ["labkit"],
    "hitl queue P --errors --evaluation ": ["0001"],
    "hitl queue P --errors --kind s": ["split", "spurious", "shifted"],
    "hitl import P learn f.tif --annotator ": ["Zoë", "anna"],
    "hitl remove P ": ["learn", "many", "fake-0001", "fake-0002", "0001"],
    "hitl train P unet": ["unet3d"],
    "hitl train P unet3d --set epo": ["epochs="],
    "hitl train P unet3d --set epochs=3 --set lo": ["loss=", "logger="],
    "hitl sweep P unet3d --grid epo": ["epochs="],
    "hitl bootstrap P --segmenter cl": ["classical"],
    "hitl bootstrap P --set m": ["missing="],
    "hitl bootstrap P --segmenter starter --set d": ["diameter_um=", "depth="],
    "hitl segment a b --segmenter classical --set dia": ["diameter_um="],
    "hitl synth d --set mit": ["mitotic="],
    "hitl simulate P --strategy ra": ["random"],
    "hitl init new --config qu": ["quick"],
    "hitl models --options star": ["starter", "stardist3d", "stardist2d"],
}
"""What is offered behind a line; P is the project."""


def test_names_are_completed(completed: Completed) -> None:
    assert {line: completed(line) for line in NAMES} == NAMES


@pytest.mark.parametrize("damage", ["none", "config", "store", "head", "file", "distant"])
def test_where_something_is_wrong_it_is_silent(
    bench: Bench, completed: Completed, damage: str
) -> None:
    folder = bench.project.folder
    if damage == "none":
        folder.rename(folder.with_name("elsewhere"))
    elif damage == "config":
        (folder / "hitl.yaml").write_text("store: [")
    elif damage == "store":
        for file in (folder / "store" / "snapshots").iterdir():
            file.write_bytes(b"")
    elif damage == "head":
        (folder / "store" / "refs" / "branch.main" / "ref.json").write_text("{")
    elif damage == "file":
        (folder / "store").rename(folder / "away")
        (folder / "store").touch()
    else:
        (folder / "hitl.yaml").write_text("store: s3://nowhere/at/all\n")
        (folder / "store").rename(folder / "away")
    for line in ("blame P ", "propose P --field ", "import P a b --annotator ", "remove P "):
        assert not {"learn", "anna"} & set(completed(f"hitl {line}"))
    assert completed("hitl stat") == ["status"]


def test_what_the_store_knows_is_kept_until_its_next_commit(
    bench: Bench, completed: Completed, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = bench.project.folder / KEPT
    assert completed("hitl correct P le") == ["learn"]
    assert json.loads(kept.read_text())["fields"]["learn"] == ["nuclei"]
    with monkeypatch.context() as patch:
        patch.setattr("hitl.project.folder.Project.open", lambda _: pytest.fail("it was read"))
        assert completed("hitl correct P le") == ["learn"]
    bench.add("later", "train", labelled=False)
    assert completed("hitl correct P l") == ["later", "learn"]
    for damaged in ("", "[]", '{"newest": 3}', '{"fields": 1}', "\0"):
        kept.write_text(damaged)
        assert completed("hitl correct P l") == ["later", "learn"]
    kept.unlink()
    kept.mkdir()
    assert completed("hitl correct P l") == ["later", "learn"]


SHELLS = {
    "bash": ({"COMP_WORDS": "hitl blame {} le", "COMP_CWORD": "3"}, "learn"),
    "zsh": ({"_TYPER_COMPLETE_ARGS": "hitl blame {} le"}, """_arguments '*: :(("learn"))'"""),
    "fish": (
        {"_TYPER_COMPLETE_ARGS": "hitl blame {} le", "_TYPER_COMPLETE_FISH_ACTION": "get-args"},
        "learn",
    ),
}

PROGRAM = "from hitl.cli import main; main()"


def process(program: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        env={**os.environ, **environment},
        timeout=60,
        check=False,
    )


@pytest.fixture
def known(bench: Bench) -> Path:
    """The project with a config that other processes can read."""
    file = bench.project.folder / "hitl.yaml"
    file.write_text(file.read_text().replace("segmenter: bright", "segmenter: classical"))
    return bench.project.folder


@pytest.mark.parametrize("shell", SHELLS)
def test_each_shell_gets_it_in_its_own_words(known: Path, shell: str) -> None:
    asked, answer = SHELLS[shell]
    words = {key: value.format(known) for key, value in asked.items()}
    done = process(PROGRAM, _HITL_COMPLETE=f"complete_{shell}", **words)
    assert (done.returncode, done.stderr, done.stdout.strip()) == (0, "", answer)


def test_a_key_that_is_pressed_again_imports_nothing_heavy(known: Path) -> None:
    heavy = "'zarr', 'icechunk', 'numpy', 'torch', 'rich', 'hitl.project.folder'"
    program = (
        "import sys; from hitl.cli import run; run([]); "
        f"print([name for name in ({heavy}) if name in sys.modules])"
    )
    line = f"hitl blame {known} le"
    asked = {"_HITL_COMPLETE": "complete_bash", "COMP_WORDS": line, "COMP_CWORD": "3"}
    assert process(PROGRAM, **asked).stdout.split() == ["learn"]
    assert process(program, **asked).stdout.splitlines() == ["learn", "[]"]


def test_bash_offers_them(known: Path, tmp_path: Path) -> None:
    program = tmp_path / "bin" / "hitl"
    program.parent.mkdir()
    program.write_text(f"#!/bin/sh\nexec {sys.executable} -c '{PROGRAM}' \"$@\"\n")
    program.chmod(0o755)
    script = f"""
        source <(hitl --show-completion bash)
        COMP_WORDS=(hitl import {known} learn f.tif --annotator '')
        COMP_CWORD=6
        _hitl_completion hitl
        printf '%s|' "${{COMPREPLY[@]}}"
    """
    done = subprocess.run(
        ["bash", "-c", script],
        capture_output=True,
        text=True,
        env={
            **os.environ,
            "PATH": f"{program.parent}:{os.environ['PATH']}",
            "_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION": "1",
        },
        timeout=60,
        check=False,
    )
    assert (done.stdout, done.stderr) == ("Zoë|anna|", "")
