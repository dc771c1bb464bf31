"""Files of a run folder: weights as safetensors, everything else as JSON. Nothing is pickled."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from labels.files import write_atomically
from models.errors import CheckpointError
from models.runfolder import check_weights, read_model_file
from models.unet3d.architecture import Architecture

if TYPE_CHECKING:
    import torch

WEIGHTS_FILE = "weights.safetensors"
FIRST = "down.0.0.weight"
"""The first convolution."""
LAST_WEIGHTS_FILE = "last.safetensors"
LAST_STATE_FILE = "last.json"

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
        data = path.read_bytes()
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


@dataclass(frozen=True)
class RunFile:
    """What `model.json` says.

    Parameters
    ----------
    folder : Path
    architecture : Architecture
    data : dict
        Settings: spacing, percentiles, patch size, instances, weights' sha256, validation.
    """

    folder: Path
    architecture: Architecture
    data: dict[str, Any]

    @property
    def patch(self) -> tuple[int, int, int]:
        """Patch size (z, y, x) of the training."""
        z, y, x = (int(n) for n in self.data["patch_size"])
        return z, y, x

    @property
    def sha256(self) -> str:
        """The weights' sha256."""
        return str(self.data["weights_sha256"])


REQUIRED = (
    "architecture",
    "patch_size",
    "spacing_um",
    "percentiles",
    "instances",
    "weights_sha256",
)


def read_run(folder: Path) -> RunFile:
    """Read `model.json` of a run folder.

    Raises
    ------
    CheckpointError
        The file is missing, damaged or incomplete.
    """
    data = read_model_file(Path(folder), "unet3d", REQUIRED)
    return RunFile(Path(folder), Architecture.from_json(data["architecture"]), data)


def load_network(run: RunFile, channels: int | None = None) -> Any:
    """Build the network of a run and fill in its weights.

    Parameters
    ----------
    run : RunFile
    channels : int, optional
        Of the images that it is to see, where they are not those of the run; see `for_channels`.

    Raises
    ------
    CheckpointError
        Weights that are missing, damaged or of another architecture.
    """
    from models.unet3d.network import UNet3D

    wanted = run.architecture.channels if channels is None else channels
    network = UNet3D(replace(run.architecture, channels=wanted))
    tensors = read_tensors(run.folder / WEIGHTS_FILE, run.sha256)
    fill(network, for_channels(tensors, wanted, run.folder), run.folder)
    return network.eval()


def for_channels(tensors: Tensors, channels: int, where: Path) -> Tensors:
    """Return weights for images of so many channels.

    Those of one channel are shared out evenly among several, so that the network sees their mean.

    Raises
    ------
    CheckpointError
        Weights of several channels, but not of so many.
    """
    first = tensors.get(FIRST)
    if first is None or first.shape[1] == channels:
        return tensors
    if first.shape[1] != 1:
        raise CheckpointError(
            f"{where}: expected weights for images of {channels} channels, got those for "
            f"{first.shape[1]}; start from another run"
        )
    shape = (first.shape[0], channels, *first.shape[2:])
    return {**tensors, FIRST: first.expand(shape) / channels}


def fill(network: Any, tensors: Tensors, where: Path) -> None:
    """Copy weights into a network.

    Raises
    ------
    CheckpointError
        The weights are of another architecture.
    """
    try:
        network.load_state_dict(tensors)
    except RuntimeError as error:
        reason = str(error).strip().splitlines()[-1].strip()
        raise CheckpointError(
            f"{where}: expected weights of the architecture {network.architecture.features}, got "
            f"others ({reason}); give a run with the same features, pooling and norm"
        ) from error
