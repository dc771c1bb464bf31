"""Files of a fine-tuned run, and the segmenter that it holds."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from labels.hashing import file_sha256
from models.cellpose import weights
from models.cellpose.segmenter import CellposeSegmenter
from models.errors import CheckpointError

if TYPE_CHECKING:
    import torch

MODEL_FILE = "model.json"
WEIGHTS_FILE = "weights.pth"
LAST_FILE = "last.pth"
FORMAT = 1
REQUIRED = ("weights_sha256", "licence", "percentiles", "diameter_um", "mode")


def load_run(run_folder: Path) -> CellposeSegmenter:
    """Return the segmenter that a finished run's folder holds.

    Its file of weights is a state dict as Cellpose's own ``save_model`` writes it.

    Raises
    ------
    CheckpointError
        The run is missing, damaged, or its weights are not those that were written down.
    """
    folder = Path(run_folder)
    data = read_model_file(folder)
    checked_weights(folder, data)
    return CellposeSegmenter(
        model=str((folder / WEIGHTS_FILE).absolute()),
        mode=data["mode"],
        diameter_um=data["diameter_um"],
        percentiles=tuple(data["percentiles"]),
    )


def read_model_file(folder: Path) -> dict[str, Any]:
    """Read `model.json`.

    Raises
    ------
    CheckpointError
        The file is missing, damaged, incomplete or of another model.
    """
    path = folder / MODEL_FILE
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise CheckpointError(
            f"{path}: expected the description of a Cellpose run, got none ({error.strerror}); "
            "give the folder that training filled"
        ) from error
    except ValueError as error:
        raise CheckpointError(
            f"{path}: expected JSON, got a damaged file ({error}); copy the run folder again"
        ) from error
    if not isinstance(data, dict) or data.get("model") != "cellpose":
        raise CheckpointError(
            f"{path}: expected a cellpose run, got another kind of run; "
            "load it with the model that it was trained as"
        )
    missing = [key for key in REQUIRED if key not in data]
    if data.get("format") != FORMAT or missing:
        raise CheckpointError(
            f"{path}: expected format {FORMAT} with {', '.join(REQUIRED)}, got format "
            f"{data.get('format')} without {', '.join(missing) or 'a known meaning'}; train again"
        )
    return data


def checked_weights(folder: Path, data: dict[str, Any]) -> Path:
    """Return the run's weights file.

    Raises
    ------
    CheckpointError
        It is missing or not the one whose sha256 was written down.
    """
    path = folder / WEIGHTS_FILE
    if not path.is_file():
        raise CheckpointError(
            f"{path}: expected weights, got none; give the folder of a finished run, or train again"
        )
    if weights.sha256(path) != data["weights_sha256"]:
        raise CheckpointError(
            f"{path}: expected the weights with sha256 {data['weights_sha256'][:12]}…, got another "
            "or a damaged file; copy the whole run folder again, or train again"
        )
    return path


def write_tensors(path: Path, content: Any) -> str:
    """Write what ``torch.load(weights_only=True)`` can read, atomically; return its sha256."""
    import torch

    partial = path.with_name(path.name + ".partial")
    # A whole network takes 1.2 GB: it goes to the disk without a second copy in memory.
    with partial.open("wb") as file:
        torch.save(content, file)
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)
    return file_sha256(path)


def read_state(path: Path) -> dict[str, torch.Tensor]:
    """Return the tensors of a checked Cellpose-SAM checkpoint, mapped from the file."""
    import torch

    state = torch.load(path, map_location="cpu", mmap=True, weights_only=True)
    return {name.removeprefix("module."): value for name, value in state.items()}
