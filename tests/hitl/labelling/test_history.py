"""The history verbs on a project."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from annotations.errors import LabelError, StoreError, UnknownRoundError, UnknownStackError
from annotations.rounds import RoundInfo
from hitl.labelling.history import blame_object, diff, gc, rollback
from hitl.labelling.propose import propose
from hitl.project.errors import NothingToDoError
from hitl.project.reporter import Silent
from tests.hitl.fake_model import Bench, make_bench


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    """Two rounds: proposals of all objects, then of the large ones, a little smaller."""
    made = make_bench(tmp_path, monkeypatch)
    made.add("learn", "train", labelled=False)
    propose(made.project, made.run("fake-0001"), (), Silent())
    propose(made.project, made.run("fake-0002", missing="small"), (), Silent())
    return made


def printed(table: object) -> str:
    out = io.StringIO()
    Console(file=out, width=200).print(table)
    return out.getvalue()


def test_diff_lists_stacks_counts_and_objects(bench: Bench) -> None:
    found = diff(bench.project, 0, 1)
    (stack,) = json.loads(json.dumps(found.to_dict()))["stacks"]
    entry = bench.store.rounds()[-1]
    assert stack["counts"]["deleted"] == entry.counts["learn"].deleted > 0
    assert {change["kind"] for change in stack["changes"]} == {"deleted"}
    assert stack["voxels"] == sum(change["lost"] for change in stack["changes"])
    text = printed(found.table())
    assert "deleted" in text
    assert f"round 0 to 1: {len(stack['changes'])} changes in 1 stacks" in text
    assert diff(bench.project, 1, 1).to_dict()["stacks"] == []


def test_blame_names_the_models_of_an_object(bench: Bench) -> None:
    gone = diff(bench.project, 0, 1).to_dict()["stacks"][0]["changes"][0]["before"][0]
    found = blame_object(bench.project, "learn", gone)
    changes = json.loads(json.dumps(found.to_dict()))["changes"]
    assert [(c["round"], c["what"], c["model"]) for c in changes] == [
        (0, ["added"], "fake-0001"),
        (1, ["deleted"], "fake-0002"),
    ]
    assert changes[0]["weights_sha256"] == f"{1:064x}"
    assert "model:fake-0002" in printed(found.table())


def test_rollback_says_what_it_took_back(bench: Bench) -> None:
    before = np.asarray(bench.store.stack("learn", round=0).labels[...])
    done = rollback(bench.project, 0, by="anna")
    np.testing.assert_array_equal(np.asarray(bench.store.stack("learn").labels[...]), before)
    assert bench.store.rounds()[-1].author == "anna"
    assert done.to_dict()["undone"] == [1]
    assert done.to_dict()["stacks"]["learn"]["added"] > 0
    assert "round 2 equals round 0; it takes back round 1" in done.sentence()
    assert "added" in printed(done.table())
    assert diff(bench.project, 0, 2).to_dict()["stacks"] == []


def test_gc_keeps_every_round(bench: Bench) -> None:
    before = [np.asarray(bench.store.stack("learn", round=n).labels[...]) for n in (0, 1)]
    assert gc(bench.project, dry_run=True).to_dict()["removed"] is False
    done = gc(bench.project)
    assert "freed 0.0 MB" in done.sentence()
    for number, labels in enumerate(before):
        now = np.asarray(bench.store.stack("learn", round=number).labels[...])
        np.testing.assert_array_equal(now, labels)


def test_bad_input_changes_nothing(bench: Bench) -> None:
    log = bench.store.log()
    with pytest.raises(UnknownRoundError, match="round 9"):
        diff(bench.project, 0, 9)
    with pytest.raises(UnknownRoundError, match="round -1"):
        rollback(bench.project, -1)
    with pytest.raises(NothingToDoError, match="round 1 is the last one"):
        rollback(bench.project, 1)
    with pytest.raises(UnknownStackError, match="did you mean 'learn'"):
        blame_object(bench.project, "lern", 1)
    with pytest.raises(LabelError, match="got 12345"):
        blame_object(bench.project, "learn", 12345)
    with pytest.raises(StoreError, match="age of 0 or more"):
        gc(bench.project, older_than_days=-1)
    assert bench.store.log() == log


def test_an_empty_project_has_nothing_to_take_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    empty = make_bench(tmp_path, monkeypatch)
    with pytest.raises(UnknownRoundError, match="none yet"):
        rollback(empty.project, 0)


def test_a_person_s_round_shows_the_verdicts(bench: Bench) -> None:
    person = RoundInfo(kind="correct", message="look", author="anna")
    with bench.store.begin_round(person) as round_:
        objects = round_.stack("learn").objects
        columns = objects.to_arrays()
        columns["status"] = np.ones(len(objects), np.uint8)
        round_.set_objects("learn", type(objects).from_arrays(columns))
    found = diff(bench.project, 1, 2)
    assert found.to_dict()["stacks"][0]["counts"]["accepted"] == len(objects)
    assert "proposed to accepted" in printed(found.table())
