"""Segmenting a stack that is larger than memory, tile by tile, into an array on disk."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from models.base import Progress, no_progress
from models.stardist3d.objects import Candidates, draw, find_candidates, receptive_radius, suppress
from models.stardist3d.plan import Triple
from models.stardist3d.runtime import import_stardist, quiet, quiet_native
from models.stardist3d.source import NetworkView

USUAL_REACH = 10
"""Half the extent of an object in voxels of the network, until larger ones are found."""


class LabelSink(Protocol):
    """What labels are written to: a NumPy array, a memory map, a zarr array."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape (Z, Y, X)."""
        ...

    def __setitem__(self, box: Any, labels: Any) -> None: ...


@dataclass(frozen=True)
class BlockSegmentation:
    """What was written to the sink.

    Parameters
    ----------
    confidence : mapping of int to float
        Probability of each object; its keys are the ids in the sink.
    notes : tuple of str
        What the user must be told.
    """

    confidence: Mapping[int, float]
    notes: tuple[str, ...] = ()


def segment_into(
    network: Any,
    view: NetworkView,
    sink: LabelSink,
    tile_voxels: int,
    progress: Progress = no_progress,
) -> BlockSegmentation:
    """Find objects tile by tile and draw them block by block; no object is cut.

    A tile sees more than its core: the network's receptive field, and beyond it all polyhedra
    that can reach one of the core, so that overlaps are resolved as in the whole stack. It keeps
    the objects whose centre lies in its core; what remains is the list of polyhedra. Overlaps
    between those of different tiles are resolved once more on that list.

    Parameters
    ----------
    network : StarDist3D
    view : NetworkView
        The image as the network sees it.
    sink : array of an unsigned integer type, shape (Z, Y, X)
        Of the image's shape; every voxel is written.
    tile_voxels : int
        Size of a tile with its margins, where the margins allow it.
    progress : callable, optional
    """
    notes: list[str] = []
    kept = _find(network, view, tile_voxels, progress, notes)
    found = suppress(network, kept, view.image_shape, view.scale)
    present = _draw(found, sink, tile_voxels, progress)
    prob = np.clip(found["prob"], 0, 1)
    return BlockSegmentation({i: float(prob[i - 1]) for i in sorted(present)}, tuple(notes))


def _find(
    network: Any, view: NetworkView, tile_voxels: int, progress: Progress, notes: list[str]
) -> Candidates:
    divisor = tuple(int(step) for step in network._axes_div_by("ZYX"))
    radius = receptive_radius(network.config)
    reach: Triple = (USUAL_REACH, USUAL_REACH, USUAL_REACH)
    pieces: list[Candidates] = []
    cores = list(_cores(view.shape, divisor, _margin(radius, reach, divisor), tile_voxels))
    for done, core in enumerate(cores):
        progress(done, len(cores), "predicting")
        while True:
            owned = _owned(network, view, core, radius, _margin(radius, reach, divisor), notes)
            extent = owned.half_extents(network)
            if all(have <= known for have, known in zip(extent, reach, strict=True)):
                break
            if all(known >= side for known, side in zip(reach, view.shape, strict=True)):
                break
            z, y, x = (max(have, known) for have, known in zip(extent, reach, strict=True))
            reach = (z, y, x)
        pieces.append(owned)
    progress(len(cores), len(cores), "predicting")
    return Candidates.joined(pieces)


def _margin(radius: Triple, reach: Triple, divisor: tuple[int, ...]) -> Triple:
    z, y, x = (
        math.ceil((context + 2 * half) / step) * step
        for context, half, step in zip(radius, reach, divisor, strict=True)
    )
    return (z, y, x)


def _cores(
    shape: Triple, divisor: tuple[int, ...], margin: Triple, tile_voxels: int
) -> Iterator[tuple[Triple, Triple]]:
    """Yield start and stop of tiles that cover the stack side by side."""
    sides = [math.ceil(size / step) * step for size, step in zip(shape, divisor, strict=True)]

    def read() -> list[int]:
        return [
            min(size, side + 2 * border)
            for size, side, border in zip(shape, sides, margin, strict=True)
        ]

    while math.prod(read()) > tile_voxels:
        axis = int(np.argmax([side / step for side, step in zip(sides, divisor, strict=True)]))
        if sides[axis] <= max(divisor[axis], margin[axis] // 2):
            break
        sides[axis] = math.ceil(sides[axis] / 2 / divisor[axis]) * divisor[axis]
    starts = [range(0, size, side) for size, side in zip(shape, sides, strict=True)]
    for z, y, x in itertools.product(*starts):
        stop = [min(at + side, n) for at, side, n in zip((z, y, x), sides, shape, strict=True)]
        yield (z, y, x), (stop[0], stop[1], stop[2])


def _owned(
    network: Any,
    view: NetworkView,
    core: tuple[Triple, Triple],
    radius: Triple,
    margin: Triple,
    notes: list[str],
) -> Candidates:
    """Return the objects whose centre lies in the core of a tile."""
    start = np.maximum(np.subtract(core[0], margin), 0)
    stop = np.minimum(np.add(core[1], margin), view.shape)
    found = find_candidates(network, view.read(start, stop), told=notes)
    found = Candidates(found.prob, found.dist, found.points + start)
    # Near a face that is not the stack's the network lacked context.
    low = np.where(start > 0, start + radius, start)
    high = np.where(stop < view.shape, stop - radius, stop)
    found = found.within(low, high)
    if len(found.prob):
        stardist = import_stardist()
        rays = stardist.rays.rays_from_json(network.config.rays_json)
        with quiet(), quiet_native():
            points, prob, dist, _ = stardist.nms.non_maximum_suppression_3d_sparse(
                found.dist, found.prob, found.points, rays, nms_thresh=network.thresholds.nms
            )
        found = Candidates(prob, dist, points)
    return found.within(np.array(core[0]), np.array(core[1]))


def _draw(found: dict[str, Any], sink: LabelSink, tile_voxels: int, progress: Progress) -> set[int]:
    """Draw polyhedra block by block, the more probable above; return the ids that are visible."""
    shape, present = sink.shape, set[int]()
    side = max(16, round(tile_voxels ** (1 / 3)) // 16 * 16)
    blocks = list(itertools.product(*(range(0, size, side) for size in shape)))
    points = np.asarray(found["points"], dtype=np.float64).reshape(-1, 3)
    low, high = _bounds(found, points)
    for done, corner in enumerate(blocks):
        progress(done, len(blocks), "drawing")
        stop = np.minimum(np.add(corner, side), shape)
        box = tuple(slice(a, int(b)) for a, b in zip(corner, stop, strict=True))
        labels = np.zeros(stop - corner, np.uint32)
        near = np.flatnonzero(np.all((low < stop) & (high >= corner), axis=1))
        if len(near):
            # StarDist's C++ does not end when a centre lies outside of what is drawn.
            first = np.clip(np.floor(low[near].min(axis=0)).astype(int), 0, corner)
            last = np.clip(np.ceil(high[near].max(axis=0)).astype(int) + 1, stop, shape)
            crop = tuple(slice(c - f, s - f) for c, s, f in zip(corner, stop, first, strict=True))
            labels = draw(found, near, points[near] - first, tuple(last - first))[crop]
            present |= set(np.unique(labels).tolist()) - {0}
        sink[box] = labels
    progress(len(blocks), len(blocks), "drawing")
    return present


def _bounds(
    found: dict[str, Any], points: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    rays = np.asarray(found["rays"].vertices, dtype=np.float64)
    low, high = np.empty_like(points), np.empty_like(points)
    if not len(points):
        return low, high
    for axis in range(3):
        along = found["dist"] * rays[:, axis]
        low[:, axis], high[:, axis] = along.min(axis=1) - 1, along.max(axis=1) + 1
    return points + low, points + high
