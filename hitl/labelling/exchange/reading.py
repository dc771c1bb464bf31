"""Labels from files of any tool, told apart by suffix and contents."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from annotations.errors import AxesError
from annotations.formats import check_labels_match, read_labels
from annotations.formats.cellpose_seg import SUFFIX as CELLPOSE_SUFFIX
from annotations.formats.cellpose_seg import read_cellpose_seg
from annotations.formats.labkit import names_file, resolve_names
from annotations.formats.rois import read_rois
from hitl.labelling.exchange.sidecar import Sidecar
from hitl.postprocess import from_semantic_coding

Shape = tuple[int, int, int]

_NO_NOTES: tuple[str, ...] = ()


@dataclass(frozen=True)
class LabelsRead:
    """Labels of a file.

    Parameters
    ----------
    labels : ndarray of uint32, shape (Z, Y, X)
        Ids as the tool gave them.
    format : str
    notes : tuple of str
        What the user must know of how they were read.
    """

    labels: NDArray[np.uint32]
    format: str
    notes: tuple[str, ...] = ()


def read_any(
    file: Path,
    shape: Shape,
    sidecar: Sidecar | None,
    *,
    axes: str | None = None,
    coded: bool = False,
) -> LabelsRead:
    """Read labels that belong to a stack.

    Parameters
    ----------
    file : Path
        TIFF, ``_seg.npy``, ROI set, OME-Zarr or plain .npy.
    shape : (int, int, int)
        (Z, Y, X) of the stack.
    sidecar : Sidecar, optional
        What is known of the export that the file comes from.
    axes : str, optional
        Axes of a file that does not say; without them the order in which the stack was exported
        where that is known, else the only order that fits the stack's shape.
    coded : bool
        The voxels are 0 background, 1 edge, 2 and up nuclei; known of an export of this kind.

    Raises
    ------
    LabelError
        No labels, or of another shape, or ROIs outside the stack.
    AxesError
        Axes that nothing states.
    FormatError
        A file that cannot be read, or that no importer admits.
    """
    suffix = file.suffix.lower()
    if file.name.lower().endswith(CELLPOSE_SUFFIX):
        found = LabelsRead(read_cellpose_seg(file), "cellpose")
    elif suffix in (".zip", ".roi"):
        found = _rois(file, shape)
    else:
        found = _voxels(file, shape, sidecar, axes)
        if coded or (sidecar is not None and sidecar.format == "coded"):
            found = LabelsRead(from_semantic_coding(found.labels), "coded", found.notes)
    check_labels_match(shape, found.labels.shape, str(file))
    return found


def _rois(file: Path, shape: Shape) -> LabelsRead:
    found = read_rois(file, shape)
    notes = []
    if found.contested:
        notes.append(
            f"{file}: {found.contested} voxels lie in ROIs of several objects; each went to the "
            "one that comes last in the set"
        )
    if found.unnamed:
        notes.append(
            f"{file}: ROIs without an object's name make {found.unnamed} new objects, joined where "
            "they overlap in neighbouring slices"
        )
    return LabelsRead(found.labels, "rois", tuple(notes))


def _voxels(file: Path, shape: Shape, sidecar: Sidecar | None, axes: str | None) -> LabelsRead:
    group = _label_group(file)
    if group != file:
        return LabelsRead(read_labels(group, axes=axes), "ome-zarr")
    try:
        labels, notes = read_labels(file), _NO_NOTES
    except AxesError:
        axes, notes = _axes(file, shape, sidecar, axes)
        labels = read_labels(file, axes=axes)
    check_labels_match(shape, labels.shape, str(file))
    if names_file(file).is_file():
        return _labkit(file, labels, notes)
    fmt = "ome-zarr" if file.is_dir() else "tiff"
    return LabelsRead(labels, fmt, notes)


def _labkit(file: Path, indices: NDArray[np.uint32], notes: tuple[str, ...]) -> LabelsRead:
    found = resolve_names(file, indices)
    if found.contested:
        notes += (
            f"{file}: {found.contested} voxels carry several labels; a label drawn in Labkit wins, "
            "then the higher id",
        )
    if found.unnamed:
        notes += (f"{file}: new objects from the labels {', '.join(found.unnamed)}",)
    return LabelsRead(found.labels, "labkit", notes)


def _label_group(file: Path) -> Path:
    """Return the labels inside an OME-Zarr image that holds those of one kind."""
    inside = sorted(child for child in (file / "labels").glob("*") if child.is_dir())
    return inside[0] if file.is_dir() and len(inside) == 1 else file


def _axes(
    file: Path, shape: Shape, sidecar: Sidecar | None, asked: str | None
) -> tuple[str, tuple[str, ...]]:
    """Return the axes of a file that does not say, if only one answer is possible."""
    if asked is not None:
        return asked, ()
    if sidecar is None and len(set(shape)) < len(shape):
        raise AxesError(
            f"{file}: does not say what its axes are, and several orders fit the stack's shape "
            f"{shape}; state them with --axes, for example --axes ZYX"
        )
    why = "as exported" if sidecar is not None else "the only order that fits the stack"
    return "ZYX", (f"{file}: does not say what its axes are; taken as Z, Y, X ({why})",)
