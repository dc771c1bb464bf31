"""A damaged project: what is wrong is told in one line by every verb, and `verify` tells all."""

from __future__ import annotations

import json
import os
import shutil
import time
from pathlib import Path

import pytest

from annotations.store import AnnotationStore
from hitl.cli import run
from hitl.review.session.draft import draft_path
from tests.annotations.store_sources import bootstrapped, by_person


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project with a field of proposals."""
    folder = tmp_path / "project"
    assert run(["init", str(folder)]) == 0
    shutil.rmtree(folder / "store")
    bootstrapped(folder / "store")
    return folder


def errors_of(capsys: pytest.CaptureFixture[str]) -> list[str]:
    printed = capsys.readouterr().err
    assert "Traceback" not in printed
    return [line for line in printed.splitlines() if not line.startswith("note: ")]


def verified(project: Path, capsys: pytest.CaptureFixture[str], *options: str) -> dict:
    capsys.readouterr()
    code = run(["verify", str(project), "--json", *options])
    found = json.loads(capsys.readouterr().out)
    assert code == (0 if found["whole"] else 1)
    assert found["whole"] == (found["damaged"] == [])
    return found


def test_a_whole_project_is_said_to_be_whole(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["verify", str(project), "--deep"]) == 0
    assert "whole; compared 4 commits and 3 chunks" in capsys.readouterr().out
    assert verified(project, capsys)["whole_rounds"] == "0"


@pytest.mark.parametrize(
    "verb", ["status", "log", "gc", "gc --dry-run", "export a out", "propose", "queue", "verify"]
)
def test_no_verb_says_that_all_is_well_when_chunks_are_gone(
    project: Path, tmp_path: Path, verb: str, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.rmtree(project / "store" / "chunks")
    name, *rest = verb.replace(" out", f" {tmp_path / 'out'}").split()
    capsys.readouterr()
    assert run([name, str(project), *rest]) == 1
    assert len(errors_of(capsys)) == (0 if name == "verify" else 1)


def test_a_flipped_bit_is_one_line(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    # That of the image: the smallest are read only by who looks for copies.
    chunk = max((project / "store" / "chunks").iterdir(), key=lambda file: file.stat().st_size)
    data = bytearray(chunk.read_bytes())
    data[len(data) // 2] ^= 1
    chunk.write_bytes(data)
    capsys.readouterr()
    assert run(["export", str(project), "a", str(project / "out")]) == 1
    (line,) = errors_of(capsys)
    assert "hitl verify PROJECT" in line
    assert verified(project, capsys)["damaged"] == []
    (named,) = verified(project, capsys, "--deep")["damaged"]
    assert chunk.name in named


def test_a_torn_commit_is_told_and_set_back(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store = AnnotationStore.open(project / "store")
    with store.begin_round(by_person()) as txn:
        txn.write_verified("a", (slice(0, 4), slice(0, 40), slice(0, 30)))
    (project / "store" / "snapshots" / store.log()[0].snapshot).write_bytes(b"")
    capsys.readouterr()
    assert run(["status", str(project), "--json"]) == 1
    printed = capsys.readouterr()
    told = json.loads(printed.out)
    assert told["last_round"] == 0
    assert "newest commit is torn" in told["notes"][0]
    assert printed.err.count("note: ") == 1
    assert not verified(project, capsys)["whole"]
    found = verified(project, capsys, "--repair")
    assert found["whole"]
    assert len(found["repaired"]) == 2
    assert run(["status", str(project)]) == 0


def test_the_other_files_of_a_project_are_compared_too(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    card = {
        "run": "unet3d-0001", "model": "unet3d", "made": "", "round": 0, "validation": {},
        "classes": ["nuclei"], "channels": 1, "trained_on": [], "weights": "weights.bin",
        "weights_sha256": "00", "config": {"validation_share": 0.2},
    }  # fmt: skip
    runs = project / "runs"
    for name in ("unet3d-0001", "unet3d-0002"):
        (runs / name).mkdir(parents=True)
    (runs / "unet3d-0001" / "card.json").write_text(json.dumps(card))
    (runs / "unet3d-0002" / "card.json").write_text("")
    scores = project / "evaluations" / "0001" / "scores.json"
    (labels,) = AnnotationStore.open(project / "store").all_labels()
    draft = draft_path(project, labels, 0, "anna")
    for file in (scores, draft, project / "in_use.json"):
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("{")
    named = verified(project, capsys)["damaged"]
    assert [next(n for n in named if part in n) for part in (
        "in_use.json", "weights.bin", "unet3d-0002/card.json", "scores.json", "anna.zip"
    )] == named  # fmt: skip
    (runs / "unet3d-0001" / "weights.bin").write_bytes(b"other weights")
    assert len(verified(project, capsys)["damaged"]) == 4
    deep = verified(project, capsys, "--deep")["damaged"]
    assert "are not those that its card names" in deep[1]


def test_collecting_takes_exports_that_were_never_finished(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    old, young = (project / "out" / f".{digit * 32}.partial" for digit in "ab")
    for folder in (old, young):
        folder.mkdir(parents=True)
        (folder / "a.tif").write_bytes(bytes(1000))
    os.utime(old, (time.time() - 2 * 86400,) * 2)
    capsys.readouterr()
    assert run(["gc", str(project), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["bytes"] == 1000
    assert not old.exists()
    assert young.exists()


def test_a_bug_is_not_told_as_damage(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise ValueError("a bug")

    monkeypatch.setattr("hitl.project.status.status", broken)
    with pytest.raises(ValueError, match="a bug"):
        run(["status", str(project)])
