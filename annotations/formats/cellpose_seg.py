"""``_seg.npy``, in which the Cellpose GUI keeps its masks.

The file is what ``numpy.save`` makes of a dict, hence a pickle. Written here are the keys that
the GUI itself saves for a stack (cellpose 4.2, ``cellpose/gui/io.py``), so that it opens it.
"""

from __future__ import annotations

import colorsys
from pathlib import Path
from typing import Any

import fastremap
import numpy as np
from numpy.typing import NDArray

from annotations.errors import LabelError
from annotations.formats import checks
from annotations.formats.inert_pickle import PickledArray, UnsafePickleError, read_object_npy
from annotations.formats.new_file import new_file

SUFFIX = "_seg.npy"
_GOLDEN = 0.618034
_HUES = 64


def write_cellpose_seg(
    path: Path | str, labels: NDArray[Any], image: Path | str
) -> NDArray[np.uint32]:
    """Write labels as the Cellpose GUI saves those of a stack (``cellpose --Zstack``).

    Those of one slice are written as it saves those of a 2D image, without an axis z.

    Parameters
    ----------
    path : Path or str
        Ends in ``_seg.npy``: the image's path without its suffix, and that.
    labels : ndarray of integer, shape (Z, Y, X)
    image : Path or str
        The image file; the GUI looks for its name beside `path` where it is not there.

    Returns
    -------
    ndarray of uint32, shape (N,)
        The id of each mask: the GUI numbers its masks from 1 to N without gaps, in ascending
        order of the ids.

    Raises
    ------
    LabelError
        Not integers, negative or too large ids.
    FormatError
        Another name, a file that exists, a folder that does not, or no space left.
    """
    path = Path(path)
    checks.check_label_dtype(path, labels.dtype)
    if labels.ndim != 3:
        raise LabelError(f"{path}: expected labels of shape (Z, Y, X), got {labels.shape}")
    every = checks.to_ids(labels, 0, path)
    found: NDArray[np.uint32] = fastremap.unique(every)
    ids = found[found > 0]
    dtype = np.uint16 if ids.size < 2**16 - 1 else np.uint32
    numbers = {0: 0} | {int(old): new for new, old in enumerate(ids, start=1)}
    masks = fastremap.remap(every, numbers).astype(dtype)
    with new_file(path, (SUFFIX,)) as partial, partial.open("wb") as file:
        np.save(file, np.array(_gui_state(masks, ids.size, image), object), allow_pickle=True)
    return ids


def _gui_state(masks: NDArray[Any], count: int, image: Path | str) -> dict[str, Any]:
    """Return the keys that ``_save_sets`` writes, as the GUI has them before any run."""
    outlines = masks * _outlines(masks)
    if len(masks) == 1:
        masks, outlines = masks[0], outlines[0]
    return {
        "outlines": outlines,
        "colors": _colours(count),
        "masks": masks,
        "current_channel": 4,  # grey
        "filename": str(image),
        "flows": [[], [], [], [], [[]]],
        "zdraw": [-1] * count,
        "ismanual": np.zeros(count, bool),
        "manual_changes": [],
        "model_path": 0,
        "flow_threshold": 0.4,
        "cellprob_threshold": 0.0,
        "restore": None,
        "ratio": 1.0,
        "diameter": None,
    }


def _outlines(masks: NDArray[Any]) -> NDArray[np.bool_]:
    """Pixels with a neighbour, within their slice, that is not of the same mask."""
    rim = np.zeros(masks.shape, bool)
    for axis in (1, 2):
        first, last = [slice(None)] * 3, [slice(None)] * 3
        first[axis], last[axis] = slice(None, -1), slice(1, None)
        differs = masks[tuple(first)] != masks[tuple(last)]
        rim[tuple(first)] |= differs
        rim[tuple(last)] |= differs
    # What lies beyond the image is not of the mask either.
    rim[:, [0, -1], :] = True
    rim[:, :, [0, -1]] = True
    return rim


def _colours(count: int) -> NDArray[np.uint8]:
    """Different hues for masks of neighbouring numbers, shape (N, 3)."""
    wheel = [colorsys.hsv_to_rgb(i * _GOLDEN % 1, 1, 1) for i in range(_HUES)]
    colours = np.round(255 * np.array(wheel)).astype(np.uint8)
    return colours[np.arange(count) % _HUES]


def read_cellpose_seg(path: Path | str) -> NDArray[np.uint32]:
    """Read the masks of a ``_seg.npy`` of any Cellpose; nothing in it is run.

    Parameters
    ----------
    path : Path or str

    Returns
    -------
    ndarray of uint32, shape (Z, Y, X)
        The GUI's own numbers, 0 is background; those of a 2D image are one slice.

    Raises
    ------
    UnsafePickleError
        The pickle asks for more than NumPy arrays and plain containers.
    LabelError
        No masks, or masks that are no labels.
    FormatError
        Not such a file, or truncated.
    """
    path = Path(path)
    state = read_object_npy(path)
    found = state.get("masks") if isinstance(state, dict) else None
    if not isinstance(found, PickledArray):
        raise LabelError(
            f"{path}: expected what the Cellpose GUI saves, with 'masks', got none; open it in "
            "the GUI and save it again"
        )
    try:
        masks = found.numbers()
    except UnsafePickleError as exc:
        raise LabelError(
            f"{path}: expected masks of whole numbers, got {exc}; open it in the GUI and save again"
        ) from exc
    checks.check_label_dtype(path, masks.dtype)
    if masks.ndim == 2:
        masks = masks[np.newaxis]
    if masks.ndim != 3 or not masks.size:
        raise LabelError(
            f"{path}: expected masks of shape (Z, Y, X) or (Y, X), got {masks.shape}; save them "
            "again from the GUI"
        )
    # Old versions count from -1.
    if masks.dtype.kind == "i" and masks.min() == -1:
        masks = masks + 1
    return checks.to_ids(masks, 0, path)
