"""The report's figures as JSON, and its sentences."""

from __future__ import annotations

import json
from typing import Any

import pytest

from hitl.project.folder import Project
from tests.hitl.report.report_project import HOSTILE


def test_the_json_holds_the_figures_of_the_page(project: Project, written: Any) -> None:
    data = json.loads(written.json.read_text(encoding="utf-8"))
    scores = json.loads((project.folder / "evaluations/0001/scores.json").read_text())
    for one in data["models"]:
        assert one["mean"] == scores["models"][one["model"]]["mean"]
    (labels,) = [table for table in data["tables"] if table["name"] == "labels of the project"]
    assert len(labels["values"]["id"]) == len(labels["values"]["volume"]) == 72
    assert [point["run"] for point in data["progress"]] == ["fake-0001", "fake-0002"]
    assert data["progress"][0]["work"]["objects"] == 0
    assert data["progress"][1]["work"]["minutes"] == data["work"]["minutes"] == 19.5
    assert [found["author"] for found in data["rounds"]][1:] == [HOSTILE, "bela"]
    assert data["curves"]["fake-0001"][2]["val_loss"] == 0.9


def test_what_is_said_follows_from_the_figures(written: Any) -> None:
    data = json.loads(written.json.read_text(encoding="utf-8"))
    best = max(data["models"], key=lambda one: one["mean"]["evaluation_score"])
    assert data["sentences"]["scores"].startswith(f"{best['model']} has the highest")
    (gain,) = data["gains"]
    assert f"{gain['difference']:+.3f}" in data["sentences"]["progress"]
    assert gain["per_hour"] == pytest.approx(gain["difference"] / (19.5 / 60))
