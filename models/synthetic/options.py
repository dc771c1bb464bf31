"""What a synthetic stack is drawn from: nuclei, their surroundings, the microscope."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated, Literal

from annotated_types import Ge, Gt, Le, Lt

from labels.memory import too_large
from labels.spacing import Spacing
from models.bounds import check_bounds
from models.options import DiameterUm, Positive, Share, Side, SpacingUm
from models.synthetic.placing import Arrangement
from models.synthetic.stack import SyntheticError

BYTES_PER_VOXEL = 64
"""Memory that drawing takes at its peak."""


def check_room(shape: tuple[int, int, int], spacing_um: Spacing, diameter_um: float) -> None:
    """See that a nucleus fits into the stack, has voxels, and the stack fits into memory.

    Raises
    ------
    SyntheticError
    """
    check_lattice(shape, spacing_um)
    extent = [n * step for n, step in zip(shape, spacing_um, strict=True)]
    if min(extent[1:]) < diameter_um or (shape[0] > 1 and extent[0] < diameter_um / 2):
        size = " × ".join(f"{v:g}" for v in extent)
        raise SyntheticError(
            f"a stack of {size} µm (z, y, x) has no room for a nucleus of {diameter_um:g} µm; "
            "give a larger shape or smaller nuclei"
        )
    if diameter_um < 2 * max(spacing_um[1:]):
        raise SyntheticError(
            f"a nucleus of {diameter_um:g} µm is less than two voxels of "
            f"{max(spacing_um[1:]):g} µm wide; give smaller voxels or larger nuclei"
        )


def check_lattice(shape: tuple[int, int, int], spacing_um: Spacing) -> None:
    """See that shape and voxel size are positive, and that the stack fits into memory.

    Raises
    ------
    SyntheticError
    """
    sizes = (*shape, *spacing_um)
    if len(sizes) != 6 or not all(math.isfinite(v) and v > 0 for v in sizes):
        raise SyntheticError(
            f"expected a shape and a voxel size above 0, got {tuple(shape)} and "
            f"{tuple(spacing_um)} µm; give three of each, in the order z, y, x"
        )
    if told := too_large(math.prod(shape) * BYTES_PER_VOXEL):
        raise SyntheticError(
            f"drawing a stack of {' × '.join(map(str, shape))} voxels {told}; make several "
            "smaller ones"
        )


NotNegative = Annotated[float, Ge(0), Le(1e6)]


@dataclass(frozen=True, kw_only=True)
class NucleiOptions:
    """Looks of nuclei; lengths are in µm, light in units of a typical nucleus.

    Parameters
    ----------
    shape : (int, int, int)
        Stack (z, y, x) in voxels.
    spacing_um : (float, float, float)
        Voxel size (z, y, x) in µm.
    nuclei : int
        As many are tried; fewer fit when there is no room.
    diameter_um : float
        Of a typical nucleus.
    size_spread : float
        Standard deviation of the logarithm of the diameter.
    elongation : float
        Standard deviation of the logarithm of each axis.
    irregularity : float
        How uneven outlines are; 0 leaves ellipsoids.
    bend : float
        How bent nuclei are, in units of their radius.
    mitotic : float
        Share of nuclei that are condensed chromosomes: flat, granular and bright.
    arrangement : {'scattered', 'ball', 'sheet', 'clusters'}
        Where nuclei lie.
    clearance : float
        Least distance of two centres over the sum of their radii; below 1 they press each other.
    brightness_spread : float
        Standard deviation of the logarithm of a nucleus's brightness.
    dimmest : float
        No nucleus is dimmer than this times the typical one, before the loss in depth.
    granularity : float
        Standard deviation of the logarithm of chromatin density within a nucleus.
    granule : float
        Size of its granules in diameters.
    nucleoli : float
        Mean number of nucleoli of a nucleus.
    nucleolus : float
        Diameter of a nucleolus in diameters of the nucleus.
    nucleolus_light : float
        Light in a nucleolus over that around it; above 1 these are bright chromocentres.
    rim : float
        Light at the outline over that in the centre, minus 1; negative for soft outlines.
    cytoplasm : float
        Light around nuclei.
    haze : float
        Share of the light that is out of focus, spread widely.
    background : float
        Light everywhere.
    unevenness : float
        How much the background varies over several nuclei, relative to it.
    sheets : float
        Light of thin walls and fibres between nuclei, which are no nuclei.
    debris : float
        Specks per nucleus, which are no nuclei.
    debris_light : float
        Median light of a speck.
    illumination : float
        Standard deviation of the illumination over the stack.
    attenuation_um : float
        Depth at which the light has fallen to 1/e.
    light_from : {'z', 'y', 'x'}
        Axis along which light is lost: z, or the side of a light sheet.
    blur_um : (float, float, float)
        Standard deviation of the microscope's blur along z, y, x.
    blur_growth : float
        The blur at the far end of `light_from` over that at the near end.
    photons : float
        Photons that a voxel of a typical nucleus gives.
    read_noise : float
        Standard deviation of the camera's noise, in photons.
    smoothing_px : float
        Standard deviation in voxels of a blur after the noise, as scaling and denoising leave.
    gain : float
        Counts per photon.
    offset : float
        Counts without light; below 0 the image's blacks are cut off.
    bits : {8, 16}
        Of the image; brighter voxels saturate.
    """

    shape: tuple[Side, Side, Side] = (32, 128, 128)
    spacing_um: SpacingUm = (2.0, 1.0, 1.0)
    nuclei: Annotated[int, Ge(1), Le(100_000)] = 100
    diameter_um: DiameterUm = 12.0
    size_spread: Annotated[float, Ge(0), Le(1)] = 0.15
    elongation: Annotated[float, Ge(0), Le(0.6)] = 0.15
    irregularity: Annotated[float, Ge(0), Le(0.6)] = 0.15
    bend: Annotated[float, Ge(0), Le(0.6)] = 0.1
    mitotic: Share = 0.02
    arrangement: Arrangement = "scattered"
    clearance: Annotated[float, Ge(0.5), Le(4)] = 0.85
    brightness_spread: Annotated[float, Ge(0), Le(2)] = 0.4
    dimmest: Share = 0.1
    granularity: Annotated[float, Ge(0), Le(1.5)] = 0.25
    granule: Annotated[float, Gt(0), Le(1)] = 0.15
    nucleoli: Annotated[float, Ge(0), Le(8)] = 1.0
    nucleolus: Annotated[float, Gt(0), Lt(0.8)] = 0.25
    nucleolus_light: Annotated[float, Ge(0), Le(5)] = 0.4
    rim: Annotated[float, Ge(-0.9), Le(2)] = 0.0
    cytoplasm: NotNegative = 0.05
    haze: Share = 0.15
    background: NotNegative = 0.08
    unevenness: Annotated[float, Ge(0), Le(2)] = 0.3
    sheets: NotNegative = 0.0
    debris: Annotated[float, Ge(0), Le(20)] = 0.3
    debris_light: NotNegative = 0.6
    illumination: Annotated[float, Ge(0), Le(1)] = 0.1
    attenuation_um: Annotated[float, Gt(0), Le(1e9)] = 200.0
    light_from: Literal["z", "y", "x"] = "z"
    blur_um: tuple[NotNegative, NotNegative, NotNegative] = (1.6, 0.5, 0.5)
    blur_growth: Annotated[float, Ge(1), Le(5)] = 1.3
    photons: Annotated[float, Gt(0), Le(1e12)] = 60.0
    read_noise: NotNegative = 1.5
    smoothing_px: Annotated[float, Ge(0), Le(3)] = 0.0
    gain: Positive = 20.0
    offset: Annotated[float, Ge(-1e6), Le(1e6)] = 100.0
    bits: Literal[8, 16] = 16

    def __post_init__(self) -> None:
        check_bounds(self, SyntheticError)
        check_room(self.shape, self.spacing_um, self.diameter_um)
