"""What each 2 × 2 × 2 neighbourhood of voxels adds to the area of a surface."""

from __future__ import annotations

import functools

import numpy as np
from numpy.typing import NDArray

from labels.spacing import Spacing

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
