"""ImageJ ROI sets: one selection per object and slice, as Fiji's ROI Manager keeps them.

An object's outline in a slice is traced along the corners of pixels (what ImageJ's wand gives);
one of several pieces, or with holes, is a composite selection. So labels come back exactly.
"""

from __future__ import annotations

import re
import zipfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from annotations._graph import components
from annotations.errors import FormatError, LabelError
from annotations.formats import checks
from annotations.formats.format import MAX_LABEL, LabelsRead, translated
from annotations.formats.new_file import new_file
from annotations.formats.outlines import fill, trace
from labels.arrays import ArrayLike

MOST_ENTRIES = 4_000_000
LARGEST_ENTRY_BYTES = 16 * 2**20
LARGEST_SET_BYTES = 4 * 2**30
"""Bounds on what a set may claim to hold; nothing of it is ever written to disk."""

_ADVICE = "save the set again from Fiji's ROI Manager (More > Save)"
_NAME = re.compile(r"object-(\d{1,10})(?!\d)")
_LARGEST_COORDINATE = 2**15 - 1
_DATE = (1980, 1, 1, 0, 0, 0)
_MOVE, _LINE, _CLOSE = 0.0, 1.0, 4.0


def write_rois(path: Path | str, labels: ArrayLike) -> int:
    """Write a ROI set that Fiji's ROI Manager opens over the stack.

    A ROI is called ``object-<id>_z-<slice from 1>``; its position is the slice.

    Parameters
    ----------
    path : Path or str
        Ends in .zip.
    labels : array of integer, shape (Z, Y, X)
        Read slice by slice.

    Returns
    -------
    int
        ROIs written.

    Raises
    ------
    LabelError
        Not integers, negative or too large ids, or wider than a ROI's 16-bit coordinates.
    FormatError
        Another suffix, a file that exists, a folder that does not, or no space left.
    """
    path = Path(path)
    checks.check_label_dtype(path, np.dtype(labels.dtype))
    if len(labels.shape) != 3 or max(labels.shape[1:]) > _LARGEST_COORDINATE:
        raise LabelError(
            f"{path}: expected labels (Z, Y, X) of at most {_LARGEST_COORDINATE} pixels in y and "
            f"x, which is what a ROI can hold, got {labels.shape}; write TIFF instead"
        )
    written = 0
    with (
        new_file(path, (".zip",)) as partial,
        zipfile.ZipFile(partial, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive,
    ):
        for z in range(labels.shape[0]):
            plane = checks.to_ids(np.asarray(labels[z : z + 1]), z, path)[0]
            for number, loops in trace(plane).items():
                name = f"object-{number}_z-{z + 1}"
                entry = zipfile.ZipInfo(f"{name}.roi", _DATE)
                entry.compress_type = zipfile.ZIP_DEFLATED
                archive.writestr(entry, _encode(loops, name, z + 1))
                written += 1
    return written


def _encode(loops: list[NDArray[np.int64]], name: str, position: int) -> bytes:
    """Bytes of one ROI: a traced polygon, or a composite of several."""
    from roifile import ROI_TYPE, ImagejRoi

    points = np.concatenate(loops)
    (left, top), (right, bottom) = points.min(axis=0), points.max(axis=0)
    roi = ImagejRoi(
        name=name,
        position=position,
        left=int(left),
        top=int(top),
        right=int(right),
        bottom=int(bottom),
    )
    if len(loops) == 1:
        roi.roitype = ROI_TYPE.TRACED
        roi.integer_coordinates = (points - [left, top]).astype(np.int32)
        roi.n_coordinates = len(points)
    else:
        path = np.concatenate([_path(loop) for loop in loops])
        roi.roitype = ROI_TYPE.RECT
        roi.multi_coordinates = path
        roi.shape_roi_size = path.size
    return bytes(roi.tobytes())


def _path(loop: NDArray[np.int64]) -> NDArray[np.float32]:
    """One closed part of a composite, as ImageJ's ShapeRoi stores it."""
    steps = np.full((len(loop), 3), _LINE, np.float32)
    steps[0, 0] = _MOVE
    steps[:, 1:] = loop
    return np.append(steps.ravel(), np.float32(_CLOSE))


def read_rois(path: Path | str, shape: tuple[int, int, int]) -> LabelsRead:
    """Read a ROI set as labels; a pixel belongs to a ROI when its centre lies inside.

    ROIs that carry no id in their name make new objects: those whose pixels overlap in
    neighbouring slices, or in one, are one object, with an id above all others. Of several objects
    that claim a voxel, the one that comes last in the set gets it.

    Parameters
    ----------
    path : Path or str
        A .zip that the ROI Manager saved, or one .roi.
    shape : (int, int, int)
        (Z, Y, X) of the stack.

    Returns
    -------
    LabelsRead

    Raises
    ------
    LabelError
        A ROI that is no area, has no slice, or lies outside the stack.
    FormatError
        Not a ROI set, damaged, or claiming to be larger than any set of a stack.
    """
    path = Path(path)
    canvas = _Canvas(shape)
    for name, data in _entries(path):
        with translated(path, _ADVICE):
            roi = _decode(data)
        z = _slice(path, name, roi, shape[0])
        loops = _loops(path, name, roi)
        _check_inside(path, name, loops, shape)
        canvas.paint(z, loops, _number(path, name, roi))
    return canvas.finish(path)


def _entries(path: Path) -> Iterator[tuple[str, bytes]]:
    """Names, without suffix, and bytes of the ROIs of a file, in order."""
    if path.suffix.lower() == ".roi":
        if path.stat().st_size > LARGEST_ENTRY_BYTES:
            raise FormatError(f"{path}: is larger than any ROI; {_ADVICE}")
        yield path.stem, path.read_bytes()
        return
    with translated(path, _ADVICE), zipfile.ZipFile(path) as archive:
        members = _members(path, archive)
        for member in members:
            yield PurePosixPath(member.filename).stem, archive.read(member)


def _members(path: Path, archive: zipfile.ZipFile) -> list[zipfile.ZipInfo]:
    """Check what an archive claims to hold, before anything is unpacked."""
    # The Finder adds a folder of its own to every archive.
    members = [m for m in archive.infolist() if not m.filename.startswith("__MACOSX/")]
    members = [m for m in members if not m.is_dir()]
    total = sum(m.file_size for m in members)
    largest = max((m.file_size for m in members), default=0)
    if len(members) > MOST_ENTRIES or total > LARGEST_SET_BYTES or largest > LARGEST_ENTRY_BYTES:
        raise FormatError(
            f"{path}: claims to hold {len(members)} entries of {total} bytes, the largest of "
            f"{largest}, more than any ROI set; do not trust this file, or {_ADVICE}"
        )
    for member in members:
        name = PurePosixPath(member.filename)
        if name.is_absolute() or ".." in name.parts or "\\" in member.filename:
            raise FormatError(
                f"{path}: holds {member.filename!r}, which leads out of its own folder; do not "
                f"trust this file, or {_ADVICE}"
            )
        if name.suffix.lower() != ".roi":
            raise FormatError(f"{path}: holds {member.filename!r}, which is no ROI; {_ADVICE}")
    return members


def _decode(data: bytes) -> Any:
    from roifile import ImagejRoi

    return ImagejRoi.frombytes(data)


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
            f"{path}: ROI {name!r} lies in slice {z}, outside the stack of {depth} slices; give "
            "the ROIs of this very stack"
        )
    return int(z) - 1


def _loops(path: Path, name: str, roi: Any) -> list[NDArray[Any]]:
    """Outlines (x, y) of a ROI."""
    from roifile import ROI_SUBTYPE, ROI_TYPE

    areas = {ROI_TYPE.POLYGON, ROI_TYPE.FREEHAND, ROI_TYPE.TRACED, ROI_TYPE.RECT, ROI_TYPE.OVAL}
    texts = {ROI_SUBTYPE.TEXT, ROI_SUBTYPE.IMAGE, ROI_SUBTYPE.ARROW}
    if roi.roitype not in areas or roi.subtype in texts:
        raise LabelError(
            f"{path}: ROI {name!r} is no area ({roi.roitype.name.lower()}); delete it, or outline "
            "the object with the polygon, freehand or wand tool"
        )
    if roi.composite:
        with translated(path, _ADVICE):
            return list(roi.coordinates(multi=True))
    if roi.roitype == ROI_TYPE.OVAL:
        return [_ellipse(roi)]
    if roi.roitype == ROI_TYPE.RECT:
        left, top, right, bottom = _box(roi)
        return [np.array([[left, top], [right, top], [right, bottom], [left, bottom]])]
    return [np.asarray(roi.coordinates())]


def _box(roi: Any) -> tuple[float, float, float, float]:
    if roi.subpixelrect:
        return roi.xd, roi.yd, roi.xd + roi.widthd, roi.yd + roi.heightd
    return roi.left, roi.top, roi.right, roi.bottom


def _ellipse(roi: Any) -> NDArray[np.float64]:
    """Outline of an oval, with corners so dense that no centre of a pixel changes sides."""
    left, top, right, bottom = _box(roi)
    count = 64 + 16 * int(abs(right - left) + abs(bottom - top))
    angle = 2 * np.pi * np.arange(count) / count
    x = (left + right) / 2 + np.cos(angle) * (right - left) / 2
    y = (top + bottom) / 2 + np.sin(angle) * (bottom - top) / 2
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


def _check_inside(
    path: Path, name: str, loops: list[NDArray[Any]], shape: tuple[int, int, int]
) -> None:
    points = np.concatenate(loops) if loops else np.empty((0, 2))
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


class _Canvas:
    """Labels that ROIs are painted into, one after the other."""

    def __init__(self, shape: tuple[int, int, int]) -> None:
        self._labels = np.zeros(shape, np.uint32)
        self._unnamed: list[tuple[int, tuple[slice, slice], NDArray[np.bool_]]] = []
        self._contested = 0

    def paint(self, z: int, loops: list[NDArray[Any]], number: int | None) -> None:
        """Give the pixels inside outlines to an object, or keep them for a new one."""
        points = np.concatenate(loops)
        x0, y0 = np.floor(points.min(axis=0)).astype(int)
        x1, y1 = np.ceil(points.max(axis=0)).astype(int)
        inside = fill([loop - [x0, y0] for loop in loops], (max(y1 - y0, 1), max(x1 - x0, 1)))
        place = slice(y0, y0 + inside.shape[0]), slice(x0, x0 + inside.shape[1])
        region = self._labels[z][place]
        inside = inside[: region.shape[0], : region.shape[1]]
        if number is None:
            self._unnamed.append((z, place, inside))
        else:
            self._put(z, place, inside, number)

    def _put(
        self, z: int, place: tuple[slice, slice], inside: NDArray[np.bool_], number: int
    ) -> None:
        region = self._labels[z][place]
        self._contested += int(np.count_nonzero(inside & (region != 0) & (region != number)))
        region[inside] = number

    def finish(self, path: Path) -> LabelsRead:
        """Paint the new objects, whose ids follow those of the others."""
        top = int(self._labels.max(initial=0))
        groups = _join_overlapping(self._unnamed)
        count = max(groups, default=-1) + 1
        if top + count > MAX_LABEL:
            raise LabelError(
                f"{path}: expected ids up to {MAX_LABEL}, got {top} and {count} new objects"
            )
        for group, (z, place, inside) in zip(groups, self._unnamed, strict=True):
            self._put(z, place, inside, top + 1 + group)
        notes = []
        if self._contested:
            notes.append(
                f"{path}: {self._contested} voxels lie in ROIs of several objects; each went to "
                "the one that comes last in the set"
            )
        if count:
            notes.append(
                f"{path}: ROIs without an object's name make {count} new objects, joined where "
                "they overlap in neighbouring slices"
            )
        return LabelsRead(self._labels, tuple(notes))


def _join_overlapping(
    masks: list[tuple[int, tuple[slice, slice], NDArray[np.bool_]]],
) -> list[int]:
    """Return, for each mask, the number of the object that it is part of, from 0."""
    by_slice: dict[int, list[int]] = {}
    for i, (z, _, _) in enumerate(masks):
        by_slice.setdefault(z, []).append(i)
    pairs = [
        (i, j)
        for i, (z, place, inside) in enumerate(masks)
        for j in (*by_slice[z], *by_slice.get(z + 1, ()))
        if i != j and _overlap(place, inside, masks[j][1], masks[j][2])
    ]
    rows, columns = np.array(pairs, np.int64).reshape(-1, 2).T
    return components(len(masks), rows, columns).tolist() if masks else []


def _overlap(
    place: tuple[slice, slice],
    inside: NDArray[np.bool_],
    other_place: tuple[slice, slice],
    other: NDArray[np.bool_],
) -> bool:
    cuts = []
    for a, b in zip(place, other_place, strict=True):
        start, stop = max(a.start, b.start), min(a.stop, b.stop)
        if start >= stop:
            return False
        cuts.append(
            (slice(start - a.start, stop - a.start), slice(start - b.start, stop - b.start))
        )
    (ay, by), (ax, bx) = cuts
    return bool(np.any(inside[ay, ax] & other[by, bx]))
