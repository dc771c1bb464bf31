"""Synthetic spheroids: crowded ellipsoid nuclei under a microscope, with the exact truth."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
from annotated_types import Ge, Gt
from numpy.typing import NDArray

from labels.spacing import Spacing
from models.synthetic import SyntheticStack

__all__ = ["SpheroidGenerator", "SyntheticStack"]

_TRIES = 400
_CLEARANCE = 0.82  # Below 1, so that neighbours are pressed together and touch.


@dataclass(frozen=True, kw_only=True)
class SpheroidGenerator:
    """Draws spheroids: nuclei pressed into a ball, imaged with loss of light in depth.

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
    brightness_spread : float
        Standard deviation of the logarithm of a nucleus's brightness.
    blur_um : (float, float, float)
        Standard deviation of the microscope's blur along z, y, x.
    attenuation_um : float
        Depth at which the light has fallen to 1/e.
    photons : float
        Photons that the brightest voxel of a typical nucleus at the surface gives.
    background : float
        Photons everywhere.
    """

    shape: tuple[int, int, int] = (28, 112, 112)
    spacing_um: Spacing = (2.5, 1.0, 1.0)
    nuclei: Annotated[int, Ge(1)] = 110
    diameter_um: Annotated[float, Gt(0)] = 12.0
    size_spread: Annotated[float, Ge(0)] = 0.15
    brightness_spread: Annotated[float, Ge(0)] = 0.35
    blur_um: tuple[float, float, float] = (2.2, 0.8, 0.8)
    attenuation_um: Annotated[float, Gt(0)] = 60.0
    photons: Annotated[float, Gt(0)] = 60.0
    background: Annotated[float, Ge(0)] = 6.0

    def make(self, seed: int = 0) -> SyntheticStack:
        """Draw one stack; the same seed gives the same voxels."""
        rng = np.random.default_rng(seed)
        labels = self._place(rng)
        return SyntheticStack(self._image(labels, rng), labels, self.spacing_um)

    def _place(self, rng: np.random.Generator) -> NDArray[np.uint32]:
        """Put nuclei where there is room, then give each voxel to the nearest that covers it."""
        extent = np.multiply(self.shape, self.spacing_um)
        centres: list[NDArray[np.float64]] = []
        radii: list[float] = []
        nearest = np.full(self.shape, 1.0, np.float32)
        labels = np.zeros(self.shape, np.uint32)
        for _ in range(self.nuclei):
            radius = 0.5 * self.diameter_um * math.exp(rng.normal(0, self.size_spread))
            centre = _free_spot(rng, extent, radius, centres, radii)
            if centre is None:
                continue
            centres.append(centre)
            radii.append(radius)
            self._draw(labels, nearest, centre, _ellipsoid(rng, radius), len(centres))
        return labels

    def _draw(
        self,
        labels: NDArray[np.uint32],
        nearest: NDArray[np.float32],
        centre: NDArray[np.float64],
        metric: NDArray[np.float64],
        label: int,
    ) -> None:
        reach = 1 / math.sqrt(np.linalg.eigvalsh(metric)[0])
        step = np.asarray(self.spacing_um)
        low = np.maximum(np.floor((centre - reach) / step), 0).astype(int)
        high = np.minimum(np.ceil((centre + reach) / step).astype(int) + 1, self.shape)
        box = tuple(slice(a, b) for a, b in zip(low, high, strict=True))
        grid = np.stack(np.meshgrid(*(np.arange(a, b) for a, b in zip(low, high, strict=True)),
                                    indexing="ij"), axis=-1)  # fmt: skip
        away = grid * step - centre
        distance = np.einsum("...i,ij,...j->...", away, metric, away).astype(np.float32)
        mine = distance < nearest[box]
        nearest[box][mine] = distance[mine]
        labels[box][mine] = label

    def _image(self, labels: NDArray[np.uint32], rng: np.random.Generator) -> NDArray[np.uint16]:
        from scipy import ndimage as ndi

        count = int(labels.max())
        brightness = np.exp(rng.normal(0, self.brightness_spread, count + 1))
        brightness[0] = 0
        texture = ndi.gaussian_filter(rng.normal(0, 1, self.shape), 1.5)
        texture *= 0.25 / max(float(texture.std()), 1e-9)
        light = brightness[labels] * np.clip(1 + texture, 0.2, 2)
        depth = np.arange(self.shape[0]) * self.spacing_um[0]
        light *= np.exp(-depth / self.attenuation_um)[:, None, None]
        light = ndi.gaussian_filter(light, np.divide(self.blur_um, self.spacing_um))
        photons = rng.poisson(self.photons * light + self.background)
        counts: NDArray[Any] = 100 + 20 * photons + rng.normal(0, 15, self.shape)
        return np.asarray(np.clip(np.rint(counts), 0, 65535), np.uint16)


def _free_spot(
    rng: np.random.Generator,
    extent: NDArray[np.float64],
    radius: float,
    centres: list[NDArray[np.float64]],
    radii: list[float],
) -> NDArray[np.float64] | None:
    """Return a place inside the stack's inscribed ellipsoid that is not taken."""
    for _ in range(_TRIES):
        spot = rng.uniform(-1, 1, 3)
        if np.sum(spot**2) > 1:
            continue
        centre = extent * (0.5 + 0.5 * spot)
        if not centres:
            return np.asarray(centre)
        apart = np.linalg.norm(np.asarray(centres) - centre, axis=1)
        if np.all(apart > _CLEARANCE * (np.asarray(radii) + radius)):
            return np.asarray(centre)
    return None


def _ellipsoid(rng: np.random.Generator, radius: float) -> NDArray[np.float64]:
    """Return the metric of a randomly turned ellipsoid: inside where xᵀ M x < 1."""
    axes = radius * np.exp(rng.normal(0, 0.15, 3))
    turn, _ = np.linalg.qr(rng.normal(size=(3, 3)))
    return np.asarray(turn @ np.diag(axes**-2.0) @ turn.T)
