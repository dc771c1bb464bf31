"""The correction window with a real display: mouse, keys, a commit, a kill, the draft again."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest

from hitl.project.folder import Project
from hitl.review.session.draft import read_draft
from tests.hitl.review.volumes import make_project, stack
from tests.hitl.review.window.display import start_child, virtual_display


@pytest.fixture
def project(tmp_path) -> Project:
    return make_project(tmp_path / "p")


@pytest.fixture
def display() -> Iterator[str]:
    with virtual_display() as name:
        yield name


def start(project: Project, shots: Path, what: str, display: str) -> subprocess.Popen[str]:
    shots.mkdir(parents=True, exist_ok=True)
    arguments = [str(project.folder), str(shots), what]
    log = shots / f"{what}.log"
    return start_child("review_window_child", arguments, display=display, shots=shots, log=log)


@pytest.mark.slow
def test_a_person_corrects_commits_is_killed_and_goes_on(project, tmp_path, display):
    shots = Path(os.environ.get("HITL_TEST_SCREENSHOTS", tmp_path / "shots"))
    child = start(project, shots, "first", display)
    assert child.stdout is not None
    try:
        line = child.stdout.readline()
        # On a failed assertion the child ends by itself: its traceback is the message.
        assert line == "drafted\n", (shots / "first.log").read_text()
    finally:
        child.kill()
        child.communicate()
    check_round(project)
    again = start(project, shots, "second", display)
    out, _ = again.communicate(timeout=120)
    assert out == "closed\n", (shots / "second.log").read_text()
    draft = read_draft(project.folder / "drafts" / "s" / "ann.zip")
    assert draft is not None
    assert draft.header.counts == {"deleted": 2}
    assert (shots / "volume.png").stat().st_size > 10_000


def check_round(project: Project) -> None:
    store = project.store()
    entry = store.rounds()[-1]
    assert entry.message == "by hand"
    assert asdict(entry.total) == {
        "added": 1,
        "deleted": 1,
        "split": 1,
        "merged": 1,
        "reshaped": 0,
        "accepted": 1,
    }
    assert entry.minutes is not None
    assert 0 < entry.minutes < 2
    before, after = stack()[1], store.stack("s").labels[...]
    assert np.array_equal(after == 1, before == 1)
    assert np.array_equal(after == 4, (before == 4) | (before == 5))
    assert np.array_equal((after == 3) | (after == 7), before == 3)
    assert not np.any(after == 2)
    assert np.flatnonzero((after == 6).any(axis=(1, 2))).tolist() == [1, 2, 3]
    verified = store.stack("s").verified[...]
    assert verified[0].all()
    assert verified[6:8, 2:11, 2:13].all()
    assert verified[after > 0].all()
