"""A session at a project: drafts, kills, commits, and others who commit meanwhile."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from annotations.objects import Status
from annotations.rounds import EditCounts
from hitl.project.folder import Project
from hitl.review.errors import DraftConflictError, DraftError, ReviewError
from hitl.review.session.draft import read_draft
from hitl.review.session.project_session import ProjectSession
from tests import ROOT
from tests.hitl.review.volumes import Clock, entry, make_project

POINTS = [(4, 8, 22), (4, 8, 31)]


@pytest.fixture
def project(tmp_path) -> Project:
    return make_project(tmp_path / "p")


def open_session(project: Project, annotator: str = "ann", **options) -> ProjectSession:
    return ProjectSession.open(project, "s", annotator=annotator, **options)


def edit(opened: ProjectSession) -> None:
    session = opened.session
    session.accept(1)
    session.reject(2)
    session.split(3, POINTS)
    session.merge(4, 5)
    session.check_slice(0)


def test_a_commit_is_a_round_that_says_what_was_done(project):
    clock = Clock()
    with open_session(project, clock=clock) as opened:
        for second in range(0, 120, 30):
            clock.now = second
            opened.session.timer.touch()
        edit(opened)
        labels = opened.session.labels.copy()
        summary = opened.summarise()
        done = opened.commit()
        assert done.round == 1
        assert done.summary == summary
        assert not opened.draft_file.exists()
        assert opened.session.changes() == {}
        assert np.array_equal(opened.session.labels, labels)
    store = project.store()
    entry = store.rounds()[-1]
    expected = EditCounts(accepted=1, deleted=1, split=1, merged=1)
    assert (entry.kind, entry.author, entry.total) == ("correct", "ann", expected)
    assert entry.minutes == pytest.approx(1.5)
    assert entry.config["actions"]["checked"] == 1
    view = store.labels("s")
    assert np.array_equal(view.labels[...], labels)
    rows = dict(zip(view.objects.id.tolist(), view.objects.status.tolist(), strict=True))
    assert rows == {
        1: Status.ACCEPTED,
        2: Status.REJECTED,
        3: Status.CORRECTED,
        4: Status.CORRECTED,
        5: Status.REJECTED,
        6: Status.CORRECTED,
    }
    verified = view.verified[...]
    assert verified[0].all()
    assert verified[labels > 0].all()
    assert not verified[1:, :2, 38:].any()


def test_a_stable_id_lives_on_with_the_largest_piece(project):
    with open_session(project) as opened:
        opened.session.split(3, POINTS)
        kept, other = (3, 6)
        three = np.argwhere(opened.session.labels == kept)
        values = opened.session.labels.copy()
        values[tuple(three[: len(three) * 3 // 4].T)] = 0
        opened.session.paint(values)
        opened.commit()
    labels = project.store().labels("s").labels[...]
    assert np.count_nonzero(labels == kept) > np.count_nonzero(labels == other) > 0


def test_there_must_be_something_to_commit(project):
    with open_session(project) as opened, pytest.raises(ReviewError, match="nothing to commit"):
        opened.commit()
    assert len(project.store().rounds()) == 1


def test_a_draft_comes_back_as_it_was(project):
    clock = Clock()
    with open_session(project, clock=clock) as opened:
        edit(opened)
        clock.now = 30
        opened.session.undo()
        opened.session.worklist.go(2)
        before = opened.session
        assert opened.save_draft()
        assert not opened.save_draft()
    with open_session(project) as opened:
        after = opened.session
        assert "took up the draft" in opened.notice
        assert np.array_equal(after.labels, before.labels)
        assert np.array_equal(after.verified, before.verified)
        assert after.verdicts == before.verdicts
        assert after.changes() == before.changes()
        assert after.handled == before.handled
        assert after.timer.seconds == 30
        assert after.worklist.row == 2
        assert after.new_id() == 7
        opened.begin_again()
        assert not opened.draft_file.exists()
        assert after is not opened.session
        assert opened.session.changes() == {}


def test_nothing_is_written_before_something_is_done(project):
    with open_session(project) as opened:
        assert not opened.save_draft()
    assert not opened.draft_file.exists()


def test_one_person_has_one_window_at_a_field(project):
    with open_session(project), pytest.raises(DraftError, match="another window of 'ann'"):
        open_session(project)
    with open_session(project), open_session(project, "Bo / x"):
        pass


def test_two_people_at_different_objects_both_land(project):
    with open_session(project, "ann") as ann, open_session(project, "bo") as bo:
        ann.session.split(3, POINTS)
        bo.session.reject(2)
        new = bo.session.new_id()
        values = bo.session.labels.copy()
        values[0, 0:3, 36:40] = new
        bo.session.paint(values)
        ann.commit()
        bo.commit()
    labels = project.store().labels("s").labels[...]
    assert np.unique(labels).tolist() == [0, 1, 3, 4, 5, 6, 7]
    assert np.all(labels[0, 0:3, 36:40] == 7)
    assert {int(labels[p]) for p in POINTS} == {3, 6}
    assert [r.author for r in project.store().rounds()] == ["model", "ann", "bo"]


@pytest.mark.parametrize("reopen", [False, True])
@pytest.mark.parametrize("what", ["voxel", "row", "checked"])
def test_two_people_at_the_same_object_are_told(project, what, reopen):
    with open_session(project, "ann") as ann, open_session(project, "bo") as bo:
        ann.session.reject(2)
        match what:
            case "voxel":
                values = bo.session.labels.copy()
                values[bo.session.labels == 2] = 1
                bo.session.paint(values)
            case "row":
                bo.session.accept(2)
            case "checked":
                bo.session.check_box((4, 24, 30), (4, 28, 38))
        bo.save_draft()
        ann.commit()
        if not reopen:
            mine = bo.session.labels.copy()
            with pytest.raises(DraftConflictError, match="Nothing was overwritten"):
                bo.commit()
            assert np.array_equal(bo.session.labels, mine)
    if reopen:
        with pytest.raises(DraftConflictError, match="draft is kept at"):
            open_session(project, "bo")
    assert read_draft(bo.draft_file) is not None
    assert len(project.store().rounds()) == 2
    with open_session(project, "ann"):
        pass


def test_a_commit_whose_draft_was_left_is_not_taken_up_again(project):
    with open_session(project) as opened:
        edit(opened)
        opened.save_draft()
        left = opened.draft_file.read_bytes()
        opened.commit()
    opened.draft_file.write_bytes(left)
    with open_session(project) as opened:
        assert "was committed" in opened.notice
        assert opened.session.changes() == {}
        assert not opened.draft_file.exists()


@pytest.mark.parametrize("damage", ["cut", "text", "later", "flipped"])
def test_a_damaged_draft_is_refused_and_kept(project, damage):
    with open_session(project) as opened:
        edit(opened)
    good = opened.draft_file.read_bytes()
    bad = {
        "cut": good[: len(good) // 2],
        "text": b"not a draft",
        "later": good.replace(b'"format": 1', b'"format": 9'),
        "flipped": good[:-3000] + bytes(255 - b for b in good[-3000:-2900]) + good[-2900:],
    }[damage]
    opened.draft_file.write_bytes(bad)
    with pytest.raises(DraftError, match=r"ann\.zip|draft of"):
        open_session(project)
    assert opened.draft_file.read_bytes() == bad
    opened.draft_file.unlink()
    with open_session(project) as again:
        assert again.session.changes() == {}


WRITER = """
import sys
from pathlib import Path
from hitl.project.folder import Project
from hitl.review.session.project_session import ProjectSession
opened = ProjectSession.open(Project.open(Path(sys.argv[1])), "s", annotator="ann")
print("ready", flush=True)
for step in range(100000):
    opened.session.undo() if step % 2 else opened.session.reject(1)
    opened.save_draft()
"""


def test_a_killed_writer_leaves_a_whole_draft(project):
    draft = project.folder / "drafts" / "s" / "nuclei" / "0" / "ann.zip"
    for pause_s in (0.03, 0.08, 0.2):
        child = subprocess.Popen(
            [sys.executable, "-c", WRITER, str(project.folder)],
            stdout=subprocess.PIPE,
            cwd=ROOT,
        )
        assert child.stdout is not None
        assert child.stdout.readline() == b"ready\n"
        time.sleep(float(pause_s))
        os.kill(child.pid, signal.SIGKILL)
        child.wait()
        child.stdout.close()
        if draft.exists():
            with open_session(project) as opened:
                assert opened.session.changes() in ({}, {"deleted": 1})
                gone = 1 not in opened.session.labels
                assert gone == (opened.session.changes() == {"deleted": 1})
    assert draft.exists()
    assert [p.name for p in draft.parent.iterdir() if p.name.startswith(".")] == []


def test_a_full_disk_keeps_the_draft_before(project, small_disk):
    with open_session(project) as opened:
        edit(opened)
        opened.draft_file = small_disk / "ann.zip"
        assert opened.save_draft()
        good = opened.draft_file.read_bytes()
        (small_disk / "filler").write_bytes(bytes(2**20 - len(good) - 40_000))
        noise = np.random.default_rng(0).integers(1, 2**20, opened.session.labels.shape)
        opened.session.paint(noise.astype(np.uint32))
        with pytest.raises(DraftError, match="No space left"):
            opened.save_draft()
        assert opened.draft_file.read_bytes() == good
        (small_disk / "filler").unlink()
        opened.begin_again()


def test_a_commit_leaves_what_is_not_done_in_the_queue_and_discarding_leaves_all(project):
    queue = [entry(i, (4, 7, 7)) for i in (3, 2, 1, 5)]
    with ProjectSession.open(project, "s", annotator="ann", queue=queue) as opened:
        opened.session.accept(3)
        opened.begin_again()
        assert [e.id for e in opened.session.worklist.entries] == [3, 2, 1, 5]
        opened.session.accept(3)
        opened.session.worklist.go(2)
        opened.commit()
        assert [e.id for e in opened.session.worklist.entries] == [2, 1, 5]
        assert opened.session.worklist.current.id == 1
