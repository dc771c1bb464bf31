"""A model's errors in a field of several classes and time points."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from annotations.errors import UnknownFieldError
from annotations.fields import ClassInfo
from hitl.cli import run
from hitl.evaluation.results import find_evaluated, read_scored
from hitl.project.config import ProjectConfig
from hitl.project.errors import NothingToDoError
from hitl.project.folder import Project
from hitl.project.reporter import Silent
from hitl.queue.model_errors import list_errors
from hitl.review.session.field_errors import field_errors
from tests.annotations.store_sources import ArraySource
from tests.hitl.queue.error_project import MODEL, evaluated, volumes
from tests.hitl.review.volumes import SPACING

DEPTH = 8


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """Field ``s``: every kind of error at the second time point of ``golgi``, none elsewhere."""
    made = Project.create(tmp_path / "p", ProjectConfig())
    truth, predicted = volumes()
    planes = np.concatenate([truth, truth])
    image = (100 * (truth > 0) + 10).astype(np.uint8)
    source = ArraySource(np.stack([image[None], image[None] + 1]))
    source.info = replace(source.info, spacing_um=SPACING)
    classes = (ClassInfo(name="nuclei"), ClassInfo(name="golgi"))
    labels = {"nuclei": planes, "golgi": planes}
    made.store(read_only=False).add_field("s", source, classes=classes, split="test", labels=labels)
    evaluated(made, 1, "s:golgi", {MODEL: np.concatenate([truth, predicted])})
    return made


def test_errors_say_class_and_time_point(project: Project) -> None:
    found = list_errors(project, (), reporter=Silent())
    assert list(found.found.fields) == ["s:golgi t0", "s:golgi t1"]
    assert {(e.field, e.time) for e in found.listed} == {("s:golgi", 1)}
    assert found.total == 5
    truth, predicted = volumes()
    for error in found.listed:
        labels, ids = (truth, error.truth_ids) if error.truth_ids else (predicted, (108,))
        assert labels[error.position_zyx] in ids
    assert list_errors(project, ("s",), reporter=Silent()).listed == found.listed
    assert list_errors(project, (), classes=("golgi",), reporter=Silent()).listed == found.listed


def test_what_was_not_scored_is_told(project: Project) -> None:
    with pytest.raises(NothingToDoError, match="no evaluation has scored s:nuclei; run"):
        list_errors(project, ("s:nuclei",), reporter=Silent())
    with pytest.raises(NothingToDoError, match="no evaluation has scored these classes"):
        list_errors(project, (), classes=("nuclei",), reporter=Silent())
    with pytest.raises(UnknownFieldError, match="bone"):
        list_errors(project, (), classes=("bone",), reporter=Silent())


def test_a_model_that_scored_the_field_is_shown(project: Project) -> None:
    (file,) = project.evaluation_files()
    read = json.loads(file.read_text())
    (scores,) = read["models"].values()
    # The best of all has scored another class.
    other = {"s:nuclei t0": scores["fields"]["s:golgi t0"]}
    read["models"]["best-0001"] = {"mean": {"evaluation_score": 1.0}, "fields": other}
    file.write_text(json.dumps(read))
    assert find_evaluated(project, (), None, None).model == "best-0001"
    assert find_evaluated(project, ("s:golgi",), None, None).model == MODEL
    assert list(find_evaluated(project, ("s",), "best-0001", None).fields) == ["s:nuclei t0"]


def test_the_window_gets_one_time_point(project: Project) -> None:
    assert field_errors(project, "s:golgi", time=0).entries == ()
    found = field_errors(project, "s:golgi", time=1)
    assert len(found.entries) == 5 and found.read_only
    predicted = found.read_predicted()
    assert predicted is not None and np.array_equal(predicted, volumes()[1])


def test_another_prediction_or_time_point_is_not_what_was_scored(project: Project) -> None:
    found = find_evaluated(project, (), None, None)
    scored = read_scored(project, found, "s:golgi t1")
    assert scored is not None and scored.truth.shape[0] == DEPTH
    for gone in ("s:golgi t2", "s:golgi", "s t0", "elsewhere"):
        of_gone = replace(found, fields={gone: {"objects": []}})
        assert read_scored(project, of_gone, gone) is None


def test_the_command_shows_the_time_point(
    project: Project, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["queue", str(project.folder), "--errors", "--class", "golgi"]) == 0
    out = " ".join(capsys.readouterr().out.split())
    assert "field time error nuclei" in out
    assert "hitl correct PROJECT s:golgi --time 1 --errors" in out
