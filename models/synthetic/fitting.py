"""Options under which synthetic stacks look like a given one."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from labels.spacing import Spacing
from models.base import check_image
from models.objects import cut_by_border
from models.synthetic.fields import wide_blur
from models.synthetic.generator import NucleiGenerator
from models.synthetic.options import check_lattice
from models.synthetic.placing import Arrangement
from models.synthetic.stack import SyntheticError

Floats = NDArray[np.float32]

_LEAST_OBJECTS = 2
_SD_OF_MAD = 1.4826


def like(
    image: NDArray[Any],
    spacing_um: Spacing,
    labels: NDArray[np.uint32] | None = None,
    *,
    shape: tuple[int, int, int] | None = None,
    diameter_um: float | None = None,
) -> NucleiGenerator:
    """Fit options to a stack: sizes, density, brightness, background, loss in depth, noise.

    What is not measured (blur, nucleoli, debris, outlines) follows from the sizes or keeps its
    default.

    Parameters
    ----------
    image : ndarray of integer or float, shape (Z, Y, X)
    spacing_um : (float, float, float)
        Voxel size (z, y, x) in µm.
    labels : ndarray of uint32, shape (Z, Y, X), optional
        Nuclei; the classical segmenter finds them where not given.
    shape : (int, int, int), optional
        Of the stacks to draw; the image's where not given. Density is kept.
    diameter_um : float, optional
        Of a typical nucleus; measured where not given.

    Raises
    ------
    ImageError
        An image that is not 3D, not finite or constant.
    SyntheticError
        Labels of another shape, or fewer than two nuclei to measure.
    """
    check_image(image[None])
    check_lattice(image.shape, spacing_um)
    if labels is None:
        labels = _segment(image, spacing_um, diameter_um)
    if labels.shape != image.shape:
        raise SyntheticError(
            f"expected labels of the image's shape {image.shape}, got {labels.shape}; give the "
            "labels of the same stack"
        )
    voxels = image.astype(np.float32)
    found = _measure(labels, spacing_um)
    light = _fit_light(voxels, labels, found, spacing_um)
    diameter = diameter_um or found.diameter_um
    own = math.prod(image.shape)
    wanted = tuple(shape or image.shape)
    check_lattice(wanted, spacing_um)
    return NucleiGenerator(
        shape=wanted,
        spacing_um=spacing_um,
        nuclei=int(np.clip(round(len(found.centres) * math.prod(wanted) / own), 1, 100_000)),
        diameter_um=diameter,
        size_spread=found.size_spread,
        elongation=found.elongation,
        clearance=found.clearance,
        arrangement=found.arrangement,
        blur_um=_blur(diameter, spacing_um),
        bits=8 if image.dtype == np.uint8 else 16,
        **light,
    )


def _segment(
    image: NDArray[Any], spacing_um: Spacing, diameter_um: float | None
) -> NDArray[np.uint32]:
    from models.classical import ClassicalSegmenter

    return ClassicalSegmenter(diameter_um=diameter_um).segment(image[None], spacing_um).labels


@dataclass(frozen=True)
class _Found:
    """What the labels say; `centres` in µm, one per object, ids in `ids`."""

    ids: NDArray[np.intp]
    centres: NDArray[np.float64]
    diameter_um: float
    size_spread: float
    elongation: float
    clearance: float
    arrangement: Arrangement


def _measure(labels: NDArray[np.uint32], spacing_um: Spacing) -> _Found:
    places = np.nonzero(labels)
    ids, owner = np.unique(labels[places], return_inverse=True)
    if len(ids) < _LEAST_OBJECTS:
        raise SyntheticError(
            f"expected at least {_LEAST_OBJECTS} nuclei to measure, got {len(ids)}; give labels "
            "of the stack, or set the options by hand"
        )
    points = np.stack([p * s for p, s in zip(places, spacing_um, strict=True)], axis=1)
    sizes = np.bincount(owner)
    centres = np.stack([np.bincount(owner, points[:, k]) / sizes for k in range(3)], axis=1)
    away = points - centres[owner]
    moments = np.empty((len(ids), 3, 3))
    for a in range(3):
        for b in range(3):
            moments[:, a, b] = np.bincount(owner, away[:, a] * away[:, b]) / sizes
    # A voxel's own extent keeps flat objects from having no width.
    moments += np.diag(np.square(spacing_um) / 12)
    whole = ~np.isin(ids, cut_by_border(labels))
    whole = whole if whole.sum() >= _LEAST_OBJECTS else np.ones_like(whole)
    diameters = np.cbrt(sizes * math.prod(spacing_um) * 6 / math.pi)
    if labels.shape[0] == 1:
        diameters = np.sqrt(sizes * spacing_um[1] * spacing_um[2] * 4 / math.pi)
    axes = 0.5 * np.log(np.linalg.eigvalsh(moments[whole]))
    return _Found(
        ids=ids.astype(np.intp),
        centres=centres,
        diameter_um=float(np.median(diameters[whole])),
        size_spread=float(np.clip(_spread(np.log(diameters[whole])), 0.02, 0.5)),
        elongation=float(np.clip(np.median(axes.std(axis=1)), 0.02, 0.4)),
        clearance=_clearance(centres, diameters),
        arrangement=_arrangement(centres, labels.shape, spacing_um),
    )


def _spread(values: NDArray[np.float64]) -> float:
    """Return a standard deviation that outliers do not rule."""
    return float(_SD_OF_MAD * np.median(np.abs(values - np.median(values))))


def _clearance(centres: NDArray[np.float64], diameters: NDArray[np.float64]) -> float:
    from scipy.spatial import cKDTree

    distance, neighbour = cKDTree(centres).query(centres, k=2)
    sums = 0.5 * (diameters + diameters[neighbour[:, 1]])
    return float(np.clip(np.percentile(distance[:, 1] / sums, 10), 0.6, 2.0))


def _arrangement(
    centres: NDArray[np.float64], shape: tuple[int, ...], spacing_um: Spacing
) -> Arrangement:
    """Tell a ball by its empty corners, which a fifth of scattered nuclei would lie in."""
    extent = np.multiply(shape, spacing_um)[1:]
    radius = np.linalg.norm(2 * centres[:, 1:] / extent - 1, axis=1)
    return "ball" if len(centres) >= 12 and np.mean(radius > 1) < 0.03 else "scattered"


def _blur(diameter: float, spacing_um: Spacing) -> Spacing:
    across = min(max(0.7 * min(spacing_um[1:]), 0.04 * diameter), diameter / 6)
    return (min(2.5 * across, diameter / 3), across, across)


def _fit_light(
    image: Floats, labels: NDArray[np.uint32], found: _Found, spacing_um: Spacing
) -> dict[str, Any]:
    """Fit what is measured in counts, and turn it into photons and shares of a nucleus's light."""
    flat = labels.ravel()
    outside = labels == 0
    if not outside.any():
        raise SyntheticError("the labels leave no background to measure; give labels of nuclei")
    level = float(np.median(image[outside]))
    means = np.bincount(flat, image.ravel())[found.ids] / np.bincount(flat)[found.ids]
    contrast = np.maximum(means - level, 1e-3 * max(float(image.max()) - level, 1e-6))
    depth = found.centres[:, 0]
    attenuation, surface = _attenuation(depth, contrast)
    typical = float(np.exp(surface))
    spread = _spread(np.log(contrast) - surface + depth / attenuation)
    gain, read, dark = _noise(image, typical)
    light = typical / gain
    glow = (level - dark) / typical
    walls = (float(np.percentile(image[outside], 99.8)) - level) / typical
    return {
        "brightness_spread": float(np.clip(spread, 0.02, 1.5)),
        "granularity": _granularity(image, labels, found, gain, read, dark),
        # Haze and cytoplasm cannot be told from the background in one stack, which has them all.
        "haze": 0.05,
        "cytoplasm": 0.0,
        # Brighter than nuclei and yet none: walls, fibres or dirt.
        "sheets": float(np.clip(walls, 0, 5)) if walls > 1.5 else 0.0,
        "background": float(np.clip(glow, 0, 20)),
        "unevenness": _unevenness(image, outside, found, dark, spacing_um),
        "attenuation_um": attenuation,
        "photons": float(np.clip(light, 1e-2, 1e6)),
        "read_noise": float(read / gain),
        "gain": gain,
        "offset": dark,
    }


def _attenuation(depth: NDArray[np.float64], contrast: NDArray[np.float64]) -> tuple[float, float]:
    """Return the depth of 1/e, and the logarithm of the contrast at depth 0."""
    reach = float(np.ptp(depth))
    logs = np.log(contrast)
    if len(depth) < 6 or reach <= 0:
        return 1e6, float(np.median(logs))
    slope = float(np.polyfit(depth, logs, 1)[0])
    slope = min(slope, 0.0) if abs(slope) * reach > 0.2 else 0.0
    attenuation = min(-1 / slope, 1e6) if slope < 0 else 1e6
    return attenuation, float(np.median(logs + depth / attenuation))


def _noise(image: Floats, typical: float) -> tuple[float, float, float]:
    """Return counts per photon, read noise in counts, and the counts without light.

    The variance of what a filter blind to slopes leaves (Immerkaer, CVIU 1996) grows with the
    local mean by the gain. The mean is that of the slices beside, as a slice's own would follow
    its noise.
    """
    kernel = np.array([[1, -2, 1], [-2, 4, -2], [1, -2, 1]], np.float32) / 6
    smooth = np.stack([cv2.blur(plane, (5, 5)) for plane in image])
    mean = _beside(smooth).ravel()
    left = np.stack([cv2.filter2D(plane, -1, kernel) for plane in image]).ravel()
    edges = np.unique(np.percentile(mean, np.linspace(0, 99, 25)))
    bins = np.digitize(mean, edges[1:-1])
    counts = np.bincount(bins)
    use = counts >= min(30, counts.max())
    dark = float(np.percentile(smooth, 0.5))
    x = np.bincount(bins, mean)[use] / counts[use] - dark
    y = np.bincount(bins, np.square(left).astype(np.float64))[use] / counts[use]
    slope, floor = float(0), float(y.mean())
    if use.sum() >= 3:
        # Relative weights: the quiet background fixes the read noise.
        slope, floor = (float(v) for v in np.polyfit(x, y, 1, w=1 / np.maximum(y, 1e-9)))
    # Without a rise all noise is the camera's, and photons are plenty.
    gain = max(slope, typical / 1e5, 1e-9)
    # Noise in the dark is that of stray light, as far down as there are voxels, then the camera's.
    stray = float(np.clip(floor / gain, 0, max(dark - float(np.percentile(image, 0.5)), 0)))
    floor -= stray * gain
    dark -= stray
    # Pulses of one photon differ in height; whole multiples of the gain are seen in no image.
    return gain, max(math.sqrt(max(floor, 0.0)), 0.3 * gain), dark


def _beside(planes: Floats) -> Floats:
    """Return the mean of the slices before and after each; the only slice is its own."""
    if len(planes) == 1:
        return planes
    padded = np.concatenate([planes[1:2], planes, planes[-2:-1]])
    return np.asarray(0.5 * (padded[:-2] + padded[2:]), np.float32)


def _granularity(
    image: Floats,
    labels: NDArray[np.uint32],
    found: _Found,
    gain: float,
    read: float,
    dark: float,
) -> float:
    """Return the variation within nuclei beyond noise, relative to their light."""
    flat, values = labels.ravel(), image.ravel().astype(np.float64)
    sizes = np.bincount(flat)[found.ids]
    mean = np.bincount(flat, values)[found.ids] / sizes
    square = np.bincount(flat, values**2)[found.ids] / sizes
    noise = gain * np.maximum(mean - dark, 0) + read**2
    beyond = np.maximum(square - mean**2 - noise, 0)
    relative = np.sqrt(beyond) / np.maximum(mean - dark, 1e-6)
    # The outline's blur varies too, so that not all of it is chromatin.
    return float(np.clip(0.8 * np.median(relative), 0, 1))


def _unevenness(
    image: Floats, outside: NDArray[np.bool_], found: _Found, dark: float, spacing_um: Spacing
) -> float:
    """Return how much the background varies over two nuclei and more."""
    wide = (2 * found.diameter_um,) * 3
    weight = wide_blur(outside.astype(np.float32), wide, spacing_um)
    field = wide_blur(np.where(outside, image - np.float32(dark), 0), wide, spacing_um)
    smooth = np.maximum(field[outside] / np.maximum(weight[outside], 1e-3), 1e-6)
    return float(np.clip(_spread(np.log(smooth[:: max(1, len(smooth) // 50_000)])), 0, 1.2))
