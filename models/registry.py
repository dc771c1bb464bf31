"""Names that configs and the command line use, and what they build.

A model is added by adding its file and its line here. Modules are imported when they are built.
"""

from __future__ import annotations

import difflib
from importlib import import_module
from pathlib import Path
from typing import Any

from models.base import Segmenter, Trainer
from models.errors import UnknownModelError

SEGMENTERS = {
    "cellpose": "models.cellpose:CellposeSegmenter",
    "starter": "models.starter:StarterSegmenter",
    "classical": "models.classical:ClassicalSegmenter",
}
"""Segmenters that need no run: dataclasses of flat options."""

TRAINERS = {
    "cellpose": "models.cellpose:CellposeTrainer",
    "stardist3d": "models.stardist3d:StarDist3DTrainer",
    "unet3d": "models.unet3d:UNet3DTrainer",
}
"""Trainable models: dataclasses of flat options."""

RUN_LOADERS = {
    "cellpose": "models.cellpose:load_run",
    "stardist3d": "models.stardist3d:load_run",
    "unet3d": "models.unet3d:load_run",
}
"""Functions from a run folder to a segmenter."""


def resolve(table: dict[str, str], name: str, what: str) -> Any:
    """Return the class or function that `name` stands for.

    Raises
    ------
    UnknownModelError
        When the name is not in the table; the message names the nearest and all valid ones.
    """
    if name not in table:
        near = difflib.get_close_matches(name, table, n=1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise UnknownModelError(
            f"unknown {what} {name!r}: expected one of {', '.join(sorted(table))}{hint}"
        )
    module, attribute = table[name].split(":")
    return getattr(import_module(module), attribute)


def segmenter_class(name: str) -> type[Segmenter]:
    """Return the segmenter class that `name` stands for."""
    found: type[Segmenter] = resolve(SEGMENTERS, name, "segmenter")
    return found


def trainer_class(name: str) -> type[Trainer]:
    """Return the trainer class that `name` stands for."""
    found: type[Trainer] = resolve(TRAINERS, name, "trainable model")
    return found


def load_run(model: str, run_folder: Path) -> Segmenter:
    """Return the segmenter that a finished run's folder holds."""
    segmenter: Segmenter = resolve(RUN_LOADERS, model, "trained model")(run_folder)
    return segmenter
