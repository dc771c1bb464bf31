"""How large a field's objects are: as it was told, as in training, or as its image shows."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
from annotated_types import Gt, Le
from numpy.typing import NDArray

from labels.spacing import Spacing
from models.base import BlockSource
from models.objects import check_diameter
from models.options import DiameterUm, SpacingUm

SAME_SIZE = 0.15
"""Sizes that differ by less than this share are alike: no field is resampled for so little."""

SAME_VOXELS = 0.1
"""Share within which voxel sizes are those of a training field."""

CONTRAST = 0.5
"""Exponent of the intensities in which the size is looked for; lifts dim nuclei."""

MOST_SEEN = 2**24
"""Voxels in the middle of a stack that are looked at."""


UNKNOWN_SIZE = ", as if the objects were as large as its; give diameter_um when they are not"
"""Ends the note of a stack that is resampled only because of its voxel size."""


def same_size(a: float, b: float) -> bool:
    """Tell whether two diameters are the same within `SAME_SIZE`."""
    return abs(a / b - 1) <= SAME_SIZE


def rescaled(spacing_um: Spacing, diameter_um: float, known_um: float) -> Spacing:
    """Return the voxel size at which objects of one diameter pass for objects of another.

    Parameters
    ----------
    spacing_um : (float, float, float)
        Voxel size (z, y, x) in µm.
    diameter_um, known_um : float
        Diameter of the objects, and the one that they are to have.
    """
    if same_size(diameter_um, known_um):
        return spacing_um
    z, y, x = (step * known_um / diameter_um for step in spacing_um)
    return z, y, x


@dataclass(frozen=True)
class FieldSize:
    """A field's voxel size (z, y, x), and the diameter of its objects, in µm."""

    spacing_um: SpacingUm
    diameter_um: DiameterUm


@dataclass(frozen=True)
class KnownSizes:
    """What a run knows of the fields that it learned from.

    Parameters
    ----------
    fields : tuple of FieldSize
    shown : float, optional
        What the images show, as a share of the diameter by the labels; None where they do not
        tell, or not alike.
    """

    fields: tuple[FieldSize, ...] = ()
    shown: Annotated[float, Gt(0), Le(1000)] | None = None

    def at(self, spacing_um: Spacing) -> float | None:
        """Return the objects' diameter in fields of this voxel size, None where there were none."""
        found = [
            field.diameter_um
            for field in self.fields
            if all(
                abs(have / want - 1) <= SAME_VOXELS
                for have, want in zip(spacing_um, field.spacing_um, strict=True)
            )
        ]
        return float(np.median(found)) if found else None


@dataclass(frozen=True)
class Chosen:
    """At which voxel size a run is to see a field.

    Parameters
    ----------
    spacing_um : (float, float, float)
        At which its objects pass for those of the training.
    by_objects : bool
        Whether the objects' size was told; else only the voxel size says how large they are.
    notes : tuple of str
    """

    spacing_um: Spacing
    by_objects: bool
    notes: tuple[str, ...] = ()


def choose_size(
    known_um: float | None,
    sizes: KnownSizes,
    source: BlockSource,
    spacing_um: Spacing,
    given_um: float | None,
) -> Chosen:
    """Choose how large a field's objects are taken to be.

    Parameters
    ----------
    known_um : float or None
        Diameter that the run knows; None where it knows none.
    sizes : KnownSizes
    source : array of integer or float, shape (C, Z, Y, X)
    spacing_um : (float, float, float)
        Voxel size (z, y, x) in µm.
    given_um : float or None
        The option.

    Raises
    ------
    ImageError
        A given diameter that no object in the image has.
    """
    if known_um is None:
        untold = "the run does not know which size it learned: diameter_um changes nothing"
        return Chosen(spacing_um, False, () if given_um is None else (untold,))
    if given_um is not None:
        check_diameter(given_um, source.shape[1:], spacing_um)
        return Chosen(rescaled(spacing_um, given_um, known_um), True)
    learned = sizes.at(spacing_um)
    usual = known_um if learned is None else learned
    seen = None
    # A field like those of the training is trusted to be one, unless images told their sizes too.
    if learned is None or sizes.shown is not None:
        seen = shown_diameter(source, spacing_um)
    if seen is not None:
        seen /= sizes.shown or 1.0
        if not 1 / NEAR < seen / usual < NEAR:
            note = (
                f"objects are taken to be {seen:.3g} µm across (from the image), those of the "
                f"training {usual:.3g} µm; give diameter_um when that is not their size"
            )
            return Chosen(rescaled(spacing_um, seen, known_um), True, (note,))
    return Chosen(rescaled(spacing_um, usual, known_um), learned is not None or seen is not None)


NEAR = 1.25
"""Factor within which what an image shows is the usual size: estimates are no better than that."""


def shown_diameter(source: BlockSource, spacing_um: Spacing) -> float | None:
    """Return the diameter in µm that an image shows, None where it does not tell.

    Parameters
    ----------
    source : array of integer or float, shape (C, Z, Y, X)
        Of a large one, the middle is looked at.
    spacing_um : (float, float, float)
    """
    from models.classical.scale import normalise, sure_diameter_um

    sides = list(source.shape[1:])
    while math.prod(sides) > MOST_SEEN:
        longest = int(np.argmax(sides))
        sides[longest] = -(-sides[longest] // 2)
    box = tuple(
        slice((n - side) // 2, (n - side) // 2 + side)
        for n, side in zip(source.shape[1:], sides, strict=True)
    )
    middle = np.asarray(source[(slice(None), *box)])
    channels = [channel for channel in middle if channel.min() < channel.max()]
    found = [sure_diameter_um(normalise(channel, CONTRAST), spacing_um) for channel in channels]
    told = [diameter for diameter in found if diameter is not None]
    return float(np.median(told)) if told else None


def shown_share(fields: Iterable[tuple[NDArray[Any], Spacing, float]]) -> float | None:
    """Return what images show as a share of the diameter by the labels; None where they disagree.

    Parameters
    ----------
    fields : iterable of (ndarray, spacing, float)
        Image (C, Z, Y, X), voxel size and diameter by the labels.
    """
    found = [(shown_diameter(image, spacing), size) for image, spacing, size in fields]
    shares = [shown / size for shown, size in found if shown is not None]
    if not shares or max(shares) > NEAR * min(shares):
        return None
    return float(np.median(shares))
