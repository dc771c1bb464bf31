"""Surfaces of a place's nuclei, small enough to carry in a page."""

from __future__ import annotations

import base64
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hitl.report.worst_places import Place
from labels.spacing import Spacing

MAX_FACES = 4000
"""Per surface: 0.1 MB in the page."""
_STEPS = 65535


def place_meshes(place: Place) -> dict[str, Any]:
    """Return the surfaces of truth and prediction as `hitl/report/static/viewer.js` reads them.

    Vertices are (x, y, z) in µm, in steps of a 65535th of the crop's size; a surface is a
    marching-cubes surface (Lorensen and Cline 1987; Lewiner et al. 2003) of the voxels, slightly
    smoothed.

    Returns
    -------
    dict
        ``size_um`` (x, y, z), and for ``truth`` and ``prediction`` a dict of ``vertices`` and
        ``faces`` (base64 of little-endian uint16) or None where there is no object.
    """
    size = [n * s for n, s in zip(place.truth.shape, place.spacing_um, strict=True)]
    return {
        "size_um": [round(um, 3) for um in reversed(size)],
        "truth": _mesh(place.true_voxels, place.spacing_um, size),
        "prediction": _mesh(place.predicted_voxels, place.spacing_um, size),
    }


def surface(
    voxels: NDArray[np.bool_], spacing_um: Spacing
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Return vertices (z, y, x) in µm, shape (n, 3), and faces, shape (m, 3), at most MAX_FACES."""
    from scipy import ndimage
    from skimage.measure import marching_cubes

    for step in range(1, 64):
        coarse = _coarser(voxels, step)
        padded = np.pad(coarse, 2)
        smooth = np.asarray(ndimage.gaussian_filter(padded, 0.6), np.float32)
        # A nucleus of a few voxels is smoothed away: then it is drawn as it is.
        field = smooth if smooth.max() > 0.5 else padded
        scale = (spacing_um[0], spacing_um[1] * step, spacing_um[2] * step)
        vertices, faces, _, _ = marching_cubes(
            field, min(0.5, float(field.max()) / 2), spacing=scale
        )
        if len(faces) <= MAX_FACES:
            break
    corner = (np.array([1.0, step, step]) - 1) / 2 * spacing_um
    return vertices - 2 * np.asarray(scale) + corner, np.asarray(faces, np.int64)


def _coarser(voxels: NDArray[np.bool_], step: int) -> NDArray[np.float32]:
    """Mean of step × step voxels in y and x; z, where voxels are long, stays."""
    filled = voxels.astype(np.float32)
    if step == 1:
        return filled
    z, y, x = voxels.shape
    wanted = np.pad(filled, ((0, 0), (0, -y % step), (0, -x % step)))
    blocks = wanted.reshape(z, wanted.shape[1] // step, step, wanted.shape[2] // step, step)
    return np.asarray(blocks.mean(axis=(2, 4)), np.float32)


def _mesh(
    voxels: NDArray[np.bool_], spacing_um: Spacing, size_um: list[float]
) -> dict[str, str] | None:
    if not voxels.any():
        return None
    vertices, faces = surface(voxels, spacing_um)
    # Surfaces lie half a voxel beyond the outermost centres, so within a crop's size and a bit.
    low, span = -np.asarray(size_um) * 0.5, np.asarray(size_um) * 2.0
    steps = np.clip(np.rint((vertices - low) / span * _STEPS), 0, _STEPS)[:, ::-1]
    return {"vertices": _packed(steps), "faces": _packed(faces)}


def _packed(values: NDArray[Any]) -> str:
    return base64.b64encode(np.ascontiguousarray(values, "<u2").tobytes()).decode()
