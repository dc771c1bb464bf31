"""The queue of a project."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from annotations.objects import Status
from annotations.rounds import RoundInfo
from hitl.cli.console import plain
from hitl.cli.printing.queue import queued
from hitl.labelling.bootstrap import bootstrap
from hitl.labelling.requests import BootstrapRequest
from hitl.project.config import parse_config
from hitl.project.errors import NothingToDoError
from hitl.project.folder import Project
from hitl.project.reporter import Silent
from hitl.queue.build import build_queue
from hitl.queue.entries import QueueOptions
from hitl.queue.kept import FOLDER
from models.classical import ClassicalSegmenter
from tests.hitl.queue.queue_project import make_project


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    return make_project(tmp_path_factory.mktemp("queue"))


@pytest.fixture(scope="module")
def bootstrapped(project: Project) -> Project:
    bootstrap(project, BootstrapRequest(fields=("open",)), Silent())
    return project


def test_the_queue_of_a_project(bootstrapped: Project) -> None:
    found = build_queue(bootstrapped, (), 10, Silent())
    assert {entry.time for entry in found.entries} == {None}
    assert len(found.entries) == 10 and found.open > 10
    assert {entry.field for entry in found.entries} == {"open"}, "known is verified, held is test"
    assert [entry.chosen for entry in found.entries].count("random") == 1
    assert found.rest == found.open - 9
    labels = np.asarray(bootstrapped.store().labels("open").labels[...])
    for entry in found.entries:
        at = labels[entry.position_zyx]
        assert at == entry.id if entry.id is not None else at == 0
        assert entry.confidence is None or 0 <= entry.confidence <= 1
    data, table = queued(found)
    assert json.loads(json.dumps(plain(data), allow_nan=False))["entries"][0]["rank"] == 1
    assert len(table.rows) == 10
    assert build_queue(bootstrapped, ("open",), 10, Silent()).entries == found.entries


def test_segmentations_are_made_once(
    bootstrapped: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    every = build_queue(bootstrapped, (), None, Silent())
    assert len(every.entries) == every.open and every.rest == 0
    shutil.rmtree(bootstrapped.folder / FOLDER)
    monkeypatch.setattr(ClassicalSegmenter, "segment", None)
    assert build_queue(bootstrapped, (), None, Silent()).entries == every.entries


def test_accepted_objects_leave_the_queue(bootstrapped: Project) -> None:
    before = build_queue(bootstrapped, (), None, Silent())
    first = next(entry for entry in before.entries if entry.id is not None)
    about = RoundInfo(kind="correct", message="accepts one", author="person:test")
    with bootstrapped.store(read_only=False).begin_round(about) as round_:
        view = round_.labels("open")
        columns = view.objects.to_arrays()
        chosen = columns["id"] == first.id
        columns["status"] = np.where(chosen, int(Status.ACCEPTED), columns["status"])
        round_.set_objects("open", type(view.objects).from_arrays(columns))
    after = build_queue(bootstrapped, (), None, Silent())
    assert first.id not in {entry.id for entry in after.entries}
    assert after.open == before.open - 1
    assert after.round == before.round + 1


def test_the_share_can_be_changed(bootstrapped: Project) -> None:
    none = build_queue(bootstrapped, (), 6, Silent(), QueueOptions(random_share=0))
    assert all(entry.chosen == "expected error" for entry in none.entries)
    half = build_queue(bootstrapped, (), 6, Silent(), QueueOptions(random_share=0.5))
    assert sum(entry.chosen == "random" for entry in half.entries) == 3


def test_without_labels_there_is_no_queue(tmp_path: Path) -> None:
    empty = Project.create(tmp_path / "empty", parse_config({}))
    with pytest.raises(NothingToDoError, match="hitl bootstrap"):
        build_queue(empty, (), None, Silent())


def test_what_people_labelled_has_nothing_left(project: Project) -> None:
    with pytest.raises(NothingToDoError, match="nothing is left"):
        build_queue(project, ("known",), None, Silent())
    with pytest.raises(NothingToDoError, match="limit"):
        build_queue(project, ("known",), 0, Silent())
