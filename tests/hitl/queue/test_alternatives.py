"""Other segmentations of a project's fields."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from annotations.fields import ClassInfo
from hitl.prediction.predictor import Predictor
from hitl.project.folder import Project
from hitl.project.processing import PostprocessConfig
from hitl.project.reporter import Silent
from hitl.queue.alternatives import VIEWS, Alternatives, ViewedSegmenter
from models.classical import ClassicalSegmenter
from tests.annotations.store_sources import ArraySource
from tests.hitl.fake_model import make_bench
from tests.hitl.queue.queue_project import FIELD, make_project


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    return make_project(tmp_path_factory.mktemp("queue"))


@pytest.mark.parametrize("view", VIEWS)
def test_a_view_is_turned_back(view: str) -> None:
    image = FIELD.image[None, :, :50]
    plain = ClassicalSegmenter(diameter_um=12.0)
    seen = ViewedSegmenter(plain, view).segment(image, FIELD.spacing_um).labels
    expected = plain.segment(image, FIELD.spacing_um).labels
    assert seen.shape == image.shape[1:]
    assert np.mean((seen > 0) == (expected > 0)) > 0.97
    assert ViewedSegmenter(plain, view).describe() != plain.describe()


def test_other_models_are_named_apart(project: Project) -> None:
    names = [way.name for way in Alternatives(project, Silent()).ways("nuclei")]
    assert len(set(names)) == len(names)
    assert "classical" in names and "classical@fine" in names


def test_the_last_run_of_each_model_is_asked_and_the_last_of_all_in_every_view(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench = make_bench(tmp_path, monkeypatch)
    for name in ("fake-0001", "fake-0002"):
        bench.run(name)
    names = [way.name for way in Alternatives(bench.project, Silent()).ways("nuclei")]
    assert "fake-0001" not in names
    assert [name for name in names if name.startswith("fake")] == [
        "fake-0002",
        *(f"fake-0002@{view}" for view in VIEWS),
    ]


def test_a_run_is_asked_about_the_classes_that_it_learned(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench = make_bench(tmp_path, monkeypatch)
    bench.run("fake-0001")
    found = Alternatives(bench.project, Silent())
    names = [way.name for way in found.ways("golgi")]
    assert not [name for name in names if name.startswith("fake")]
    assert "classical@flipped" in names and "bright" in names
    assert found.settings("golgi") != found.settings("nuclei")


def test_settings_follow_the_config_and_the_runs_and_load_no_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench = make_bench(tmp_path, monkeypatch)
    bench.run("fake-0001")
    monkeypatch.setattr("hitl.queue.alternatives.Predictor", None)

    def settings(**config: object) -> str:
        changed = replace(bench.project, config=bench.project.config.model_copy(update=config))
        return Alternatives(changed, Silent()).settings("nuclei")

    before = settings()
    assert settings() == before
    assert settings(segmenters={"classical": {"level": 0.4}}) != before
    assert settings(postprocess=PostprocessConfig(min_area_px=3)) != before
    (bench.project.runs_folder / "fake-0001" / "faults.json").write_text('{"shrink": 1}')
    assert settings() != before


def test_a_segmenter_of_one_channel_is_not_asked_about_several(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench = make_bench(tmp_path, monkeypatch)
    image = np.stack([FIELD.image[:4, :16, :16]] * 3)
    colours = ClassInfo(name="nuclei", seen=(0, 1, 2))
    bench.store.add_field("rgb", ArraySource(image), classes=(colours,))
    told = Silent()
    found = Alternatives(bench.project, told)
    monkeypatch.setattr(ClassicalSegmenter, "segment", None)
    others = found.segmentations(bench.store.labels("rgb"))
    # The one of the test says nothing of channels.
    assert list(others) == ["bright"] and told.notes == []
    assert found.segmentations(bench.store.labels("rgb"), "bright") == {}
    assert "nothing else segments its 3 channels" in told.notes[0]


def test_a_view_of_a_run_is_kept_apart_from_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench = make_bench(tmp_path, monkeypatch)
    bench.add("learn", "train", labelled=True)
    bench.run("fake-0001")
    run = Predictor(bench.project, "fake-0001", Silent())
    view = run.variant("flipped", lambda segmenter: ViewedSegmenter(segmenter, "flipped"))
    assert (run.name, view.name) == ("fake-0001", "fake-0001@flipped")
    info = bench.store.labels("learn").info
    assert run.fingerprint(info) != view.fingerprint(info)
    expected = run.segment(bench.store.labels("learn")).labels
    assert np.array_equal(view.segment(bench.store.labels("learn")).labels > 0, expected > 0)
