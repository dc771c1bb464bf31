"""The report's files."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from hitl.cli import run
from hitl.project.folder import Project


def test_a_report_replaces_reports_and_nothing_else(
    project: Project, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target = tmp_path / "mine.html"
    arguments = ["report", str(project.folder), "--output", str(target), "--places", "1"]
    assert run([*arguments, "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert (printed["file"], printed["places"]) == (str(target), 1)
    assert run(arguments) == 0
    (tmp_path / "mine.json").write_text("{}")
    assert run(arguments) == 1
    assert "mine.json exists already and is no report" in capsys.readouterr().err
    assert run([*arguments, "--overwrite"]) == 0
    for bad, said in (("x.txt", "ends in .html"), ("no/x.html", "there is no folder")):
        assert run([*arguments[:3], str(tmp_path / bad)]) == 1
        assert said in capsys.readouterr().err
