"""The shipped U-Net as a segmenter for any stack of nuclei."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
from annotated_types import Ge, Gt, Lt
from numpy.typing import NDArray

from models.base import Progress, Segmentation, Spacing, check_image, no_progress
from models.starter.folders import starter_folder
from models.starter.scale import median_diameter, relative_spacing

if TYPE_CHECKING:
    from models.unet3d.predict import UNet3DSegmenter

LOOK_VOXELS = 1_500_000
"""Voxels, as the network sees them, on which the diameter is looked for."""

SAME_DIAMETER = 1.12
"""Diameters that differ by less than this factor give the same objects."""

LOOKS = 3
FEWEST_OBJECTS = 3
SMALLEST_STEP, LARGEST_STEP = 0.5, 2.0
GUESS_PX = 14.0
LEAST_PX = 5.0
"""Smaller nuclei cannot be told apart; looking for them would only blow the stack up."""


@dataclass(frozen=True, kw_only=True)
class StarterSegmenter:
    """The starter model: a small 3D U-Net that learned from synthetic nuclei only.

    Nuclei of every size are resampled to the one size that it knows.

    Parameters
    ----------
    diameter_um : float, optional
        Diameter of a typical nucleus; found in the image when not given.
    foreground : float, optional
        Least probability of a nucleus's voxel; the shipped value when not given.
    depth : float, optional
        Two peaks are one nucleus unless the saddle between them is lower by this fraction; the
        shipped value when not given.
    """

    diameter_um: Annotated[float, Gt(0)] | None = None
    foreground: Annotated[float, Gt(0), Lt(1)] | None = None
    depth: Annotated[float, Ge(0), Lt(1)] | None = None

    @property
    def name(self) -> str:
        """Name in the registry."""
        return "starter"

    @cached_property
    def _network(self) -> UNet3DSegmenter:
        from models.unet3d import load_run

        run = load_run(starter_folder("unet3d"))
        given = {k: v for k, v in asdict(self).items() if k != "diameter_um" and v is not None}
        return replace(run, instances=replace(run.instances, **given))

    def describe(self) -> dict[str, Any]:
        """Return settings and the weights' sha256."""
        network = self._network.describe()
        return {**network, "name": self.name, "diameter_um": self.diameter_um}

    def segment(
        self,
        image: NDArray[Any],
        spacing_um: Spacing,
        *,
        progress: Progress = no_progress,
    ) -> Segmentation:
        """Segment one channel of one stack.

        Parameters
        ----------
        image : ndarray of integer or float, shape (Z, Y, X)
        spacing_um : (float, float, float)
            Voxel size (z, y, x) in µm.
        progress : callable, optional

        Returns
        -------
        Segmentation

        Raises
        ------
        ImageError
            When the image is not 3D, holds NaN or infinite voxels, or is constant.
        """
        check_image(image)
        notes = []
        diameter = self.diameter_um
        if diameter is None:
            diameter = self._find_diameter(image, spacing_um, progress)
            notes.append(
                f"nuclei of about {diameter:.3g} µm were found in the image; "
                "give diameter_um when that is not their size"
            )
        found = self._network.segment(
            image, relative_spacing(spacing_um, diameter), progress=progress
        )
        return replace(found, notes=(*notes, self._network.compute.note))

    def _find_diameter(self, image: NDArray[Any], spacing_um: Spacing, progress: Progress) -> float:
        """Return the diameter at which the network finds nuclei of just that diameter."""
        from models.classical.scale import estimate_diameter_um, normalise

        guess = estimate_diameter_um(normalise(image, 0.5), spacing_um)
        least = LEAST_PX * max(spacing_um[1:])
        diameter = max(guess or GUESS_PX * max(spacing_um[1:]), least)
        for look in range(LOOKS):
            progress(look, LOOKS, "looking for the nuclei's size")
            part = _middle(image, spacing_um, diameter)
            found = self._network.segment(part, relative_spacing(spacing_um, diameter))
            if len(found.confidence) < FEWEST_OBJECTS:
                return diameter
            seen = median_diameter(found.labels, spacing_um) or diameter
            step = float(np.clip(seen / diameter, SMALLEST_STEP, LARGEST_STEP))
            diameter = max(diameter * step, least)
            if abs(math.log(step)) < math.log(SAME_DIAMETER):
                break
        return diameter


def _middle(image: NDArray[Any], spacing_um: Spacing, diameter_um: float) -> NDArray[Any]:
    """Return the part in the middle that has `LOOK_VOXELS` when resampled to nominal size."""
    from models.starter.scale import NOMINAL_SPACING

    zoom = np.divide(relative_spacing(spacing_um, diameter_um), NOMINAL_SPACING)
    voxels = float(np.prod(zoom * image.shape))
    if voxels <= LOOK_VOXELS:
        return image
    share = math.sqrt(LOOK_VOXELS / voxels)
    keep = [image.shape[0], *(max(8, math.ceil(n * share)) for n in image.shape[1:])]
    starts = [(n - k) // 2 for n, k in zip(image.shape, keep, strict=True)]
    box = tuple(slice(a, a + k) for a, k in zip(starts, keep, strict=True))
    return np.ascontiguousarray(image[box])
