"""One network for a nucleus and the cytoplasm around it, from the command line; what is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from annotations.formats import write_labels_tiff
from hitl.cli import run
from tests.models.smp2d.cells import QUICK, SPACING, cells

CONFIG = """
preprocess: []
classes:
  nucleus: {channels: [0, 1, 2]}
  cytoplasm: {channels: [0, 1, 2], kind: area, mask_values: [128]}
  golgi: {channels: [0, 1, 2]}
"""
BOTH = ("--class", "nucleus", "--class", "cytoplasm")
OPTIONS = {**QUICK, "patch_size": [32, 32], "learning_rate": 0.01}


def settings(**more: Any) -> list[str]:
    """Return the quickest training there is, with other options, as `--set` has them."""
    pairs = [f"{key}={value}" for key, value in (OPTIONS | more).items()]
    return [word for pair in pairs for word in ("--set", pair)]


def write(folder: Path, name: str, seed: int, **more: Any) -> list[str]:
    """Write an image in colour, or with more channels, and the labels of both classes."""
    image, nuclei, cytoplasm = cells(seed, **more)
    Image.fromarray(np.moveaxis(image[:, 0], 0, -1)).save(folder / f"{name}.png")
    write_labels_tiff(folder / f"{name}_nuclei.tif", nuclei, SPACING)
    Image.fromarray((128 * cytoplasm[0]).astype(np.uint8)).save(folder / f"{name}_mask.png")
    given = (f"nucleus={folder}/{name}_nuclei.tif", f"cytoplasm={folder}/{name}_mask.png")
    labels = [word for each in given for word in ("--labels", each)]
    spacing = ["--spacing-um", *map(str, SPACING)]
    return [str(folder / f"{name}.png"), *labels, *spacing, "--field", name]


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("cells")
    (folder / "config.yaml").write_text(CONFIG)
    made = folder / "project"
    assert run(["init", str(made), "--config", str(folder / "config.yaml")]) == 0
    for seed, (name, split) in enumerate({"a": "train", "b": "val", "c": "test"}.items()):
        files = write(folder, name, seed)
        assert run(["add", str(made), *files, "--split", split]) == 0
    return made


@pytest.fixture(scope="module")
def trained(project: Path) -> str:
    assert run(["train", str(project), "smp2d", *BOTH, *settings(epochs=4, steps_per_epoch=8)]) == 0
    (folder,) = (project / "runs").glob("smp2d-*")
    return folder.name


def said(capsys: pytest.CaptureFixture[str], arguments: list[str], code: int) -> str:
    capsys.readouterr()
    assert run(arguments) == code
    err = capsys.readouterr().err
    return [line for line in err.splitlines() if not line.startswith("note:")][-1]


def test_one_run_gives_both_and_each_has_its_dice(
    project: Path, trained: str, capsys: pytest.CaptureFixture[str]
) -> None:
    capsys.readouterr()
    assert run(["evaluate", str(project), "--model", trained, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)["models"][trained]
    assert found["classes"].keys() == {"nucleus", "cytoplasm"}
    assert all(scores["dice"] > 0.5 for scores in found["classes"].values())
    assert found["fields"]["c:nucleus"]["n_pred"] == 4
    assert run(["evaluate", str(project), "--model", trained]) == 0
    assert "Dice" in capsys.readouterr().out
    card = json.loads((project / "runs" / trained / "card.json").read_text())
    assert set(card["classes"]) == {"nucleus", "cytoplasm"} and card["channels"] == 3


def test_a_file_is_segmented_for_one_of_them(
    project: Path, trained: str, capsys: pytest.CaptureFixture[str]
) -> None:
    image, out = project.parent / "c.png", project.parent / "out.tif"
    three = [
        "--channel",
        "0",
        "--channel",
        "1",
        "--channel",
        "2",
        "--spacing-um",
        "2",
        "0.5",
        "0.5",
    ]
    call = ["segment", str(image), str(out), "--model", str(project / "runs" / trained), *three]
    assert "name one with --class" in said(capsys, call, 1)
    assert not out.exists()
    assert run([*call, "--class", "cytoplasm"]) == 0
    assert "1 object" in capsys.readouterr().out
    channels = ["--channel", "0", "--channel", "1", "--spacing-um", "2", "0.5", "0.5"]
    two = [*call[:5], *channels, "--class", "nucleus", "--overwrite"]
    assert "takes 3 channels, got 2" in said(capsys, two, 1)


@pytest.mark.parametrize(
    ("classes", "options", "told"),
    [
        (BOTH, {"arch": "pan", "patch_size": [64, 64]}, "pan takes multiples of 16 from 128"),
        ((*BOTH, "--class", "golgi"), {}, "class golgi: no field to train on holds a label of it"),
        (BOTH, {"encoder": "resnet43"}, "did you mean 'resnet34'?"),
        (BOTH, {"classes": "pooled"}, "expected one kind of labels for one output"),
    ],
)
def test_what_cannot_be_trained_is_refused_and_leaves_no_run(
    project: Path,
    capsys: pytest.CaptureFixture[str],
    classes: tuple[str, ...],
    options: dict[str, Any],
    told: str,
) -> None:
    before = sorted((project / "runs").glob("*"))
    assert told in said(capsys, ["train", str(project), "smp2d", *classes, *settings(**options)], 1)
    assert sorted((project / "runs").glob("*")) == before


def test_an_image_of_one_colour_is_refused_by_name(
    project: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files = write(tmp_path, "grey", 5)
    Image.fromarray(np.full((64, 64, 3), 90, np.uint8)).save(tmp_path / "grey.png")
    assert "the value 90 in every voxel" in said(capsys, ["add", str(project), *files], 1)
