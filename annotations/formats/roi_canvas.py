"""A stack that ROIs are painted into, at a cost that grows with their pixels."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from annotations._graph import components
from annotations.errors import LabelError
from annotations.formats.format import MAX_LABEL, LabelsRead
from annotations.formats.outlines import WindingError, fill
from annotations.formats.roi import Outline
from labels.numbers import number_of

MOST_LAYERS = 16
"""How many times over ROIs, each with the box around it, may cover the stack."""

_SMALL = 1 << 20
"""Pixels that they may cover in any stack."""


class Canvas:
    """Labels that ROIs are painted into.

    Parameters
    ----------
    path : Path
        The set, for messages.
    shape : (int, int, int)
        (Z, Y, X) of the stack.
    """

    def __init__(self, path: Path, shape: tuple[int, int, int]) -> None:
        self._path = path
        self._labels = np.zeros(shape, np.uint32)
        self._contested = 0
        self._room = _SMALL + MOST_LAYERS * self._labels.size
        # Of ROIs without an id: which one, from 1, each voxel is of, and which ones overlap.
        self._unnamed: NDArray[np.uint32] | None = None
        self._count = 0
        self._links: list[tuple[NDArray[np.int64], NDArray[np.int64]]] = []

    def paint(self, outline: Outline) -> None:
        """Give the pixels inside outlines to an object, or keep them for a new one.

        Raises
        ------
        LabelError
            ROIs that cover the stack again and again, or an outline that winds without end.
        """
        points = np.concatenate(outline.loops)
        x0, y0 = np.floor(points.min(axis=0)).astype(int)
        x1, y1 = np.ceil(points.max(axis=0)).astype(int)
        shape = max(y1 - y0, 1), max(x1 - x0, 1)
        self._room -= shape[0] * shape[1]
        if self._room < 0:
            raise LabelError(
                f"{self._path}: its ROIs cover the stack more than {MOST_LAYERS} times over, which "
                "no set of objects does; delete those that are in it many times"
            )
        try:
            inside = fill([loop - [x0, y0] for loop in outline.loops], shape)
        except WindingError as exc:
            raise LabelError(
                f"{self._path}: the outline of ROI {outline.name!r} crosses itself again and again "
                f"({exc}); delete it, or draw it again"
            ) from exc
        plane = self._labels[outline.z]
        place = slice(y0, y0 + shape[0]), slice(x0, x0 + shape[1])
        region = plane[place]
        inside = inside[: region.shape[0], : region.shape[1]]
        if not inside.any():
            raise LabelError(
                f"{self._path}: ROI {outline.name!r} holds the centre of no pixel, so that its "
                "object would be lost; delete it, or draw it again"
            )
        if outline.number is None:
            self._keep(outline.z, place, inside)
        else:
            taken = inside & (region != 0) & (region != outline.number)
            self._contested += int(np.count_nonzero(taken))
            region[inside] = outline.number

    def _keep(self, z: int, place: tuple[slice, slice], inside: NDArray[np.bool_]) -> None:
        """Paint a ROI without an id, and note which ones of its slice it overlaps.

        What it hides of them stays linked to them through it.
        """
        if self._unnamed is None:
            self._unnamed = np.zeros_like(self._labels)
        self._count += 1
        region = self._unnamed[z][place]
        under = np.unique(region[inside])
        self._link(under[under > 0], np.uint32(self._count))
        region[inside] = self._count

    def _link(self, ones: NDArray[np.uint32], others: NDArray[np.uint32] | np.uint32) -> None:
        if ones.size:
            pairs = np.broadcast_arrays(ones, others)
            self._links.append((pairs[0].astype(np.int64) - 1, pairs[1].astype(np.int64) - 1))

    def finish(self) -> LabelsRead:
        """Return the labels; new objects get the ids that follow those of the others."""
        new = self._paint_new()
        notes = []
        if self._contested:
            notes.append(
                f"{self._path}: {number_of(self._contested, 'voxel lies', 'voxels lie')} in ROIs "
                "of several objects; each went to the one that comes last in the set"
            )
        if new:
            notes.append(
                f"{self._path}: ROIs without an object's name make {number_of(new, 'new object')}, "
                "joined where they overlap in neighbouring slices"
            )
        return LabelsRead(self._labels, tuple(notes))

    def _paint_new(self) -> int:
        """Paint the ROIs without an id over the others; return how many objects they make."""
        if self._unnamed is None:
            return 0
        for above, below in zip(self._unnamed[:-1], self._unnamed[1:], strict=True):
            both = (above > 0) & (below > 0)
            pairs = np.unique(np.stack([above[both], below[both]], axis=1), axis=0)
            self._link(pairs[:, 0], pairs[:, 1])
        links = [np.concatenate(side) for side in zip(*self._links, strict=True)]
        one, other = links or (np.zeros(0, np.int64), np.zeros(0, np.int64))
        groups = components(self._count, one, other)
        count, top = int(groups.max()) + 1, int(self._labels.max(initial=0))
        if top + count > MAX_LABEL:
            raise LabelError(
                f"{self._path}: expected ids up to {MAX_LABEL}, got {top} and "
                f"{number_of(count, 'new object')}"
            )
        ids = np.concatenate([[0], top + 1 + groups]).astype(np.uint32)
        for plane, unnamed in zip(self._labels, self._unnamed, strict=True):
            painted = unnamed > 0
            self._contested += int(np.count_nonzero(painted & (plane > 0)))
            plane[painted] = ids[unnamed[painted]]
        return count
