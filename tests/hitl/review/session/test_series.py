"""A session at one time point of one class: nothing else of the field is touched."""

from __future__ import annotations

import numpy as np
import pytest

from annotations.errors import UnknownFieldError
from annotations.objects import Status
from annotations.rounds import EditCounts, RoundInfo
from hitl.project.folder import Project
from hitl.review.errors import DraftError, ReviewError
from hitl.review.session.draft import read_draft
from hitl.review.session.project_session import ProjectSession
from tests.hitl.review.volumes import SHAPE, TIMES, field, make_project, make_series

DEPTH = SHAPE[0]


@pytest.fixture
def project(tmp_path) -> Project:
    return make_series(tmp_path / "p")


def open_session(
    project: Project, name: str = "s:nuclei", time: int | None = 1, annotator: str = "ann"
) -> ProjectSession:
    return ProjectSession.open(project, name, annotator=annotator, time=time)


def planes(project: Project, name: str) -> np.ndarray:
    """Labels (T, Z, Y, X)."""
    return project.store().labels(name).labels[...].reshape(TIMES, *SHAPE)


def statuses(project: Project, name: str) -> dict[int, Status]:
    rows = project.store().labels(name).objects
    return dict(zip(rows.id.tolist(), map(Status, rows.status.tolist()), strict=True))


def test_a_commit_writes_one_time_point_of_one_class(project: Project) -> None:
    before, other = planes(project, "s:nuclei"), planes(project, "s:golgi")
    with open_session(project) as opened:
        session = opened.session
        assert [entry.id for entry in session.worklist.entries] == [11, 12, 13, 14, 15]
        session.accept(11)
        session.reject(12)
        session.split(13, [(4, 8, 22), (4, 8, 31)])
        assert session.highest_id == 26, "an id that no time point has"
        session.check_slice(0)
        opened.commit()
        # What is seen next is the same time point.
        assert 12 not in opened.session.boxes and 11 in opened.session.boxes
    after = planes(project, "s:nuclei")
    assert np.array_equal(after[[0, 2]], before[[0, 2]])
    assert not (after[1] == 12).any() and set(np.unique(after[1])) >= {13, 26}
    assert np.array_equal(planes(project, "s:golgi"), other)
    found = statuses(project, "s:nuclei")
    assert (found[11], found[12], found[2], found[22]) == (
        Status.ACCEPTED,
        Status.REJECTED,
        Status.PROPOSED,
        Status.PROPOSED,
    )
    verified = project.store().labels("s:nuclei").verified[...].reshape(TIMES, *SHAPE)
    assert verified[1, 0].all() and not verified[[0, 2]].any()
    assert not project.store().labels("s:golgi").verified[...].any()
    entry = project.store().rounds()[-1]
    assert entry.total == EditCounts(accepted=1, deleted=1, split=1)
    assert entry.labels == ("s:nuclei",)
    assert entry.message.startswith("corrected s:nuclei t1: ")


def test_two_people_at_two_time_points_both_land(project: Project) -> None:
    with open_session(project, time=0) as ann, open_session(project, time=2, annotator="bo") as bo:
        for opened, number in ((ann, 1), (bo, 21)):
            values = opened.session.labels.copy()
            values[0, 0:3, 36:40] = opened.session.new_id()
            opened.session.paint(values)
            opened.session.reject(number)
        ann.commit()
        bo.commit()
    labels = planes(project, "s:nuclei")
    assert (labels[0, 0, 0, 36], labels[2, 0, 0, 36]) == (26, 27), "new ids in all time points"
    assert 1 not in labels[0] and 21 not in labels[2]


def test_an_object_that_goes_on_at_other_time_points_keeps_its_row(tmp_path) -> None:
    project = make_series(tmp_path / "p")
    planes_now = planes(project, "s:nuclei")
    planes_now[2][planes_now[2] == 22] = 12
    rows = project.store().labels("s:nuclei").objects
    tracked = RoundInfo(kind="correct", message="12 is 22", author="ann")
    with project.store(read_only=False).begin_round(tracked) as txn:
        txn.set_labels("s:nuclei", planes_now.reshape(-1, *SHAPE[1:]), rows.select(rows.id != 22))
    with open_session(project, time=1) as opened:
        opened.session.reject(12)
        opened.commit()
    labels = planes(project, "s:nuclei")
    assert 12 not in labels[1] and 12 in labels[2]
    assert statuses(project, "s:nuclei")[12] == Status.PROPOSED
    with open_session(project, time=2) as opened:
        opened.session.reject(12)
        opened.commit()
    assert statuses(project, "s:nuclei")[12] == Status.REJECTED


def test_which_time_points_there_are_is_said(project: Project) -> None:
    with pytest.raises(ReviewError, match=r"s:nuclei has time points 0 to 2; .* --time 0"):
        open_session(project, time=None)
    for wrong in (3, -1):
        with pytest.raises(ReviewError, match=f"--time {wrong}: .* 0 to 2"):
            open_session(project, time=wrong)
    with pytest.raises(UnknownFieldError, match="s:golgi, s:nuclei"):
        open_session(project, "s")
    with pytest.raises(ReviewError, match="0 to 0"):
        open_session(make_project(project.folder.parent / "one"), "s", time=1)


def test_each_class_and_time_point_has_its_draft(project: Project) -> None:
    with (
        open_session(project, time=0) as zero,
        open_session(project, time=1) as one,
        open_session(project, "s:golgi", time=1) as golgi,
    ):
        zero.session.reject(1)
        one.session.reject(11)
        golgi.session.accept(12)
    headers = [read_draft(opened.draft_file).header for opened in (zero, one, golgi)]
    assert [(h.field, h.class_name, h.time) for h in headers] == [
        ("s", "nuclei", 0),
        ("s", "nuclei", 1),
        ("s", "golgi", 1),
    ]
    inside = (project.folder / "drafts").resolve()
    assert all(o.draft_file.resolve().is_relative_to(inside) for o in (zero, one, golgi))
    one.draft_file.write_bytes(zero.draft_file.read_bytes())
    with pytest.raises(DraftError, match=r"expected a draft of s:nuclei t1, .* s:nuclei t0"):
        open_session(project, time=1)
    with open_session(project, time=0) as again:
        assert again.session.changes() == {"deleted": 1}


def test_the_person_sees_the_channels_that_show_the_class(project: Project) -> None:
    image = field()[0]
    with open_session(project) as opened:
        assert [(c.name, c.colour) for c in opened.channels] == [("dapi", "FFFFFF")]
        assert np.array_equal(opened.session.image, image + 1)
    with open_session(project, "s:golgi") as opened:
        assert [(c.name, c.colour) for c in opened.channels] == [
            ("dapi", "56B4E9"),
            ("gm130", "E69F00"),
        ]
        assert np.array_equal(opened.channels[1].voxels, image[::-1] // 2)
        mean = sum(c.voxels / c.voxels.std() for c in opened.channels) / 2
        assert opened.session.image == pytest.approx(mean, rel=1e-5)
