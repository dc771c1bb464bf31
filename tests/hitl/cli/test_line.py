"""The main job on real stacks, command by command: from images to scores of trained models."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import yaml

from annotations.formats import write_image_tiff, write_labels_tiff
from annotations.store import AnnotationStore
from tests.conftest import RealStack

# Below what every part reaches with so little training on bootstrapped labels, F1 at IoU 0.5.
FLOORS = {
    "gonuclear_1136": {"starter": 0.5, "unet3d": 0.3},
    "qcanet_16cell": {"starter": 0.85, "stardist3d": 0.3},
}
# Steps, not minutes: the same weights on a slow machine.
TRAINING = {
    "stardist3d": ["epochs=40", "n_rays=64"],
    "unet3d": ["epochs=4", "features=[16, 32, 64]", "learning_rate=3e-3"],
}


def write_halves(field: RealStack, folder: Path) -> dict[str, Path]:
    """Write one half in y to learn from, and the other with its labels."""
    image, labels, spacing_um = field
    half = image.shape[1] // 2
    files = {name: folder / f"{name}.tif" for name in ("learn", "held_out", "truth")}
    write_image_tiff(files["learn"], image[:, :half], spacing_um)
    write_image_tiff(files["held_out"], image[:, half:], spacing_um)
    write_labels_tiff(files["truth"], labels[:, half:], spacing_um)
    return files


@pytest.mark.real
@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(FLOORS))
def test_the_line_by_hand(
    name: str,
    real_stack: Callable[[str], RealStack],
    tmp_path: Path,
    command: Callable[..., dict[str, Any]],
) -> None:
    files = write_halves(real_stack(name), tmp_path)
    project = tmp_path / "project"
    config = tmp_path / "starter.yaml"
    config.write_text("bootstrap: {segmenter: starter}\n")
    command("init", project, "--config", config)
    command("add", project, files["learn"])
    held_out = command(
        "add", project, files["held_out"], "--split", "test", "--labels", files["truth"]
    )
    assert held_out["objects"] > 0
    first = command("bootstrap", project)
    assert first["round"] == 0
    assert first["fields"][0]["objects"] > 3
    runs = {}
    for model in FLOORS[name].keys() & TRAINING.keys():
        settings = TRAINING[model]
        options = [part for setting in settings for part in ("--set", setting)]
        runs[model] = command("train", project, model, *options)["run"]
        written = command("predict", project, "--model", runs[model], "--field", "held_out")
        predicted = tifffile.imread(written["files"]["held_out"])
        assert predicted.shape == tuple(held_out["shape_tczyx"][2:])
    scores = command("evaluate", project)
    reached = {model: scores["models"][runs.get(model, model)]["mean"] for model in FLOORS[name]}
    print(
        name, {m: (round(r["f1"], 3), round(r["evaluation_score"], 3)) for m, r in reached.items()}
    )
    for model, floor in FLOORS[name].items():
        assert reached[model]["f1"] >= floor, (model, reached[model])
    check_records(project, runs, command)
    check_pictures(scores["pictures"])


def check_records(
    project: Path, runs: dict[str, str], command: Callable[..., dict[str, Any]]
) -> None:
    """The store, the run folders and the log say what was done, with what."""
    store = AnnotationStore.open(project / "store", read_only=True)
    held_out = store.labels("held_out")
    assert held_out.verified_voxels == np.prod(held_out.info.zyx)
    assert store.labels("learn").verified_voxels == 0
    entries = command("log", project)["log"]
    assert [entry["kind"] for entry in entries] == ["bootstrap", "add", "add", "create"]
    assert entries[0]["counts"]["learn:nuclei"]["added"] == len(store.labels("learn").objects.id)
    for model, run_id in runs.items():
        folder = project / "runs" / run_id
        card = json.loads((folder / "card.json").read_text())
        assert [s["field"] for s in card["trained_on"]] == ["learn"]
        assert card["round"] == 0
        assert len(card["weights_sha256"]) == 64
        assert (folder / card["weights"]).is_file()
        assert yaml.safe_load((folder / "config.yaml").read_text())["model"] == model
        curve = (folder / "curves.csv").read_text().splitlines()
        assert curve[0].startswith("epoch,")
        assert len(curve) == card["epochs"] + 1
    state = command("status", project)
    assert {run["run"] for run in state["runs"]} == set(runs.values())


def check_pictures(pictures: list[str]) -> None:
    """Pictures open, and more than a blank page is on them."""
    from skimage.io import imread

    assert len(pictures) == 1
    picture = imread(pictures[0])
    assert min(picture.shape[:2]) > 300
    assert picture[..., :3].std() > 20
