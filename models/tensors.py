"""Files of PyTorch's tensors: safetensors, never pickled."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

from labels.files import UnfitFileError, read_plain, write_atomically
from labels.memory import memory_bytes
from models.errors import CheckpointError
from models.runfolder import check_weights

if TYPE_CHECKING:
    import torch

WEIGHTS_FILE = "weights.safetensors"

Tensors = dict[str, "torch.Tensor"]


def write_tensors(path: Path, tensors: Tensors) -> str:
    """Write tensors as safetensors and return the file's sha256."""
    from safetensors.torch import save

    data = save({key: t.detach().cpu().contiguous() for key, t in tensors.items()})
    write_atomically(path, data)
    return hashlib.sha256(data).hexdigest()


def read_tensors(path: Path, sha256: str | None = None) -> Tensors:
    """Read safetensors.

    Raises
    ------
    CheckpointError
        The file is missing, damaged, or not the one whose sha256 was written down.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load

    try:
        data = read_plain(path, memory_bytes() // 4, linked=True)
    except UnfitFileError as error:
        raise CheckpointError(
            f"{path}: expected weights, got {error}; copy the whole run folder again, or train "
            "again"
        ) from error
    except OSError as error:
        raise CheckpointError(
            f"{path}: expected weights, got none ({error.strerror}); "
            "give the folder of a finished run, or train again"
        ) from error
    if sha256 is not None:
        check_weights(path, hashlib.sha256(data).hexdigest(), sha256)
    try:
        tensors: Tensors = load(data)
    except SafetensorError as error:
        raise CheckpointError(
            f"{path}: expected a safetensors file, got a damaged one ({error}); "
            "copy the whole run folder again, or train again"
        ) from error
    return tensors
