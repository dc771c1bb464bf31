"""Domain randomisation: options of a whole volume drawn from wide ranges."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from labels.spacing import Spacing
from models.synthetic.generator import NucleiGenerator
from models.synthetic.options import check_lattice

Range = tuple[float, float]


@dataclass(frozen=True, kw_only=True)
class Ranges:
    """From where `random_generator` draws; each pair is (least, most).

    Parameters
    ----------
    diameter_px : (float, float)
        Of a nucleus in voxels along x, where neither voxel size nor diameter is given.
    anisotropy : (float, float)
        Voxel size along z over that along x, where no voxel size is given.
    crowding : (float, float)
        Share of the stack that nuclei would fill if all found room.
    size_spread, elongation, irregularity, bend, clearance : (float, float)
    brightness_spread, dimmest, granularity, granule : (float, float)
    nucleoli, nucleolus, nucleolus_light, rim : (float, float)
    background, unevenness, illumination : (float, float)
        As the options of `NucleiGenerator`.
    mitotic, cytoplasm, haze, sheets, debris : (float, float)
        The same, where the stack has any of it; `absent` tells how often not.
    debris_light : (float, float)
    absent : float
        Probability that a stack has none of one of these.
    attenuation : (float, float)
        Loss of light in e-foldings over the stack.
    blur_px : (float, float)
        Blur along x in voxels, at most a sixth of the diameter.
    blur_ratio : (float, float)
        Blur along z over that along x, in µm.
    blur_growth, photons, read_noise, smoothing_px : (float, float)
    """

    diameter_px: Range = (8, 36)
    anisotropy: Range = (1, 5)
    crowding: Range = (0.05, 0.9)
    size_spread: Range = (0.03, 0.35)
    elongation: Range = (0.02, 0.28)
    irregularity: Range = (0.0, 0.35)
    bend: Range = (0.0, 0.25)
    clearance: Range = (0.72, 1.25)
    brightness_spread: Range = (0.1, 1.0)
    dimmest: Range = (0.1, 0.5)
    granularity: Range = (0.03, 0.6)
    granule: Range = (0.06, 0.3)
    nucleoli: Range = (0.0, 4.0)
    nucleolus: Range = (0.12, 0.5)
    nucleolus_light: Range = (0.1, 0.8)
    rim: Range = (-0.6, 0.8)
    mitotic: Range = (0.01, 0.25)
    cytoplasm: Range = (0.02, 0.35)
    haze: Range = (0.02, 0.45)
    background: Range = (0.01, 0.35)
    unevenness: Range = (0.0, 0.7)
    sheets: Range = (0.2, 3.0)
    debris: Range = (0.05, 2.0)
    debris_light: Range = (0.2, 3.0)
    illumination: Range = (0.0, 0.35)
    absent: float = 0.4
    attenuation: Range = (0.0, 1.6)
    blur_px: Range = (0.3, 2.5)
    blur_ratio: Range = (1.0, 4.0)
    blur_growth: Range = (1.0, 2.0)
    photons: Range = (4, 400)
    read_noise: Range = (0.0, 4.0)
    smoothing_px: Range = (0.3, 1.0)


def random_generator(
    rng: np.random.Generator,
    shape: tuple[int, int, int],
    spacing_um: Spacing | None = None,
    diameter_um: float | None = None,
    ranges: Ranges | None = None,
) -> NucleiGenerator:
    """Draw the options of one stack.

    Parameters
    ----------
    rng : numpy Generator
    shape : (int, int, int)
        Stack (z, y, x) in voxels.
    spacing_um : (float, float, float), optional
        Voxel size (z, y, x) in µm; drawn when not given.
    diameter_um : float, optional
        Of a typical nucleus; drawn when not given.
    ranges : Ranges, optional

    Returns
    -------
    NucleiGenerator

    Raises
    ------
    SyntheticError
        When the shape has no room for a nucleus of the diameter.
    """
    r = ranges or Ranges()
    check_lattice(shape, spacing_um or (1.0, 1.0, 1.0))
    width = _log(rng, r.diameter_px)
    if spacing_um is None:
        step = (diameter_um or rng.uniform(5, 15)) / width
        spacing_um = (step * _log(rng, r.anisotropy), step, step)
    finest = min(spacing_um[1:])
    extent = np.multiply(shape, spacing_um)
    if diameter_um is None:
        # Drawn to fit: a nucleus that was asked for and does not fit is refused below.
        least = 2 * max(spacing_um[1:])
        roof = min(float(extent[1:].min()), 2 * float(extent[0]) if shape[0] > 1 else math.inf)
        diameter_um = max(min(width * finest, roof), least)
    return NucleiGenerator(
        shape=shape,
        spacing_um=spacing_um,
        diameter_um=diameter_um,
        **_population(rng, r, extent, diameter_um),
        **_texture(rng, r),
        **_surroundings(rng, r),
        **_microscope(rng, r, extent, finest, diameter_um),
    )


_FORMS = ("clearance", "size_spread", "elongation", "irregularity", "bend")


def _population(
    rng: np.random.Generator, r: Ranges, extent: Any, diameter: float
) -> dict[str, Any]:
    # Nuclei beyond the border count too: their centres may lie outside.
    room = float(np.prod(extent + 0.5 * diameter))
    fill = _log(rng, r.crowding)
    kinds = ("scattered", "ball", "sheet", "clusters")
    return {
        "nuclei": int(np.clip(fill * room / (math.pi / 6 * diameter**3), 2, 4000)),
        "arrangement": kinds[rng.choice(4, p=(0.4, 0.25, 0.15, 0.2))],
        **{name: _flat(rng, getattr(r, name)) for name in _FORMS},
        "mitotic": _perhaps(rng, r.mitotic, r.absent),
    }


def _texture(rng: np.random.Generator, r: Ranges) -> dict[str, Any]:
    # Mouse nuclei have bright chromocentres where others have dark nucleoli.
    bright = rng.random() < 0.15
    return {
        "brightness_spread": _flat(rng, r.brightness_spread),
        "dimmest": _log(rng, r.dimmest),
        "granularity": _flat(rng, r.granularity),
        "granule": _log(rng, r.granule),
        "nucleoli": _perhaps(rng, (max(r.nucleoli[0], 0.3), r.nucleoli[1]), r.absent),
        "nucleolus": _flat(rng, r.nucleolus) * (0.5 if bright else 1),
        "nucleolus_light": rng.uniform(1.5, 3.5) if bright else _flat(rng, r.nucleolus_light),
        "rim": _flat(rng, r.rim),
    }


def _surroundings(rng: np.random.Generator, r: Ranges) -> dict[str, Any]:
    return {
        "cytoplasm": _perhaps(rng, r.cytoplasm, r.absent),
        "haze": _perhaps(rng, r.haze, r.absent),
        "background": _log(rng, r.background),
        "unevenness": _flat(rng, r.unevenness),
        # Walls are rarer than the rest.
        "sheets": _perhaps(rng, r.sheets, 0.5 + r.absent / 2),
        "debris": _perhaps(rng, r.debris, r.absent),
        "debris_light": _log(rng, r.debris_light),
        "illumination": _flat(rng, r.illumination),
    }


def _microscope(
    rng: np.random.Generator, r: Ranges, extent: Any, finest: float, diameter: float
) -> dict[str, Any]:
    axis = rng.choice(3, p=(0.7, 0.15, 0.15))
    sharp = min(_log(rng, r.blur_px) * finest, diameter / 6)
    photons = _log(rng, r.photons)
    read_noise = _flat(rng, r.read_noise) * min(1.0, math.sqrt(photons) / 6)
    eight = rng.random() < 0.4
    # A typical nucleus takes a tenth of the scale to all of it.
    top = (255 if eight else 4095) * rng.uniform(0.15, 0.9)
    gain = top / photons
    return {
        "attenuation_um": float(extent[axis] / max(_flat(rng, r.attenuation), 1e-3)),
        "light_from": "zyx"[axis],
        "blur_um": (min(sharp * _flat(rng, r.blur_ratio), diameter / 3), sharp, sharp),
        "blur_growth": _flat(rng, r.blur_growth),
        "photons": photons,
        "read_noise": read_noise,
        "smoothing_px": _perhaps(rng, r.smoothing_px, 0.6),
        "gain": gain,
        "offset": top * rng.uniform(-0.05, 0.1) if eight else rng.uniform(0, 300),
        "bits": 8 if eight else 16,
    }


def _flat(rng: np.random.Generator, span: Range) -> float:
    return float(rng.uniform(*span))


def _log(rng: np.random.Generator, span: Range) -> float:
    if span[0] <= 0:
        return _flat(rng, span)
    return float(math.exp(rng.uniform(math.log(span[0]), math.log(span[1]))))


def _perhaps(rng: np.random.Generator, span: Range, absent: float) -> float:
    drawn = _log(rng, span)
    return 0.0 if rng.random() < absent else drawn
