"""What a model got wrong: from an evaluation to the list that people read."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from annotations.errors import AnnotationError, UnknownFieldError
from annotations.rounds import RoundInfo
from hitl.cli import run
from hitl.cli.printing.queue import errors
from hitl.evaluation.evaluate import evaluate
from hitl.evaluation.metrics.taxonomy import PRED_KINDS, TRUTH_KINDS
from hitl.evaluation.requests import EvaluateRequest
from hitl.project.errors import NothingToDoError, ProjectError
from hitl.project.folder import Project
from hitl.project.reporter import Silent
from hitl.queue.model_errors import KINDS, list_errors
from hitl.review.session.field_errors import field_errors
from tests.hitl.fake_model import make_bench
from tests.hitl.queue.error_project import MODEL, error_project, evaluated, volumes
from tests.hitl.review.volumes import SPACING


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return error_project(tmp_path / "p")


def test_every_kind_is_there_with_ids_and_place(project: Project) -> None:
    found = list_errors(project, (), reporter=Silent())
    assert {m.kind: (m.truth_ids, m.pred_ids) for m in found.listed} == {
        "merged": ((2, 3), (102,)),
        "split": ((4,), (104, 105)),
        "missed": ((6,), ()),
        "spurious": ((), (108,)),
        "shifted": ((7,), (107,)),
    }
    truth, predicted = volumes()
    for error in found.listed:
        labels, ids = (truth, error.truth_ids) if error.truth_ids else (predicted, (108,))
        assert labels[error.position_zyx] in ids
        um = [at * step for at, step in zip(error.position_zyx, SPACING, strict=True)]
        assert list(error.position_um) == um
        assert error.field == "held"
    assert found.total == 5
    assert not found.stale


def test_the_most_wrong_comes_first(project: Project) -> None:
    found = list_errors(project, (), reporter=Silent())
    wrong = [m.wrong for m in found.listed]
    assert wrong == sorted(wrong, reverse=True)
    missed = next(m for m in found.listed if m.kind == "missed")
    spurious = next(m for m in found.listed if m.kind == "spurious")
    assert missed.wrong == spurious.wrong == 1
    assert "0.14 times the usual volume" in missed.why
    merged = next(m for m in found.listed if m.kind == "merged")
    # Full Dice 2/3 twice; in the box of either nucleus nothing is wrong.
    assert merged.wrong == pytest.approx(2 * (1 - (0.95 + 1.05 * 2 / 3) / 2), abs=1e-3)
    assert merged.why == "object 102 covers 2 nuclei"
    assert found.kinds["merged"] == (1, merged.wrong)
    assert sum(places for places, _ in found.kinds.values()) == found.total


def test_kinds_are_those_of_the_taxonomy() -> None:
    assert set(KINDS) == {*TRUTH_KINDS, *PRED_KINDS} - {"matched"}


def test_a_limit_and_a_kind_leave_the_counts_alone(project: Project) -> None:
    found = list_errors(project, (), reporter=Silent(), kinds=["missed", "merged"])
    assert [m.kind for m in found.listed] == ["missed", "merged"]
    assert found.total == 5
    (first,) = list_errors(project, (), reporter=Silent(), kinds=["merged"], limit=1).listed
    assert first.kind == "merged"


def test_the_best_model_is_taken_or_the_named_one(project: Project) -> None:
    assert list_errors(project, (), reporter=Silent()).found.model == MODEL
    perfect = list_errors(project, (), reporter=Silent(), model="other")
    assert perfect.total == 0
    assert "every nucleus is matched" in errors(perfect)[1]


def test_the_newest_evaluation_of_the_field_counts(project: Project) -> None:
    predicted = volumes()[1]
    evaluated(project, 2, "seen", {MODEL: predicted})
    assert list_errors(project, (), reporter=Silent()).found.number == "0002"
    assert list_errors(project, ("held",), reporter=Silent()).found.number == "0001"
    named = list_errors(project, (), reporter=Silent(), evaluation=1)
    assert named.found.number == "0001"
    assert not field_errors(project, "seen").read_only
    assert field_errors(project, "held").read_only
    assert np.array_equal(field_errors(project, "held").read_predicted(), predicted)
    assert field_errors(project, "held", "other").entries == ()


def test_what_is_not_there_is_said_with_the_command_that_makes_it(
    project: Project, tmp_path: Path
) -> None:
    with pytest.raises(NothingToDoError, match=r"seen; run `hitl evaluate PROJECT --split train`"):
        list_errors(project, ("seen",), reporter=Silent())
    with pytest.raises(UnknownFieldError, match="nowhere"):
        list_errors(project, ("nowhere",), reporter=Silent())
    with pytest.raises(NothingToDoError, match="hitl evaluate PROJECT --split test --model x-0001"):
        list_errors(project, (), reporter=Silent(), model="x-0001")
    with pytest.raises(NothingToDoError, match="--evaluation 9: there is none; there are: 0001"):
        list_errors(project, (), reporter=Silent(), evaluation=9)
    (project.folder / "evaluations" / "0001" / "scores.json").unlink()
    with pytest.raises(NothingToDoError, match="run `hitl evaluate PROJECT`"):
        list_errors(project, (), reporter=Silent())


@pytest.mark.parametrize(
    "damage",
    [
        lambda case: case.update(kind="eaten"),
        lambda case: case.update(centroid_zyx=[1, 2]),
        lambda case: case.update(centroid_zyx=[1, 2, "x"]),
        lambda case: case.pop("pred_ids"),
        lambda case: case.update(truth_ids=["<b>"]),
    ],
)
def test_a_damaged_evaluation_is_named(project: Project, damage) -> None:
    file = project.folder / "evaluations" / "0001" / "scores.json"
    read = json.loads(file.read_text())
    damage(read["models"][MODEL]["fields"]["held"]["cases"][0])
    file.write_text(json.dumps(read))
    with pytest.raises(ProjectError, match=r"scores.json.*run `hitl evaluate` again"):
        list_errors(project, (), reporter=Silent())


def test_an_evaluation_from_before_there_were_cases_is_named(project: Project) -> None:
    file = project.folder / "evaluations" / "0001" / "scores.json"
    read = json.loads(file.read_text())
    del read["models"][MODEL]["fields"]["held"]["cases"]
    file.write_text(json.dumps(read))
    with pytest.raises(ProjectError, match=r"0001.*run `hitl evaluate` again"):
        list_errors(project, (), reporter=Silent())


def test_a_name_that_leads_out_of_the_project_is_refused(project: Project) -> None:
    file = project.folder / "evaluations" / "0001" / "scores.json"
    file.write_text(file.read_text().replace(MODEL, "../../away"))
    with pytest.raises(ProjectError, match="away"):
        list_errors(project, (), reporter=Silent())


def test_changed_labels_are_told(project: Project) -> None:
    truth, _ = volumes()
    truth[2:6, 2:4, 2:10] = 0
    about = RoundInfo(kind="correct", message="cuts nucleus 1", author="person:test")
    with project.store(read_only=False).begin_round(about) as round_:
        round_.set_labels("held", truth, round_.labels("held").objects)
    told = Silent()
    found = list_errors(project, (), reporter=told)
    assert found.stale == ("held",)
    assert "run `hitl evaluate` again" in told.notes[0]
    assert field_errors(project, "held").read_predicted() is None


def test_a_prediction_that_is_gone_or_other_is_told(project: Project) -> None:
    file = project.folder / "predictions" / MODEL / "held.tif"
    other = project.folder / "predictions" / "other" / "held.tif"
    file.write_bytes(other.read_bytes())
    assert list_errors(project, (), reporter=Silent()).stale == ("held",)
    file.unlink()
    assert list_errors(project, (), reporter=Silent()).stale == ("held",)


def test_a_damaged_prediction_is_named(
    project: Project, capsys: pytest.CaptureFixture[str]
) -> None:
    (project.folder / "predictions" / MODEL / "held.tif").write_bytes(b"II*\0 and no more")
    assert run(["queue", str(project.folder), "--errors"]) == 1
    assert "held.tif" in capsys.readouterr().err.splitlines()[-1]
    # The window asks for it only when the errors are looked at.
    assert len(field_errors(project, "held").entries) == 5
    with pytest.raises(AnnotationError, match=r"held\.tif"):
        field_errors(project, "held").read_predicted()


def test_the_command_lists_them(project: Project, capsys: pytest.CaptureFixture[str]) -> None:
    folder = str(project.folder)
    assert run(["queue", folder, "--errors"]) == 0
    out = capsys.readouterr().out
    assert "errors of hand-0001 on held (evaluation 0001 of 2026-01-02, split test)" in out
    assert "object 102 covers 2 nuclei" in out
    assert "nothing is learned from test fields" in " ".join(out.split())
    assert run(["queue", folder, "--errors", "--kind", "split", "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    (only,) = printed["errors"]
    assert (only["kind"], only["truth_ids"], only["pred_ids"]) == ("split", [4], [104, 105])
    assert printed["kinds"].keys() == set(KINDS)
    assert (printed["model"], printed["split"], printed["notes"]) == (MODEL, "test", [])


def test_the_command_refuses_what_does_not_go_together(
    project: Project, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = str(project.folder)
    assert run(["queue", folder, "--model", MODEL]) == 2
    assert run(["queue", folder, "--errors", "--kind", "eaten"]) == 2
    assert run(["queue", folder, "--errors", "--field", "seen"]) == 1
    error = capsys.readouterr().err.splitlines()[-1]
    assert error.startswith("error: no evaluation has scored seen; run `hitl evaluate")


def test_what_evaluate_writes_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bench = make_bench(tmp_path, monkeypatch)
    bench.add("tested", "test", labelled=True, seed=1)
    bench.run("fake-0001", missing="small", spurious=3)
    done = evaluate(bench.project, EvaluateRequest(models=("bright", "fake-0001")), Silent())
    errors = done.models["fake-0001"].fields["tested"].errors
    told = Silent()
    found = list_errors(bench.project, (), reporter=told, model="fake-0001")
    assert {kind: places for kind, (places, _) in found.kinds.items()} == {
        kind: errors[kind] for kind in ("missed", "spurious")
    }
    assert errors["spurious"] == 3
    assert not told.notes, told.notes
