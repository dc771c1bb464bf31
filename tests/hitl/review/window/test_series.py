"""The correction window at one time point of one class, and how it is asked for."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from hitl.cli import run
from hitl.project.folder import Project
from tests.hitl.review.volumes import SHAPE, TIMES, make_series
from tests.hitl.review.window.conftest import Start


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return make_series(tmp_path / "p")


@pytest.mark.slow
def test_a_person_corrects_one_time_point_in_two_channels(
    project: Project, shots: Path, start: Start
) -> None:
    child = start("series_child", project.folder, shots)
    assert child.printed() == "", child.log
    (_, entry) = project.store().rounds()
    assert (entry.message, entry.labels) == ("12 was debris", ("s:golgi",))
    labels = project.store().labels("s:golgi").labels[...].reshape(TIMES, *SHAPE)
    assert [number in labels[t] for t, number in enumerate((2, 12, 22))] == [True, False, True]
    assert np.array_equal(labels[2] > 0, project.store().labels("s:nuclei").at(2).labels[...] > 0)


@pytest.mark.parametrize(
    ("where", "says"),
    [
        (["s:nuclei"], "s:nuclei has time points 0 to 2; say which one to correct, as in --time 0"),
        (["s:nuclei", "--time", "3"], "expected a time point of s:nuclei, 0 to 2"),
        (["s", "--time", "0"], "name one of s:golgi, s:nuclei"),
    ],
)
def test_what_is_missing_is_said_before_a_window_opens(
    project: Project,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    where: list[str],
    says: str,
) -> None:
    monkeypatch.delenv("DISPLAY", raising=False)
    assert run(["correct", str(project.folder), *where]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert says in line
