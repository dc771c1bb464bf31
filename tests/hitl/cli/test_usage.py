"""Wrong usage: exit code 2 and one line that says what was expected, what came, where help is."""

from __future__ import annotations

from pathlib import Path

import pytest

from hitl.cli import run

LINES = {
    "queue P --limit abc": "--limit: expected a whole number, got 'abc'; see `hitl queue --help`",
    "queue P --limit 0": "--limit: expected at least 1, got '0'; see `hitl queue --help`",
    "queue P --limit": "option '--limit' requires an argument",
    "queue P --kind odd": "--kind: 'odd' is not one of 'merged', 'split'",
    "queue P --kind merged": "--model, --kind and --evaluation go with --errors",
    "queue": "missing argument 'PROJECT'; see `hitl queue --help`",
    "queue P --odd": "no such option: --odd; did you mean --model?",
    "statu P": "no such command 'statu'; did you mean 'status'?",
    "export P f d --format odd": "--format: expected one of tiff, ",
    "measure P a b": "got unexpected extra argument(s) (a b)",
    "gc P --older-than-days nan": "--older-than-days: expected at least 0, got 'nan'",
    "gc P --older-than-days x": "--older-than-days: expected a number, got 'x'",
}


@pytest.mark.parametrize("words", LINES)
def test_one_line(words: str, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert run(["init", str(tmp_path / "P")]) == 0
    capsys.readouterr()
    assert run(words.replace("P", str(tmp_path / "P"), 1).split()) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    (line,) = printed.err.splitlines()
    assert line.startswith(f"error: {LINES[words]}")


def test_nothing_asked_gives_the_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert run([]) == 2
    printed = capsys.readouterr()
    assert "Usage: hitl" in printed.out
    assert printed.err == ""
