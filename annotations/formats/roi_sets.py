"""ImageJ ROI sets: one selection per object and slice, as Fiji's ROI Manager keeps them.

An object's outline in a slice is traced along the corners of pixels (what ImageJ's wand gives);
one of several pieces, or with holes, is a composite selection. So labels come back exactly.
"""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

import numpy as np
from numpy.typing import NDArray

from annotations.errors import FormatError, LabelError
from annotations.formats import checks
from annotations.formats.format import LabelsRead, translated
from annotations.formats.new_file import new_file
from annotations.formats.outlines import trace
from annotations.formats.roi import ADVICE, read_roi
from annotations.formats.roi_canvas import Canvas
from labels.arrays import ArrayLike

MOST_ENTRIES = 4_000_000
LARGEST_ENTRY_BYTES = 16 * 2**20
LARGEST_SET_BYTES = 4 * 2**30
LARGEST_RATIO = 50
"""Bounds on what a set may claim to hold, as bytes and as bytes for each byte of the file; nothing
of it is ever written to disk."""

SMALL_SET_BYTES = 16 * 2**20
"""What any set may hold, however small its file is."""

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
    canvas = Canvas(path, shape)
    for name, data in _entries(path):
        canvas.paint(read_roi(path, name, data, shape))
    return canvas.finish()


def _entries(path: Path) -> Iterator[tuple[str, bytes]]:
    """Names, without suffix, and bytes of the ROIs of a file, in order."""
    if path.suffix.lower() == ".roi":
        if path.stat().st_size > LARGEST_ENTRY_BYTES:
            raise FormatError(f"{path}: is larger than any ROI; {ADVICE}")
        yield path.stem, path.read_bytes()
        return
    with translated(path, ADVICE), zipfile.ZipFile(path) as archive:
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
    most = min(LARGEST_SET_BYTES, SMALL_SET_BYTES + LARGEST_RATIO * path.stat().st_size)
    if len(members) > MOST_ENTRIES or total > most or largest > LARGEST_ENTRY_BYTES:
        raise FormatError(
            f"{path}: claims to hold {len(members)} entries of {total} bytes, the largest of "
            f"{largest}, more than any ROI set; do not trust this file, or {ADVICE}"
        )
    for member in members:
        name = PurePosixPath(member.filename)
        if name.is_absolute() or ".." in name.parts or "\\" in member.filename:
            raise FormatError(
                f"{path}: holds {member.filename!r}, which leads out of its own folder; do not "
                f"trust this file, or {ADVICE}"
            )
        if name.suffix.lower() != ".roi":
            raise FormatError(f"{path}: holds {member.filename!r}, which is no ROI; {ADVICE}")
        # Others give whole blocks of what they claim to hold, however much that is.
        if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise FormatError(
                f"{path}: {member.filename!r} is compressed in a way that no ROI Manager writes; "
                f"{ADVICE}"
            )
    return members
