"""What prediction and fine-tuning need of a finished run."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from annotated_types import Gt, Le

from labels.numbers import number_of
from models.devices import Precision
from models.errors import CheckpointError, ModelError
from models.options import Percentiles, Side, SpacingUm, check_percentiles
from models.runfolder import MODEL_FILE, described, read_model_file
from models.smp2d.architecture import Architecture, build_network, fill
from models.tensors import WEIGHTS_FILE, read_tensors
from models.unet3d.instances import InstanceSettings

MODEL = "smp2d"

Overlap = Annotated[float, Gt(0), Le(1)]


@dataclass(frozen=True, kw_only=True)
class RunSettings:
    """What is read of `model.json`.

    Parameters
    ----------
    architecture : Architecture
    patch_size : (int, int)
        Patch (y, x) of the training.
    spacing_um : (float, float, float)
        Voxel size (z, y, x) in µm; that of y and x is what the network works at.
    percentiles : (float, float)
        Intensity percentiles that become 0 and 1.
    instances : tuple of InstanceSettings
        One for each output of objects.
    stitch_overlap : float
        Intersection over union at which two slices show one object.
    weights_sha256 : str
    precision : {"auto", "bf16", "fp32"}
    """

    architecture: Architecture
    patch_size: tuple[Side, Side]
    spacing_um: SpacingUm
    percentiles: Percentiles
    instances: tuple[InstanceSettings, ...]
    stitch_overlap: Overlap
    weights_sha256: str
    precision: Precision = "auto"

    def __post_init__(self) -> None:
        check_percentiles(self.percentiles)
        if len(self.instances) != len(self.architecture.objects):
            raise ModelError(
                "expected settings of "
                f"{number_of(len(self.architecture.objects), 'output')} of objects, got those of "
                f"{len(self.instances)}"
            )


@dataclass(frozen=True)
class RunFile:
    """A run's folder, and what its `model.json` says."""

    folder: Path
    settings: RunSettings


def read_run(folder: Path) -> RunFile:
    """Read `model.json` of a run folder.

    Raises
    ------
    CheckpointError
        The file is missing, damaged or incomplete.
    """
    required = [name for name in RunSettings.__dataclass_fields__ if name != "precision"]
    data = read_model_file(Path(folder), MODEL, required)
    return RunFile(Path(folder), described(RunSettings, data, Path(folder) / MODEL_FILE))


def load_network(run: RunFile) -> Any:
    """Build the network of a run and fill in its weights.

    Raises
    ------
    CheckpointError
        Weights that are missing, damaged or of another architecture.
    """
    tensors = read_tensors(run.folder / WEIGHTS_FILE, run.settings.weights_sha256)
    try:
        network = build_network(run.settings.architecture)
    except CheckpointError:
        raise
    except ModelError as error:
        raise CheckpointError(f"{run.folder / MODEL_FILE}: {error}") from error
    fill(network, tensors, str(run.folder))
    return network.eval()
