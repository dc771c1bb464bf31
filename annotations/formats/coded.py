"""Labels coded as classes: 0 background, 1 edge, id + 1 for each nucleus.

An object's edge is the background beside it in its slice, one pixel wide, so that no label is lost.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from annotations.errors import LabelError
from annotations.formats import tiff
from annotations.formats.format import MAX_LABEL, Content, Expected, Format, LabelsRead, recognise
from annotations.formats.labkit import LABKIT
from annotations.formats.nd2 import ND2
from annotations.formats.npy import NPY
from annotations.formats.ome_zarr import OME_ZARR
from annotations.formats.pictures import PICTURE

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


_INSIDE = (tiff.TIFF, NPY, ND2, PICTURE, OME_ZARR, LABKIT)
"""Formats whose files may hold the code."""


def encode(labels: NDArray[Any], what: Path | str = "labels") -> NDArray[np.uint32]:
    """Code objects as classes.

    Parameters
    ----------
    labels : ndarray of integer, shape (Z, Y, X)
        Object ids, 0 is background.
    what : Path or str
        Named in the message.

    Raises
    ------
    LabelError
        The largest id leaves no room for one more.
    """
    import numpy as np

    if labels.max(initial=0) == MAX_LABEL:
        raise LabelError(
            f"{what}: expected ids under {MAX_LABEL}, since each is coded as id + 1; renumber them"
        )
    inside = labels != 0
    edge = np.zeros_like(inside)
    edge[:, 1:] |= inside[:, :-1]
    edge[:, :-1] |= inside[:, 1:]
    edge[:, :, 1:] |= inside[:, :, :-1]
    edge[:, :, :-1] |= inside[:, :, 1:]
    return np.where(inside, labels.astype(np.uint32) + 1, edge).astype(np.uint32)


def decode(coded: NDArray[np.uint32]) -> NDArray[np.uint32]:
    """Return the object ids of coded labels, shape (Z, Y, X); background and edge are 0."""
    labels = coded.copy()
    labels -= labels != 0
    return labels


def _read(path: Path, expected: Expected) -> LabelsRead:
    from annotations.formats.field_labels import read_field_labels

    found = read_field_labels(recognise(path, _INSIDE), path, expected)
    return LabelsRead(decode(found.labels), found.notes)


def _write(path: Path, content: Content) -> None:
    from annotations.formats.planes import as_array

    CODED.check_times(path, content.times)
    labels = as_array(content.labels)[:]
    tiff.write(path, replace(content, labels=encode(labels, path)))


CODED = Format(
    name="coded",
    title="classes as TIFF (0 background, 1 edge, 2 and up nuclei)",
    tool=tiff.TIFF.tool,
    hint=tiff.TIFF.hint,
    export_name="{}_classes.tif",
    read=_read,
    write=_write,
)
