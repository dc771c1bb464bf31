"""What an interrupted training needs to go on: one file, replaced as a whole after each epoch."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.errors import CheckpointError
from models.files import write_atomically
from models.runfolder import FORMAT, check_continues
from models.stardist3d.losses import Stepper

STATE = "last.safetensors"


@dataclass
class History:
    """What has happened so far.

    Parameters
    ----------
    steps, epoch, best_epoch : int
        Steps and epochs done, and the epoch of the best validation loss.
    best : float, optional
        The best validation loss.
    seconds : float
        Spent in training, all sessions together.
    rate : float
        Highest learning rate, before the schedule.
    rate_epoch : int
        Epoch of the last change on a plateau.
    validation : dict
        Losses of the best epoch.
    rows : list of dict
        The curves.
    """

    steps: int = 0
    epoch: int = 0
    best_epoch: int = 0
    best: float | None = None
    seconds: float = 0.0
    rate: float = 0.0
    rate_epoch: int = 0
    validation: dict[str, float] = field(default_factory=dict)
    rows: list[dict[str, float]] = field(default_factory=list)


def save_state(folder: Path, fingerprint: str, stepper: Stepper, history: History) -> None:
    """Write weights, their average, the optimiser's moments and the history."""
    from safetensors.numpy import save

    tensors = {
        f"{part}.{index:04d}": np.asarray(variable.numpy(), order="C")
        for part, variables in _parts(stepper).items()
        for index, variable in enumerate(variables)
    }
    state = {"model": "stardist3d", "format": FORMAT, "fingerprint": fingerprint}
    about = {"state": json.dumps({**state, "history": asdict(history)})}
    write_atomically(folder / STATE, save(tensors, metadata=about))


def has_state(folder: Path) -> bool:
    """Tell whether a folder holds a training that can go on."""
    return (folder / STATE).is_file()


def load_state(folder: Path, fingerprint: str, stepper: Stepper) -> History:
    """Bring back what `save_state` wrote.

    Raises
    ------
    CheckpointError
        The file is damaged, or of other data or options.
    """
    path = folder / STATE
    about, tensors = _read(path)
    check_continues(folder, about.get("fingerprint"), fingerprint)
    for part, variables in _parts(stepper).items():
        for index, variable in enumerate(variables):
            stored = tensors.get(f"{part}.{index:04d}")
            if stored is None or stored.shape != tuple(variable.shape):
                raise CheckpointError(
                    f"{path}: expected {part} {index} of shape {tuple(variable.shape)}, got "
                    f"{None if stored is None else stored.shape}; train into a new folder"
                )
            variable.assign(stored)
    return History(**about["history"])


def _parts(stepper: Stepper) -> dict[str, list[Any]]:
    return {
        "model": list(stepper.model.weights),
        "average": list(stepper.average),
        "adam": list(stepper.optimiser.variables),
    }


def _read(path: Path) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="numpy") as file:
            about = json.loads((file.metadata() or {}).get("state", "{}"))
            return about, {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
    except (OSError, ValueError, SafetensorError) as exc:
        raise CheckpointError(
            f"{path}: expected the state of an interrupted training, got a damaged file ({exc}); "
            "delete the folder and train again"
        ) from exc
