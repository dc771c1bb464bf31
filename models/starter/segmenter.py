"""The shipped U-Net as a segmenter for any stack of nuclei."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from annotated_types import Ge, Gt, Lt
from numpy.typing import NDArray

from labels.progress import Progress
from labels.spacing import Spacing
from models.base import OneChannelSegmenter, Segmentation
from models.objects import check_diameter, relative_spacing
from models.options import DiameterUm
from models.runfolder import starter_folder

if TYPE_CHECKING:
    from models.unet3d.predict import UNet3DSegmenter

CONTRAST = 0.5
"""Exponent of the intensities in which the size is looked for; lifts dim nuclei."""

GUESS_PX = 14.0
LEAST_PX = 5.0
"""Smaller nuclei cannot be told apart; looking for them would only blow the stack up."""


@dataclass(frozen=True, kw_only=True)
class StarterSegmenter(OneChannelSegmenter):
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

    diameter_um: DiameterUm | None = None
    foreground: Annotated[float, Gt(0), Lt(1)] | None = None
    depth: Annotated[float, Ge(0), Lt(1)] | None = None

    name: ClassVar[str] = "starter"

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

    def _segment_channel(
        self, image: NDArray[Any], spacing_um: Spacing, progress: Progress
    ) -> Segmentation:
        notes = []
        diameter = self.diameter_um
        if diameter is None:
            diameter, note = find_diameter(image, spacing_um)
            notes.append(note)
        else:
            check_diameter(diameter, image.shape, spacing_um)
        found = self._network.segment(
            image[None], relative_spacing(spacing_um, diameter), progress=progress
        )
        return replace(found, notes=(*notes, *found.notes))


def find_diameter(image: NDArray[Any], spacing_um: Spacing) -> tuple[float, str]:
    """Return the diameter in µm of a typical nucleus in the image, and how it was found.

    Parameters
    ----------
    image : ndarray of integer or float, shape (Z, Y, X)
    spacing_um : (float, float, float)
        Voxel size (z, y, x) in µm.
    """
    from models.classical.scale import estimate_diameter_um, normalise

    pixel = max(spacing_um[1:])
    found = estimate_diameter_um(normalise(image, CONTRAST), spacing_um)
    if found is None:
        guess = GUESS_PX * pixel
        return guess, (
            f"no blobs stand out in the image, so nuclei of {guess:.3g} µm were assumed; "
            "give diameter_um"
        )
    diameter = max(found, LEAST_PX * pixel)
    return diameter, (
        f"nuclei of about {diameter:.3g} µm were found in the image; "
        "give diameter_um when that is not their size"
    )
