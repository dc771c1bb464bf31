"""What a run folder says of its network, and the network itself."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from labels.numbers import number_of
from models.devices import Precision
from models.errors import CheckpointError
from models.field_size import KnownSizes
from models.options import DiameterUm, Percentiles, Side, SpacingUm, check_percentiles
from models.runfolder import MODEL_FILE, described, read_model_file
from models.tensors import WEIGHTS_FILE, Tensors, read_tensors
from models.unet3d.architecture import Architecture
from models.unet3d.instances import InstanceSettings

FIRST = "down.0.0.weight"
"""The first convolution."""


@dataclass(frozen=True, kw_only=True)
class RunSettings:
    """What prediction and fine-tuning need of a `model.json`.

    Parameters
    ----------
    architecture : Architecture
    patch_size : (int, int, int)
        Patch size (z, y, x) of the training.
    spacing_um : (float, float, float)
        Voxel size (z, y, x) in µm that the network works at.
    percentiles : (float, float)
        Intensity percentiles that become 0 and 1.
    instances : InstanceSettings
    weights_sha256 : str
    precision : {"auto", "bf16", "fp32"}
    nominal_diameter : float, optional
        Of all nuclei that the network knows, in units of its voxel size.
    diameter_um : float, optional
        Of the objects that it learned from, at its voxel size.
    sizes : KnownSizes
        Of the fields that it learned from.
    """

    architecture: Architecture
    patch_size: tuple[Side, Side, Side]
    spacing_um: SpacingUm
    percentiles: Percentiles
    instances: InstanceSettings
    weights_sha256: str
    precision: Precision = "auto"
    nominal_diameter: DiameterUm | None = None
    diameter_um: DiameterUm | None = None
    sizes: KnownSizes = field(default_factory=KnownSizes)

    def __post_init__(self) -> None:
        check_percentiles(self.percentiles)


@dataclass(frozen=True)
class RunFile:
    """A run's folder, and what its `model.json` says."""

    folder: Path
    settings: RunSettings

    @property
    def architecture(self) -> Architecture:
        """Of the network."""
        return self.settings.architecture

    @property
    def sha256(self) -> str:
        """The weights' sha256."""
        return self.settings.weights_sha256


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
    return RunFile(Path(folder), described(RunSettings, data, Path(folder) / MODEL_FILE))


def numbers_of(architecture: Architecture) -> int:
    """Return how many weights an architecture has, without building it."""
    import torch

    from models.unet3d.network import UNet3D

    with torch.device("meta"):
        return sum(tensor.numel() for tensor in UNet3D(architecture).state_dict().values())


def check_size(architecture: Architecture, tensors: Tensors, where: Path) -> None:
    """Refuse weights that are not as many as an architecture has, before a network is built.

    Raises
    ------
    CheckpointError
    """
    wanted, held = numbers_of(architecture), sum(t.numel() for t in tensors.values())
    if wanted != held:
        raise CheckpointError(
            f"{where}: expected the {wanted:,} weights of the architecture "
            f"{architecture.features}, got {held:,}: they do not fit each other; copy the whole "
            "run folder again, or train again"
        )


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
    architecture = replace(run.architecture, channels=wanted)
    tensors = read_tensors(run.folder / WEIGHTS_FILE, run.sha256)
    tensors = for_channels(tensors, wanted, run.folder)
    check_size(architecture, tensors, run.folder)
    network = UNet3D(architecture)
    fill(network, tensors, run.folder)
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
            f"{where}: expected weights for images of {number_of(channels, 'channel')}, got those "
            f"for {first.shape[1]}; start from another run"
        )
    shape = (first.shape[0], channels, *first.shape[2:])
    return {**tensors, FIRST: first.expand(shape) / channels}


def fill(network: Any, tensors: Tensors, where: Path) -> None:
    """Copy weights into a network.

    Raises
    ------
    CheckpointError
        The weights are of another architecture, or not finite.
    """
    tensors = _with_usable_variances(tensors)
    if not all(bool(tensor.isfinite().all()) for tensor in tensors.values()):
        raise CheckpointError(
            f"{where}: expected finite weights, got NaN or infinity; copy the run folder again, "
            "or train again"
        )
    try:
        network.load_state_dict(tensors)
    except RuntimeError as error:
        reason = str(error).strip().splitlines()[-1].strip()
        raise CheckpointError(
            f"{where}: expected weights of the architecture {network.architecture.features}, got "
            f"others ({reason[:200]}); give a run with the same features, pooling and norm"
        ) from error


def _with_usable_variances(tensors: Tensors) -> Tensors:
    """Return the same weights with finite variances where none is used yet.

    Half precision ends at 65,504: a larger variance became infinite in weights that were kept in
    it, and a running mean that starts there is never a number again.
    """
    import torch

    largest = torch.finfo(torch.float16).max
    found = dict(tensors)
    for name, tensor in tensors.items():
        layer, _, kind = name.rpartition(".")
        frozen = tensors.get(f"{layer}.frozen")
        if kind == "var" and frozen is not None and not bool(frozen):
            found[name] = tensor.nan_to_num(nan=largest, posinf=largest)
    return found
