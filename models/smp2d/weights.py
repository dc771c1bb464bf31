"""Pretrained weights of encoders that are on this machine; nothing is fetched or unpickled."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from labels.numbers import number_of
from models.errors import CheckpointError, WeightsUnavailableError
from models.smp2d.architecture import UNIVERSAL
from models.tensors import read_tensors

SUFFIX = ".safetensors"


def encoder_file(encoder: str, weights: str) -> Path:
    """Return the file of an encoder's pretrained weights.

    Parameters
    ----------
    encoder : str
    weights : str
        A file's path, or the name of weights that Hugging Face's cache may hold.

    Raises
    ------
    WeightsUnavailableError
        It is not on this machine, or no safetensors.
    """
    path = Path(weights).expanduser()
    if path.suffix == SUFFIX:
        return path
    if path.suffix in (".pth", ".pt", ".bin", ".ckpt", ".pkl"):
        raise WeightsUnavailableError(
            f"encoder_weights {weights}: expected a file that ends in {SUFFIX}, got one that is "
            "unpickled, which runs whatever it holds; save its weights with safetensors"
        )
    return _cached(encoder, weights)


def _cached(encoder: str, weights: str) -> Path:
    from huggingface_hub import try_to_load_from_cache

    where = f"encoder_weights {weights}"
    repository, revision = _published(encoder, weights)
    if repository is None:
        raise WeightsUnavailableError(
            f"{where}: none of that name are published for the encoder {encoder}; give the path "
            f"of a file that ends in {SUFFIX}, or leave it out to start from random weights"
        )
    found = try_to_load_from_cache(repository, f"model{SUFFIX}", revision=revision)
    if not isinstance(found, str):
        raise WeightsUnavailableError(
            f"{where}: model{SUFFIX} of {repository} is not in Hugging Face's cache on this "
            "machine; give the path of the file, or leave it out to start from random weights"
        )
    return Path(found)


def _published(encoder: str, weights: str) -> tuple[str | None, str | None]:
    """Return repository and revision of published weights."""
    if encoder.startswith(UNIVERSAL):
        import timm

        config = timm.models.get_pretrained_cfg(encoder.removeprefix(UNIVERSAL))
        return (None if config is None else config.hf_hub_id or None), None
    from segmentation_models_pytorch.encoders import encoders

    settings = encoders.get(encoder, {}).get("pretrained_settings", {}).get(weights)
    return (None, None) if settings is None else (settings["repo_id"], settings["revision"])


def fill_encoder(network: Any, encoder: str, weights: str) -> Path:
    """Copy pretrained weights into a network's encoder; return their file.

    Those of the first layer, for colours, are shared out where an image has other channels.

    Raises
    ------
    WeightsUnavailableError, CheckpointError
        No such weights, or those of another encoder.
    """
    path = encoder_file(encoder, weights)
    given, own = read_tensors(path), network.encoder.state_dict()
    prefix = "model." if all(key.startswith("model.") for key in own) else ""
    given = {key if key.startswith(prefix) else prefix + key: each for key, each in given.items()}
    fitting = {
        key: fitted
        for key, mine in own.items()
        if key in given and (fitted := _fitted(given[key], mine)) is not None
    }
    lacking = [key for key in own if key not in fitting and not key.endswith("num_batches_tracked")]
    if lacking:
        raise CheckpointError(
            f"{path}: expected the weights of the encoder {encoder}, got others: {len(lacking)} of "
            f"{number_of(len(own), 'tensor')} lack or have another shape, {lacking[0]} first"
        )
    network.encoder.load_state_dict(fitting, strict=False)
    return path


def _fitted(given: Any, mine: Any) -> Any:
    """Return a tensor in the shape of the network's; None where it cannot have it."""
    if given.shape == mine.shape:
        return given
    inputs_differ = given.ndim == mine.ndim == 4 and (
        given.shape[0] == mine.shape[0] and given.shape[2:] == mine.shape[2:]
    )
    if not inputs_differ:
        return None
    had, wanted = given.shape[1], mine.shape[1]
    return given[:, [channel % had for channel in range(wanted)]] * (had / wanted)
