"""The runs that trainings start from: one that ships with the package, or a person's."""

from __future__ import annotations

from pathlib import Path

from models.errors import CheckpointError

STARTER = "starter"
"""The name by which `base_run` asks for the shipped run of a model."""

SHIPPED = Path(__file__).resolve().parent / STARTER
"""Folder of the shipped runs."""


def starter_folder(model: str) -> Path:
    """Return the run folder that ships for a model.

    Parameters
    ----------
    model : {"unet3d", "stardist3d"}

    Raises
    ------
    CheckpointError
        None ships, or the installation is incomplete.
    """
    folder = SHIPPED / model
    if not (folder / "model.json").is_file():
        raise CheckpointError(
            f"expected the starter weights of {model} in {folder}, got none; "
            "install the package again, or give a run folder"
        )
    return folder


def base_folder(base_run: str, model: str) -> Path:
    """Return the folder that `base_run` means: the shipped run for ``"starter"``."""
    return starter_folder(model) if base_run == STARTER else Path(base_run)
