"""What the run folders of all trainable models share, and the runs that trainings start from."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any, TypeVar

from labels.files import write_atomically
from labels.hashing import values_sha256
from labels.json_files import JsonError, shaped
from labels.json_files import read_json as read_whole_json
from models.base import TrainingSample
from models.errors import CheckpointError, ModelError

MODEL_FILE = "model.json"
FORMAT = 1

Settings = TypeVar("Settings")


def settings_from(kind: type[Settings], options: object, **others: Any) -> Settings:
    """Return a dataclass filled from the options of the same names, and from `others`."""
    names = {field.name for field in fields(kind) if hasattr(options, field.name)}  # type: ignore[arg-type]
    return kind(**{name: getattr(options, name) for name in names} | others)


def options_but(trainer: Any, free: Iterable[str]) -> list[tuple[str, Any]]:
    """Return a trainer's options, sorted, without those that may change in a continuation."""
    return sorted((key, value) for key, value in asdict(trainer).items() if key not in free)


def fingerprint(settings: object, samples: Sequence[TrainingSample]) -> str:
    """Return the digest by which an interrupted training knows its settings and data again."""
    parts = [settings]
    for sample in samples:
        parts += [(sample.name, sample.spacing_um), sample.image, sample.labels, sample.mask]
    return values_sha256(*parts)


def check_continues(folder: Path, found: object, own: object) -> None:
    """Refuse to continue a training whose fingerprint is another.

    Raises
    ------
    CheckpointError
    """
    if found != own:
        raise CheckpointError(
            f"{folder}: expected an interrupted training of the same data and options, "
            "got another; train into a new folder"
        )


def write_json(path: Path, data: dict[str, Any]) -> None:
    """Write JSON whole or not at all."""
    write_atomically(path, (json.dumps(data, indent=1) + "\n").encode())


def read_json(path: Path, model: str) -> dict[str, Any]:
    """Read a JSON object of a run.

    Raises
    ------
    CheckpointError
        The file is missing or not a JSON object.
    """
    try:
        # An installer may have put links in the place of the files that ship.
        data = read_whole_json(path, linked=path.is_relative_to(SHIPPED), nan=True)
        if not isinstance(data, dict):
            raise ValueError(f"{type(data).__name__} in place of an object")
    except OSError as error:
        raise CheckpointError(
            f"{path}: expected the description of a {model} run, got none ({error.strerror}); "
            "give the folder that training filled"
        ) from error
    except ValueError as error:
        raise CheckpointError(
            f"{path}: expected JSON, got a damaged file ({error}); copy the run folder again, or "
            "train again"
        ) from error
    return data


def read_model_file(
    folder: Path, model: str, required: Sequence[str] = (), name: str = MODEL_FILE
) -> dict[str, Any]:
    """Read `model.json`, or another file with the same head.

    Raises
    ------
    CheckpointError
        The file is missing, damaged, incomplete, or of another model or format.
    """
    path = folder / name
    data = read_json(path, model)
    if data.get("model") != model:
        raise CheckpointError(
            f"{path}: expected a {model} run, got another kind of run "
            f"({data.get('model')!r}); load it with the model that it was trained as"
        )
    missing = [key for key in required if key not in data]
    if data.get("format") != FORMAT or missing:
        raise CheckpointError(
            f"{path}: expected format {FORMAT} with {', '.join(required)}, got format "
            f"{data.get('format')} without {', '.join(missing) or 'a known meaning'}; train again"
        )
    return data


def described(kind: type[Settings], data: object, path: Path) -> Settings:
    """Return what a file of a run says, as a dataclass.

    Raises
    ------
    CheckpointError
        A key that lacks, another kind of value, or one out of its bounds.
    """
    try:
        return shaped(kind, data)
    except (JsonError, ModelError) as error:
        raise CheckpointError(
            f"{path}: expected what training writes, got something else ({error}); copy the run "
            "folder again, or train again"
        ) from error


def check_weights(path: Path, found: str, recorded: str) -> None:
    """Refuse weights whose sha256 is not the one that was written down.

    Raises
    ------
    CheckpointError
    """
    if found != recorded:
        raise CheckpointError(
            f"{path}: expected the weights with sha256 {recorded[:12]}…, got another or a damaged "
            "file; copy the whole run folder again, or train again"
        )


STARTER = "starter"
"""The name by which `base_run` asks for the shipped run of a model."""

SHIPPED = Path(__file__).resolve().parent / STARTER
"""Folder of the shipped runs."""


def starter_folder(model: str) -> Path:
    """Return the run folder that ships for a model.

    Parameters
    ----------
    model : {"unet3d", "stardist3d"}

    Raises
    ------
    CheckpointError
        None ships, or the installation is incomplete.
    """
    folder = SHIPPED / model
    if not (folder / "model.json").is_file():
        raise CheckpointError(
            f"expected the starter weights of {model} in {folder}, got none; "
            "install the package again, or give a run folder"
        )
    return folder


def base_folder(base_run: str, model: str) -> Path:
    """Return the folder that `base_run` means: the shipped run for ``"starter"``."""
    return starter_folder(model) if base_run == STARTER else Path(base_run)
