"""The microscope: what is not nucleus, loss in depth, blur, photons and camera."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from labels.spacing import Spacing
from models.synthetic.fields import blur, smooth_noise, wide_blur
from models.synthetic.options import NucleiOptions
from models.synthetic.shapes import box_around
from models.synthetic.stack import SyntheticError

Floats = NDArray[np.float32]

MOST_PHOTONS = 1e15
"""In a voxel; numbers beyond cannot be drawn."""

_AXES = {"z": 0, "y": 1, "x": 2}
_OTHER_AXES = ((1, 2), (0, 2), (0, 1))


def through_microscope(
    options: NucleiOptions,
    rng: np.random.Generator,
    labels: NDArray[np.uint32],
    sharp: Floats,
) -> tuple[Floats, Floats]:
    """Return the light that reaches the camera: of nuclei in focus, and all the rest.

    Parameters
    ----------
    options : NucleiOptions
    rng : numpy Generator
    labels : ndarray of uint32, shape (Z, Y, X)
    sharp : ndarray of float32, shape (Z, Y, X)
        Light of nuclei.

    Returns
    -------
    nuclei, rest : ndarray of float32, shape (Z, Y, X)
    """
    transmission = _transmission(options, rng)
    others = _others(options, rng, labels)
    seen = _point_spread(options, sharp * transmission)
    rest = _point_spread(options, others * transmission) if others.any() else others
    if options.haze:
        d = options.diameter_um
        seen *= np.float32(1 - options.haze)
        spread: Spacing = (1.5 * d, 0.7 * d, 0.7 * d)
        # Out of focus, light from far around the stack would be as much as is lost from it.
        rest += np.float32(1.5 * options.haze) * wide_blur(sharp, spread, options.spacing_um)
    rest += _background(options, rng, labels)
    return seen, rest


def _transmission(options: NucleiOptions, rng: np.random.Generator) -> Floats:
    """Return the share of light that is left at each voxel, uneven illumination included."""
    axis = _AXES[options.light_from]
    step = options.spacing_um[axis]
    along = np.exp(-np.arange(options.shape[axis]) * step / options.attenuation_um)
    line = np.expand_dims(along.astype(np.float32), _OTHER_AXES[axis])
    if not options.illumination:
        return np.broadcast_to(line, options.shape)
    extent = max(n * d for n, d in zip(options.shape, options.spacing_um, strict=True))
    field = smooth_noise(rng, options.shape, options.spacing_um, 0.6 * extent)
    field *= np.float32(options.illumination)
    np.clip(field, -1, 1, out=field)
    return np.asarray(np.exp(field, out=field) * line)


def _point_spread(options: NucleiOptions, volume: Floats) -> Floats:
    """Blur, more at the far end than at the near one."""
    near = blur(volume, options.blur_um, options.spacing_um)
    if options.blur_growth == 1 or max(options.blur_um) == 0:
        return near
    z, y, x = (options.blur_growth * sigma for sigma in options.blur_um)
    far = blur(volume, (z, y, x), options.spacing_um)
    axis = _AXES[options.light_from]
    share = np.linspace(0, 1, options.shape[axis], dtype=np.float32)
    far -= near
    far *= np.expand_dims(share, _OTHER_AXES[axis])
    near += far
    return near


def _others(options: NucleiOptions, rng: np.random.Generator, labels: NDArray[np.uint32]) -> Floats:
    """Return the light of what is no nucleus but in focus: debris, walls and fibres."""
    out = np.zeros(options.shape, np.float32)
    if options.sheets:
        out += _sheets(options, rng)
    if options.debris:
        _add_debris(options, rng, int(labels.max()), out)
    if options.sheets or options.debris:
        # What lies inside a nucleus would not be seen as debris.
        out[labels > 0] *= np.float32(0.15)
    return out


def _sheets(options: NucleiOptions, rng: np.random.Generator) -> Floats:
    """Return thin curved walls: where a smooth random field passes through 0, in patches."""
    d, shape, spacing = options.diameter_um, options.shape, options.spacing_um
    walls = smooth_noise(rng, shape, spacing, rng.uniform(1.5, 4) * d)
    np.square(walls, out=walls)
    walls *= np.float32(-1 / (2 * rng.uniform(0.02, 0.06) ** 2))
    np.exp(walls, out=walls)
    patches = smooth_noise(rng, shape, spacing, rng.uniform(1, 4) * d)
    patches -= np.float32(rng.uniform(-0.5, 1.0))
    np.clip(patches, 0, 1.5, out=patches)
    walls *= patches
    walls *= np.float32(options.sheets)
    return walls


def _add_debris(options: NucleiOptions, rng: np.random.Generator, nuclei: int, out: Floats) -> None:
    """Add specks and fragments, in place."""
    count = int(rng.poisson(options.debris * nuclei))
    extent = np.multiply(options.shape, options.spacing_um)
    finest = 0.5 * max(options.spacing_um[1:])
    for _ in range(count):
        radius = max(options.diameter_um * 0.5 * rng.uniform(0.05, 0.3), finest)
        axes = radius * np.exp(rng.normal(0, 0.35, 3))
        bright = options.debris_light * np.exp(rng.normal(0, 0.8))
        found = box_around(
            rng.uniform(0, 1, 3) * extent, 2 * axes, options.spacing_um, options.shape
        )
        if found is None:
            continue
        box, away = found
        z, y, x = (np.square(a / np.float32(r)) for a, r in zip(away, axes, strict=True))
        out[box] += np.float32(bright) * np.exp(-(z + y + x))


def _background(
    options: NucleiOptions, rng: np.random.Generator, labels: NDArray[np.uint32]
) -> Floats:
    """Return autofluorescence and the light of cytoplasm."""
    d, shape, spacing = options.diameter_um, options.shape, options.spacing_um
    out = np.full(shape, options.background, np.float32)
    if options.unevenness and options.background:
        wide = smooth_noise(rng, shape, spacing, rng.uniform(1.5, 5) * d)
        wide += np.float32(0.5) * smooth_noise(rng, shape, spacing, 0.5 * d)
        wide *= np.float32(options.unevenness)
        np.clip(wide, -2, 1, out=wide)
        wide -= np.float32(0.5 * options.unevenness**2)  # The mean stays the background.
        out *= np.exp(wide, out=wide)
    if options.cytoplasm:
        body = (labels > 0).astype(np.float32)
        around = wide_blur(body, (0.5 * d, 0.5 * d, 0.5 * d), spacing)
        grain = smooth_noise(rng, shape, spacing, 0.2 * d)
        around *= np.clip(1 + np.float32(0.35) * grain, 0, None)
        # Nuclei hold little of it.
        around *= 1 - np.float32(0.7) * body
        out += np.float32(2.5 * options.cytoplasm) * around
    return out


def contrast_to_noise(
    options: NucleiOptions, labels: NDArray[np.uint32], nuclei: Floats, rest: Floats
) -> Floats:
    """Return each nucleus's mean signal over the noise of one voxel; entry 0 is 0."""
    flat = labels.ravel()
    sizes = np.maximum(np.bincount(flat), 1)
    signal = options.photons * np.bincount(flat, weights=nuclei.ravel()) / sizes
    around = options.photons * np.bincount(flat, weights=rest.ravel()) / sizes
    noise = np.sqrt(signal + around + options.read_noise**2)
    ratio = signal / np.maximum(noise, 1e-6)
    ratio[0] = 0
    return np.asarray(ratio, np.float32)


def camera(options: NucleiOptions, rng: np.random.Generator, seen: Floats) -> NDArray[Any]:
    """Count photons: Poisson and read noise, gain, offset, saturation.

    Parameters
    ----------
    options : NucleiOptions
    rng : numpy Generator
    seen : ndarray of float32, shape (Z, Y, X)
        Light; changed in place.

    Raises
    ------
    SyntheticError
        More photons than can be drawn.
    """
    seen *= np.float32(options.photons)
    if not (most := float(seen.max())) <= MOST_PHOTONS:
        raise SyntheticError(
            f"expected at most {MOST_PHOTONS:g} photons in a voxel, got {most:g}; take less light "
            "(cytoplasm, background, sheets, debris_light) or fewer photons"
        )
    counts = rng.poisson(seen).astype(np.float32)
    if options.read_noise:
        counts += np.float32(options.read_noise) * rng.standard_normal(
            counts.shape, dtype=np.float32
        )
    if options.smoothing_px:
        width = options.smoothing_px
        counts = blur(counts, (width, width, width), (1.0, 1.0, 1.0))
    counts *= np.float32(options.gain)
    counts += np.float32(options.offset)
    np.rint(counts, out=counts)
    np.clip(counts, 0, 2**options.bits - 1, out=counts)
    return counts.astype(np.uint8 if options.bits == 8 else np.uint16)
