"""Labelings that Labkit saved as TIFF: an index image, and a list of what each index stands for.

Labkit writes ``<name>.tif`` and beside it ``<name>.tif.labels``, JSON whose ``labelSets`` holds
the names of the labels at each index of the image. It opens a label TIFF without such a list as
labels named by their ids, so ids survive as names; indices do not
(``sc.fiji.labkit.ui.labeling.LabelingSerializer``).
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from annotations.errors import FormatError, LabelError
from annotations.formats import checks
from annotations.formats.base import translated

LARGEST_LIST_BYTES = 64 * 2**20
_ADVICE = "save the labeling again from Labkit as TIFF"


@dataclass(frozen=True)
class LabkitLabels:
    """Labels that a labeling describes.

    Parameters
    ----------
    labels : ndarray of uint32, shape (Z, Y, X)
    contested : int
        Voxels with several labels: one that was drawn in Labkit wins, then the higher id.
    unnamed : tuple of str
        Labels whose names are no ids; they have ids above all others, in this order.
    """

    labels: NDArray[np.uint32]
    contested: int
    unnamed: tuple[str, ...]


def names_file(path: Path) -> Path:
    """Return where Labkit keeps the names of a labeling's labels."""
    return path.with_name(f"{path.name}.labels")


def resolve_names(path: Path, indices: NDArray[np.uint32]) -> LabkitLabels:
    """Turn the indices of a labeling into ids.

    Parameters
    ----------
    path : Path
        The TIFF; its list of names is beside it.
    indices : ndarray of uint32, shape (Z, Y, X)
        What the TIFF holds.

    Raises
    ------
    LabelError
        An index that the list lacks, or an id that is too large.
    FormatError
        A list that is not Labkit's.
    """
    sets = _read_sets(names_file(path))
    highest = int(indices.max(initial=0))
    if highest >= len(sets):
        raise LabelError(
            f"{path}: expected indices below {len(sets)}, the length of {names_file(path).name}, "
            f"got {highest}; {_ADVICE}, both files together"
        )
    numbers = {name: _id(path, name) for names in sets for name in names}
    unnamed = sorted((n for n, number in numbers.items() if number is None), key=_natural)
    top = max((number for number in numbers.values() if number), default=0)
    if top + len(unnamed) > checks.MAX_LABEL:
        raise LabelError(f"{path}: expected ids up to {checks.MAX_LABEL}, got {top} and more")
    ids = {name: number for name, number in numbers.items() if number}
    ids |= {name: top + 1 + i for i, name in enumerate(unnamed)}
    table = np.array([max((ids[n] for n in names), default=0) for names in sets], np.uint32)
    several = np.array([len(names) > 1 for names in sets], bool)
    labels = table[indices]
    used = {name for i in np.unique(indices).tolist() for name in sets[i]}
    contested = int(np.count_nonzero(several[indices]))
    return LabkitLabels(labels, contested, tuple(n for n in unnamed if n in used))


def _read_sets(path: Path) -> list[list[str]]:
    if path.stat().st_size > LARGEST_LIST_BYTES:
        raise FormatError(f"{path}: is larger than any list of labels; {_ADVICE}")
    with translated(path, _ADVICE):
        document: Any = json.loads(path.read_text(encoding="utf-8"))
    sets = document.get("labelSets") if isinstance(document, dict) else None
    good = isinstance(sets, list) and all(
        isinstance(names, list) and all(isinstance(name, str) for name in names) for names in sets
    )
    if not good or not sets:
        raise FormatError(f"{path}: expected Labkit's list 'labelSets' of names; {_ADVICE}")
    return list(sets)


def _id(path: Path, name: str) -> int | None:
    """Return the id that a label's name is, None for a name that a person gave."""
    if not (name.isascii() and name.isdecimal()):
        return None
    if not 1 <= int(name[:11]) <= checks.MAX_LABEL:
        raise LabelError(
            f"{path}: label {name[:20]!r}: expected an id from 1 to {checks.MAX_LABEL}; rename it"
        )
    return int(name)


def _natural(name: str) -> tuple[int, str]:
    return len(name), name
