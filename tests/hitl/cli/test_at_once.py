"""People who import at the same moment: each is recorded, or told why not, and nothing is lost."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from annotations.rounds import RoundInfo
from hitl.project.folder import Project
from tests.hitl.cli.journeys import IDS, SAVE, Labels, first_edit, make_project, start

NEW = max(IDS) + 101
WAIT_S = 120.0
IMPORT = "import sys; from hitl.cli import run; sys.exit(run(sys.argv[1:]))"


def smaller(labels: Labels) -> Labels:
    """The seventh object without its first slice."""
    out = labels.copy()
    out[0][1][out[0][1] == IDS[6]] = 0
    return out


PEOPLE: dict[str, Callable[[Labels], Labels]] = {
    "ann": lambda labels: first_edit(labels, NEW),
    "bob": smaller,
    "cleo": lambda labels: np.where(labels == IDS[6], 0, labels).astype(np.uint32),
}


def started(project: Path, file: Path, who: str, said: Path) -> subprocess.Popen[bytes]:
    arguments = ["import", str(project), "stack", str(file), "--annotator", who]
    with said.open("wb") as stream:
        return subprocess.Popen(
            [sys.executable, "-c", IMPORT, *arguments], stdout=stream, stderr=stream
        )


@pytest.mark.slow
def test_imports_of_one_round_at_once(
    tmp_path: Path, command: Callable[..., dict[str, Any]]
) -> None:
    folder = make_project(tmp_path / "project")
    base = start("stack")
    files = {}
    for who, edit in PEOPLE.items():
        files[who] = Path(command("export", folder, "stack", tmp_path / who)["labels"])
        SAVE["tiff"](files[who], edit(base))
    kept = {
        who: (file.read_bytes(), Path(f"{file}.hitl.json").read_bytes())
        for who, file in files.items()
    }
    # The same file twice: somebody pressed return again.
    turns = [*PEOPLE, "ann"]
    said = [tmp_path / f"{number}.txt" for number in range(len(turns))]
    store = Project.open(folder).store(read_only=False)
    with store.begin_round(RoundInfo(kind="correct", message="holds the store", author="dora")):
        # All of them have read their files before any may write.
        processes = [
            started(folder, files[who], who, out) for who, out in zip(turns, said, strict=True)
        ]
        until = time.monotonic() + WAIT_S
        while not all("waiting for it" in out.read_text() for out in said):
            assert time.monotonic() < until
            time.sleep(0.05)
    codes = [process.wait(WAIT_S) for process in processes]
    told = [out.read_text() for out in said]
    assert sorted(codes) == [0, 0, 1, 1], told
    assert sorted((codes[0], codes[3])) == sorted(codes[1:3]) == [0, 1]
    again = told[0] if codes[0] else told[3]
    assert "the labels are those of the project already, so no round was made" in again
    loser, winner = ("bob", "cleo") if codes[1] else ("cleo", "bob")
    refusal = told[turns.index(loser)]
    assert f"changes committed since (objects {IDS[6]}; z 1 to" in refusal
    assert "nothing was written: export the labels as they are now" in refusal
    stored = store.labels("stack").labels[...][None]
    np.testing.assert_array_equal(stored, PEOPLE["ann"](PEOPLE[winner](base)))
    assert sorted(str(e.author) for e in store.rounds()[2:]) == sorted(["ann", winner])
    # Each file is as its tool saved it, and who was refused can go on from where they began.
    assert all(file.read_bytes() == kept[who][0] for who, file in files.items())
    assert Path(f"{files[loser]}.hitl.json").read_bytes() == kept[loser][1]
