"""What a run folder holds: csbdeep's layout (config, thresholds, weights) and our settings."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any

import numpy as np

from labels.files import write_atomically
from labels.hashing import file_sha256
from labels.json_files import shaped
from models.errors import CheckpointError, TrainingMemoryError
from models.field_size import FieldSize, KnownSizes
from models.options import DiameterUm, SpacingUm
from models.runfolder import FORMAT, MODEL_FILE, described, read_json, read_model_file, write_json
from models.scarce_memory import check_fits
from models.stardist3d.architecture import FlatConfig, NetworkConfig
from models.stardist3d.runtime import import_stardist, quiet
from models.stardist3d.samples import SAME_SPACING, Normalisation
from models.stardist3d.weights import SLIM_WEIGHTS, load_into, numbers_in

CONFIG = "config.json"
THRESHOLDS = "thresholds.json"
BEST_WEIGHTS = "weights_best.h5"

FLAT, DEEP = 2, 3
"""Axes of the images that StarDist's 2D and 3D networks see."""

MOST_BUILT = 2**27
"""Parameters, at most, of a network that is built without asking first how large it is."""


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
    diameter_um : float or None
        Diameter of the training stacks' nuclei.
    sizes : KnownSizes
        Of the fields that it learned from.
    """

    normalisation: Normalisation = field(default_factory=Normalisation)
    spacing_um: SpacingUm | None = None
    base: str = "random"
    stack_spacing_um: SpacingUm | None = None
    diameter_um: DiameterUm | None = None
    sizes: KnownSizes = field(default_factory=KnownSizes)

    @property
    def known_sizes(self) -> KnownSizes:
        """The fields' sizes; of an earlier version's run, that of all of them."""
        if self.sizes.fields or self.stack_spacing_um is None or self.diameter_um is None:
            return self.sizes
        return KnownSizes((FieldSize(self.stack_spacing_um, self.diameter_um),))

    def for_diameter(self, diameter_um: float) -> RunSettings:
        """Return the settings with which nuclei of another diameter look like the trained ones.

        They are these settings themselves where the diameters agree within a tenth, or where the
        run does not know its own.
        """
        if self.diameter_um is None or self.spacing_um is None:
            return self
        factor = diameter_um / self.diameter_um
        if abs(factor - 1) <= SAME_SPACING:
            return self
        z, y, x = (factor * step for step in self.spacing_um)
        return replace(
            self,
            spacing_um=(z, y, x),
            stack_spacing_um=None,
            diameter_um=diameter_um,
            sizes=KnownSizes(),
        )


def model_file(settings: RunSettings, model: str = "stardist3d") -> dict[str, Any]:
    """Return what `model.json` says, so that the folder can be loaded."""
    return {"model": model, "format": FORMAT, **asdict(settings)}


def write_settings(folder: Path, settings: RunSettings) -> None:
    """Write `model.json`."""
    write_json(folder / MODEL_FILE, model_file(settings))


def read_settings(folder: Path, model: str = "stardist3d") -> RunSettings:
    """Read `model.json`; a stock StarDist folder has none and gets StarDist's usual settings.

    Raises
    ------
    CheckpointError
        When the file is damaged or another model's.
    """
    path = folder / MODEL_FILE
    if not (path.exists() or path.is_symlink()):
        return RunSettings()
    return described(RunSettings, read_model_file(folder, model), path)


def load_network(folder: Path, n_dim: int = DEEP) -> Any:
    """Return the network of a run folder, or of a stock StarDist folder, in 3D or 2D.

    Weights are read with Keras's ``load_weights`` from HDF5, or from the safetensors of
    an exported run: no pickle, no stored code.

    Raises
    ------
    CheckpointError
        When the folder or a file in it is missing or damaged, or the weights do not fit.
    """
    folder = folder.resolve()
    weights = weights_file(folder)
    described, config = _described(folder / CONFIG, n_dim)
    thresholds = _read_thresholds(folder)
    held = numbers_in(weights)
    stardist = import_stardist()
    try:
        with quiet():
            if described.most_parameters > MOST_BUILT:
                # A graph is planned and takes no memory: it tells how large the network would be.
                with stardist.tf.Graph().as_default():
                    _check_size(_built(config_of(n_dim, config)), held, weights)
            network = _built(config_of(n_dim, config))
            _check_size(network, held, weights)
            load_into(network.keras_model, weights)
    except CheckpointError:
        raise
    except Exception as exc:
        raise CheckpointError(
            f"{folder}: expected a configuration and weights that fit each other, got: {exc}; "
            "the folder is damaged, train again or copy it anew"
        ) from exc
    if not all(np.isfinite(array).all() for array in network.keras_model.get_weights()):
        raise CheckpointError(
            f"{weights}: expected finite weights, got NaN or infinity; copy the run folder again, "
            "or train again"
        )
    if thresholds is not None:
        network.thresholds = thresholds
    return network


def _described(path: Path, n_dim: int) -> tuple[NetworkConfig | FlatConfig, dict[str, Any]]:
    """Return what a `config.json` says of the network."""
    data = read_json(path, "stardist")
    if data.get("n_dim", n_dim) != n_dim:
        raise CheckpointError(
            f"{path}: expected a StarDist network of {n_dim}D images, got one of "
            f"{data['n_dim']}D; give the folder of another run"
        )
    kind = _kind(n_dim)
    configured = {part.name for part in fields(kind)}
    found: NetworkConfig | FlatConfig = described(kind, data, path)
    return found, {key: value for key, value in data.items() if key in configured}


def _kind(n_dim: int) -> Any:
    return FlatConfig if n_dim == FLAT else NetworkConfig


def config_of(n_dim: int, options: dict[str, Any]) -> Any:
    """Return StarDist's own configuration of a network for 3D or 2D images."""
    models = import_stardist().models
    return (models.Config2D if n_dim == FLAT else models.Config3D)(**options)


def _built(config: Any) -> Any:
    models = import_stardist().models
    kind = models.StarDist2D if config.n_dim == FLAT else models.StarDist3D
    return kind(config, basedir=None)


def _check_size(network: Any, held: int, weights: Path) -> None:
    wanted = network.keras_model.count_params()
    if wanted != held:
        raise CheckpointError(
            f"{weights}: expected the {wanted:,} numbers of the network that {CONFIG} describes, "
            f"got {held:,}: they do not fit each other; copy the whole run folder again, or train "
            "again"
        )


def weights_file(folder: Path) -> Path:
    """Return the weights of a run folder.

    Raises
    ------
    CheckpointError
        When they, or the configuration, are missing.
    """
    found = [folder / name for name in (BEST_WEIGHTS, SLIM_WEIGHTS) if (folder / name).is_file()]
    for name, there in ((CONFIG, (folder / CONFIG).is_file()), (BEST_WEIGHTS, bool(found))):
        if not there:
            raise CheckpointError(
                f"{folder}: expected a StarDist run folder with {CONFIG} and {BEST_WEIGHTS}, "
                f"{name} is missing; give the folder of a finished run"
            )
    return found[0]


def weights_sha256(folder: Path) -> str:
    """Return the hex digest of a run's weights."""
    return file_sha256(weights_file(folder))


def export_run(run_folder: Path, dest: Path, half: bool = True) -> None:
    """Write a run folder of nothing but what prediction and fine-tuning need.

    Parameters
    ----------
    run_folder : Path
        A finished run.
    dest : Path
        New folder: ``config.json``, ``thresholds.json``, ``model.json`` and the weights as
        ``weights.safetensors``.
    half : bool
        Store the weights as float16: a network of 300,000 parameters takes 0.6 MB.

    Raises
    ------
    CheckpointError
        When the run cannot be loaded, or holds weights beyond what float16 can.
    """
    from safetensors.numpy import save

    network, settings = load_network(run_folder), read_settings(run_folder)
    kind = np.float16 if half else np.float32
    limit = float(np.finfo(kind).max)
    weights = network.keras_model.get_weights()
    if any(np.abs(array).max(initial=0) > limit for array in weights):
        raise CheckpointError(
            f"{run_folder}: expected weights within ±{limit:g}, got larger ones; "
            "export with half=False"
        )
    tensors = {f"{i:04d}": array.astype(kind) for i, array in enumerate(weights)}
    dest.mkdir(parents=True, exist_ok=True)
    write_json(dest / CONFIG, vars(network.config))
    write_thresholds(dest, network, float(network.thresholds.prob), float(network.thresholds.nms))
    write_settings(dest, settings)
    write_atomically(dest / SLIM_WEIGHTS, save(tensors))


def new_network(folder: Path, config: Any) -> Any:
    """Return an untrained network and write its `config.json`.

    Raises
    ------
    TrainingMemoryError
        The machine cannot hold it.
    """
    stardist = import_stardist()
    described = shaped(_kind(config.n_dim), vars(config))
    if described.most_parameters > MOST_BUILT:
        with quiet(), stardist.tf.Graph().as_default():
            planned = _built(config).keras_model.count_params()
        # Weights, their average, their gradient and Adam's two moments.
        check_fits(
            20 * planned,
            f"a network of {planned:,} weights",
            "take fewer levels or features (unet_n_depth, unet_n_filter_base, net_conv_after)",
            TrainingMemoryError,
        )
    folder.mkdir(parents=True, exist_ok=True)
    with quiet():
        network = _built(config)
    write_json(folder / CONFIG, vars(network.config))
    return network


def write_thresholds(folder: Path, network: Any, prob: float, nms: float) -> None:
    """Set the thresholds of a network and write them where StarDist looks for them."""
    network.thresholds = {"prob": prob, "nms": nms}
    write_json(folder / THRESHOLDS, network.thresholds._asdict())


def _read_thresholds(folder: Path) -> dict[str, float] | None:
    """Return a run's thresholds, None where the folder has none."""
    path = folder / THRESHOLDS
    if not (path.exists() or path.is_symlink()):
        return None
    stored = read_json(path, "stardist3d")
    found: dict[str, Any] = {name: stored.get(name) for name in ("prob", "nms")}
    # With NaN nothing would be found, and nobody told why.
    if not all(type(x) in (int, float) and 0 <= x <= 1 for x in found.values()):
        raise CheckpointError(
            f"{path}: expected prob and nms from 0 to 1, got {found['prob']!r} and "
            f"{found['nms']!r}; copy the run folder again, or train again"
        )
    return {name: float(x) for name, x in found.items()}
