"""The correction window with a real display, at the errors of a model."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from hitl.cli import run
from hitl.project.folder import Project
from hitl.review.window.controls import NO_ERRORS, ReviewControls
from tests.hitl.queue.error_project import MODEL, error_project, evaluated, volumes
from tests.hitl.review.window.display import start_child, virtual_display


@pytest.fixture
def project(tmp_path: Path) -> Project:
    splits = {"held": "test", "seen": "train", "other": "val"}
    made = error_project(tmp_path / "p", splits)
    evaluated(made, 2, "seen", {MODEL: volumes()[1]})
    return made


@pytest.fixture
def display() -> Iterator[str]:
    with virtual_display() as name:
        yield name


@pytest.mark.slow
def test_errors_are_stepped_through(project: Project, tmp_path: Path, display: str) -> None:
    shots = Path(os.environ.get("HITL_TEST_SCREENSHOTS", tmp_path / "shots"))
    shots.mkdir(parents=True, exist_ok=True)
    for what in ("held", "seen", "stale"):
        log = shots / f"mistakes_{what}.log"
        child = start_child(
            "error_layers_child",
            [str(project.folder), str(shots), what],
            display=display,
            shots=shots,
            log=log,
        )
        try:
            out, _ = child.communicate(timeout=300)
        finally:
            child.kill()
        assert out == "closed\n", (what, log.read_text())
        assert "Warning" not in log.read_text()
    rounds = project.store().rounds()
    assert [entry.message for entry in rounds] == ["6 was debris"]
    assert not (project.store().stack("seen").labels[...] == 6).any()
    assert (project.store().stack("held").labels[...] == 6).any()
    assert not list(project.folder.glob("drafts/*/*.zip"))


def test_without_an_evaluation_the_command_says_what_to_run(
    project: Project,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("hitl.review.window.opening.check_display", lambda: None)
    assert run(["correct", str(project.folder), "other", "--errors"]) == 1
    error = capsys.readouterr().err
    assert error.startswith("error: no evaluation has scored other; run `hitl evaluate PROJECT")
    assert run(["correct", str(project.folder), "held", "--model", "x-0001"]) == 1
    assert "x-0001 is in no evaluation of held" in capsys.readouterr().err


def test_a_damaged_evaluation_does_not_keep_people_from_correcting(
    project: Project,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    opened: list[object] = []

    def pretend(*_args: object, errors: object, **_more: object) -> SimpleNamespace:
        opened.append(errors)
        return SimpleNamespace(run=lambda: None)

    monkeypatch.setattr("hitl.review.window.opening.check_display", lambda: None)
    monkeypatch.setattr("hitl.review.window.opening.open_window", pretend)
    (project.folder / "evaluations" / "0001" / "scores.json").write_text("{")
    begin = ["correct", str(project.folder), "held", "--annotator", "ann"]
    assert run([*begin, "--limit", "0"]) == 0
    assert opened == [None]
    assert "scores.json" in capsys.readouterr().err
    assert run([*begin, "--errors"]) == 1
    assert len(opened) == 1


def test_the_key_says_what_to_run_where_nothing_was_scored() -> None:
    said: list[tuple[str, bool]] = []
    controls = ReviewControls()
    controls.dock = SimpleNamespace(  # type: ignore[assignment]
        say=lambda text, *, alert=False: said.append((text, alert))
    )
    controls.toggle_errors()
    assert said == [(NO_ERRORS, True)]
    assert controls.shown_errors is None
    assert not controls.is_locked
