"""What a run folder holds: csbdeep's layout (config, thresholds, weights) and our settings."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from models.base import Spacing
from models.errors import CheckpointError
from models.stardist3d.runtime import import_stardist, quiet
from models.stardist3d.samples import Normalisation

SETTINGS = "model.json"
CONFIG = "config.json"
THRESHOLDS = "thresholds.json"
BEST_WEIGHTS = "weights_best.h5"
LAST_WEIGHTS = "weights_last.h5"
CURVES = "curves.csv"

_SAFE_RAYS = frozenset(
    {"Rays_GoldenSpiral", "Rays_Cartesian", "Rays_SubDivide", "Rays_Tetra", "Rays_Octo"}
    | {"Rays_Explicit"}
)


@dataclass(frozen=True)
class RunSettings:
    """What StarDist's own files do not say.

    Parameters
    ----------
    normalisation : Normalisation
    spacing_um : (float, float, float) or None
        Voxel size (z, y, x) in µm that the network works at; None for a stock StarDist folder.
    base : str
        What the training started from.
    stack_spacing_um : (float, float, float) or None
        Voxel size of the training stacks before they were resampled to `spacing_um`.
    """

    normalisation: Normalisation = field(default_factory=Normalisation)
    spacing_um: Spacing | None = None
    base: str = "random"
    stack_spacing_um: Spacing | None = None


def write_settings(folder: Path, settings: RunSettings) -> None:
    """Write `model.json`, so that the folder can be loaded."""
    content = {"model": "stardist3d", "format": 1, **asdict(settings)}
    (folder / SETTINGS).write_text(json.dumps(content, indent=2) + "\n")


def read_settings(folder: Path) -> RunSettings:
    """Read `model.json`; a stock StarDist folder has none and gets StarDist's usual settings.

    Raises
    ------
    CheckpointError
        When the file is damaged or another model's.
    """
    path = folder / SETTINGS
    if not path.exists():
        return RunSettings()
    content = _read_json(path)
    if content.get("model") != "stardist3d":
        raise CheckpointError(
            f"{path}: expected a run of stardist3d, got one of {content.get('model')!r}; "
            "load it with that model"
        )
    try:
        return RunSettings(
            Normalisation(**content["normalisation"]),
            _spacing(content["spacing_um"]),
            str(content["base"]),
            _spacing(content.get("stack_spacing_um")),
        )
    except (KeyError, TypeError, ValueError) as exc:
        raise CheckpointError(
            f"{path}: expected normalisation, spacing_um and base, got {exc!r}; train again"
        ) from exc


def _spacing(found: Any) -> Spacing | None:
    if found is None:
        return None
    z, y, x = found
    return float(z), float(y), float(x)


def load_network(folder: Path) -> Any:
    """Return the StarDist3D network of a run folder, or of a stock StarDist folder.

    Weights are read with Keras's ``load_weights`` from HDF5: no pickle, no stored code.

    Raises
    ------
    CheckpointError
        When the folder or a file in it is missing or damaged, or the weights do not fit.
    """
    folder = folder.resolve()
    for name in (CONFIG, BEST_WEIGHTS):
        if not (folder / name).is_file():
            raise CheckpointError(
                f"{folder}: expected a StarDist run folder with {CONFIG} and {BEST_WEIGHTS}, "
                f"{name} is missing; give the folder of a finished run"
            )
    config = _read_json(folder / CONFIG)
    rays = config.get("rays_json")
    # StarDist evaluates this name as Python.
    if not isinstance(rays, dict) or rays.get("name") not in _SAFE_RAYS:
        raise CheckpointError(
            f"{folder / CONFIG}: expected rays of StarDist, got {rays!r}; the file is damaged or "
            "not to be trusted, train again"
        )
    if (folder / THRESHOLDS).exists():
        _read_json(folder / THRESHOLDS)
    stardist = import_stardist()
    try:
        with quiet():
            config = stardist.models.Config3D.update_loaded_config(config)
            network = stardist.models.StarDist3D(stardist.models.Config3D(**config), basedir=None)
            _read_thresholds(network, folder)
            network.keras_model.load_weights(str(folder / BEST_WEIGHTS))
    except Exception as exc:
        raise CheckpointError(
            f"{folder}: expected a configuration and weights that fit each other, got: {exc}; "
            "the folder is damaged, train again or copy it anew"
        ) from exc
    return network


def new_network(folder: Path, config: Any) -> Any:
    """Return an untrained network and write its `config.json`."""
    stardist = import_stardist()
    folder.mkdir(parents=True, exist_ok=True)
    with quiet():
        network = stardist.models.StarDist3D(config, basedir=None)
    (folder / CONFIG).write_text(json.dumps(vars(network.config), indent=2) + "\n")
    return network


def write_thresholds(folder: Path, network: Any, prob: float, nms: float) -> None:
    """Set the thresholds of a network and write them where StarDist looks for them."""
    network.thresholds = {"prob": prob, "nms": nms}
    (folder / THRESHOLDS).write_text(json.dumps({"prob": prob, "nms": nms}) + "\n")


def save_weights(keras_model: Any, path: Path) -> None:
    """Write weights as HDF5; a run killed while writing keeps the file it had."""
    draft = path.with_name(f".{path.name}")
    keras_model.save_weights(str(draft), save_format="h5")
    draft.replace(path)


def sha256(path: Path) -> str:
    """Return the hex digest of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _read_thresholds(network: Any, folder: Path) -> None:
    path = folder / THRESHOLDS
    if path.exists():
        stored = _read_json(path)
        network.thresholds = {"prob": float(stored["prob"]), "nms": float(stored["nms"])}


def _read_json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text())
    except (OSError, ValueError) as exc:
        raise CheckpointError(
            f"{path}: expected JSON, got: {exc}; the folder is damaged, train again"
        ) from exc
    if not isinstance(content, dict):
        raise CheckpointError(f"{path}: expected a JSON object, got {type(content).__name__}")
    return content
