"""The correction window with a real display, at the errors of a model."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest

from hitl.cli import run
from hitl.project.folder import Project
from hitl.review.window.controls import NO_ERRORS, ReviewControls
from tests.hitl.queue.error_project import MODEL, error_project, evaluated, volumes
from tests.hitl.review.window.conftest import Start


@pytest.fixture
def project(tmp_path: Path) -> Project:
    splits = {"held": "test", "seen": "train", "other": "val"}
    made = error_project(tmp_path / "p", splits)
    evaluated(made, 2, "seen", {MODEL: volumes()[1]})
    return made


@pytest.mark.slow
def test_errors_are_stepped_through(project: Project, shots: Path, start: Start) -> None:
    child = start("error_layers_child", project.folder, shots)
    assert child.printed() == "held\nseen\nstale\n"
    assert "Warning" not in child.log
    rounds = project.store().rounds()
    assert [entry.message for entry in rounds] == ["6 was debris"]
    assert not (project.store().labels("seen").labels[...] == 6).any()
    assert (project.store().labels("held").labels[...] == 6).any()
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
