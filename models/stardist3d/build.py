"""The network to train: new from options and data, or an earlier run's."""

from __future__ import annotations

import contextlib
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from models.errors import CheckpointError, TrainingDataError
from models.stardist3d.plan import Factors, Triple
from models.stardist3d.runfolder import load_network, new_network
from models.stardist3d.runtime import import_stardist, quiet


def make_config(
    n_rays: int, grid: Triple, anisotropy: Factors, backbone: str, options: dict[str, Any]
) -> Any:
    """Return StarDist's configuration.

    Raises
    ------
    TrainingDataError
        When StarDist refuses an option.
    """
    stardist = import_stardist()
    try:
        with quiet():
            return stardist.models.Config3D(
                rays=stardist.rays.Rays_GoldenSpiral(n_rays, anisotropy=anisotropy),
                grid=grid,
                anisotropy=anisotropy,
                backbone=backbone,
                **options,
            )
    except ValueError as exc:
        raise TrainingDataError(f"StarDist refuses the options: {exc}") from exc


def fresh_network(folder: Path, config: Any, seed: int) -> Any:
    """Return an untrained network, the same for the same seed; its config goes to `folder`."""
    with _seeded(seed):
        return new_network(folder, config)


def continued_network(folder: Path, base: Path, seed: int) -> Any:
    """Return a network with an earlier run's architecture, weights and thresholds.

    Raises
    ------
    CheckpointError
        When the run is missing, damaged or has channels or classes that no run of ours has.
    """
    earlier = load_network(base)
    channels, classes = earlier.config.n_channel_in, earlier.config.n_classes
    if channels != 1 or classes is not None:
        raise CheckpointError(
            f"{base}: expected a StarDist 3D model of one channel without classes, got "
            f"{channels} channels and classes {classes}; start from another model"
        )
    network = fresh_network(folder, earlier.config, seed)
    network.keras_model.set_weights(earlier.keras_model.get_weights())
    network.thresholds = earlier.thresholds._asdict()
    return network


def differences(
    config: Any, n_rays: int, grid: Triple, anisotropy: Factors, backbone: str
) -> list[str]:
    """Say where the base run's architecture is not what the options and data ask for."""
    pairs = {
        "n_rays": (int(config.n_rays), n_rays),
        "grid": (tuple(config.grid), grid),
        "anisotropy": (config.anisotropy and tuple(config.anisotropy), anisotropy),
        "backbone": (config.backbone, backbone),
    }
    return [
        f"{what} is the base run's {have}; the options and data would give {want}"
        for what, (have, want) in pairs.items()
        if have != want
    ]


@contextlib.contextmanager
def _seeded(seed: int) -> Iterator[None]:
    """Seed Keras, and give Python's and NumPy's global generators back as they were."""
    python, numpy = random.getstate(), np.random.get_state()  # noqa: NPY002
    import_stardist().tf.keras.utils.set_random_seed(seed)
    try:
        yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy)  # noqa: NPY002
