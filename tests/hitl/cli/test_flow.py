"""The steps of a project on a tiny synthetic field: what they write, print and refuse."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import yaml
from numpy.typing import NDArray
from scipy import ndimage

from annotations.formats import read_labels, write_image_tiff, write_labels_tiff
from annotations.store import AnnotationStore
from hitl.cli import run
from hitl.cli.demo import free_folder, own_stacks
from hitl.labelling.add import default_name
from hitl.prediction.files import SegmentRequest, segment_file
from hitl.project.classes import ChannelError
from hitl.project.errors import NothingToDoError
from hitl.project.folder import Project
from hitl.project.reporter import Silent

SPACING = (2.0, 1.0, 1.0)
SHAPE = (12, 64, 48)

Command = Callable[..., dict[str, Any]]


def blobs(seed: int = 0) -> tuple[NDArray[np.uint16], NDArray[np.uint32]]:
    """Bright ellipsoids on a grid, with noise; 2 × 4 × 3 of them."""
    rng = np.random.default_rng(seed)
    labels = np.zeros(SHAPE, np.uint32)
    z, y, x = np.indices(SHAPE)
    centres = [(cz, cy, cx) for cz in (3, 9) for cy in (8, 24, 40, 56) for cx in (8, 24, 40)]
    for number, (cz, cy, cx) in enumerate(centres, start=1):
        inside = ((z - cz) / 2.6) ** 2 + ((y - cy) / 5.5) ** 2 + ((x - cx) / 5.5) ** 2 <= 1
        labels[inside] = number
    signal = ndimage.gaussian_filter((labels > 0) * 400.0, (0.5, 1, 1))
    return rng.poisson(signal + 50).astype(np.uint16), labels


@pytest.fixture
def files(tmp_path: Path) -> dict[str, Path]:
    """Write two fields with labels."""
    found = {}
    for name, seed in (("a", 0), ("b", 1)):
        image, labels = blobs(seed)
        found[name] = tmp_path / f"{name}.tif"
        found[f"{name}_labels"] = tmp_path / f"{name}_labels.tif"
        write_image_tiff(found[name], image, SPACING)
        write_labels_tiff(found[f"{name}_labels"], labels, SPACING)
    return found


@pytest.fixture
def project(tmp_path: Path, files: dict[str, Path], command: Command) -> Path:
    """A project with one field to learn from and one to test on, bootstrapped."""
    folder = tmp_path / "project"
    config = tmp_path / "classical.yaml"
    config.write_text("bootstrap: {segmenter: classical}\n")
    command("init", folder, "--config", config)
    command("add", folder, files["a"])
    command("add", folder, files["b"], "--split", "test", "--labels", files["b_labels"])
    command("bootstrap", folder, "--segmenter", "classical")
    return folder


def test_bootstrap_is_round_0_and_leaves_test_fields_alone(project: Path) -> None:
    store = AnnotationStore.open(project / "store", read_only=True)
    learned, tested = store.labels("a"), store.labels("b")
    assert set(learned.objects.origins) == {"model:classical"}
    assert len(learned.objects.id) == 24
    assert set(np.unique(learned.labels[...])) == {0, *learned.objects.id.tolist()}
    np.testing.assert_array_equal(tested.labels[...], blobs(1)[1])
    (round_0,) = store.rounds()
    assert round_0.model is not None
    assert round_0.model.name == "classical"
    assert round_0.config["bootstrap"]["clean"] is True


def test_bootstrap_again_asks_for_replace(
    project: Path, command: Command, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["bootstrap", str(project)]) == 1
    assert "--replace" in capsys.readouterr().err
    before = AnnotationStore.open(project / "store", read_only=True).labels("a")
    again = command("bootstrap", project, "--segmenter", "classical", "--replace")
    assert again["round"] == 1
    log = command("log", project)["log"]
    assert [entry["round"] for entry in log] == [1, 0, None, None, None]
    after = AnnotationStore.open(project / "store", read_only=True).labels("a")
    np.testing.assert_array_equal(after.labels[...], before.labels[...])


def test_replace_keeps_what_a_person_labelled(
    project: Path, files: dict[str, Path], command: Command
) -> None:
    command("add", project, files["a"], "--name", "mine", "--labels", files["a_labels"])
    command("bootstrap", project, "--segmenter", "classical", "--replace")
    store = AnnotationStore.open(project / "store", read_only=True)
    np.testing.assert_array_equal(store.labels("mine").labels[...], blobs(0)[1])


@pytest.mark.parametrize("model", ["unet3d"])
def test_train_predict_evaluate(project: Path, model: str, command: Command) -> None:
    settings = ["features=[4, 8]", "epochs=2", "steps_per_epoch=2", "patch_size=[8, 32, 32]"]
    options = [part for setting in settings for part in ("--set", setting)]
    trained = command("train", project, model, *options)
    assert trained["run"] == f"{model}-0001"
    assert trained["epochs"] == 2
    folder = project / "runs" / trained["run"]
    assert {"card.json", "MODEL_CARD.md", "config.yaml", "curves.csv"} <= {
        path.name for path in folder.iterdir()
    }
    assert yaml.safe_load((folder / "config.yaml").read_text())["options"]["epochs"] == 2
    elsewhere = project.parent / "out"
    written = command("predict", project, "--model", trained["run"], "--output", elsewhere)
    assert read_labels(elsewhere / "b.tif").shape == SHAPE
    assert set(written["files"]) == {"a", "b"}
    assert (
        run(["predict", str(project), "--model", trained["run"], "--output", str(elsewhere)]) == 1
    )
    scores = command("evaluate", project)
    assert set(scores["models"]) == {"classical", trained["run"]}
    classical = scores["models"]["classical"]["fields"]["b"]
    assert classical["f1"] > 0.9
    assert classical["thresholds"]["0.5"]["f1"] == classical["f1"]
    assert set(classical["voxels"]) == {"background", "edge", "nucleus"}
    assert json.loads(Path(scores["file"]).read_text())["models"] == scores["models"]
    assert Path(scores["pictures"][0]).stat().st_size > 10_000
    status = command("status", project)
    assert {one["model"] for one in status["scores"]} == {"classical", trained["run"]}


def test_a_prediction_is_made_once(
    project: Path, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = command("predict", project, "--model", "classical", "--field", "b")
    monkeypatch.setattr(
        "models.classical.ClassicalSegmenter.segment",
        lambda *_, **__: pytest.fail("segmented again"),
    )
    again = command("predict", project, "--model", "classical", "--field", "b")
    assert (again["files"], again["objects"]) == (first["files"], first["objects"])


def test_a_change_of_settings_is_a_new_prediction(project: Path, command: Command) -> None:
    command("predict", project, "--model", "classical", "--field", "b")
    config = yaml.safe_load((project / "hitl.yaml").read_text())
    config["postprocess"]["min_area_px"] = 500
    (project / "hitl.yaml").write_text(yaml.safe_dump(config))
    assert command("predict", project, "--model", "classical", "--field", "b")["objects"]["b"] == 0


def test_evaluation_says_when_a_model_has_seen_the_field(
    tmp_path: Path, files: dict[str, Path], command: Command
) -> None:
    folder = tmp_path / "leaky"
    command("init", folder)
    command("add", folder, files["a"], "--labels", files["a_labels"])
    tiny = ["features=[4, 8]", "epochs=1", "steps_per_epoch=1", "patch_size=[8, 32, 32]"]
    options = [part for setting in tiny for part in ("--set", setting)]
    run_id = command("train", folder, "unet3d", *options)["run"]
    scores = command("evaluate", folder, "--model", run_id, "--split", "train")
    assert any("was trained on a" in note for note in scores["notes"])


def test_labels_are_read_by_the_axes_of_their_image(
    tmp_path: Path, files: dict[str, Path], command: Command
) -> None:
    image, labels = blobs()
    np.save(tmp_path / "two.npy", np.stack([image, image[::-1]]))
    np.save(tmp_path / "two_labels.npy", labels.astype(np.int64))
    folder = tmp_path / "npy"
    command("init", folder)
    stated = ["--axes", "CZYX", "--spacing-um", "2", "1", "1", "--channel", "1"]
    labelled = ["--labels", tmp_path / "two_labels.npy"]
    added = command("add", folder, tmp_path / "two.npy", *stated, *labelled)
    assert added["shape_tczyx"] == [1, 2, *SHAPE]
    assert added["objects"] == 24
    view = AnnotationStore.open(folder / "store", read_only=True).labels("two")
    np.testing.assert_array_equal(view.read_image()[0], image[::-1])


@pytest.mark.parametrize(
    ("file", "name"),
    [
        ("Day 3 (GFP).ome.tif", "Day_3_GFP"),
        ("x.zarr", "x"),
        ("___.tif", "field"),
        ("é.npy", "field"),
    ],
)
def test_field_names_come_from_file_names(file: str, name: str) -> None:
    assert default_name(Path(file)) == name


def test_segment_a_file(files: dict[str, Path], tmp_path: Path, command: Command) -> None:
    output = tmp_path / "found.tif"
    done = command("segment", files["a"], output, "--segmenter", "classical")
    assert done["objects"] == 24
    assert tifffile.imread(output).max() >= 24
    scores = command("score", files["a_labels"], output)
    assert scores["f1"] == 1.0
    assert scores["evaluation_score"] > 0.8
    assert run(["segment", str(files["a"]), str(output), "--segmenter", "classical"]) == 1
    tuned = ["--segmenter", "classical", "--set", "diameter_um=11", "--overwrite"]
    assert command("segment", files["a"], output, *tuned)["objects"] == 24


def test_segment_refuses_before_it_works(files: dict[str, Path], tmp_path: Path) -> None:
    for output, said in (
        (tmp_path / "a.png", ".tif"),
        (tmp_path / "nowhere" / "a.tif", "does not exist"),
        (files["a"], "exists already"),
    ):
        request = SegmentRequest(image=files["b"], output=output, segmenter="classical")
        with pytest.raises(Exception, match=said):
            segment_file(request, Silent())


def test_segment_a_flat_image_but_not_a_series(
    tmp_path: Path, command: Command, capsys: pytest.CaptureFixture[str]
) -> None:
    image, labels = blobs()
    write_image_tiff(tmp_path / "flat.tif", image[3:4], SPACING)
    options = ("--segmenter", "classical", "--set", "diameter_um=11")
    done = command("segment", tmp_path / "flat.tif", tmp_path / "found.tif", *options)
    assert done["objects"] == len(np.unique(labels[3])) - 1 == 12
    assert read_labels(tmp_path / "found.tif").shape == (1, *SHAPE[1:])
    write_image_tiff(tmp_path / "series.tif", image.reshape(2, 1, 6, *SHAPE[1:]), SPACING)
    given = [tmp_path / "series.tif", tmp_path / "series_found.tif", *options]
    assert run(["segment", *map(str, given)]) == 1
    error = capsys.readouterr().err
    assert "expected one time point, got a time series of 2; split it" in error
    assert error.count("\n") == 1


def test_segment_needs_to_know_the_channel(tmp_path: Path) -> None:
    image, _ = blobs()
    write_image_tiff(tmp_path / "c.tif", np.stack([image, image]), SPACING, channels=("Cy3", "GFP"))
    request = SegmentRequest(image=tmp_path / "c.tif", output=tmp_path / "o.tif")
    with pytest.raises(ChannelError, match="--channel"):
        segment_file(request, Silent())


def test_score_of_files_without_axes_is_announced(tmp_path: Path, command: Command) -> None:
    _, labels = blobs()
    tifffile.imwrite(tmp_path / "t.tif", labels, photometric="minisblack")
    tifffile.imwrite(tmp_path / "p.tif", labels, photometric="minisblack")
    scores = command("score", tmp_path / "t.tif", tmp_path / "p.tif")
    assert scores["f1"] == scores["pq"] == scores["evaluation_score"] == 1.0
    assert any("takes them as ZYX" in note for note in scores["notes"])
    tifffile.imwrite(tmp_path / "q.tif", labels[:5], photometric="minisblack")
    assert run(["score", str(tmp_path / "t.tif"), str(tmp_path / "q.tif")]) == 1


def test_a_store_outside_the_project_is_refused(tmp_path: Path) -> None:
    config = tmp_path / "c.yaml"
    config.write_text("store: ../elsewhere\n")
    assert run(["init", str(tmp_path / "p"), "--config", str(config)]) == 1
    assert not (tmp_path / "elsewhere").exists()
    assert not (tmp_path / "p" / "hitl.yaml").exists()


def test_models_and_their_options(command: Command) -> None:
    names = {row["name"]: row for row in command("models")["models"]}
    assert names["classical"]["ready"]
    assert {"cellpose", "stardist3d", "unet3d"} <= set(names)
    options = command("models", "--options", "unet3d")["options"]
    described = {row["key"]: row for row in options}
    assert described["features"]["type"] == "list of whole number"
    assert all(row["meaning"] for row in options), [r["key"] for r in options if not r["meaning"]]
    both = command("models", "--options", "cellpose")["options"]
    modes = [row["meaning"] for row in both if row["key"] == "stitch_threshold"]
    assert [meaning.startswith("(of bootstrap and segment) ") for meaning in modes] == [True]
    assert any(row["meaning"].startswith("(of train) ") for row in both if row["key"] == "epochs")


def test_an_interrupt_leaves_with_130(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("models.classical.ClassicalSegmenter.segment", interrupted)
    before = AnnotationStore.open(project / "store", read_only=True).log()
    assert run(["bootstrap", str(project), "--segmenter", "classical", "--replace"]) == 130
    assert "interrupted" in capsys.readouterr().err
    assert AnnotationStore.open(project / "store", read_only=True).log() == before


def test_runs_are_numbered_and_unfinished_ones_are_not_used(project: Path) -> None:
    opened = Project.open(project)
    assert [opened.new_run("unet3d").name for _ in range(2)] == ["unet3d-0001", "unet3d-0002"]
    assert opened.finished_runs() == []
    with pytest.raises(Exception, match="did not finish"):
        opened.run("unet3d-0001")


def test_the_demo_takes_a_folder_that_is_free(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert free_folder() == Path("demo")
    (tmp_path / "demo").mkdir()
    assert free_folder() == Path("demo-2")


def test_the_demo_finds_ones_own_stacks(tmp_path: Path, files: dict[str, Path]) -> None:
    for name in ("a", "b"):
        (tmp_path / "mine" / name).mkdir(parents=True)
        files[name].rename(tmp_path / "mine" / name / "image.tif")
    files["a_labels"].rename(tmp_path / "mine" / "a" / "labels.tif")
    first, second = own_stacks(tmp_path / "mine", None)
    assert (first.name, first.spacing_um, second.labels) == ("a", SPACING, None)
    np.testing.assert_array_equal(first.labels, blobs(0)[1])
    with pytest.raises(NothingToDoError, match=r"image\.tif"):
        list(own_stacks(tmp_path, None))
