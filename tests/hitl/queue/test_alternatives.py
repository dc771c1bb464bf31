"""Other segmentations of a project's fields."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from hitl.prediction.predict import Predictor
from hitl.project.folder import Project
from hitl.project.reporter import Silent
from hitl.queue.alternatives import VIEWS, ViewedSegmenter, predictors
from models.classical import ClassicalSegmenter
from tests.hitl.fake_model import make_bench
from tests.hitl.queue.queue_project import FIELD, make_project


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    return make_project(tmp_path_factory.mktemp("queue"))


@pytest.mark.parametrize("view", VIEWS)
def test_a_view_is_turned_back(view: str) -> None:
    image = FIELD.image[:, :50]
    plain = ClassicalSegmenter(diameter_um=12.0)
    seen = ViewedSegmenter(plain, view).segment(image, FIELD.spacing_um).labels
    expected = plain.segment(image, FIELD.spacing_um).labels
    assert seen.shape == image.shape
    assert np.mean((seen > 0) == (expected > 0)) > 0.97
    assert ViewedSegmenter(plain, view).describe() != plain.describe()


def test_other_models_are_named_apart(project: Project) -> None:
    names = [predictor.name for predictor in predictors(project, Silent())]
    assert len(set(names)) == len(names)
    assert "classical" in names and "classical@fine" in names


def test_the_last_run_of_each_model_is_asked_and_the_last_of_all_in_every_view(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench = make_bench(tmp_path, monkeypatch)
    for name in ("fake-0001", "fake-0002"):
        bench.run(name)
    names = [predictor.name for predictor in predictors(bench.project, Silent())]
    assert "fake-0001" not in names
    assert [name for name in names if name.startswith("fake")] == [
        "fake-0002",
        *(f"fake-0002@{view}" for view in VIEWS),
    ]


def test_a_view_of_a_run_is_kept_apart_from_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench = make_bench(tmp_path, monkeypatch)
    bench.add("learn", "train", labelled=True)
    bench.run("fake-0001")
    run = Predictor(bench.project, "fake-0001", Silent())
    view = run.variant("flipped", lambda segmenter: ViewedSegmenter(segmenter, "flipped"))
    assert (run.name, view.name) == ("fake-0001", "fake-0001@flipped")
    assert run.fingerprint(bench.store, "learn") != view.fingerprint(bench.store, "learn")
    expected = run.segment(bench.store.labels("learn")).labels
    assert np.array_equal(view.segment(bench.store.labels("learn")).labels > 0, expected > 0)
