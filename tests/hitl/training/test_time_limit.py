"""`hitl train` with less time than it needs: what is told, and the run that is left."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from annotations.formats import write_image_tiff, write_labels_tiff
from hitl.cli import run
from models.unet3d import trainer
from tests.hitl.cli.test_flow import SPACING, blobs
from tests.models.clock import Clock


@pytest.fixture
def project(tmp_path: Path, command: Callable[..., dict[str, Any]]) -> Path:
    image, labels = blobs()
    write_image_tiff(tmp_path / "a.tif", image, SPACING)
    write_labels_tiff(tmp_path / "labels.tif", labels, SPACING)
    command("init", tmp_path / "p")
    command("add", tmp_path / "p", tmp_path / "a.tif", "--labels", tmp_path / "labels.tif")
    return tmp_path / "p"


def test_a_run_of_one_step_is_told_and_can_be_used(
    project: Path,
    command: Callable[..., dict[str, Any]],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    # Both parts of the stack are prepared, to learn from and to judge on.
    Clock(monkeypatch).takes(trainer, "prepare", 20.5)
    settings = ("max_minutes=0.5", "features=[4, 8]", "patch_size=[8, 32, 32]", "logger=csv")
    options = [part for setting in settings for part in ("--set", setting)]
    assert run(["train", str(project), "unet3d", *options]) == 0
    printed = capsys.readouterr()
    assert printed.out.startswith("unet3d-0001: 1 epoch in ")
    assert "best 1 (not validated)" in printed.out
    (note,) = (line for line in printed.err.splitlines() if "max_minutes" in line)
    assert note.startswith(
        "note: stopped by max_minutes=0.5 in epoch 1: of 30 s given, preparing took 41 s, 1 step "
    )
    folder = project / "runs" / "unet3d-0001"
    card = json.loads((folder / "card.json").read_text())
    assert (card["steps"], card["validation"]) == (1, {})
    text = (folder / "MODEL_CARD.md").read_text()
    assert "1 epoch (best: 1) of 1 step in" in text
    assert "None: there was no time to judge an epoch." in text
    assert command("status", project)["runs"][0]["validation"] == {}
    assert set(command("predict", project, "--model", "unet3d-0001")["files"]) == {"a"}
