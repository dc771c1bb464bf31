"""`propose`: one round that fills what nobody has verified."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from annotations.errors import UnknownFieldError
from annotations.objects import Status
from annotations.rounds import RoundInfo
from hitl.cli.console import plain
from hitl.cli.printing.labelling import proposed
from hitl.labelling.propose import propose
from hitl.project.errors import NothingToDoError, ProjectError
from hitl.project.reporter import Silent
from hitl.training.promote import promote
from tests.hitl.fake_model import Bench, make_bench


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    made = make_bench(tmp_path, monkeypatch)
    made.add("learn", "train", labelled=False)
    made.run("fake-0001")
    return made


def correct(bench: Bench) -> int:
    """Accept one object, delete another and mark its place as checked; return the first's id."""
    person = RoundInfo(kind="correct", message="correct", author="anna", minutes=1.0)
    with bench.store.begin_round(person) as round_:
        view = round_.labels("learn")
        labels, objects = np.asarray(view.labels[...]), view.objects
        kept, gone = objects.id[[0, 1]].tolist()
        verified = np.isin(labels, [kept, gone]).astype(np.uint8)
        rows = objects.select(np.isin(objects.id, [kept, gone])).to_arrays()
        rows["status"] = np.array([Status.ACCEPTED, Status.REJECTED])
        rows["origin"] = np.array(["person:anna"] * 2)
        labels[labels == gone] = 0
        round_.set_labels("learn", labels, objects.updated(type(objects).from_arrays(rows)))
        round_.write_verified("learn", np.s_[:, :, :], verified)
    return int(kept)


def test_a_round_of_proposals_says_what_it_did_and_with_which_weights(bench: Bench) -> None:
    done = propose(bench.project, "fake-0001", (), Silent())
    found = len(np.unique(bench.labels)) - 1
    (field,) = done.fields
    assert (done.round, field.found, field.added, field.deleted) == (0, found, found, 0)
    entry = bench.store.rounds()[-1]
    assert entry.kind == "propose"
    assert entry.author == "model:fake-0001"
    assert entry.model is not None
    assert entry.model.name == "fake-0001"
    assert entry.model.weights_sha256 == f"{1:064x}"
    assert entry.counts["learn:nuclei"].added == found
    view = bench.store.labels("learn")
    np.testing.assert_array_equal(np.asarray(view.labels[...]) > 0, bench.labels > 0)
    assert view.objects.counts()["proposed"] == found
    assert np.all(view.objects.confidence == 0.5)
    data, table = proposed(done)
    assert json.loads(json.dumps(plain(data)))["model"] == "fake-0001"
    assert table.title == "round 0, proposed by fake-0001"
    assert len(table.rows) == 1


def test_what_a_person_said_outlives_the_next_model(bench: Bench) -> None:
    propose(bench.project, "fake-0001", (), Silent())
    kept = correct(bench)
    before = bench.store.labels("learn")
    old, verified = np.asarray(before.labels[...]), np.asarray(before.verified[...])
    done = propose(bench.project, bench.run("fake-0002", shrink=1), ("learn",), Silent())
    after = bench.store.labels("learn")
    new = np.asarray(after.labels[...])
    np.testing.assert_array_equal(new[verified > 0], old[verified > 0])
    np.testing.assert_array_equal(np.asarray(after.verified[...]), verified)
    np.testing.assert_array_equal(new == kept, old == kept)
    judged = before.objects.status != Status.PROPOSED
    unchanged = after.objects.select(np.isin(after.objects.id, before.objects.id[judged]))
    assert unchanged.equals(before.objects.select(judged))
    (field,) = done.fields
    assert field.kept == 1
    assert (field.added, field.deleted, field.reshaped) != (0, 0, 0)
    assert field.added + field.reshaped + field.unchanged == after.objects.counts()["proposed"]


def test_the_same_model_again_changes_nothing(bench: Bench) -> None:
    propose(bench.project, "fake-0001", (), Silent())
    correct(bench)
    before = bench.store.labels("learn")
    rounds = len(bench.store.rounds())
    with pytest.raises(NothingToDoError, match="what fake-0001 proposes already, so no round"):
        propose(bench.project, "fake-0001", (), Silent())
    assert len(bench.store.rounds()) == rounds
    after = bench.store.labels("learn")
    np.testing.assert_array_equal(np.asarray(after.labels[...]), np.asarray(before.labels[...]))
    assert after.objects.equals(before.objects)


def test_ids_of_objects_that_went_are_not_given_again(bench: Bench) -> None:
    propose(bench.project, "fake-0001", (), Silent())
    first = set(bench.store.labels("learn").objects.id.tolist())
    propose(bench.project, bench.run("fake-0002", missing="small"), (), Silent())
    assert len(bench.store.labels("learn").objects) < len(first)
    propose(bench.project, "fake-0001", (), Silent())
    kept = first & set(bench.store.labels("learn").objects.id.tolist())
    came = set(bench.store.labels("learn").objects.id.tolist()) - first
    assert kept
    assert came
    assert min(came) > max(first)


def test_by_default_it_is_the_model_in_use_and_never_a_test_field(bench: Bench) -> None:
    bench.add("held", "test", labelled=True, seed=1)
    with pytest.raises(NothingToDoError, match=r"no run is promoted yet.*--model RUN"):
        propose(bench.project, None, (), Silent())
    promote(bench.project, "fake-0001", Silent(), force=True, why="first one")
    done = propose(bench.project, None, (), Silent())
    assert done.model == "fake-0001"
    assert [field.field for field in done.fields] == ["learn"]
    with pytest.raises(NothingToDoError, match="field held is of split test"):
        propose(bench.project, None, ("held",), Silent())


def test_a_segmenter_needs_no_run(bench: Bench) -> None:
    done = propose(bench.project, "bright", (), Silent())
    assert done.fields[0].added == len(np.unique(bench.labels)) - 1
    assert bench.store.rounds()[-1].author == "model:bright"


def test_bad_input_changes_nothing(bench: Bench, tmp_path: Path) -> None:
    propose(bench.project, "fake-0001", (), Silent())
    for name, fields, error, message in (
        ("fake-0009", (), ProjectError, "unknown run"),
        ("../fake-0001", (), ProjectError, "unknown run"),
        ("fake-0001", ("lern",), UnknownFieldError, "did you mean 'learn'"),
        (bench.run("fake-0002", missing="all"), (), NothingToDoError, "found no object in learn"),
    ):
        with pytest.raises(error, match=message):
            propose(bench.project, name, fields, Silent())
    assert len(bench.store.rounds()) == 1


def test_a_project_without_fields_says_how_to_add_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    empty = make_bench(tmp_path, monkeypatch)
    with pytest.raises(NothingToDoError, match="hitl add"):
        propose(empty.project, "bright", (), Silent())
