"""The verbs on a project's history, as people type them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from annotations.rounds import RoundInfo
from hitl.cli import run
from hitl.labelling.propose import propose
from hitl.labelling.rollback import rollback
from hitl.project.reporter import Silent
from tests.hitl.fake_model import Bench, make_bench

Said = Callable[..., str]


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    """Two rounds: proposals of all objects, then of the large ones, a little smaller."""
    made = make_bench(tmp_path, monkeypatch)
    made.add("learn", "train", labelled=False)
    propose(made.project, made.run("fake-0001"), (), Silent())
    propose(made.project, made.run("fake-0002", missing="small"), (), Silent())
    return made


@pytest.fixture
def said(bench: Bench, capsys: pytest.CaptureFixture[str]) -> Said:
    """Run a verb on the project and give what it prints, or its error when it is refused."""

    def call(verb: str, *arguments: object, code: int = 0) -> str:
        capsys.readouterr()
        assert run([verb, str(bench.project.folder), *map(str, arguments)]) == code
        printed = capsys.readouterr()
        return printed.err if code else printed.out

    return call


def data(said: Said, *arguments: object) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(said(*arguments, "--json"))
    return found


def test_diff_lists_fields_counts_and_objects(bench: Bench, said: Said) -> None:
    found = data(said, "diff", 0, 1)
    assert (found["a"], found["b"]) == (0, 1)
    assert found["added_fields"] == found["removed_fields"] == []
    (field,) = found["fields"]
    entry = bench.store.rounds()[-1]
    assert field["counts"]["deleted"] == entry.counts["learn:nuclei"].deleted > 0
    # The other model found the large ones just so: they are told as its own.
    assert {change["kind"] for change in field["changes"]} == {"deleted", "rated"}
    assert field["voxels"] == sum(change["lost"] for change in field["changes"])
    text = said("diff", 0, 1)
    assert "deleted" in text
    assert f"round 0 to 1: {len(field['changes'])} changes in 1 field" in text
    assert said("diff") == said("diff", 0) == text
    assert data(said, "diff", 1, 1)["fields"] == []


def test_blame_names_the_models_of_an_object(said: Said) -> None:
    gone = data(said, "diff", 0, 1)["fields"][0]["changes"][0]["before"][0]
    changes = data(said, "blame", "learn", gone)["changes"]
    assert [(c["round"], c["what"], c["model"]) for c in changes] == [
        (0, ["added"], "fake-0001"),
        (1, ["deleted"], "fake-0002"),
    ]
    assert changes[0]["weights_sha256"] == f"{1:064x}"
    assert "model:fake-0002" in said("blame", "learn", gone)


def test_rollback_says_what_it_took_back(bench: Bench, said: Said) -> None:
    before = np.asarray(bench.store.labels("learn", round=0).labels[...])
    done = data(said, "rollback", 0)
    np.testing.assert_array_equal(np.asarray(bench.store.labels("learn").labels[...]), before)
    assert done["undone"] == [1]
    assert done["fields"]["learn"]["added"] > 0
    assert data(said, "diff", 0, 2)["fields"] == []
    text = said("rollback", 1)
    assert "round 3 equals round 1; it takes back round 2" in text
    assert "added" in text
    rollback(bench.project, 0, by="anna")
    assert bench.store.rounds()[-1].author == "anna"


def test_gc_keeps_every_round(bench: Bench, said: Said) -> None:
    before = [np.asarray(bench.store.labels("learn", round=n).labels[...]) for n in (0, 1)]
    assert data(said, "gc", "--dry-run")["removed"] is False
    assert "freed 0.0 MB" in said("gc")
    for number, labels in enumerate(before):
        now = np.asarray(bench.store.labels("learn", round=number).labels[...])
        np.testing.assert_array_equal(now, labels)


def test_bad_input_changes_nothing(bench: Bench, said: Said) -> None:
    log = bench.store.log()
    assert "round 9" in said("diff", 0, 9, code=1)
    assert "got '-1'" in said("rollback", "--", -1, code=2)
    assert "round 1 is the last one" in said("rollback", 1, code=1)
    assert "did you mean 'learn'" in said("blame", "lern", 1, code=1)
    assert "got 12345" in said("blame", "learn", 12345, code=1)
    assert "--older-than-days" in said("gc", "--older-than-days", -1, code=2)
    assert bench.store.log() == log


def test_an_empty_project_has_nothing_to_take_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    empty = make_bench(tmp_path, monkeypatch)
    assert run(["rollback", str(empty.project.folder), "0"]) == 1
    assert "none yet" in capsys.readouterr().err


def test_a_person_s_round_shows_the_verdicts(bench: Bench, said: Said) -> None:
    person = RoundInfo(kind="correct", message="look", author="anna")
    with bench.store.begin_round(person) as round_:
        objects = round_.labels("learn").objects
        columns = objects.to_arrays()
        columns["status"] = np.ones(len(objects), np.uint8)
        round_.set_objects("learn", type(objects).from_arrays(columns))
    assert data(said, "diff", 1, 2)["fields"][0]["counts"]["accepted"] == len(objects)
    text = " ".join(said("diff", 1, 2).split())
    assert "proposed to" in text and "accepted" in text
