"""From options to voxels: draw the nuclei, light them, and look at them through a microscope."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from models.synthetic import light, optics
from models.synthetic.fields import smooth_noise
from models.synthetic.options import NucleiOptions
from models.synthetic.placing import place
from models.synthetic.shapes import Bodies, draw_bodies, keep_whole, make_bodies
from models.synthetic.stack import SyntheticError, SyntheticStack

Floats = NDArray[np.float32]

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
    sharp = light.nuclei_light(options, rng, labels, depth, bodies, mitotic[old])
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
