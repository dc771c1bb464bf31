"""Run folders as trainers leave them, and a project that has one and was evaluated."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
import yaml

from annotations.formats import write_image_tiff
from hitl.cli import run
from hitl.project.records import write_record
from models.runfolder import MODEL_FILE, SHIPPED
from tests.annotations.store_sources import ArraySource, boxes, noise
from tests.hitl.queue.error_project import error_project
from tests.hostile.limits import refusal

SPACING_UM = (2.0, 0.5, 0.5)
RUN = "unet3d-0001"


def write_unet(folder: Path) -> Path:
    """Write a U-Net's run folder; nothing is trained."""
    import torch

    from models.tensors import WEIGHTS_FILE, write_tensors
    from models.unet3d.architecture import Architecture
    from models.unet3d.instances import InstanceSettings
    from models.unet3d.network import UNet3D

    architecture = Architecture((2, 4), ((1, 2, 2), (1, 2, 2)))
    torch.manual_seed(0)
    folder.mkdir(parents=True, exist_ok=True)
    about = {
        "model": "unet3d",
        "format": 1,
        "architecture": asdict(architecture),
        "spacing_um": SPACING_UM,
        "percentiles": (1.0, 99.8),
        "patch_size": (4, 16, 16),
        "instances": asdict(InstanceSettings()),
        "weights_sha256": write_tensors(folder / WEIGHTS_FILE, UNet3D(architecture).state_dict()),
    }
    (folder / MODEL_FILE).write_text(json.dumps(about))
    write_config(folder, "unet3d")
    return folder


def write_stardist(folder: Path) -> Path:
    """Write a StarDist's run folder: the one that ships."""
    shutil.copytree(SHIPPED / "stardist3d", folder)
    write_config(folder, "stardist3d")
    return folder


def write_config(folder: Path, model: str) -> None:
    config = {
        "model": model,
        "options": {},
        "preprocess": {"nuclei": []},
        "validation_share": 0.2,
    }
    (folder / "config.yaml").write_text(yaml.safe_dump(config))


def write_card(folder: Path) -> None:
    weights = folder / "weights.safetensors"
    card = {
        "run": folder.name,
        "model": "unet3d",
        "made": "2026-01-01T00:00:00+00:00",
        "weights": weights.name,
        "weights_sha256": hashlib.sha256(weights.read_bytes()).hexdigest(),
        "base": "random",
        "licence": "as the training data",
        "classes": ["nuclei"],
        "channels": 1,
        "trained_on": [
            {"field": "seen", "class": "nuclei", "split": "train", "source_sha256": None}
        ],
        "round": 0,
        "epochs": 2,
        "best_epoch": 1,
        "validation": {"loss": 0.5},
        "seconds": 1.5,
        "notes": [],
        "versions": {"hitl": "0"},
        "config": {"validation_share": 0.2},
    }
    (folder / "card.json").write_text(json.dumps(card))


def write_image(path: Path) -> Path:
    noise = np.random.default_rng(0).integers(5, 200, (4, 24, 24)).astype(np.uint16)
    write_image_tiff(path, noise, SPACING_UM)
    return path


def make_run_project(folder: Path) -> Path:
    """Make a project with a run in use, an evaluation, an agreement and a cell of a sweep."""
    project = error_project(folder, {"held": "test"})
    labels = boxes()
    source = ArraySource(noise((1, *labels.shape)))
    project.store(read_only=False).add_field("seen", source, labels={"nuclei": labels})
    write_unet(folder / "runs" / RUN)
    write_card(folder / "runs" / RUN)
    truth = [str(folder / "predictions" / name / "held.tif") for name in ("hand-0001", "other")]
    assert run(["agreement", *truth, "--project", str(folder), "--field", "held"]) == 0
    promotion = {
        "run": RUN,
        "when": "2026-01-01T00:00:00+00:00",
        "by": "ann",
        "replaced": None,
        "forced": True,
        "why": "a test",
        "fields": [],
        "objections": [],
    }
    write_record(folder / "in_use.json", {"run": RUN, "history": [promotion]})
    cell = {"fingerprint": "a", "reason": "", "seconds": 1.0, "scores": {}}
    (project.run(RUN) / "cell.json").write_text(json.dumps(cell))
    return folder


@pytest.fixture(scope="module")
def whole_run_project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project that is only copied."""
    return make_run_project(tmp_path_factory.mktemp("whole") / "project")


@pytest.fixture
def run_project(whole_run_project: Path, tmp_path: Path) -> Path:
    """A project of the test's own."""
    return Path(shutil.copytree(whole_run_project, tmp_path / "place" / "project"))


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with an image and a run of each kind, which is only copied."""
    folder = tmp_path_factory.mktemp("whole") / "all"
    folder.mkdir()
    write_image(folder / "image.tif")
    write_unet(folder / "unet3d")
    write_stardist(folder / "stardist3d")
    return folder


@pytest.fixture
def place(whole: Path, tmp_path: Path) -> Path:
    """The same, of the test's own."""
    return Path(shutil.copytree(whole, tmp_path / "all"))


@pytest.fixture
def segmented(place: Path, capsys: pytest.CaptureFixture[str]) -> Callable[[str], str]:
    """Segment with a run, which must be refused; gives the line."""

    def call(model: str) -> str:
        words = ["segment", place / "image.tif", place / "out.tif", "--model", place / model]
        line = refusal(capsys, place, words)
        assert len(line) < 1000
        return line

    return call
