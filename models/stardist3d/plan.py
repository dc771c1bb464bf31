"""What the network is to look like, read off the labelled objects."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from labels.spacing import Spacing
from models.objects import weighted_median

Triple = tuple[int, int, int]
Factors = tuple[float, float, float]

MIN_CELLS_ACROSS = 6.0
"""Grid cells that the median object keeps along each axis."""

MAX_GRID: Triple = (2, 4, 4)
MARGIN = 1.25
MAX_PATCH_VOXELS = 96 * 96 * 48


@dataclass(frozen=True)
class ObjectSizes:
    """Bounding boxes of the labelled objects.

    Parameters
    ----------
    median, largest : (float, float, float)
        Extent (z, y, x) in voxels.
    count : int
        Objects measured.
    """

    median: Factors
    largest: Factors
    count: int


def object_sizes(labels: Sequence[NDArray[np.int32]]) -> ObjectSizes:
    """Measure the objects of all stacks; each weighs as much as its voxels.

    Fragments cut off by the stacks' borders then hardly count, however many there are.

    Parameters
    ----------
    labels : sequence of ndarray of int32, shape (Z, Y, X)
        Positive ids are objects.
    """
    from scipy import ndimage

    extents, voxels = [], []
    for volume in labels:
        known = np.maximum(volume, 0)
        counts = np.bincount(known.ravel())
        for number, box in enumerate(ndimage.find_objects(known), start=1):
            if box is not None:
                extents.append([side.stop - side.start for side in box])
                voxels.append(counts[number])
    measured, weights = np.array(extents, dtype=float), np.array(voxels, dtype=float)
    median = [weighted_median(along, weights) for along in measured.T]
    return ObjectSizes(_factors(median), _factors(measured.max(axis=0)), len(extents))


def diameter_um(
    labels: Sequence[NDArray[np.int32]], spacings_um: Sequence[Spacing], *, flat: bool = False
) -> float:
    """Diameter in µm of a ball as large as the median object; each weighs as much as its volume.

    Flat ones are measured slice by slice: of a disk as large as the median object in a slice.

    Parameters
    ----------
    labels : sequence of ndarray of int32, shape (Z, Y, X)
        Positive ids are objects; at least one.
    spacings_um : sequence of (float, float, float)
    """
    parts = [
        (part, math.prod(spacing[1:] if flat else spacing))
        for volume, spacing in zip(labels, spacings_um, strict=True)
        for part in (volume if flat else (volume,))
    ]
    found = np.concatenate(
        [np.bincount(np.maximum(part, 0).ravel())[1:] * voxel for part, voxel in parts]
    )
    median = weighted_median(found[found > 0], found[found > 0])
    return 2 * math.sqrt(median / math.pi) if flat else float((6 * median / math.pi) ** (1 / 3))


def working_spacing(sizes: ObjectSizes, spacing_um: Spacing, cells: float) -> Spacing:
    """Voxel size at which the median object has at most `cells` voxels along each axis.

    Networks that see large nuclei at full resolution pay for voxels that carry no more
    information; the polyhedra are drawn at full resolution all the same.

    Parameters
    ----------
    sizes : ObjectSizes
        Measured at `spacing_um`.
    spacing_um : (float, float, float)
        Voxel size (z, y, x) in µm.
    cells : float
    """
    z, y, x = sizes.median
    lateral = (y + x) / 2
    return _factors(
        [
            step * max(1.0, extent / cells)
            for step, extent in zip(spacing_um, (z, lateral, lateral), strict=True)
        ]
    )


def choose_anisotropy(sizes: ObjectSizes) -> Factors:
    """Relative voxel size seen by the rays: how much shorter the objects are along each axis.

    As StarDist's examples take it from ``calculate_extents``, with x and y made equal because
    their voxel size is.
    """
    z, y, x = sizes.median
    lateral = (y + x) / 2
    return (round(max(lateral / z, 0.1), 2), 1.0, 1.0)


def choose_grid(sizes: ObjectSizes) -> Triple:
    """Subsampling of the output that leaves `MIN_CELLS_ACROSS` cells across an object."""
    z, y, x = sizes.median
    lateral = min(y, x)
    grid = [
        min(limit, _power_of_two_below(extent / MIN_CELLS_ACROSS))
        for extent, limit in zip((z, lateral, lateral), MAX_GRID, strict=True)
    ]
    return (grid[0], grid[1], grid[2])


def choose_pool(sizes: ObjectSizes, grid: Triple, depth: int, largest_stack: Triple) -> Triple:
    """U-Net pooling per level; z is kept when it is coarse beside x and y, or too thin."""
    cells = [extent / step for extent, step in zip(sizes.median, grid, strict=True)]
    coarse = cells[0] < 0.6 * min(cells[1:])
    thin = largest_stack[0] < grid[0] * 2**depth
    return (1 if coarse or thin else 2, 2, 2)


def choose_patch(sizes: ObjectSizes, divisor: Triple, largest_stack: Triple) -> Triple:
    """Training patch: the largest object with a margin; small ones buy more steps per minute."""
    z, y, x = sizes.largest
    lateral = max(MARGIN * y, MARGIN * x, 32.0)
    wanted = [max(MARGIN * z, 8.0), lateral, lateral]
    shrink = min(1.0, (MAX_PATCH_VOXELS / math.prod(wanted)) ** (1 / 3))
    return fit_patch(_factors([shrink * side for side in wanted]), divisor, largest_stack)


def fit_patch(wanted: Factors, divisor: Triple, largest_stack: Triple) -> Triple:
    """Round a patch up to what the network divides by, but no larger than the stacks need.

    Stacks smaller than that are padded, which costs less than the context and the objects
    that smaller patches would cut.
    """
    patch = [
        min(math.ceil(side / step), math.ceil(size / step)) * step
        for side, step, size in zip(wanted, divisor, largest_stack, strict=True)
    ]
    return (patch[0], patch[1], patch[2])


def _power_of_two_below(value: float) -> int:
    return 1 << math.floor(math.log2(max(value, 1.0)))


def _factors(values: Sequence[float] | NDArray[np.float64]) -> Factors:
    z, y, x = (float(value) for value in values)
    return (z, y, x)
