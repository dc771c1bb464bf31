"""The network to train: a new one, one that continues another, and where a new one starts."""

from __future__ import annotations

import contextlib
import random
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from labels.numbers import number_of
from models.errors import CheckpointError, TrainingDataError
from models.stardist3d.plan import Factors, Triple
from models.stardist3d.runfolder import config_of, load_network, new_network
from models.stardist3d.runtime import import_stardist, quiet

if TYPE_CHECKING:
    from models.stardist3d.batches import PatchSampler


def deep_config(
    n_rays: int, grid: Triple, anisotropy: Factors, backbone: str, options: dict[str, Any]
) -> Any:
    """Return StarDist's configuration of a 3D network; see `make_config`."""
    rays = import_stardist().rays.Rays_GoldenSpiral(n_rays, anisotropy=anisotropy)
    own = {"rays": rays, "grid": grid, "anisotropy": anisotropy, "backbone": backbone}
    return make_config(3, own | options)


def make_config(n_dim: int, options: dict[str, Any]) -> Any:
    """Return StarDist's configuration.

    Raises
    ------
    TrainingDataError
        When StarDist refuses an option.
    """
    try:
        with quiet():
            return config_of(n_dim, options)
    except ValueError as exc:
        raise TrainingDataError(f"StarDist refuses the options: {exc}") from exc


def fresh_network(folder: Path, config: Any, seed: int) -> Any:
    """Return an untrained network, the same for the same seed; its config goes to `folder`."""
    with _seeded(seed):
        return new_network(folder, config)


def continued_network(folder: Path, base: Path, seed: int, n_dim: int = 3) -> Any:
    """Return a network with an earlier run's architecture, weights and thresholds.

    Raises
    ------
    CheckpointError
        When the run is missing, damaged or has channels or classes that no run of ours has.
    """
    earlier = load_network(base, n_dim)
    channels, classes = earlier.config.n_channel_in, earlier.config.n_classes
    if channels != 1 or classes is not None:
        raise CheckpointError(
            f"{base}: expected a StarDist model of one channel without classes, got "
            f"{number_of(channels, 'channel')} and classes {classes}; start from another model"
        )
    network = fresh_network(folder, earlier.config, seed)
    network.keras_model.set_weights(earlier.keras_model.get_weights())
    network.thresholds = earlier.thresholds._asdict()
    return network


def differences(config: Any, wanted: dict[str, Any]) -> list[str]:
    """Say where the base run's architecture is not what the options and data ask for."""
    pairs = {name: (getattr(config, name), want) for name, want in wanted.items()}
    told = {
        name: (tuple(have) if isinstance(have, list) else have, want)
        for name, (have, want) in pairs.items()
    }
    return [
        f"{what} is the base run's {have}; the options and data would give {want}"
        for what, (have, want) in told.items()
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


PATCHES = 16
OUTPUT_GAIN = 0.1


def initialise(network: Any, sampler: PatchSampler) -> None:
    """Scale a new network's weights to the training data, in place.

    StarDist's network starts from Glorot's weights and zero biases: hundreds of steps go by
    until the probability is as low, and the distances are as long, as they are on average. Here
    the hidden layers get the gain of ReLUs (He et al. 2015), the first layer standardises
    the image, and the biases of the two outputs are the data's mean probability and distances.
    On 200 steps of noisy confocal nuclei the validation loss fell to 0.51 instead of 0.75.

    Parameters
    ----------
    network : StarDist3D
        Untrained.
    sampler : PatchSampler
    """
    rng = np.random.default_rng(sampler.seed)
    images, (probability, distances) = sampler.cutter.batch(
        [sampler.draw(rng) for _ in range(PATCHES)]
    )
    layers = [
        layer
        for layer in network.keras_model.layers
        if len(layer.get_weights()) == 2 and layer.get_weights()[0].ndim > 2
    ]
    for layer in layers:
        if layer.name not in ("prob", "dist"):
            _relu_gain(layer, network.config.backbone == "unet")
    _standardise_input(layers[0], float(images.mean()), float(images.std()))
    inside = np.maximum(probability, 0)
    mean = float(np.clip(inside[probability >= 0].mean(), 1e-3, 1 - 1e-3))
    _set_output(network.keras_model.get_layer("prob"), np.log(mean / (1 - mean)))
    weight = max(float(inside.sum()), 1e-6)
    mean_distances = _sum_to_last(np.abs(distances[..., :-1]) * inside) / weight
    _set_output(network.keras_model.get_layer("dist"), mean_distances)


def _relu_gain(layer: Any, glorot: bool) -> None:
    # The ResNet is built with He's weights already.
    if not glorot:
        return
    kernel, bias = layer.get_weights()
    fan_in = np.prod(kernel.shape[:-1])
    fan_out = np.prod(kernel.shape[:-2]) * kernel.shape[-1]
    layer.set_weights([kernel * np.sqrt((fan_in + fan_out) / fan_in), bias])


def _standardise_input(layer: Any, mean: float, deviation: float) -> None:
    kernel, _ = layer.get_weights()
    scaled = kernel / max(deviation, 1e-6)
    layer.set_weights([scaled, -mean * _sum_to_last(scaled)])


def _sum_to_last(array: Any) -> Any:
    return array.reshape(-1, array.shape[-1]).sum(axis=0)


def _set_output(layer: Any, bias: Any) -> None:
    kernel, old = layer.get_weights()
    layer.set_weights([OUTPUT_GAIN * kernel, np.broadcast_to(bias, old.shape)])
