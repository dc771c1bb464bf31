"""Files of a fine-tuned run, and the segmenter that it holds."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from labels.files import replacing
from labels.hashing import file_sha256
from models.cellpose import weights
from models.cellpose.segmenter import CellposeSegmenter
from models.errors import CheckpointError
from models.runfolder import check_weights, read_model_file

if TYPE_CHECKING:
    import torch

WEIGHTS_FILE = "weights.pth"
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
    data = read_model_file(folder, "cellpose", REQUIRED)
    checked_weights(folder, data)
    return CellposeSegmenter(
        model=str((folder / WEIGHTS_FILE).absolute()),
        mode=data["mode"],
        diameter_um=data["diameter_um"],
        percentiles=tuple(data["percentiles"]),
    )


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
    check_weights(path, weights.sha256(path), data["weights_sha256"])
    return path


def write_tensors(path: Path, content: Any) -> str:
    """Write what Cellpose itself loads, atomically; return its sha256."""
    import torch

    # A whole network takes 1.2 GB: it goes to the disk without a second copy in memory.
    with replacing(path) as file:
        torch.save(content, file)
    return file_sha256(path)


def read_state(path: Path) -> dict[str, torch.Tensor]:
    """Return the tensors of a checked Cellpose-SAM checkpoint, mapped from the file."""
    import torch

    state = torch.load(path, map_location="cpu", mmap=True, weights_only=True)
    return {name.removeprefix("module."): value for name, value in state.items()}
