"""Where Cellpose's weights are, what they are, and how they are fetched. Imports no framework."""

from __future__ import annotations

import http.client
import os
import urllib.request
import zipfile
from collections.abc import Mapping
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from labels.hashing import file_sha256
from labels.names import did_you_mean
from labels.progress import Progress, no_progress
from models.errors import CheckpointError, WeightsUnavailableError

TIMEOUT_S = 10.0
"""Longest wait for a connection or for the next bytes."""

_BLOCK = 1 << 20


def download(url: str, target: Path, progress: Progress) -> None:
    """Save a checkpoint of torch's zip format; `target` appears only when it is complete.

    Cellpose's own downloader turns certificate checks off for the whole process, waits for ever
    and keeps what a broken connection has left; hence this one, for the same file and place.

    Parameters
    ----------
    url : str
    target : Path
        Its folder is made when it does not exist.
    progress : callable
        Called per MiB; raising in it cancels, and leaves nothing behind.

    Raises
    ------
    WeightsUnavailableError
        No network, an answer that is not a checkpoint, a broken connection, or no place to write.
    """
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with _locked(target, progress):
            # Another process may have brought the file while this one waited.
            if not target.is_file():
                _fetch(url, target, progress)
    except (OSError, http.client.HTTPException) as error:
        raise WeightsUnavailableError(str(error) or type(error).__name__) from error


def _fetch(url: str, target: Path, progress: Progress) -> None:
    part = target.with_name(f".{target.name}.part")
    try:
        _receive(url, part, progress, f"downloading {target.name} (MiB)")
        part.replace(target)
    finally:
        part.unlink(missing_ok=True)


def _receive(url: str, part: Path, progress: Progress, what: str) -> None:
    # The address is a constant of this package.
    with urllib.request.urlopen(url, timeout=TIMEOUT_S) as answer, part.open("wb") as file:  # noqa: S310
        expected = int(answer.headers.get("Content-Length", 0))
        got = 0
        while block := answer.read(_BLOCK):
            got += file.write(block)
            progress(got // _BLOCK, max(expected, got) // _BLOCK, what)
    if got < expected:
        raise WeightsUnavailableError(f"the connection broke after {got} of {expected} bytes")
    if not zipfile.is_zipfile(part):
        raise WeightsUnavailableError(f"{url} answered with {got} bytes that are no checkpoint")


def _locked(target: Path, progress: Progress) -> Any:
    """Return the held lock of one download per file and machine."""
    import filelock

    lock = filelock.FileLock(target.with_name(f".{target.name}.lock"))
    while True:
        try:
            return lock.acquire(timeout=1.0)
        except filelock.Timeout:
            progress(0, 1, f"waiting for another process that downloads {target.name}")


ENVIRONMENT = "CELLPOSE_LOCAL_MODELS_PATH"
"""Environment variable, Cellpose's own, that names the folder of weights."""

SOURCE_URL = "https://huggingface.co/mouseland/cellpose-sam/resolve/main/"
"""Where Cellpose itself downloads from."""

PRETRAINED = ("cpsam_v2", "cpsam")
"""Names that can be downloaded (Cellpose-SAM, https://doi.org/10.1101/2025.04.28.651001)."""

LICENCE = (
    "BSD-3-Clause as published at https://huggingface.co/mouseland/cellpose-sam; trained on data "
    "under CC-BY-NC (non-commercial), says https://github.com/MouseLand/cellpose"
)


def weights_folder() -> Path:
    """Return the folder of named weights: the environment variable's, or Cellpose's cache."""
    return _expanded(os.environ.get(ENVIRONMENT) or "~/.cellpose/models")


def _expanded(path: str) -> Path:
    """Return a path with the home folder in place of ``~``; as it is where there is none."""
    try:
        return Path(path).expanduser()
    except RuntimeError:
        return Path(path)


def weights_path(model: str) -> Path | None:
    """Tell where a model's weights are on this machine; None when they are not.

    Parameters
    ----------
    model : str
        A pretrained model's name, the name of a file in the folder of weights, or a path.
    """
    candidates = [weights_folder() / model]
    if model not in PRETRAINED:
        # A name always means the folder, so that a file beside the user cannot stand in for it.
        candidates.insert(0, _expanded(model))
    return next((path.absolute() for path in candidates if path.is_file()), None)


def weights_of(options: Mapping[str, Any]) -> Path | None:
    """Tell which file a segmenter with these options takes; None when it is not here."""
    return weights_path(options.get("model", PRETRAINED[0]))


def available(model: str = PRETRAINED[0]) -> tuple[bool, str]:
    """Tell, without the network, whether `model` can run here, and what is missing if not."""
    if find_spec("cellpose") is None:
        return False, "the package cellpose is not installed; do: pip install cellpose"
    path = weights_path(model)
    if path is None:
        return False, f"Cellpose's weights {model!r} are not on this machine; {how_to_get(model)}"
    return True, f"Cellpose with the weights {path}"


def how_to_get(model: str) -> str:
    """Say in one line how to put the weights on this machine."""
    if model not in PRETRAINED:
        return f"expected a file at {model} or {weights_folder() / model}"
    return (
        f"download {SOURCE_URL}{model} (1.2 GB) and save it as {weights_folder() / model}, "
        f"or set {ENVIRONMENT} to the folder that holds the file {model}"
    )


def ensure_weights(model: str, progress: Progress = no_progress) -> Path:
    """Return the weights file, downloading a pretrained model that is not here yet.

    Raises
    ------
    WeightsUnavailableError
        A pretrained model that is neither on this machine nor to be had from the network.
    CheckpointError
        A name or path that stands for nothing; Cellpose itself would take its default instead.
    """
    path = weights_path(model)
    if path is not None:
        return path
    if model not in PRETRAINED:
        hint = did_you_mean(model, PRETRAINED) or f"; or use {' or '.join(PRETRAINED)}"
        raise CheckpointError(f"no Cellpose weights {model!r}: {how_to_get(model)}{hint}")
    target = (weights_folder() / model).absolute()
    try:
        download(SOURCE_URL + model, target, progress)
    except WeightsUnavailableError as error:
        raise WeightsUnavailableError(
            f"Cellpose's weights {model!r} are not on this machine and the download failed "
            f"({error}); {how_to_get(model)}"
        ) from error
    return target


def licence(model: str) -> str:
    """Return the licence that the weights, and what is trained from them, are under."""
    if model in PRETRAINED:
        return LICENCE
    return f"that of {Path(model).name}; if it was tuned from Cellpose's own: {LICENCE}"


def sha256(path: Path) -> str:
    """Return a weights file's SHA-256, read once for each state of the file."""
    state = path.stat()
    return _sha256(path, state.st_size, state.st_mtime_ns)


@lru_cache(maxsize=8)
def _sha256(path: Path, size: int, mtime_ns: int) -> str:
    return file_sha256(path)
