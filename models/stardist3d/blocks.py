"""A stack larger than memory: seen region by region, segmented tile by tile into an array."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from labels.progress import Progress, no_progress
from models.base import BlockSegmentation, BlockSource, LabelSink, check_range
from models.stardist3d.objects import (
    Candidates,
    TileBudget,
    find_candidates,
    receptive_radius,
    suppress,
    tile_counts,
)
from models.stardist3d.plan import Factors, Triple
from models.stardist3d.runtime import import_stardist, quiet_native
from models.stardist3d.samples import Normalisation, zoomed_shape

CHECKED_BOX = (16, 512, 512)
"""Box that is looked at at once: whole chunks of a store, which else were unpacked repeatedly."""


class NetworkView:
    """Reads regions of a stack, normalised and at the network's voxel size.

    A region equals the same region of the whole stack after `Normalisation.apply` and
    `resampled`, but for rounding.

    Parameters
    ----------
    source : array of integer or float, shape (Z, Y, X)
    normalisation : Normalisation
    scale : (float, float, float), optional
        Zoom from the stack to the network's voxels.
    progress : callable, optional
        Told while the intensities are measured.

    Raises
    ------
    ImageError
        When the stack is not 3D, holds NaN or infinite voxels, or is constant.
    """

    def __init__(
        self,
        source: BlockSource,
        normalisation: Normalisation,
        scale: Factors | None = None,
        progress: Progress = no_progress,
    ) -> None:
        z, y, x = (int(size) for size in source.shape)
        self.image_shape: Triple = (z, y, x)
        self.scale = scale
        self._source, self._normalisation = source, normalisation
        self._limits = normalisation.limits(source)
        self._check(progress)
        factors = scale or (1.0, 1.0, 1.0)
        self.shape: Triple = zoomed_shape(self.image_shape, factors)
        self._step = np.array(
            [(n - 1) / (m - 1) if m > 1 else 1.0
             for n, m in zip(self.image_shape, self.shape, strict=True)]
        )  # fmt: skip
        self._sigma = [max(0.0, (1 / factor - 1) / 2) for factor in factors]

    def read(self, start: NDArray[np.intp], stop: NDArray[np.intp]) -> NDArray[np.float32]:
        """Return the region from `start` to `stop`, in voxels of the network."""
        from scipy import ndimage

        if self.scale is None:
            return self._part(start, stop)
        blurred = np.ceil(4 * np.array(self._sigma)).astype(int) + 1
        low = np.maximum(np.floor(start * self._step).astype(int) - blurred, 0)
        high = np.ceil((stop - 1) * self._step).astype(int) + 1 + blurred
        part = self._part(low, np.minimum(high, self.image_shape))
        region: NDArray[np.float32] = ndimage.affine_transform(
            ndimage.gaussian_filter(part, self._sigma),
            self._step,
            start * self._step - low,
            output_shape=tuple(int(side) for side in stop - start),
            order=1,
            mode="nearest",
        )
        return region

    def _part(self, low: NDArray[np.intp], high: NDArray[np.intp]) -> NDArray[np.float32]:
        box = tuple(slice(int(a), int(b)) for a, b in zip(low, high, strict=True))
        return self._normalisation.stretch(np.asarray(self._source[box]), *self._limits)

    def _check(self, progress: Progress) -> None:
        """Refuse what `models.base.check_image` refuses, box by box."""
        lowest, highest = np.inf, -np.inf
        starts = [range(0, n, s) for n, s in zip(self.image_shape, CHECKED_BOX, strict=True)]
        corners = list(itertools.product(*starts))
        for done, corner in enumerate(corners):
            progress(done, len(corners), "reading")
            box = tuple(
                slice(a, min(a + s, n))
                for a, s, n in zip(corner, CHECKED_BOX, self.image_shape, strict=True)
            )
            part = np.asarray(self._source[box])
            # NaN is neither less nor more, and must stay once it was met.
            lowest, highest = np.minimum(lowest, part.min()), np.maximum(highest, part.max())
        lowest, highest = float(lowest), float(highest)
        check_range(lowest, highest)
        if self._limits[1] <= self._limits[0]:
            self._limits = (lowest, highest)


DRAWN_PER_PREDICTED = 8
"""Voxels of a block of labels for each voxel of a tile, whose layers take far more memory."""


def segment_into(
    network: Any,
    view: NetworkView,
    sink: LabelSink,
    tile_voxels: int,
    progress: Progress = no_progress,
) -> BlockSegmentation:
    """Predict tile by tile, resolve overlaps in the whole stack at once, draw block by block.

    A tile sees its core and the network's receptive field around it, and what it keeps are the
    polyhedra above the threshold whose centre lies in the core: those of the whole stack. They
    are few beside the voxels, so StarDist chooses among all of them together, and no border
    is left that could cut an object or double it.

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
    candidates = _find(network, view, tile_voxels, progress, notes)
    found = suppress(network, candidates, view.image_shape, view.scale)
    visible = _draw(found, sink, DRAWN_PER_PREDICTED * tile_voxels, progress)
    prob = np.clip(found["prob"], 0, 1)
    return BlockSegmentation({i: float(prob[i - 1]) for i in sorted(visible)}, tuple(notes))


def _find(
    network: Any, view: NetworkView, tile_voxels: int, progress: Progress, notes: list[str]
) -> Candidates:
    """Return the candidates of the whole stack."""
    radius = receptive_radius(network.config)
    # Tiles that begin where the network's pooling does say what the whole stack says.
    divisor = tuple(int(step) for step in network._axes_div_by("ZYX"))
    z, y, x = (math.ceil(r / step) * step for r, step in zip(radius, divisor, strict=True))
    margin: Triple = (z, y, x)
    cores = list(_cores(view.shape, divisor, margin, tile_voxels))
    # A tile is cut further only after memory has run out.
    budget = TileBudget(max(tile_voxels, *(_size(*_read(view, *core, margin)) for core in cores)))
    pieces = []
    for done, (low, high) in enumerate(cores):
        progress(done, len(cores), "predicting")
        start, stop = _read(view, low, high, margin)
        found = find_candidates(network, view.read(start, stop), budget=budget)
        found = Candidates(found.prob, found.dist, found.points + start)
        pieces.append(found.within(np.array(low), np.array(high)))
    progress(len(cores), len(cores), "predicting")
    notes += budget.notes
    return Candidates.joined(pieces)


def _cores(
    shape: Triple, divisor: tuple[int, ...], margin: Triple, tile_voxels: int
) -> Iterator[tuple[Triple, Triple]]:
    """Yield start and stop of boxes that cover the stack side by side."""
    counts = tile_counts(shape, margin, tile_voxels)
    sides = [
        math.ceil(size / count / step) * step
        for size, count, step in zip(shape, counts, divisor, strict=True)
    ]
    starts = [range(0, size, side) for size, side in zip(shape, sides, strict=True)]
    for z, y, x in itertools.product(*starts):
        stop = [min(at + side, n) for at, side, n in zip((z, y, x), sides, shape, strict=True)]
        yield (z, y, x), (stop[0], stop[1], stop[2])


def _read(
    view: NetworkView, low: Triple, high: Triple, margin: Triple
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return start and stop of what the network must see of a core."""
    start = np.maximum(np.subtract(low, margin), 0)
    return start, np.minimum(np.add(high, margin), view.shape)


def _size(start: NDArray[np.intp], stop: NDArray[np.intp]) -> int:
    return int(np.prod(stop - start))


def _draw(
    found: dict[str, Any], sink: LabelSink, block_voxels: int, progress: Progress
) -> set[int]:
    """Draw polyhedra block by block, the more probable above; return the ids that are visible."""
    shape, visible = sink.shape, set[int]()
    side = max(16, round(block_voxels ** (1 / 3)))
    corners = list(itertools.product(*(range(0, size, side) for size in shape)))
    low, high = _bounds(found)
    # The order in which StarDist draws.
    order = np.argsort(found["prob"])[::-1]
    for done, corner in enumerate(corners):
        progress(done, len(corners), "drawing")
        stop = np.minimum(np.add(corner, side), shape)
        near = order[np.all((low < stop) & (high > corner), axis=1)[order]]
        labels = np.zeros(stop - corner, np.uint32)
        with quiet_native():
            for index in near:
                _paste(found, index, (low[index], high[index]), labels, np.array(corner))
        visible |= set(np.unique(labels).tolist()) - {0}
        sink[tuple(slice(a, int(b)) for a, b in zip(corner, stop, strict=True))] = labels
    progress(len(corners), len(corners), "drawing")
    return visible


def _bounds(found: dict[str, Any]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return start and stop of a box around each polyhedron, which can lie beyond the stack."""
    points = np.asarray(found["points"], dtype=np.float64).reshape(-1, 3)
    if not len(points):
        return points.astype(np.intp), points.astype(np.intp)
    rays = np.asarray(found["rays"].vertices, dtype=np.float64)
    along = [found["dist"] * rays[:, axis] for axis in range(3)]
    low = points + np.stack([np.minimum(one.min(axis=1), 0) for one in along], axis=1)
    high = points + np.stack([np.maximum(one.max(axis=1), 0) for one in along], axis=1)
    return np.floor(low).astype(np.intp) - 1, np.ceil(high).astype(np.intp) + 2


def _paste(
    found: dict[str, Any],
    index: int,
    box: tuple[NDArray[np.intp], NDArray[np.intp]],
    labels: NDArray[np.uint32],
    corner: NDArray[np.intp],
) -> None:
    """Draw one polyhedron where nothing is yet; its label is its index plus 1."""
    # Whole in its own box: StarDist's C++ does not end when a centre lies outside of what it draws.
    drawn = import_stardist().geometry.polyhedron_to_label(
        found["dist"][index : index + 1],
        np.asarray(found["points"])[index : index + 1] - box[0],
        found["rays"],
        tuple(int(side) for side in box[1] - box[0]),
        verbose=False,
    )
    start = np.maximum(box[0], corner)
    stop = np.minimum(box[1], corner + labels.shape)
    there = labels[tuple(slice(a, b) for a, b in zip(start - corner, stop - corner, strict=True))]
    cut = tuple(slice(a, b) for a, b in zip(start - box[0], stop - box[0], strict=True))
    there[(drawn[cut] > 0) & (there == 0)] = index + 1
