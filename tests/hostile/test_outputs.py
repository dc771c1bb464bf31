"""Places to write to that are none, and what a refused command leaves behind."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest


@pytest.mark.parametrize("place", ["store", "store/chunks", "runs", "../project/store", "runs/new"])
def test_nothing_is_written_where_the_project_keeps_its_own(
    refused: Callable[..., str], project: Path, place: str
) -> None:
    assert "keeps its own" in refused("export", project, "s", project / place)
    output = project / place
    assert "keeps its own" in refused(
        "predict", project, "--model", "classical", "--output", output
    )


def test_a_training_that_is_refused_leaves_no_run(
    refused: Callable[..., str], project: Path, tmp_path: Path
) -> None:
    base = f"base_run={tmp_path}"
    assert "model.json" in refused("train", project, "unet3d", "--set", base)
    assert not list((project / "runs").glob("*"))


@pytest.mark.parametrize("place", ["/dev/null", "/dev/full", "/proc/1", "file", "file/inside"])
def test_a_destination_that_is_no_folder(
    refused: Callable[..., str], project: Path, tmp_path: Path, place: str
) -> None:
    (tmp_path / "file").write_text("mine")
    refused("export", project, "s", tmp_path / place)
    assert (tmp_path / "file").read_text() == "mine"
