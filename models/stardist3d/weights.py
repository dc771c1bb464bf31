"""Files of weights: HDF5, as StarDist and Keras write it, or the safetensors of an exported run."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.errors import CheckpointError

SLIM_WEIGHTS = "weights.safetensors"

DEEPEST = 20
"""Groups in groups; Keras has three."""


def numbers_in(path: Path) -> int:
    """Return how many numbers a file holds, all of which are in this very file.

    Raises
    ------
    CheckpointError
        It is damaged, leads to other files, or tells of arrays that it has no room for.
    """
    with _damage(path):
        slim = path.name == SLIM_WEIGHTS
        held = _numbers_in_safetensors(path) if slim else _numbers_in_hdf5(path)
    if not held:
        raise CheckpointError(
            f"{path}: expected weights, got a file without any; copy the run folder again, or "
            "train again"
        )
    return held


def load_into(keras_model: Any, path: Path) -> None:
    """Fill a network with the weights of a file that `numbers_in` has looked at."""
    if path.name == SLIM_WEIGHTS:
        keras_model.set_weights(_read_slim(path))
    else:
        keras_model.load_weights(str(path))


def save_weights(keras_model: Any, path: Path) -> None:
    """Write weights as HDF5; a run killed while writing keeps the file it had."""
    draft = path.with_name(f".{path.name}")
    keras_model.save_weights(str(draft), save_format="h5")
    draft.replace(path)


def _read_slim(path: Path) -> list[NDArray[np.float32]]:
    """Return the weights of an exported run, in the network's order."""
    from safetensors.numpy import load

    tensors = load(path.read_bytes())
    return [tensors[key].astype(np.float32) for key in sorted(tensors)]


def _numbers_in_safetensors(path: Path) -> int:
    from safetensors import safe_open

    # Maps the file, and holds what its head says against its size.
    with safe_open(path, framework="numpy") as file:
        return sum(math.prod(file.get_slice(key).get_shape()) for key in file.keys())  # noqa: SIM118


def _numbers_in_hdf5(path: Path) -> int:
    import h5py

    room = path.stat().st_size
    numbers = 0
    with h5py.File(path, "r") as file:
        for name, found in _members(file):
            if not isinstance(found, h5py.Dataset):
                continue
            if found.is_virtual or found.external:
                raise _leads_elsewhere(path, name)
            room -= found.nbytes
            if room < 0 or found.dtype.kind not in "fiu":
                raise CheckpointError(
                    f"{path}: expected weights, got an array {name[:100]!r} of shape "
                    f"{found.shape} and type {found.dtype}, for which the file has no room; copy "
                    "the run folder again, or train again"
                )
            numbers += found.size
    return numbers


def _members(file: Any) -> Iterator[tuple[str, Any]]:
    """Give all groups and arrays of a file, and refuse what leads out of it or into itself."""
    import h5py

    groups, seen = [(file, 0)], {h5py.h5o.get_info(file.id).addr}
    while groups:
        group, depth = groups.pop()
        for name in group:
            if not isinstance(group.get(name, getlink=True), h5py.HardLink):
                raise _leads_elsewhere(Path(file.filename), name)
            found = group[name]
            address = h5py.h5o.get_info(found.id).addr
            if address in seen or depth > DEEPEST:
                raise _leads_elsewhere(Path(file.filename), name)
            seen.add(address)
            yield name, found
            if isinstance(found, h5py.Group):
                groups.append((found, depth + 1))


def _leads_elsewhere(path: Path, name: str) -> CheckpointError:
    return CheckpointError(
        f"{path}: expected weights, got {name[:100]!r}, which leads to another place or file; it "
        "is not to be trusted, get the run from its author again"
    )


@contextlib.contextmanager
def _damage(path: Path) -> Iterator[None]:
    """Tell what a library says of a file that is none of its own, or not a whole one."""
    from safetensors import SafetensorError

    try:
        yield
    except (OSError, RuntimeError, ValueError, KeyError, TypeError, SafetensorError) as error:
        raise CheckpointError(
            f"{path}: expected weights, got a damaged file ({error}); copy the run folder again, "
            "or train again"
        ) from error
