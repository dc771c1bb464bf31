"""A project's own JSON files, damaged: one line, exit code 1, and nothing is changed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hitl.cli import run
from tests.hostile.damages import DAMAGES, DROP, edited
from tests.hostile.limits import limits, refusal
from tests.hostile.run_folders import RUN, run_project, whole_run_project

__all__ = ["run_project", "whole_run_project"]

CARD = f"runs/{RUN}/card.json"
SCORES = "evaluations/0001/scores.json"
AGREEMENT = "agreement/0001.json"
CELL = f"runs/{RUN}/cell.json"

READERS: dict[str, list[str]] = {
    CARD: ["predict", "PROJECT", "--model", RUN],
    SCORES: ["queue", "PROJECT", "--errors"],
    "in_use.json": ["predict", "PROJECT"],
    AGREEMENT: ["report", "PROJECT"],
    CELL: ["sweep", "PROJECT", "unet3d", "--grid", "epochs=1,2"],
}
"""Each file, and a command that reads it."""


def command(words: list[str], project: Path) -> list[str]:
    return [str(project) if word == "PROJECT" else word for word in words]


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
@pytest.mark.parametrize("file", READERS)
def test_a_damaged_record(
    run_project: Path,
    capsys: pytest.CaptureFixture[str],
    file: str,
    damage: Callable[[Path], None],
) -> None:
    damage(run_project / file)
    line = refusal(capsys, run_project, command(READERS[file], run_project))
    assert len(line) < 1000


WRONG: dict[str, list[dict[str, Any]]] = {
    CARD: [
        {"run": "unet3d-0002"},
        {"run": 3},
        {"round": "0"},
        {"round": -7},
        {"round": 10**18 * 10},
        {"classes": []},
        {"classes": "nuclei"},
        {"classes": [1]},
        {"channels": -1},
        {"channels": "1"},
        {"made": None},
        {"validation": {"loss": "low"}},
        {"validation": {"loss": 1e300}},
        {"trained_on": [{}]},
        {"trained_on": {"field": "seen"}},
        {"weights_sha256": None},
        {"config": None},
        {"config__validation_share": 2},
        {"versions": []},
        {"notes": "none"},
        {"epochs": -1},
        {"trained_on": DROP},
    ],
    SCORES: [
        {"models": {}},
        {"models": []},
        {"models__hand-0001": 3},
        {"models__hand-0001__mean": []},
        {"models__hand-0001__mean": {"evaluation_score": "high"}},
        {"models__hand-0001__mean": {"evaluation_score": 1e300}},
        {"models__hand-0001__mean": {"thresholds.a.ap": 1}},
        {"models__hand-0001__fields": {}},
        {"models__hand-0001__fields__held__objects__0__id": -1},
        {"models__hand-0001__fields__held__objects__0__score": 2},
        {"models__hand-0001__fields__held__objects__0__iou": "1"},
        {"models__hand-0001__fields__held__objects__0__volume_voxels": 10**19},
        {"models__hand-0001__fields__held__objects__0__id": DROP},
        {"models__hand-0001__fields__held__cases__0__kind": "strange"},
        {"models__hand-0001__fields__held__cases__0__truth_ids": "1"},
        {"models__hand-0001__fields__held__cases__0__centroid_zyx": [1, 2]},
        {"models__hand-0001__fields__held__cases__0__pred_ids": [[1]]},
        {"models__hand-0001__fields__held__errors": {"merged": -1}},
        {"round": "last"},
        {"split": 3},
        {"split": DROP},
    ],
    "in_use.json": [
        {"run": 3},
        {"run": "unet3d-0009"},
        {"run": "../../etc"},
        {"run": ["unet3d-0001"]},
        {"history": None},
        {"history": [{}]},
        {"history": [3]},
        {"history__0__when": 3},
    ],
    AGREEMENT: [
        {"kind": "strangers"},
        {"field": None},
        {"values": {"f1": "1"}},
        {"values": {"f1": 1e300}},
        {"first": "ann"},
        {"first__objects": -1},
        {"made": 2026},
    ],
    CELL: [{"fingerprint": 3}, {"seconds": "1"}, {"scores": [1]}, {"reason": None}],
}
"""Values that are none, by their places in the file."""


@pytest.mark.parametrize(
    ("file", "values"),
    [(file, values) for file, every in WRONG.items() for values in every],
    ids=lambda each: str(each)[:80],
)
def test_a_record_with_a_value_that_is_none(
    run_project: Path, capsys: pytest.CaptureFixture[str], file: str, values: dict[str, Any]
) -> None:
    edited(run_project / file, **values)
    line = refusal(capsys, run_project, command(READERS[file], run_project))
    assert len(line) < 1000


def test_what_is_only_kept_is_made_again(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["queue", str(project)]) == 0
    told = capsys.readouterr().out
    for name in ("cut", "900 lists", "a folder", "a pipe", "a link to itself"):
        kept = sorted((project / "queue").iterdir())
        assert len(kept) == 2
        for file in kept:
            DAMAGES[name](file)
        with limits():
            assert run(["queue", str(project)]) == 0
        printed = capsys.readouterr()
        assert printed.out == told
        # A folder cannot be written over, which is told; all else is as good as not there.
        assert {line[:6] for line in printed.err.splitlines()} <= {"note: "}
        for file in kept:
            if file.is_dir():
                file.rmdir()
                file.write_text("")


OTHERS = {
    "status": ["status", "PROJECT"],
    "propose": ["propose", "PROJECT"],
    "promote": ["promote", "PROJECT", RUN],
    "evaluate": ["evaluate", "PROJECT"],
    "report": ["report", "PROJECT"],
    "measure": ["measure", "PROJECT", "--model", RUN],
}


@pytest.mark.parametrize("words", OTHERS.values(), ids=OTHERS)
def test_every_verb_that_reads_a_card_tells_of_a_damaged_one(
    run_project: Path, capsys: pytest.CaptureFixture[str], words: list[str]
) -> None:
    (run_project / CARD).write_text('{"run": 1}')
    (run_project / "in_use.json").unlink()
    if "propose" in words:
        words = [*words, "--model", RUN]
    line = refusal(capsys, run_project, command(words, run_project))
    assert "card.json" in line or "verified" in line


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_verify_lists_what_is_damaged(
    run_project: Path, capsys: pytest.CaptureFixture[str], damage: Callable[[Path], None]
) -> None:
    for file in (SCORES, "in_use.json", CARD):
        damage(run_project / file)
    with limits():
        code = run(["verify", str(run_project)])
    printed = capsys.readouterr()
    assert code == 1
    assert "in_use.json" in printed.out
    assert printed.err == ""
