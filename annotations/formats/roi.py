"""One ROI of ImageJ: its outlines, its slice, and the id in its name."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from annotations.errors import LabelError
from annotations.formats.format import MAX_LABEL, translated
from labels.numbers import number_of

ADVICE = "save the set again from Fiji's ROI Manager (More > Save)"

_NAME = re.compile(r"object-(\d{1,10})(?!\d)", re.ASCII)
_CORNERS_PER_PIXEL = 16
"""An outline along pixels has at most two corners for each; people's have far fewer."""


@dataclass(frozen=True)
class Outline:
    """An area of one slice.

    Parameters
    ----------
    name : str
        Of the ROI, for messages.
    z : int
        Its slice, from 0.
    loops : list of ndarray, shape (N, 2)
        Corners (x, y), all inside the image.
    number : int, optional
        The id that its name carries.
    """

    name: str
    z: int
    loops: list[NDArray[Any]]
    number: int | None


def read_roi(path: Path, name: str, data: bytes, shape: tuple[int, int, int]) -> Outline:
    """Read a ROI.

    Parameters
    ----------
    path : Path
        The file that it is in, for messages.
    name : str
    data : bytes
    shape : (int, int, int)
        (Z, Y, X) of the stack.

    Raises
    ------
    LabelError
        No area, without a slice, or outside the stack.
    FormatError
        No ROI, or a damaged one.
    """
    from roifile import ImagejRoi

    with translated(path, ADVICE):
        roi = ImagejRoi.frombytes(data)
    z = _slice(path, name, roi, shape[0])
    loops = _loops(path, name, roi, shape)
    return Outline(name, z, loops, _number(path, name, roi))


def _slice(path: Path, name: str, roi: Any, depth: int) -> int:
    """Return the z of a ROI, from 0."""
    z = roi.z_position or roi.position
    if z == 0 and depth == 1:
        # In an image of one slice ImageJ gives none to a ROI.
        return 0
    if z == 0:
        raise LabelError(
            f"{path}: ROI {name!r} belongs to no slice; in Fiji's ROI Manager tick More > Options "
            "> Associate ROIs with slices, and add it again in its slice"
        )
    if not 1 <= z <= depth:
        raise LabelError(
            f"{path}: ROI {name!r} lies in slice {z}, outside the stack of "
            f"{number_of(depth, 'slice')}; give the ROIs of this very stack"
        )
    return int(z) - 1


def _loops(path: Path, name: str, roi: Any, shape: tuple[int, int, int]) -> list[NDArray[Any]]:
    """Outlines (x, y) of a ROI, all inside the image."""
    from roifile import ROI_SUBTYPE, ROI_TYPE

    areas = {ROI_TYPE.POLYGON, ROI_TYPE.FREEHAND, ROI_TYPE.TRACED, ROI_TYPE.RECT, ROI_TYPE.OVAL}
    texts = {ROI_SUBTYPE.TEXT, ROI_SUBTYPE.IMAGE, ROI_SUBTYPE.ARROW}
    if roi.roitype not in areas or roi.subtype in texts:
        raise LabelError(
            f"{path}: ROI {name!r} is no area ({roi.roitype.name.lower()}); delete it, or outline "
            "the object with the polygon, freehand or wand tool"
        )
    _, height, width = shape
    corners = max(roi.n_coordinates, roi.shape_roi_size)
    if corners > _CORNERS_PER_PIXEL * (height + 1) * (width + 1):
        raise LabelError(
            f"{path}: ROI {name!r} has {corners} corners, more than an outline in an image of "
            f"{width} x {height} pixels can have; delete it, or draw it again"
        )
    if roi.roitype in (ROI_TYPE.RECT, ROI_TYPE.OVAL) and not roi.composite:
        left, top, right, bottom = _box(roi)
        box = np.array([[left, top], [right, top], [right, bottom], [left, bottom]])
        _check_inside(path, name, box, shape)
        return [box if roi.roitype == ROI_TYPE.RECT else _ellipse(left, top, right, bottom)]
    with translated(path, ADVICE):
        loops = [loop for loop in roi.coordinates(multi=True) if len(loop)]
        points = np.concatenate([np.empty((0, 2)), *loops])
    _check_inside(path, name, points, shape)
    return loops


def _box(roi: Any) -> tuple[float, float, float, float]:
    if roi.subpixelrect:
        return roi.xd, roi.yd, roi.xd + roi.widthd, roi.yd + roi.heightd
    return roi.left, roi.top, roi.right, roi.bottom


def _ellipse(left: float, top: float, right: float, bottom: float) -> NDArray[np.float64]:
    """Outline of an oval, with corners so dense that no centre of a pixel changes sides."""
    count = 64 + 16 * int(abs(right - left) + abs(bottom - top))
    angle = 2 * np.pi * np.arange(count) / count
    x = (left + right) / 2 + np.cos(angle) * (right - left) / 2
    y = (top + bottom) / 2 + np.sin(angle) * (bottom - top) / 2
    (left, right), (top, bottom) = sorted((left, right)), sorted((top, bottom))
    return np.stack([np.clip(x, left, right), np.clip(y, top, bottom)], axis=1)


def _number(path: Path, name: str, roi: Any) -> int | None:
    """Return the id that a ROI's name carries."""
    found = _NAME.match(name) or _NAME.match(roi.name)
    if found is None:
        return None
    number = int(found[1])
    if not 1 <= number <= MAX_LABEL:
        raise LabelError(
            f"{path}: ROI {name!r}: expected an id from 1 to {MAX_LABEL}, got {number}; rename it"
        )
    return number


def _check_inside(path: Path, name: str, points: NDArray[Any], shape: tuple[int, int, int]) -> None:
    if len(points) < 3 or not np.isfinite(points).all():
        raise LabelError(f"{path}: ROI {name!r} has no outline; delete it, or draw it again")
    _, height, width = shape
    low, high = points.min(axis=0), points.max(axis=0)
    if low.min() < 0 or high[0] > width or high[1] > height:
        raise LabelError(
            f"{path}: ROI {name!r} reaches from x, y = {low[0]:g}, {low[1]:g} to {high[0]:g}, "
            f"{high[1]:g}, outside the image of {width} x {height} pixels; give the ROIs of this "
            "very stack, or move it inside"
        )
