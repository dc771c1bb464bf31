"""The runs that trainings start from."""

from __future__ import annotations

from pathlib import Path

import pytest

from models.errors import CheckpointError
from models.runfolder import base_folder, starter_folder


def test_a_model_without_starter_weights_is_named() -> None:
    with pytest.raises(CheckpointError, match="starter weights of cellpose"):
        starter_folder("cellpose")


def test_a_base_run_is_the_shipped_one_or_a_folder() -> None:
    assert base_folder("starter", "unet3d") == starter_folder("unet3d")
    assert base_folder("runs/mine", "unet3d") == Path("runs/mine")
