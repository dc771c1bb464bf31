"""The correction window with a real display: mouse, keys, a commit, a kill, the draft again."""

from __future__ import annotations

from dataclasses import asdict

import numpy as np
import pytest

from hitl.project.folder import Project
from hitl.review.session.draft import read_draft
from tests.hitl.review.volumes import field, make_project


@pytest.fixture
def project(tmp_path) -> Project:
    return make_project(tmp_path / "p")


@pytest.mark.slow
def test_a_person_corrects_commits_is_killed_and_goes_on(project, shots, start):
    child = start("review_window_child", project.folder, shots, "first")
    assert child.line() == "drafted\n", child.log
    child.kill()
    check_round(project)
    assert start("review_window_child", project.folder, shots, "second").printed() == "closed\n"
    draft = read_draft(project.folder / "drafts" / "s" / "nuclei" / "0" / "ann.zip")
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
    before, after = field()[1], store.labels("s").labels[...]
    assert np.array_equal(after == 1, before == 1)
    assert np.array_equal(after == 4, (before == 4) | (before == 5))
    assert np.array_equal((after == 3) | (after == 7), before == 3)
    assert not np.any(after == 2)
    assert np.flatnonzero((after == 6).any(axis=(1, 2))).tolist() == [1, 2, 3]
    verified = store.labels("s").verified[...]
    assert verified[0].all()
    assert verified[6:8, 2:11, 2:13].all()
    assert verified[after > 0].all()
