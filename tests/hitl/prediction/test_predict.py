"""Predictions of classes and time points: what a model sees, what is written, what is kept."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import yaml

from annotations.fields import ClassInfo
from annotations.formats import open_labels, write_image_tiff
from hitl.prediction.files import segment_file
from hitl.prediction.predict import cached_prediction, predict
from hitl.prediction.predictor import Predictor
from hitl.prediction.requests import SegmentRequest
from hitl.project.errors import NothingToDoError, ProjectError, UsageError
from hitl.project.folder import Project
from hitl.project.reporter import Silent
from tests.annotations.store_sources import ArraySource
from tests.hitl.class_fields import NAMES, TIMES, add_classes, add_series, class_scenes
from tests.hitl.fake_model import SHAPE, Bench, BrightSegmenter, make_bench, scene


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    return make_bench(tmp_path, monkeypatch)


def same(found: np.ndarray, truth: np.ndarray) -> bool:
    """Whether two label images differ in their ids alone."""
    pairs = np.unique(np.stack([found.ravel(), truth.ravel()]), axis=1)
    return len(np.unique(pairs[0])) == len(np.unique(pairs[1])) == pairs.shape[1]


def test_a_file_for_each_class_holds_what_its_channel_shows(bench: Bench, tmp_path: Path) -> None:
    add_classes(bench, "f1", "train", labelled=())
    _, truth = class_scenes(0)
    done = predict(bench.project, "bright", (), tmp_path / "out", Silent())
    assert set(done.files) == {f"f1:{name}" for name in NAMES}
    for name in NAMES:
        assert Path(done.files[f"f1:{name}"]) == tmp_path / "out" / f"f1~{name}.tif"
        with open_labels(tmp_path / "out" / f"f1~{name}.tif") as file:
            assert same(file.read(0, SHAPE[0]), truth[name])
        assert done.objects[f"f1:{name}"] == len(np.unique(truth[name])) - 1


def test_a_series_is_one_file_whose_ids_are_not_those_of_another_time(bench: Bench) -> None:
    add_series(bench, "movie", "train", labelled=False)
    done = predict(bench.project, "bright", (), None, Silent())
    with open_labels(Path(done.files["movie"])) as file:
        assert (file.shape, file.times) == ((TIMES * SHAPE[0], *SHAPE[1:]), TIMES)
        planes = file.read(0, file.shape[0])
    frames = np.split(planes, TIMES)
    ids = [set(np.unique(frame)[1:].tolist()) for frame in frames]
    assert len(set.union(*ids)) == sum(map(len, ids)) == done.objects["movie"]
    view = bench.project.store().labels("movie")
    predictor = Predictor(bench.project, "bright", Silent())
    np.testing.assert_array_equal(cached_prediction(bench.project, predictor, view), planes)
    for time, frame in enumerate(frames):
        found = cached_prediction(bench.project, predictor, view.at(time))
        np.testing.assert_array_equal(found, frame)
        assert same(found, scene(10 + time)[1])


def test_one_time_point_is_read_from_the_prediction_of_all(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_series(bench, "movie", "train", labelled=False)
    view = bench.project.store().labels("movie")
    predictor = Predictor(bench.project, "bright", Silent())
    first = cached_prediction(bench.project, predictor, view.at(2))
    monkeypatch.setattr(BrightSegmenter, "segment", lambda *_, **__: pytest.fail("again"))
    np.testing.assert_array_equal(cached_prediction(bench.project, predictor, view.at(2)), first)
    assert cached_prediction(bench.project, predictor, view.at(0)).any()


def test_an_area_is_one_object(bench: Bench) -> None:
    image, labels = scene()
    frames = np.stack([image, scene(1)[0]])[:, None]
    bone = (ClassInfo(name="bone", kind="area"),)
    bench.store.add_field("f1", ArraySource(frames), classes=bone)
    done = predict(bench.project, "bright", (), None, Silent())
    with open_labels(Path(done.files["f1"])) as file:
        planes = file.read(0, file.shape[0])
    np.testing.assert_array_equal(planes[: SHAPE[0]], labels > 0)
    assert (set(np.unique(planes)), done.objects["f1"]) == ({0, 1}, 1)


def test_a_prediction_depends_on_class_channels_and_its_steps(bench: Bench) -> None:
    add_classes(bench, "f1", "train", labelled=())
    infos = {info.class_name: info for info in bench.project.store().all_labels()}
    predictor = Predictor(bench.project, "bright", Silent())
    prints = {name: predictor.fingerprint(info) for name, info in infos.items()}
    assert len(set(prints.values())) == len(NAMES)
    config = yaml.safe_load((bench.project.folder / "hitl.yaml").read_text())
    config["classes"] = {"g1": {"preprocess": [{"step": "median", "size": 3}]}, "g2": {}}
    (bench.project.folder / "hitl.yaml").write_text(yaml.safe_dump(config))
    changed = Predictor(Project.open(bench.project.folder), "bright", Silent())
    again = {name: changed.fingerprint(info) for name, info in infos.items()}
    assert {name for name in NAMES if again[name] != prints[name]} == {"g1"}


def test_a_run_keeps_the_steps_that_it_was_trained_with(bench: Bench) -> None:
    """Of g1 it saw images at a tenth of their brightness, in which nothing is bright."""
    add_classes(bench, "f1", "train", labelled=())
    run = bench.run("fake-0001", ("g1", "g2"))
    file = bench.project.runs_folder / run / "config.yaml"
    config = yaml.safe_load(file.read_text())
    config["preprocess"]["g1"] = [{"step": "gamma", "gamma": 8.0}]
    file.write_text(yaml.safe_dump(config))
    done = predict(bench.project, run, (), None, Silent())
    assert set(done.objects) == {"f1:g1", "f1:g2"}
    assert done.objects["f1:g1"] < done.objects["f1:g2"]


def test_a_file_is_preprocessed_as_the_class_that_is_named(bench: Bench, tmp_path: Path) -> None:
    """Without one a run whose classes were preprocessed in unlike ways is not guessed from."""
    image, labels = scene(0)
    write_image_tiff(tmp_path / "one.tif", image, (2.0, 0.5, 0.5))
    run = bench.run("fake-0001", ("g1", "g2"))
    folder = bench.project.runs_folder / run
    about = {"image": tmp_path / "one.tif", "run_folder": folder, "overwrite": True}
    request = SegmentRequest(output=tmp_path / "found.tif", **about)
    count = len(np.unique(labels)) - 1
    assert segment_file(request, Silent()).objects == count, "both are preprocessed in one way"
    config = yaml.safe_load((folder / "config.yaml").read_text())
    config["preprocess"]["g1"] = [{"step": "gamma", "gamma": 8.0}]
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    assert segment_file(replace(request, class_name="g2"), Silent()).objects == count
    assert segment_file(replace(request, class_name="g1"), Silent()).objects < count
    for name, said in ((None, "got none; name one with --class"), ("g3", "g1, g2, got 'g3'")):
        with pytest.raises(ProjectError, match=said):
            segment_file(replace(request, class_name=name), Silent())
    with pytest.raises(UsageError, match="give the run with --model"):
        SegmentRequest(image=tmp_path / "one.tif", output=tmp_path / "o.tif", class_name="g1")


def test_a_run_segments_the_classes_that_it_was_trained_on(bench: Bench) -> None:
    add_classes(bench, "f1", "train", labelled=())
    said = Silent()
    run = bench.run("fake-0001", ("g1",))
    assert set(predict(bench.project, run, (), None, said).files) == {"f1:g1"}
    assert "fake-0001 was trained on g1, not on g2: left out" in said.notes
    with pytest.raises(NothingToDoError, match="trained on g1, not on g2: name another model"):
        predict(bench.project, run, ("f1:g2",), None, Silent())
    # Who names the class gets it.
    assert set(predict(bench.project, run, (), None, Silent(), ("g2",)).files) == {"f1:g2"}
    two = bench.run("fake-0002", ("g1",), channels=2)
    with pytest.raises(NothingToDoError, match="trained on 2 channels, g1 is seen in 1"):
        predict(bench.project, two, ("f1:g1",), None, Silent())
    other = bench.run("fake-0003", ("cytoplasm",))
    with pytest.raises(NothingToDoError, match="trained on cytoplasm, not on g1"):
        predict(bench.project, other, (), None, Silent())
