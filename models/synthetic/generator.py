"""From options to voxels: draw the nuclei, light them, and look at them through a microscope."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from models.synthetic import optics
from models.synthetic.fields import smooth_noise
from models.synthetic.options import NucleiOptions
from models.synthetic.placing import place
from models.synthetic.shapes import Bodies, box_around, draw_bodies, keep_whole, make_bodies
from models.synthetic.stack import SyntheticError, SyntheticStack

Floats = NDArray[np.float32]

_MITOTIC_GRANULARITY = 0.35


def nuclei_light(
    options: NucleiOptions,
    rng: np.random.Generator,
    labels: NDArray[np.uint32],
    depth: Floats,
    bodies: Bodies,
    mitotic: NDArray[np.bool_],
) -> Floats:
    """Return the light of nuclei before the microscope; a typical one has 1.

    Parameters
    ----------
    options : NucleiOptions
    rng : numpy Generator
    labels : ndarray of uint32, shape (Z, Y, X)
    depth : ndarray of float32, shape (Z, Y, X)
        Squared distance from the centre over that of the outline.
    bodies : Bodies
        One per id.
    mitotic : ndarray of bool, one per id

    Returns
    -------
    ndarray of float32, shape (Z, Y, X)
    """
    count = len(mitotic)
    brightness = np.exp(rng.normal(0, options.brightness_spread, count))
    brightness[mitotic] *= rng.uniform(1.2, 3.0, int(mitotic.sum()))
    brightness = np.maximum(brightness, options.dimmest)
    out = _chromatin(options, rng, labels, mitotic)
    if options.rim:
        rims = options.rim * rng.uniform(0.3, 1.2, count)
        profile = np.square(depth) if options.rim > 0 else depth
        out *= 1 + np.maximum(_by_id(rims, labels), -0.95) * profile
    if options.nucleoli:
        _draw_nucleoli(options, rng, out, bodies, mitotic)
    out *= _by_id(brightness, labels)
    return out


def _chromatin(
    options: NucleiOptions,
    rng: np.random.Generator,
    labels: NDArray[np.uint32],
    mitotic: NDArray[np.bool_],
) -> Floats:
    """Return log-normal granules of two sizes, of a strength of its own in each nucleus."""
    strength = options.granularity * rng.uniform(0.4, 1.4, len(mitotic))
    strength[mitotic] = np.maximum(strength[mitotic], _MITOTIC_GRANULARITY)
    shape, spacing = options.shape, options.spacing_um
    size = options.granule * options.diameter_um
    out = smooth_noise(rng, shape, spacing, size)
    out *= np.float32(0.8)
    out += np.float32(0.6) * smooth_noise(rng, shape, spacing, 2.5 * size)
    out *= _by_id(strength, labels)
    np.clip(out, -2, 2, out=out)
    return np.asarray(np.exp(out, out=out))


def _draw_nucleoli(
    options: NucleiOptions,
    rng: np.random.Generator,
    out: Floats,
    bodies: Bodies,
    mitotic: NDArray[np.bool_],
) -> None:
    """Dim (or brighten) soft balls inside nuclei, in place; mitotic ones have none."""
    numbers = rng.poisson(options.nucleoli, len(mitotic))
    numbers[mitotic] = 0
    owners = np.repeat(np.arange(len(mitotic)), numbers)
    radii = options.nucleolus * rng.uniform(0.6, 1.3, len(owners))
    places = rng.normal(size=(len(owners), 3))
    places /= np.linalg.norm(places, axis=1, keepdims=True)
    places *= (rng.random(len(owners)) * np.maximum(0.8 - radii, 0))[:, None]
    change = np.float32(options.nucleolus_light - 1)
    for owner, radius, spot in zip(owners, radii, places, strict=True):
        frame = bodies.frames[owner]
        inverse = np.linalg.inv(frame)
        mean_axis = float(np.cbrt(np.linalg.det(inverse @ inverse.T)) ** 0.5)
        reach = 1.3 * radius * mean_axis
        centre = bodies.centres[owner] + inverse @ spot
        found = box_around(centre, np.full(3, reach), options.spacing_um, options.shape)
        if found is None:
            continue
        box, (z, y, x) = found
        ratio = (z * z + y * y + x * x) / np.float32((radius * mean_axis) ** 2)
        # Soft over the outer part: 1 inside, 0 from 1.3 radii on.
        out[box] *= 1 + change * np.clip((1.69 - ratio) / 1.2, 0, 1)


def _by_id(values: NDArray[np.float64], labels: NDArray[np.uint32]) -> Floats:
    """Spread one value per nucleus over its voxels; 0 outside."""
    table = np.concatenate([[0], values]).astype(np.float32)
    return np.asarray(table[labels])


_LEAST_VOXELS = 4
_TRIES = 20
_MITOTIC_AXES = (0.35, 0.85, 0.75)


def draw_scene(options: NucleiOptions, rng: np.random.Generator) -> SyntheticStack:
    """Draw one stack.

    Parameters
    ----------
    options : NucleiOptions
    rng : numpy Generator

    Raises
    ------
    SyntheticError
        When not one nucleus could be drawn.
    """
    for _ in range(_TRIES):
        bodies, mitotic = _bodies(options, rng)
        labels, depth = draw_bodies(
            bodies, options.shape, options.spacing_um, _unevenness(options, rng)
        )
        kept = keep_whole(labels, _LEAST_VOXELS)
        if len(kept) > 1:
            break
    else:
        raise SyntheticError(
            f"not one nucleus fell into the stack in {_TRIES} tries; give more nuclei or a larger "
            "shape"
        )
    old = kept[1:].astype(np.intp) - 1
    bodies = Bodies(bodies.centres[old], bodies.frames[old], bodies.bends[old], bodies.reaches[old])
    sharp = nuclei_light(options, rng, labels, depth, bodies, mitotic[old])
    del depth
    seen, rest = optics.through_microscope(options, rng, labels, sharp)
    noise = optics.contrast_to_noise(options, labels, seen, rest)
    seen += rest
    return SyntheticStack(optics.camera(options, rng, seen), labels, options.spacing_um, noise)


def _bodies(options: NucleiOptions, rng: np.random.Generator) -> tuple[Bodies, NDArray[np.bool_]]:
    """Place and shape the nuclei; tells which are mitotic."""
    count = options.nuclei
    radii = 0.5 * options.diameter_um * np.exp(rng.normal(0, options.size_spread, count))
    extent = np.multiply(options.shape, options.spacing_um)
    centres, which = place(rng, extent, radii, options.arrangement, options.clearance)
    radii, count = radii[which], len(which)
    stretch = rng.normal(0, options.elongation, (count, 3))
    # The volume stays that of the radius.
    axes = radii[:, None] * np.exp(stretch - stretch.mean(axis=1, keepdims=True))
    mitotic = rng.random(count) < options.mitotic
    axes[mitotic] = radii[mitotic, None] * _MITOTIC_AXES
    return make_bodies(rng, centres, axes, options.bend), mitotic


def _unevenness(options: NucleiOptions, rng: np.random.Generator) -> Floats:
    """Return the factor on squared distances that makes outlines uneven."""
    if options.irregularity == 0:
        return np.ones(options.shape, np.float32)
    field = smooth_noise(rng, options.shape, options.spacing_um, 0.35 * options.diameter_um)
    # Limited to what the boxes around the bodies hold.
    field = np.clip(field * np.float32(2 * options.irregularity), -0.4, 0.8, out=field)
    return np.asarray(np.exp(field, out=field))


class NucleiGenerator(NucleiOptions):
    """Draws stacks with the looks that `NucleiOptions` lists."""

    def make(self, seed: int = 0) -> SyntheticStack:
        """Draw one stack; the same seed gives the same voxels.

        Raises
        ------
        SyntheticError
            When not one nucleus could be drawn.
        """
        return draw_scene(self, np.random.default_rng(seed))
