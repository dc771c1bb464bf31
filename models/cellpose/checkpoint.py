"""A weights file is checked against Cellpose-SAM's architecture before Cellpose loads it."""

from __future__ import annotations

import pickle
from functools import lru_cache
from pathlib import Path
from typing import Any

from models.errors import CheckpointError


def check_checkpoint(path: Path) -> None:
    """Refuse a file that Cellpose would load wrongly, partly, or with a stranger's code.

    Cellpose loads with ``strict=False``: what a file lacks would stay random without a word.

    Raises
    ------
    CheckpointError
        Damaged or truncated, holds more than tensors, or of another architecture.
    """
    found = _tensors(path)
    if "encoder.cls_token" in found:
        raise CheckpointError(
            f"{path} holds a CellposeDINO model: expected Cellpose-SAM weights (cpsam_v2, cpsam "
            "or a model tuned from them); choose one of those"
        )
    for name, shape in architecture().items():
        if name not in found:
            raise CheckpointError(
                f"{path} is no Cellpose-SAM model: it lacks the tensor {name}; Cellpose 4 cannot "
                "run models of Cellpose 3 or older, use cpsam_v2 or a model tuned from it"
            )
        if found[name] != shape:
            raise CheckpointError(
                f"{path} is no Cellpose-SAM model: expected {name} of shape {shape}, "
                f"got {found[name]}; use cpsam_v2 or a model tuned from it"
            )


def _tensors(path: Path) -> dict[str, tuple[int, ...]]:
    """Return name and shape of each tensor in the file, without reading their values."""
    import torch

    try:
        state: Any = torch.load(path, map_location="cpu", mmap=True, weights_only=True)
    except pickle.UnpicklingError as error:
        raise CheckpointError(
            f"{path} holds more than tensors and was not opened, since it could run code: expected "
            "a state dict saved by Cellpose 4; get the file from its author again"
        ) from error
    except (RuntimeError, ValueError, EOFError, OSError) as error:
        raise CheckpointError(
            f"{path} ({path.stat().st_size} bytes) is damaged or no checkpoint of Cellpose 4; "
            "delete it and download it again"
        ) from error
    if not isinstance(state, dict) or not all(torch.is_tensor(v) for v in state.values()):
        raise CheckpointError(
            f"{path}: expected a state dict (names and tensors), got something else; "
            "save the model with Cellpose's own save_model"
        )
    return {name.removeprefix("module."): tuple(value.shape) for name, value in state.items()}


@lru_cache(maxsize=1)
def architecture() -> dict[str, tuple[int, ...]]:
    """Return name and shape of each tensor of Cellpose-SAM, from Cellpose's own class."""
    import torch
    from cellpose.vit import CPSAM

    with torch.device("meta"):
        network = CPSAM()
    return {name: tuple(value.shape) for name, value in network.state_dict().items()}
