"""All that a store says, to compare two states of it."""

from __future__ import annotations

import hashlib
import warnings
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import zarr

from annotations.errors import StoreWarning
from annotations.store import AnnotationStore


def newest(folder: Path) -> dict[str, Any]:
    """Return every attribute and value of the newest commit.

    Raises
    ------
    StoreWarning
        The store had something to say of damage.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("error", StoreWarning)
        store = AnnotationStore.open(folder, read_only=True)
        return contents(store._root(None)) | {"log": [str(entry) for entry in store.log()]}


def everything(folder: Path) -> dict[str, Any]:
    """Return every attribute and value of every commit, the log, and what each commit changed."""
    store = AnnotationStore.open(folder, read_only=True)
    found: dict[str, Any] = {"log": [str(entry) for entry in store.log()]}
    snapshots = [entry.snapshot for entry in store.log()]
    for snapshot in snapshots:
        found[snapshot] = contents(store._root_at(snapshot))
    for newer, older in pairwise(snapshots):
        store._vouched.logs(older, newer)
        changed = store._repository.diff(from_snapshot_id=older, to_snapshot_id=newer)
        found[f"{older} to {newer}"] = str(changed)
    return found


def contents(root: zarr.Group) -> dict[str, Any]:
    """Return every attribute and value under a group."""
    found: dict[str, Any] = {"": dict(root.attrs)}
    for path, node in root.members(max_depth=None):
        found[path] = dict(node.attrs)
        if isinstance(node, zarr.Array):
            values = np.asarray(node[...])
            digest = hashlib.sha256(values.tobytes()).hexdigest()
            found[f"{path} values"] = (values.shape, str(values.dtype), digest)
    return found
