"""What a project keeps of its evaluations."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from hitl.evaluation.metrics.taxonomy import PRED_KINDS, TRUTH_KINDS
from hitl.evaluation.results import (
    ERROR_KINDS,
    best_model,
    find_evaluated,
    read_cases,
    read_scored,
    shown_model,
)
from hitl.project.errors import NothingToDoError, ProjectError
from hitl.project.folder import Project, write_json
from hitl.project.ranking import read_evaluations
from hitl.project.runs import IN_USE
from tests.hitl.queue.error_project import MODEL, error_project, evaluated, volumes


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return error_project(tmp_path / "p")


def test_kinds_are_those_of_the_taxonomy() -> None:
    assert set(ERROR_KINDS) == {*TRUTH_KINDS, *PRED_KINDS} - {"matched"}


def test_evaluations_are_read_oldest_first_with_their_numbers(project: Project) -> None:
    assert Project.create(project.folder.parent / "new", project.config).evaluation_files() == []
    evaluated(project, 2, "seen", {MODEL: volumes()[1]})
    assert [(e["number"], e["split"]) for e in read_evaluations(project)] == [
        ("0001", "test"),
        ("0002", "train"),
    ]


def test_the_model_in_use_is_shown_else_the_best(project: Project) -> None:
    (evaluation,) = read_evaluations(project)
    assert shown_model(project, evaluation) == best_model(evaluation) == MODEL
    write_json(project.folder / IN_USE, {"run": "other", "history": []})
    assert shown_model(project, evaluation) == "other"
    write_json(project.folder / IN_USE, {"run": "elsewhere-0001", "history": []})
    assert shown_model(project, evaluation) == MODEL


def test_the_newest_evaluation_that_has_the_fields_and_the_model_is_found(
    project: Project,
) -> None:
    evaluated(project, 2, "seen", {MODEL: volumes()[1]})
    assert find_evaluated(project, (), None, None).number == "0002"
    assert find_evaluated(project, ("held",), None, None).number == "0001"
    assert find_evaluated(project, (), "other", None).number == "0001"
    assert list(find_evaluated(project, (), None, 1).fields) == ["held"]
    with pytest.raises(NothingToDoError, match="no evaluation has scored seen, held"):
        find_evaluated(project, ("seen", "held"), None, None)
    with pytest.raises(NothingToDoError, match="x-0001 is in no evaluation of held"):
        find_evaluated(project, ("held",), "x-0001", None)


def test_cases_come_with_the_nuclei_that_they_are_about(project: Project) -> None:
    nuclei, cases = read_cases(find_evaluated(project, (), None, None), "held")
    truth, _ = volumes()
    assert {i: n.volume_voxels for i, n in nuclei.items()} == {
        i: int(np.sum(truth == i)) for i in np.unique(truth[truth > 0]).tolist()
    }
    by_kind = {case.kind: case for case in cases}
    assert set(by_kind) == {*ERROR_KINDS, "matched"}
    assert [n.id for n in by_kind["merged"].nuclei] == [2, 3]
    assert by_kind["matched"].wrong == 0
    assert (by_kind["spurious"].wrong, by_kind["spurious"].iou, by_kind["spurious"].score) == (
        1,
        None,
        None,
    )
    assert by_kind["missed"].volume_voxels == int(np.sum(truth == 6))


def test_a_damaged_case_is_named(project: Project) -> None:
    (file,) = project.evaluation_files()
    read = json.loads(file.read_text())
    del read["models"][MODEL]["fields"]["held"]["objects"][0]["best_id"]
    file.write_text(json.dumps(read))
    with pytest.raises(ProjectError, match=r"0001/scores.json.*run `hitl evaluate` again"):
        read_cases(find_evaluated(project, (), None, None), "held")


def test_what_was_scored_is_read_while_it_is_the_same(project: Project) -> None:
    found = find_evaluated(project, (), None, None)
    scored = read_scored(project, found, "held")
    assert scored is not None
    for kept, made in zip((scored.truth, scored.predicted), volumes(), strict=True):
        assert np.array_equal(kept, made)
    (project.folder / "predictions" / MODEL / "held.tif").unlink()
    assert read_scored(project, found, "held") is None
