"""StarDist and TensorFlow: imported late and in silence, and the number format they compute in."""

from __future__ import annotations

import contextlib
import functools
import importlib
import importlib.util
import io
import os
import sys
import tempfile
import warnings
from collections.abc import Iterator
from types import ModuleType
from typing import Any, NamedTuple

from labels.blocks import available_processors
from models.devices import Precision, cpu_has_bf16
from models.errors import ModelError


class StarDistModules(NamedTuple):
    """The parts of StarDist and TensorFlow that this package uses."""

    tf: Any
    models: Any
    geometry: Any
    nms: Any
    rays: Any
    utils: Any


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Keep StarDist's prints and warnings off standard output and standard error."""
    with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


@contextlib.contextmanager
def quiet_native() -> Iterator[None]:
    """Hold back what C++ code writes to standard error; give it back when the block fails."""
    sys.stderr.flush()
    saved = os.dup(2)
    with tempfile.TemporaryFile() as held:
        os.dup2(held.fileno(), 2)
        try:
            yield
        except BaseException:
            held.seek(0)
            os.write(saved, held.read())
            raise
        finally:
            os.dup2(saved, 2)
            os.close(saved)


def import_stardist() -> StarDistModules:
    """Import StarDist on Keras 2, which its released weights and its training code are made for.

    Raises
    ------
    ModelError
        When a package is missing, or when TensorFlow was imported before with Keras 3.
    """
    os.environ.setdefault("TF_USE_LEGACY_KERAS", "1")
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    return _modules()


@functools.cache
def _modules() -> StarDistModules:
    try:
        with quiet(), quiet_native():
            # torch's Triton and TensorFlow both carry LLVM; the other order aborts the process.
            if importlib.util.find_spec("triton") is not None:
                importlib.import_module("triton")
            tf = importlib.import_module("tensorflow")
            _set_threads(tf)
            # Advice on retracing for every new tile shape is nothing a user can act on.
            tf.get_logger().setLevel("ERROR")
            found = StarDistModules(tf, *map(importlib.import_module, _STARDIST_MODULES))
    except (ImportError, RuntimeError) as exc:
        raise ModelError(
            f"expected stardist, tensorflow and tf-keras to import, got: {exc}; "
            "install the project's requirements again"
        ) from exc
    if importlib.import_module("csbdeep.utils.tf").IS_KERAS_3_PLUS or "tf_keras" not in sys.modules:
        raise ModelError(
            "expected Keras 2 (the package tf-keras) behind TensorFlow, got Keras 3; set "
            "TF_USE_LEGACY_KERAS=1 in the environment and start again"
        )
    return found


_STARDIST_MODULES = (
    "stardist.models",
    "stardist.geometry",
    "stardist.nms",
    "stardist.rays3d",
    "stardist.utils",
)


def _set_threads(tf: ModuleType) -> None:
    """Use the cores this process may run on, not all that the machine has."""
    # Too late (RuntimeError) when the caller has used TensorFlow already: its choice stands.
    with contextlib.suppress(RuntimeError):
        tf.config.threading.set_intra_op_parallelism_threads(available_processors())
        tf.config.threading.set_inter_op_parallelism_threads(2)


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
