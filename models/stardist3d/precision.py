"""The number format that a StarDist network computes in."""

from __future__ import annotations

from typing import Any, Literal

from models.devices import cpu_has_bf16
from models.stardist3d.runtime import import_stardist

Precision = Literal["auto", "bf16", "fp32"]

OUTPUTS = ("prob", "dist")
AMPERE = (8, 0)
"""Compute capability from which on GPUs multiply bfloat16."""


def use_bf16(precision: Precision, *, training: bool = False) -> bool:
    """Tell whether to compute in bfloat16; ``"auto"`` does where the hardware multiplies it."""
    if precision != "auto":
        return precision == "bf16"
    config = import_stardist().tf.config
    gpus = config.list_physical_devices("GPU")
    if gpus:
        details = config.experimental.get_device_details(gpus[0])
        return bool(details.get("compute_capability", (0, 0)) >= AMPERE)
    return cpu_has_bf16(training=training)


def compute_in(network: Any, precision: Precision, *, training: bool = False) -> bool:
    """Let the layers of a network compute in bfloat16, or not; the weights stay float32.

    The two outputs are always computed in float32: distances of 20 voxels have steps of an
    eighth of a voxel in bfloat16, and probabilities near 1 would tie.

    Parameters
    ----------
    network : StarDist3D
        Changed in place.
    precision : {"auto", "bf16", "fp32"}
    training : bool
        Whether gradients are needed: `cpu_has_bf16` says what that changes.

    Returns
    -------
    bool
        True for bfloat16.
    """
    bf16 = use_bf16(precision, training=training)
    keras = import_stardist().tf.keras

    def converted(layer: Any) -> Any:
        inner = bf16 and layer.name not in OUTPUTS
        settings = {**layer.get_config(), "dtype": "mixed_bfloat16" if inner else "float32"}
        return type(layer).from_config(settings)

    weights = network.keras_model.get_weights()
    network.keras_model = keras.models.clone_model(network.keras_model, clone_function=converted)
    network.keras_model.set_weights(weights)
    return bf16
