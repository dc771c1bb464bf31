"""What the report is made of."""

from __future__ import annotations

import pytest

from hitl.cli import run
from hitl.project.folder import Project


def test_a_damaged_evaluation_is_named(
    project: Project, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = project.folder / "evaluations" / "0002"
    folder.mkdir()
    (folder / "scores.json").write_text('{"split": "test", "models": {"a": {"mean": 3}}}')
    try:
        assert run(["report", str(project.folder)]) == 1
        assert "0002/scores.json: expected the scores" in capsys.readouterr().err
    finally:
        (folder / "scores.json").unlink()
        folder.rmdir()
