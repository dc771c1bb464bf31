"""Three channels with a class each, and a series of three time points, through the verbs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import yaml

from annotations.formats import open_labels, write_image_tiff, write_labels_tiff
from hitl.cli import run
from hitl.project.folder import Project
from models.registry import MODELS
from tests.hitl.class_fields import CHANNELS, NAMES, TIMES, class_scenes
from tests.hitl.fake_model import SEGMENTER, SHAPE, scene

SPACING = (2.0, 1.0, 1.0)
COUNT = len(np.unique(scene()[1])) - 1
Command = Callable[..., dict[str, Any]]


@pytest.fixture
def project(tmp_path: Path, command: Command, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project whose segmenter finds all that is bright."""
    monkeypatch.setitem(MODELS, "bright", SEGMENTER)
    config = tmp_path / "config.yaml"
    classes = {name: {"channels": [c]} for name, c in zip(NAMES, CHANNELS, strict=True)}
    bootstrap = {"segmenter": "bright", "clean": False}
    config.write_text(yaml.safe_dump({"classes": classes, "bootstrap": bootstrap}))
    command("init", tmp_path / "project", "--config", config)
    return tmp_path / "project"


def write_fucci(folder: Path, name: str, seed: int) -> tuple[Path, list[str]]:
    """Write an image of three named channels, and labels of each class; the options for these."""
    image, truth = class_scenes(seed)
    z, y, x = SPACING
    about = {"axes": "CZYX", "Channel": {"Name": list(CHANNELS)}} | {
        key: value
        for axis, size in (("Z", z), ("Y", y), ("X", x))
        for key, value in ((f"PhysicalSize{axis}", size), (f"PhysicalSize{axis}Unit", "\u00b5m"))
    }
    tifffile.imwrite(folder / f"{name}.ome.tif", image, metadata=about)
    options = []
    for each, labels in truth.items():
        # Of g1 every other object is missing: the segmenter finds twice too many.
        kept = np.where(labels % 2, labels, 0) if each == "g1" else labels
        write_labels_tiff(folder / f"{name}_{each}.tif", kept.astype(np.uint32), SPACING)
        options += ["--labels", f"{each}={folder / f'{name}_{each}.tif'}"]
    return folder / f"{name}.ome.tif", options


def test_a_field_of_three_classes(
    project: Path, tmp_path: Path, command: Command, capsys: pytest.CaptureFixture[str]
) -> None:
    learn, _ = write_fucci(tmp_path, "learn", 0)
    tested, labels = write_fucci(tmp_path, "tested", 40)
    about = command("add", project, learn, "--meta", "condition=drug", "--meta", "well=B3")
    assert about["metadata"] == {"condition": "drug", "well": "B3"}
    assert about["classes"] == {name: [c] for name, c in zip(NAMES, CHANNELS, strict=True)}
    added = command("add", project, tested, "--split", "test", *labels)
    assert added["objects_by_class"] == {"g1": COUNT // 2, "g2": COUNT, "nuclei": COUNT}
    rounds = command("bootstrap", project)
    assert {f["field"]: f["objects"] for f in rounds["fields"]} == {
        f"learn:{name}": COUNT for name in NAMES
    }
    found = command("evaluate", project)
    scores = found["models"]["bright"]
    means = {name: each["f1"] for name, each in scores["classes"].items()}
    assert means == {"g1": pytest.approx(2 / 3), "g2": 1.0, "nuclei": 1.0}
    assert scores["mean"]["f1"] == pytest.approx((2 / 3 + 1 + 1) / 3)
    assert set(scores["fields"]) == {f"tested:{name}" for name in NAMES}
    assert {Path(p).name for p in found["pictures"]} == {f"tested~{name}.png" for name in NAMES}
    only = command("evaluate", project, "--class", "g1")["models"]["bright"]
    assert only["mean"]["f1"] == pytest.approx(2 / 3)
    written = command("predict", project, "--model", "bright", "--field", "learn", "--class", "g2")
    assert written["objects"] == {"learn:g2": COUNT}
    states = {f["name"]: f for f in command("status", project)["fields"]}
    assert set(states) == {f"{field}:{name}" for field in ("learn", "tested") for name in NAMES}
    assert states["learn:g2"]["shape_tczyx"] == [1, 3, *SHAPE]
    assert states["learn:g2"]["objects"]["proposed"] == COUNT
    assert (states["tested:g1"]["split"], states["tested:g1"]["verified_share"]) == ("test", 1.0)
    assert run(["status", str(project)]) == 0
    assert "3 channels" in capsys.readouterr().out
    assert run(["evaluate", str(project), "--class", "golgi"]) == 1
    error = capsys.readouterr().err.splitlines()[-1]
    assert "class 'golgi': expected one of the fields' classes (g1, g2, nuclei)" in error


def test_a_series(tmp_path: Path, command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(MODELS, "bright", SEGMENTER)
    folder, config = tmp_path / "project", tmp_path / "config.yaml"
    config.write_text("bootstrap: {segmenter: bright, clean: false}\n")
    command("init", folder, "--config", config)
    frames = [scene(10 + time) for time in range(TIMES)]
    image = np.stack([image for image, _ in frames])
    write_image_tiff(tmp_path / "movie.tif", image[:, None], SPACING, time_step_s=60.0)
    added = command("add", folder, tmp_path / "movie.tif")
    assert added["shape_tczyx"] == [TIMES, 1, *SHAPE]
    (proposed,) = command("bootstrap", folder)["fields"]
    assert (proposed["field"], proposed["objects"]) == ("movie", TIMES * COUNT)
    exported = command("export", folder, "movie", tmp_path / "out")
    (file,) = (Path(name) for name in exported["files"] if "label" in Path(name).name)
    view = Project.open(folder).store().labels("movie")
    command("predict", folder, "--model", "bright", "--output", tmp_path / "predicted")
    for path in (file, tmp_path / "predicted" / "movie.tif"):
        with open_labels(path) as labels:
            assert (labels.shape, labels.times) == (view.labels.shape, TIMES)
            planes = labels.read(0, labels.shape[0])
        for time, (_, truth) in enumerate(frames):
            part = planes[time * SHAPE[0] : (time + 1) * SHAPE[0]]
            np.testing.assert_array_equal(part > 0, truth > 0)
            assert len(np.unique(part)) - 1 == COUNT
    (state,) = command("status", folder)["fields"]
    assert (state["name"], state["shape_tczyx"]) == ("movie", [TIMES, 1, *SHAPE])


def test_agreement_on_a_series_is_asked_for_one_time_point(
    tmp_path: Path, command: Command, capsys: pytest.CaptureFixture[str]
) -> None:
    image = np.stack([scene(10 + time)[0] for time in range(TIMES)])
    write_image_tiff(tmp_path / "movie.tif", image[:, None], SPACING)
    command("init", tmp_path / "project")
    command("add", tmp_path / "project", tmp_path / "movie.tif")
    given = ["--project", str(tmp_path / "project"), "--field", "movie"]
    assert run(["agreement", "a.tif", "b.tif", *given]) == 1
    assert f"movie: expected labels of one time point, got {TIMES}" in capsys.readouterr().err
