"""Size, form and boundary of each object, in one pass over the labels."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hitl.measure.sources import VoxelSource, slabs
from hitl.project.errors import MeasureError
from labels.progress import Progress
from labels.spacing import Spacing

Column = NDArray[Any]


@dataclass(frozen=True, eq=False)
class Shapes:
    """What the labels alone say of the N objects of a field.

    Parameters
    ----------
    ids : ndarray of uint64, shape (N,)
        Label values, ascending.
    voxels : ndarray of int64, shape (N,)
    boxes : ndarray of int64, shape (N, 6)
        First z, y, x and last + 1.
    centres : ndarray of float64, shape (N, 3)
        Centroids in voxels.
    covariances : ndarray of float64, shape (N, 3, 3)
        Of the voxel centres, in µm².
    areas : ndarray of float64, shape (N, 2)
        Surface in µm² by `surface.area_weights`' two estimators.
    touching : ndarray of int64, shape (M, 2)
        Rows of objects that share a face, an edge or a corner of a voxel.
    points, starts : ndarray of int32, shape (P, 3), and of int64, shape (N + 1,)
        Boundary voxels; those of row n are ``points[starts[n] : starts[n + 1]]``.
    ends : ndarray of int32, shape (Z, Y, 2)
        First and last labelled x of each row; -1 where nothing is labelled.
    shape : (int, int, int)
    spacing_um : (float, float, float)
    """

    ids: NDArray[np.uint64]
    voxels: NDArray[np.int64]
    boxes: NDArray[np.int64]
    centres: NDArray[np.float64]
    covariances: NDArray[np.float64]
    areas: NDArray[np.float64]
    touching: NDArray[np.int64]
    points: NDArray[np.int32]
    starts: NDArray[np.int64]
    ends: NDArray[np.int32]
    shape: tuple[int, int, int]
    spacing_um: Spacing

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def bodies(self) -> tuple[Any, Any, Any, Any]:
        """Points, starts, boxes and centres, as `_distances.nearest_objects` takes them."""
        return self.points, self.starts, self.boxes, self.centres


def find_ids(source: VoxelSource) -> NDArray[np.uint64]:
    """Return the ids of a field's objects, ascending.

    Raises
    ------
    MeasureError
        Negative ids.
    """
    import fastremap

    found: set[int] = set()
    for z_start, z_stop in slabs(source.shape):
        found.update(fastremap.unique(source.labels(z_start, z_stop)).tolist())
    if found and min(found) < 0:
        raise MeasureError(
            f"labels: expected ids of 0 or more, got {min(found)}; give one whole number per "
            "object, 0 for background"
        )
    return np.array(sorted(found - {0}), np.uint64)


def measure_shapes(source: VoxelSource, progress: Progress) -> Shapes:
    """Go through the labels once, slab by slab.

    Memory beyond a slab: 20 bytes per boundary voxel, a few hundred per object.

    Parameters
    ----------
    source : VoxelSource
    progress : callable
        Takes slices done, slices in all and what is done.

    Raises
    ------
    MeasureError
        Negative ids.
    """
    from hitl.measure import _kernels
    from labels.kernels import new_table

    ids = find_ids(source)
    shape, n = source.shape, len(ids)
    sums = np.zeros((n, _kernels.SUMS), np.int64)
    boxes = np.zeros((n, 6), np.int64)
    first = np.zeros((n, 3), np.int64)
    areas = np.zeros((n, 2))
    table = new_table(columns=1)
    ends = np.full((*shape[:2], 2), -1, np.int32)
    counts = np.zeros(n, np.int64)
    boundary = []
    for z_start, z_stop in slabs(shape):
        ranks = _padded_ranks(source, ids, z_start, z_stop)
        _kernels.add_moments(ranks, z_start, sums, boxes, first)
        # The neighbourhoods that reach into the slice before were counted with that slab.
        table = _kernels.add_surfaces(
            ranks, 1 if z_start else 0, area_weights(source.spacing_um), areas, *table
        )
        _kernels.row_ends(ranks, ends[z_start:z_stop, :, 0], ends[z_start:z_stop, :, 1])
        boundary.append(_boundary(ranks, z_start, counts))
        progress(z_stop, shape[0], "shapes")
    keys, stats, _ = table
    pairs = keys[stats[:, 0] > 0].astype(np.int64)
    touching = pairs[np.lexsort((pairs[:, 1], pairs[:, 0]))] - 1
    centres, covariances = _moments(sums, first, source.spacing_um)
    return Shapes(
        ids, sums[:, 0], boxes, centres, covariances, areas, touching,
        *_grouped(boundary, counts), ends, shape, source.spacing_um,
    )  # fmt: skip


def _boundary(
    ranks: NDArray[np.int32], z_start: int, counts: NDArray[np.int64]
) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Return owner and (z, y, x) of a padded slab's boundary voxels; add to each one's count."""
    from hitl.measure import _kernels

    depth, height, width = (side - 2 for side in ranks.shape)
    # Kernels look at eight flags at a time.
    flags = np.zeros((depth, height, -(-width // 8) * 8), np.uint8)
    total = _kernels.mark_boundary(ranks, flags)
    owner, points = np.empty(total, np.int32), np.empty((total, 3), np.int32)
    _kernels.collect_boundary(ranks, flags, z_start, counts, owner, points)
    return owner, points


def _grouped(
    boundary: list[tuple[NDArray[np.int32], NDArray[np.int32]]], counts: NDArray[np.int64]
) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
    """Return boundary voxels object by object, and where each object's begin."""
    from hitl.measure import _kernels

    starts = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    grouped = np.empty((int(starts[-1]), 3), np.int32)
    fill = starts[:-1].copy()
    for owner, points in boundary:
        _kernels.group_points(owner, points, fill, grouped)
    return grouped, starts


def _padded_ranks(
    source: VoxelSource, ids: NDArray[np.uint64], z_start: int, z_stop: int
) -> NDArray[np.int32]:
    """Read a slab with a voxel more on all sides: the neighbouring slices, else background."""
    from hitl.measure import _kernels

    depth, height, width = source.shape
    low, high = max(z_start - 1, 0), min(z_stop + 1, depth)
    ranks = np.zeros((z_stop - z_start + 2, height + 2, width + 2), np.int32)
    inside = ranks[low - z_start + 1 : high - z_start + 1, 1:-1, 1:-1]
    labels = unsigned(source.labels(low, high))
    _kernels.rank_slab(labels, ids.astype(labels.dtype), inside)
    return ranks


def unsigned(labels: NDArray[Any]) -> NDArray[Any]:
    """Return labels as C-contiguous uint32 or uint64, for which the kernels are compiled."""
    wide = labels.dtype.itemsize == 8
    return np.ascontiguousarray(labels, np.uint64 if wide else np.uint32)


def _moments(
    sums: NDArray[np.int64], first: NDArray[np.int64], spacing_um: Spacing
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    count = np.maximum(sums[:, :1], 1).astype(np.float64)
    mean = sums[:, 1:4] / count
    zz, yy, xx, zy, zx, yx = (sums[:, 4:] / count).T
    raw = np.stack([zz, zy, zx, zy, yy, yx, zx, yx, xx], axis=1).reshape(-1, 3, 3)
    scale = np.asarray(spacing_um)
    covariance = (raw - mean[:, :, None] * mean[:, None, :]) * np.outer(scale, scale)
    return mean + first, covariance


def shape_columns(shapes: Shapes) -> dict[str, Column]:
    """Return size, position and form of each object.

    Axis lengths are those of the ellipsoid with the same moments, ``sqrt(20 · eigenvalue)`` of the
    covariance, as in scikit-image.
    """
    scale = np.asarray(shapes.spacing_um)
    volume = shapes.voxels * float(np.prod(scale))
    columns: dict[str, Column] = {"voxels": shapes.voxels, "volume_um3": volume}
    for axis, name in enumerate("zyx"):
        columns[f"centroid_{name}_um"] = shapes.centres[:, axis] * scale[axis]
        columns[f"centroid_{name}_px"] = shapes.centres[:, axis]
    for axis, name in enumerate("zyx"):
        columns[f"bbox_{name}_start_px"] = shapes.boxes[:, axis]
        columns[f"bbox_{name}_stop_px"] = shapes.boxes[:, axis + 3]
    values, vectors = np.linalg.eigh(shapes.covariances)
    lengths = np.sqrt(20 * np.maximum(values, 0))
    for place, name in ((2, "major"), (1, "middle"), (0, "minor")):
        columns[f"axis_{name}_um"] = lengths[:, place]
    columns["azimuth_deg"], columns["elevation_deg"] = _angles(values, vectors[:, :, 2])
    columns["surface_mesh_um2"] = shapes.areas[:, 0]
    columns["surface_crofton_um2"] = shapes.areas[:, 1]
    ball = np.cbrt(36 * np.pi * volume**2)
    columns["sphericity_mesh"] = ball / shapes.areas[:, 0]
    columns["sphericity_crofton"] = ball / shapes.areas[:, 1]
    columns["equivalent_diameter_um"] = np.cbrt(6 * volume / np.pi)
    columns["touches_border"] = (shapes.boxes[:, :3] == 0).any(axis=1) | (
        shapes.boxes[:, 3:] == shapes.shape
    ).any(axis=1)
    return columns


def _angles(
    values: NDArray[np.float64], major: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Azimuth and elevation of the longest axis; NaN where no axis is longer than the others."""
    major = np.where(np.abs(major) < 1e-9, 0, major)
    # An axis has no direction: it points to larger z, else to larger y, else to larger x.
    z, y, x = major.T
    down = (z < 0) | ((z == 0) & (y < 0)) | ((z == 0) & (y == 0) & (x < 0))
    z, y, x = np.where(down, -major.T, major.T)
    azimuth = np.degrees(np.arctan2(y, x)) % 360
    elevation = np.degrees(np.arctan2(z, np.hypot(y, x)))
    round_ = values[:, 2] - values[:, 1] <= 1e-9 * np.maximum(values[:, 2], 1e-300)
    return np.where(round_, np.nan, azimuth), np.where(round_, np.nan, elevation)


def solidity_column(shapes: Shapes, progress: Progress) -> Column:
    """Return each volume as a share of the convex hull around the object's voxels, corners too."""
    from scipy.spatial import ConvexHull

    scale = np.asarray(shapes.spacing_um)
    corners = np.array(list(np.ndindex(2, 2, 2))) - 0.5
    voxel = float(np.prod(scale))
    found = np.ones(len(shapes))
    for n in range(len(shapes)):
        points = shapes.points[shapes.starts[n] : shapes.starts[n + 1]]
        every = np.unique((points[:, None] + corners).reshape(-1, 3), axis=0) * scale
        found[n] = shapes.voxels[n] * voxel / ConvexHull(every).volume
        if n % 64 == 0:
            progress(n, len(shapes), "solidity")
    return found


CONFIGURATIONS = 256


@functools.lru_cache(maxsize=16)
def area_weights(spacing_um: Spacing) -> NDArray[np.float64]:
    """Return the area in µm² of each of the 256 neighbourhoods, by two estimators.

    Bit ``4·dz + 2·dy + dx`` of a configuration says whether that voxel is in the object.

    Parameters
    ----------
    spacing_um : (float, float, float)
        Voxel size (z, y, x) in µm.

    Returns
    -------
    ndarray of float64, shape (256, 2)
        Mesh (scikit-image's marching cubes at 0.5; Lewiner et al. 2003), and Crofton's formula
        over 13 directions (Ohser and Mücklich 2000, with the directions' Voronoi areas on the
        sphere as weights; Legland, Kiêu and Devaux 2007).
    """
    return np.stack([_mesh(spacing_um), _crofton(spacing_um)], axis=1)


def _cubes() -> NDArray[np.bool_]:
    bits = np.arange(CONFIGURATIONS)[:, None] >> np.arange(8) & 1
    return bits.astype(bool).reshape(CONFIGURATIONS, 2, 2, 2)


def _mesh(spacing_um: Spacing) -> NDArray[np.float64]:
    from skimage.measure import marching_cubes, mesh_surface_area

    areas = np.zeros(CONFIGURATIONS)
    for number, cube in enumerate(_cubes()):
        if 0 < number < CONFIGURATIONS - 1:
            vertices, faces, _, _ = marching_cubes(cube.astype(np.float32), 0.5, spacing=spacing_um)
            areas[number] = mesh_surface_area(vertices.astype(np.float64), faces)
    return areas


def _crofton(spacing_um: Spacing) -> NDArray[np.float64]:
    steps, weights = _directions(spacing_um)
    cubes = _cubes()
    areas = np.zeros(CONFIGURATIONS)
    voxel = float(np.prod(spacing_um))
    for step, weight in zip(steps, weights, strict=True):
        length = float(np.linalg.norm(step * spacing_um))
        # Each pair of neighbours lies in 4, 2 or 1 neighbourhoods.
        pairs_in = 2.0 ** (3 - np.count_nonzero(step))
        crossings = np.zeros(CONFIGURATIONS)
        for start in np.ndindex(2, 2, 2):
            stop = tuple(np.add(start, step))
            if all(0 <= s < 2 for s in stop):
                crossings += cubes[:, *start] != cubes[:, *stop]
        # Half of the crossings enter the object; the mean projected area is a quarter of it all.
        areas += 4 * weight * crossings / pairs_in / 2 * voxel / length
    return areas


def _directions(spacing_um: Spacing) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return the 13 directions of a voxel's neighbours, and each one's share of the sphere."""
    from scipy.spatial import SphericalVoronoi

    every = np.array([d for d in np.ndindex(3, 3, 3) if d != (1, 1, 1)]) - 1
    on_sphere = every * np.asarray(spacing_um)
    on_sphere = on_sphere / np.linalg.norm(on_sphere, axis=1, keepdims=True)
    shares = SphericalVoronoi(on_sphere).calculate_areas() / (4 * np.pi)
    half = [n for n, d in enumerate(every) if tuple(d) > (0, 0, 0)]
    return every[half], 2 * shares[half]
