"""Odd surroundings: no home, no name, no place for drafts, a folder that is gone."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from hitl.cli import run
from tests.hostile.limits import refusal
from tests.hostile.projects import good_labels

ODD: dict[str, dict[str, str | None]] = {
    "no home": {"HOME": None},
    "a home that is not there": {"HOME": "/nowhere/at/all"},
    "a home that is a file": {"HOME": "/dev/null"},
    "no folder for drafts": {"TMPDIR": "/nowhere", "TEMP": "/nowhere", "TMP": "/nowhere"},
    "a file for drafts": {"TMPDIR": "/dev/null"},
    "no language": {"LANG": None, "LC_ALL": "nowhere.ASCII", "PYTHONUTF8": "0"},
    "a narrow terminal": {"COLUMNS": "0", "LINES": "-1", "TERM": "strange"},
    "a terminal of words": {"COLUMNS": "many", "TERM": ""},
    "an odd time zone": {"TZ": "Nowhere/None"},
    "odd folders of others": {
        "MPLCONFIGDIR": "/dev/null/a",
        "NUMBA_CACHE_DIR": "/dev/null/a",
        "XDG_CACHE_HOME": "/dev/null/a",
        "CELLPOSE_LOCAL_MODELS_PATH": "~nobody-at-all/a",
    },
    "names that are set to nothing": {
        "HITL_TEST_DATA": "",
        "HOME": "",
        "TMPDIR": "",
        "USER": "",
        "CELLPOSE_LOCAL_MODELS_PATH": "",
    },
}


MAIN = "from hitl.cli import main; main()"


def hitl(
    *words: object, cwd: Path, before: str = "", **changed: str | None
) -> subprocess.CompletedProcess[str]:
    """Run `hitl` as a process of its own, in changed surroundings."""
    surroundings = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), **changed}
    return subprocess.run(
        [sys.executable, "-c", before + MAIN, *map(str, words)],
        env={key: value for key, value in surroundings.items() if value is not None},
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.mark.parametrize("changed", ODD.values(), ids=ODD)
def test_a_command_works_in_odd_surroundings(project: Path, changed: dict[str, str | None]) -> None:
    # A ranking compiles, caches and draws upon models; a status needs none of it.
    verb = "queue" if "NUMBA_CACHE_DIR" in changed else "status"
    done = hitl(verb, project, cwd=project.parent, **changed)
    assert done.returncode == 0, done.stderr
    assert {line[:6] for line in done.stderr.splitlines()} <= {"note: "}


@pytest.mark.parametrize("words", [["status", "project"], ["status", "."], ["init", "new"]])
def test_a_folder_that_is_gone(project: Path, tmp_path: Path, words: list[str]) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    done = hitl(*words, cwd=gone, before="import os, shutil; shutil.rmtree(os.getcwd()); ")
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert line.startswith("error: ")


def test_an_account_without_a_name(
    project: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for name in ("LOGNAME", "USER", "LNAME", "USERNAME"):
        monkeypatch.delenv(name, raising=False)

    def unknown(number: int) -> None:
        raise KeyError(f"getpwuid(): uid not found: {number}")

    monkeypatch.setattr(pwd, "getpwuid", unknown)
    labels = good_labels(tmp_path / "good.tif")
    line = refusal(capsys, project, ["import", project, "s", labels])
    assert "--annotator" in line
    assert run(["import", str(project), "s", str(labels), "--annotator", "ann", "--yes"]) == 0


@pytest.mark.parametrize("name", ["\x1b[31mann", "model:ann", " ann", "a" * 200, "a\nb"])
def test_an_account_with_a_name_that_is_none(
    project: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    name: str,
) -> None:
    monkeypatch.setenv("LOGNAME", name)
    labels = good_labels(tmp_path / "good.tif")
    refusal(capsys, project, ["import", project, "s", labels])
    refusal(capsys, project, ["rollback", project, 0])


def test_a_folder_that_cannot_be_written(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.rmtree(project / "store")
    (project / "store").write_text("no folder")
    refusal(capsys, project, ["status", project])
