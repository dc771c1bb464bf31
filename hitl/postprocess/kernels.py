"""Compiled loops over the objects of one slice; imported only where they run.

Every mask is handled in its own window (bounding box plus `pad`), so that the cost follows the
objects' area, not objects × image. `pad` is at least one more than an operation can grow, hence
a window's border is either the image's border or background, and both need no special case.
Coverage cannot see into compiled code; the tests compare it with plain loops.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from labels.compiled import compiled

_FACES = np.array([[-1, 0], [1, 0], [0, -1], [0, 1]], dtype=np.int64)
_FACES_AND_CORNERS = np.array(
    [[y, x] for y in (-1, 0, 1) for x in (-1, 0, 1) if y or x], dtype=np.int64
)


class SliceObjects(NamedTuple):
    """The objects of one slice as runs of pixels along x.

    Parameters
    ----------
    ids : ndarray of uint32, shape (N,)
        Ascending.
    bounds : ndarray of int64, shape (N + 1,)
        Object `i` has the runs `bounds[i]` up to `bounds[i + 1]`.
    runs : ndarray of int64, shape (R, 3)
        (y, first x, one past the last x).
    """

    ids: NDArray[np.uint32]
    bounds: NDArray[np.int64]
    runs: NDArray[np.int64]


class CleanOptions(NamedTuple):
    """What is done to each object, in pixels.

    Parameters
    ----------
    min_area, half_window, pad : int
        `half_window` is half the smoothing window, `pad` the margin of an object's window.
    fill_holes : bool
    closing, opening : ndarray of int64, shape (K, 2)
        Offsets (dy, dx) of the disks; none: the step is left out.
    """

    min_area: int
    half_window: int
    pad: int
    fill_holes: bool
    closing: NDArray[np.int64]
    opening: NDArray[np.int64]


@compiled  # pragma: no cover
def _majority(mask, half):  # type: ignore[no-untyped-def]
    """Median of a square window of odd width, the image's edge pixels repeated outwards."""
    height, width = mask.shape
    rows = np.zeros((height, width), dtype=np.int32)
    for y in range(height):
        for x in range(width):
            for step in range(-half, half + 1):
                rows[y, x] += mask[y, min(max(x + step, 0), width - 1)]
    needed = ((2 * half + 1) ** 2) // 2
    out = np.zeros_like(mask)
    for y in range(height):
        for x in range(width):
            count = 0
            for step in range(-half, half + 1):
                count += rows[min(max(y + step, 0), height - 1), x]
            out[y, x] = count > needed
    return out


@compiled  # pragma: no cover
def _dilate(mask, disk):  # type: ignore[no-untyped-def]
    height, width = mask.shape
    out = mask.copy()
    for y in range(height):
        for x in range(width):
            if mask[y, x]:
                for k in range(disk.shape[0]):
                    v, u = y + disk[k, 0], x + disk[k, 1]
                    if 0 <= v < height and 0 <= u < width:
                        out[v, u] = 1
    return out


@compiled  # pragma: no cover
def _erode(mask, disk):  # type: ignore[no-untyped-def]
    """Erode; what lies outside the image does not erode."""
    height, width = mask.shape
    out = mask.copy()
    for y in range(height):
        for x in range(width):
            if mask[y, x]:
                for k in range(disk.shape[0]):
                    v, u = y + disk[k, 0], x + disk[k, 1]
                    if 0 <= v < height and 0 <= u < width and not mask[v, u]:
                        out[y, x] = 0
                        break
    return out


@compiled  # pragma: no cover
def _flood(mask, y, x, mark, steps, queue):  # type: ignore[no-untyped-def]
    """Give `mark` to the connected pixels of one value; their flat indices go to `queue`."""
    height, width = mask.shape
    value = mask[y, x]
    mask[y, x] = mark
    queue[0] = y * width + x
    done, found = 0, 1
    while done < found:
        y, x = queue[done] // width, queue[done] % width
        done += 1
        for k in range(steps.shape[0]):
            v, u = y + steps[k, 0], x + steps[k, 1]
            if 0 <= v < height and 0 <= u < width and mask[v, u] == value:
                mask[v, u] = mark
                queue[found] = v * width + u
                found += 1
    return found


@compiled  # pragma: no cover
def _fill_holes(mask, queue):  # type: ignore[no-untyped-def]
    """Fill background that no path over faces joins to the window's border."""
    height, width = mask.shape
    for y in range(height):
        for x in range(width):
            if (y in (0, height - 1) or x in (0, width - 1)) and mask[y, x] == 0:
                _flood(mask, y, x, 2, _FACES, queue)
    for y in range(height):
        for x in range(width):
            mask[y, x] = mask[y, x] != 2


@compiled  # pragma: no cover
def _drop_pieces(mask, min_area, queue):  # type: ignore[no-untyped-def]
    """Clear pieces (8-connected) of fewer than `min_area` pixels; the others become 2."""
    height, width = mask.shape
    flat = mask.reshape(-1)
    for y in range(height):
        for x in range(width):
            if mask[y, x] == 1:
                found = _flood(mask, y, x, 2, _FACES_AND_CORNERS, queue)
                if found < min_area:
                    for k in range(found):
                        flat[queue[k]] = 0


@compiled  # pragma: no cover
def _clean_mask(mask, options):  # type: ignore[no-untyped-def]
    """Smooth, close, fill, open and drop pieces of one object in its window."""
    if options.half_window > 0:
        mask = _majority(mask, options.half_window)
    if options.closing.shape[0] > 0:
        mask = _erode(_dilate(mask, options.closing), options.closing)
    queue = np.empty(mask.size, dtype=np.int64)
    if options.fill_holes:
        _fill_holes(mask, queue)
    if options.opening.shape[0] > 0:
        mask = _dilate(_erode(mask, options.opening), options.opening)
    _drop_pieces(mask, options.min_area, queue)
    return mask


@compiled  # pragma: no cover
def _window(runs, pad, shape):  # type: ignore[no-untyped-def]
    """Return the area of some runs, and their padded bounding box inside the image."""
    area, y0, y1, x0, x1 = 0, shape[0], 0, shape[1], 0
    for y, start, stop in runs:
        y0, y1 = min(y0, y), max(y1, y + 1)
        x0, x1 = min(x0, start), max(x1, stop)
        area += stop - start
    y0, x0 = max(y0 - pad, 0), max(x0 - pad, 0)
    return area, y0, min(y1 + pad, shape[0]), x0, min(x1 + pad, shape[1])


@compiled  # pragma: no cover
def clean_slice(labels, objects, options, out):  # type: ignore[no-untyped-def]
    """Clean every object of one slice.

    Parameters
    ----------
    labels : ndarray of uint32, shape (Y, X)
    objects : SliceObjects
        The runs of `labels`.
    options : CleanOptions
    out : ndarray of uint32, shape (Y, X)
        Zeros, filled with the cleaned objects.
    """
    for i in range(objects.ids.shape[0]):
        label = objects.ids[i]
        runs = objects.runs[objects.bounds[i] : objects.bounds[i + 1]]
        area, y0, y1, x0, x1 = _window(runs, options.pad, labels.shape)
        if area < options.min_area:
            continue
        mask = np.zeros((y1 - y0, x1 - x0), dtype=np.uint8)
        for y, start, stop in runs:
            mask[y - y0, start - x0 : stop - x0] = 1
        mask = _clean_mask(mask, options)
        for y in range(y0, y1):
            for x in range(x0, x1):
                # Ids ascend: the owner always gets its pixel, else the first claim stays.
                if mask[y - y0, x - x0] and (out[y, x] == 0 or labels[y, x] == label):
                    out[y, x] = label


@compiled  # pragma: no cover
def edge_slice(labels, disk, edge_at_contact, out):  # type: ignore[no-untyped-def]
    """Mark with 1 what lies in an object's dilation and not in that object.

    Parameters
    ----------
    labels : ndarray of uint32, shape (Y, X)
    disk : ndarray of int64, shape (K, 2)
        Offsets of the dilation.
    edge_at_contact : bool
        Also where another object lies.
    out : ndarray of uint8, shape (Y, X)
        Holds 2 on objects and 0 elsewhere, and is changed.
    """
    height, width = labels.shape
    for y in range(height):
        for x in range(width):
            label = labels[y, x]
            if label == 0:
                continue
            for k in range(disk.shape[0]):
                v, u = y + disk[k, 0], x + disk[k, 1]
                if (
                    0 <= v < height
                    and 0 <= u < width
                    and labels[v, u] != label
                    and (labels[v, u] == 0 or edge_at_contact)
                ):
                    out[v, u] = 1
