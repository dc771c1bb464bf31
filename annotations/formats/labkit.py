"""Labelings that Labkit saved as TIFF: an index image, and a list of what each index stands for.

Labkit writes ``<name>.tif`` and beside it ``<name>.tif.labels``, JSON whose ``labelSets`` holds
the names of the labels at each index of the image. It opens a label TIFF without such a list as
labels named by their ids, so ids survive as names; indices do not
(``sc.fiji.labkit.ui.labeling.LabelingSerializer``).
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from annotations.errors import FormatError, LabelError
from annotations.formats import tiff
from annotations.formats.format import MAX_LABEL, Expected, Format, LabelsRead
from labels.files import UnfitFileError
from labels.json_files import JsonError, read_json
from labels.numbers import number_of

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

COMPANION = ".labels"
_ADVICE = "save the labeling again from Labkit as TIFF"


def names_file(path: Path) -> Path:
    """Return where Labkit keeps the names of a labeling's labels."""
    return path.with_name(path.name + COMPANION)


def resolve_names(path: Path, indices: NDArray[np.uint32]) -> LabelsRead:
    """Turn the indices of a labeling into ids.

    Of several labels on a voxel one that was drawn in Labkit wins, then the higher id. Labels whose
    names are no ids get ids above all others.

    Parameters
    ----------
    path : Path
        The TIFF; its list of names is beside it.
    indices : ndarray of uint32, any shape
        What the TIFF holds.

    Raises
    ------
    LabelError
        An index that the list lacks, or an id that is too large.
    FormatError
        A list that is not Labkit's.
    """
    import numpy as np

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
    if top + len(unnamed) > MAX_LABEL:
        raise LabelError(f"{path}: expected ids up to {MAX_LABEL}, got {top} and more")
    ids = {name: number for name, number in numbers.items() if number}
    ids |= {name: top + 1 + i for i, name in enumerate(unnamed)}
    table = np.array([max((ids[n] for n in names), default=0) for names in sets], np.uint32)
    several = np.array([len(names) > 1 for names in sets], bool)
    used = {name for i in np.unique(indices).tolist() for name in sets[i]}
    notes = []
    if contested := int(np.count_nonzero(several[indices])):
        notes.append(
            f"{path}: {number_of(contested, 'voxel carries', 'voxels carry')} several labels; a "
            "label drawn in Labkit wins, then the higher id"
        )
    if new := [name for name in unnamed if name in used]:
        notes.append(f"{path}: new objects from the labels {', '.join(new)}")
    return LabelsRead(table[indices], tuple(notes))


def _read_sets(path: Path) -> list[list[str]]:
    try:
        document = read_json(path, linked=True)
    except (JsonError, UnfitFileError) as exc:
        raise FormatError(f"{path}: cannot be read ({exc}); {_ADVICE}") from exc
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
    if not 1 <= int(name[:11]) <= MAX_LABEL:
        raise LabelError(
            f"{path}: label {name[:20]!r}: expected an id from 1 to {MAX_LABEL}; rename it"
        )
    return int(name)


def _natural(name: str) -> tuple[int, str]:
    return len(name), name


def _read(path: Path, expected: Expected) -> LabelsRead:
    from annotations.formats.field_labels import read_field_labels

    indices = read_field_labels(tiff.TIFF, path, expected)
    found = resolve_names(path, indices.labels)
    return LabelsRead(found.labels, indices.notes + found.notes)


LABKIT = Format(
    name="labkit",
    title="labelings of Labkit",
    suffixes=(".tif", ".tiff"),
    companion=COMPANION,
    tool="Labkit",
    hint=(
        "open the image in Labkit, the labels with Labeling > Open Labeling, and save with "
        "Labeling > Save Labeling as .tif"
    ),
    export_name="{}_labels.tif",
    holds_times=True,
    read=_read,
    write=tiff.write,
)
