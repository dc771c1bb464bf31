"""Boundary F-score: how much of each outline lies within a tolerance of the other one."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hitl.evaluation.metrics.ratios import ratios_of_hits
from hitl.project.errors import MetricError
from labels import blocks
from labels.blocks import LabelImage, Region
from labels.overlaps import Ints
from labels.spacing import Spacing

BLOCK_VOXELS = 4 << 20


@dataclass(frozen=True)
class BoundaryScores:
    """Boundary voxels of both images, and how many are near the other image's.

    Ratios are None where neither image has a boundary, otherwise 0 where nothing is near.

    Parameters
    ----------
    tolerance_um : float
    truth_voxels, pred_voxels : int
    truth_near, pred_near : int
        Those within the tolerance of the other image's.
    """

    tolerance_um: float
    truth_voxels: int
    pred_voxels: int
    truth_near: int
    pred_near: int

    def to_dict(self) -> dict[str, float | int | None]:
        """Return precision, recall, their harmonic mean, and what they are made of."""
        return {
            "tolerance_um": self.tolerance_um,
            **ratios_of_hits(self.truth_near, self.truth_voxels, self.pred_near, self.pred_voxels),
            "truth_voxels": self.truth_voxels,
            "pred_voxels": self.pred_voxels,
        }


def boundary_scores(
    truth: LabelImage,
    pred: LabelImage,
    spacing_um: Spacing | None,
    tolerance_um: float,
    *,
    truth_left_out: Ints | None = None,
    pred_left_out: Ints | None = None,
    workers: int | None = None,
) -> BoundaryScores:
    """Compare the outlines of all objects (Csurka et al., BMVC 2013; F of Perazzi, CVPR 2016).

    A boundary voxel lies in an object and has one of its 6 neighbours in another object or in
    the background (`skimage.segmentation.find_boundaries`, mode "inner"); the border of the
    volume is none. Precision is the share of predicted boundary voxels whose distance to the
    nearest one of the truth, centre to centre, is at most the tolerance; recall the reverse.

    Both images are read once more, in blocks with as much around them as the tolerance needs.

    Parameters
    ----------
    truth, pred : ndarray, memmap or zarr array, shape (Z, Y, X) or (Y, X), integers
    spacing_um : (float, float, float)
        Voxel size (z, y, x) in µm.
    tolerance_um : float
    truth_left_out, pred_left_out : ndarray of int64, optional
        Ids that are taken for background.
    workers : int, optional
        Threads; by default as many as there are processors, at most 4.

    Raises
    ------
    MetricError
        No spacing, a negative tolerance, or images that cannot be compared.
    """
    if spacing_um is None:
        raise MetricError(
            "expected a spacing for the boundary tolerance in µm, got none: give the voxel size "
            "with --spacing-um Z Y X"
        )
    if not 0 <= tolerance_um < np.inf:
        raise MetricError(f"expected a tolerance in µm of at least 0, got {tolerance_um}")
    blocks.check_pair(truth, pred)
    shape = blocks.shape_zyx(truth)
    rows = _rows_within(spacing_um, tolerance_um, shape)
    halo = (1 + int(rows[:, 0].max()), 1 + int(rows[:, 1].max()))
    images = ((truth, truth_left_out), (pred, pred_left_out))

    def work(regions: Iterator[Region]) -> Ints:
        total = np.zeros(4, np.int64)
        for block in regions:
            total += _count_block(images, block, shape, halo, rows)
        return total

    counts = np.sum(blocks.over_regions(_plan(shape, halo), work, workers), axis=0).tolist()
    return BoundaryScores(float(tolerance_um), counts[0], counts[2], counts[1], counts[3])


def _rows_within(spacing_um: Spacing, tolerance_um: float, shape: tuple[int, int, int]) -> Ints:
    """Rows of x (dz, dy, reach) that make up the ball of the tolerance, nearest first."""
    # A distance of exactly the tolerance counts, whatever the last bit says.
    limit = tolerance_um * (1 + 1e-9)
    reach = [min(int(limit // s), n) for s, n in zip(spacing_um, shape, strict=True)]
    dz, dy = np.mgrid[-reach[0] : reach[0] + 1, -reach[1] : reach[1] + 1].reshape(2, -1)
    square = (dz * spacing_um[0]) ** 2 + (dy * spacing_um[1]) ** 2
    order = np.argsort(square, kind="stable")
    order = order[square[order] <= limit**2]
    dx = np.minimum(np.sqrt(limit**2 - square[order]) // spacing_um[2], shape[2])
    return np.ascontiguousarray(np.stack([dz[order], dy[order], dx], axis=1).astype(np.int64))


def _plan(shape: tuple[int, int, int], halo: tuple[int, int]) -> list[Region]:
    """Blocks that stay small with what is around them, and are not much larger for it."""
    nz, ny, nx = shape
    step_y = min(ny, max(4 * halo[1], BLOCK_VOXELS // (nx * min(nz, 6 * halo[0])) - 2 * halo[1]))
    step_z = min(nz, max(4 * halo[0], BLOCK_VOXELS // (nx * (step_y + 2 * halo[1]))))
    return [
        (slice(z, min(z + step_z, nz)), slice(y, min(y + step_y, ny)), slice(0, nx))
        for z in range(0, nz, step_z)
        for y in range(0, ny, step_y)
    ]


def _count_block(
    images: tuple[tuple[LabelImage, Ints | None], ...],
    block: Region,
    shape: tuple[int, int, int],
    halo: tuple[int, int],
    rows: Ints,
) -> Ints:
    from hitl.evaluation.metrics import _kernels as kernels

    around = tuple(
        slice(max(0, part.start - h), min(n, part.stop + h))
        for part, h, n in zip(block[:2], halo, shape[:2], strict=True)
    )
    ends = [(p.start - a.start, p.stop - a.start) for p, a in zip(block[:2], around, strict=True)]
    core = np.array(ends, np.int64).ravel()
    found = []
    for image, left_out in images:
        labels = _labels(image, (around[0], around[1], block[2]), left_out)
        marks = np.empty(labels.shape, np.bool_)
        sums = np.empty((*labels.shape[:2], labels.shape[2] + 1), np.int32)
        kernels.mark(labels.dtype)(labels, marks, sums)
        found.append((marks, sums))
    (truth, truth_sums), (pred, pred_sums) = found
    count = kernels.count_near()
    return np.array([*count(truth, pred_sums, core, rows), *count(pred, truth_sums, core, rows)])


def _labels(image: LabelImage, block: Region, left_out: Ints | None) -> NDArray[Any]:
    labels = blocks.read(image, block, blocks.common_dtype(image))
    if left_out is not None and len(left_out):
        labels = np.where(
            np.isin(labels, left_out.astype(labels.dtype)), labels.dtype.type(0), labels
        )
    return labels
