"""The report of a project with several classes and a series."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from hitl.project.folder import Project
from hitl.project.reporter import Silent
from hitl.report.requests import ReportRequest
from hitl.report.write import Written, write_report
from tests.hitl.class_fields import TIMES
from tests.hitl.report.classes_project import classes_project
from tests.hitl.report.tags import Tags


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Written:
    with pytest.MonkeyPatch.context() as patch:
        project = classes_project(tmp_path_factory.mktemp("classes"), patch)
        return write_report(project, ReportRequest(places=60), Silent())


@pytest.fixture(scope="module")
def data(written: Written) -> dict[str, Any]:
    read: dict[str, Any] = json.loads(written.json.read_text(encoding="utf-8"))
    return read


@pytest.fixture(scope="module")
def text(written: Written) -> str:
    return written.file.read_text(encoding="utf-8")


def test_scores_are_told_by_class(data: dict[str, Any], text: str, written: Written) -> None:
    scores = json.loads((written.file.parent / "evaluations" / "0001" / "scores.json").read_text())
    for one in data["models"]:
        assert set(one["classes"]) == set(scores["models"][one["model"]]["classes"])
        for name, mean in one["classes"].items():
            row = f'<tr><th scope="row">{one["model"]}</th><td>{name}</td>'
            assert f'{row}<td class="n">{mean["evaluation_score"]:.3f}</td>' in text
    assert Tags(text).open == []


def test_objects_are_listed_with_class_and_time_point(data: dict[str, Any]) -> None:
    tables = {table["name"]: table["values"] for table in data["tables"]}
    labels = tables["labels of the project"]
    rows = list(zip(labels["field"], labels["class"], labels["time"], labels["id"], strict=True))
    assert {row[:3] for row in rows} == {
        *((field, name, None) for field in ("learn", "tested") for name in ("nuclei", "g1", "g2")),
        *(("movie", "nuclei", time) for time in range(TIMES)),
    }
    for field, _, time, number in rows:
        assert field != "movie" or number // 100 == time
    scored = tables["scored: bright"]
    assert set(scored["class"]) == {"nuclei", "g1", "g2"}
    assert {t for f, t in zip(scored["field"], scored["time"], strict=True) if f == "movie"} == {
        *range(TIMES)
    }


def test_sizes_are_those_of_each_class(data: dict[str, Any]) -> None:
    assert list(data["sizes"]["labels"]) == ["g1", "g2", "nuclei"]
    assert sum(data["sizes"]["labels"]["g1"]["counts"]["accepted"]) == 36
    # The run in use learned one class: only that is compared.
    (scored,) = data["sizes"]["scored"].items()
    assert scored[0] == "nuclei" and set(scored[1]["counts"]) == {"truth", "prediction"}
    assert "Half of the true objects are larger than" in data["sentences"]["sizes"]


def test_pictures_are_of_their_time_point(written: Written) -> None:
    places = written.report.places
    assert not places.stale
    times = {place.case.field for place in places.shown if place.case.field.startswith("movie")}
    assert times == {f"movie t{time}" for time in range(TIMES)}
    for place in places.shown:
        assert place.true_voxels.any() == bool(place.case.truth_ids)
        # Bright where the objects of that class and time point are.
        if place.case.truth_ids:
            assert place.image[place.true_voxels].min() > 100


def test_where_fields_come_from_names_classes_channels_and_metadata(text: str) -> None:
    assert "<td>g1 in GFP; g2 in Cy3; nuclei in Hoechst</td>" in text
    assert "<td>condition drug, well B3</td>" in text
    assert "true nuclei" not in text.partition('id="glossary"')[0]


def test_a_project_of_nuclei_alone_never_meets_the_word_class(project: Project, tmp_path: Path):
    request = ReportRequest(output=tmp_path / "one.html", places=1)
    page = write_report(project, request, Silent()).file.read_text(encoding="utf-8")
    assert "Scores by class" not in page and "All nuclei" in page
    assert '["class","class","text"]' not in page
