"""The classical segmenter: its options, and its stages in order."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Annotated, Any, ClassVar, NamedTuple

import numpy as np
from annotated_types import Ge, Gt, Le, Lt
from numpy.typing import NDArray
from scipy import ndimage as ndi

from labels.progress import Progress
from labels.spacing import Spacing, is_spacing
from models.base import OneChannelSegmenter, Segmentation
from models.bounds import check_bounds
from models.classical.objects import (
    Floats,
    Labels,
    Values,
    boundary_contrast,
    compact,
    label_maximum,
    merge_shallow,
    one_piece_each,
    steepest_level,
    typical_contrast,
)
from models.classical.scale import (
    blob_noise,
    blob_response,
    estimate_diameter_um,
    gaussian,
    local_noise,
    normalise,
)
from models.errors import ImageError, ModelError
from models.objects import check_diameter
from models.options import DiameterUm

_STAGES = (
    "estimating the diameter",
    "measuring local contrast",
    "finding seeds",
    "watershed",
    "outlining nuclei",
    "rating nuclei",
    "done",
)


class _Contrast(NamedTuple):
    """What the later stages read, each of shape (Z, Y, X)."""

    above: Floats  # smoothed intensity above the local background
    smooth: Floats  # smoothed intensity
    blob: Floats  # response to blobs somewhat smaller than a nucleus
    significance: Floats  # the same in standard deviations of the local noise
    wide: NDArray[np.bool_]  # where a nucleus could be


@dataclass(frozen=True, kw_only=True)
class ClassicalSegmenter(OneChannelSegmenter):
    """Segment nuclei without weights: local contrast, blob seeds, watershed, steepest outline.

    Seeds are maxima of a difference of Gaussians at the nuclei's scale (Lindeberg, IJCV 1998)
    that stand out of the local noise. A watershed (Meyer, 1994) of that response gives each seed
    a basin; basins divided by a shallow pass are merged. Within its basin, a nucleus is what
    is brighter than a share of its own contrast, so that dim nuclei beside bright ones keep
    their size. Every size is a share of the diameter.

    Parameters
    ----------
    diameter_um : float, optional
        Diameter of a typical nucleus; None estimates it from the image, and says so.
    power : float
        Exponent on the normalised intensities; less than 1 lifts dim nuclei.
    smooth : float
        Standard deviation of the smoothing before outlining, in diameters.
    seed_scale : float
        Scale of the seeds' blob response, as a share of that of a ball of the diameter; larger
        gives fewer seeds.
    seed_distance : float
        Two seeds are at least this many diameters apart along some axis.
    min_significance : float
        Blob response that a seed needs, in standard deviations of the local noise.
    background_scale : float
        Standard deviation of the neighbourhood that gives the local background, in diameters.
    merge_depth : float
        Two basins merge when the pass between them is shallower than this share of the lower
        peak; 0 never merges.
    merge_volume : float
        No merged nucleus is larger than this many balls of the diameter.
    level : float
        Outline at this share of a nucleus's own contrast, averaged with the level at which
        intensity falls steepest.
    min_contrast : float
        Nuclei of less than this share of the typical nucleus's contrast are dropped.
    min_volume : float
        Nuclei smaller than this many balls of the diameter are dropped.
    """

    diameter_um: DiameterUm | None = None
    power: Annotated[float, Gt(0), Le(1)] = 0.8
    smooth: Annotated[float, Gt(0), Le(1)] = 0.1
    seed_scale: Annotated[float, Gt(0), Le(2)] = 0.8
    seed_distance: Annotated[float, Gt(0), Le(2)] = 0.4
    min_significance: Annotated[float, Ge(0), Le(1e6)] = 5.0
    background_scale: Annotated[float, Gt(0), Le(100)] = 0.4
    merge_depth: Annotated[float, Ge(0), Lt(1)] = 0.25
    merge_volume: Annotated[float, Gt(0), Le(1e6)] = 3.0
    level: Annotated[float, Gt(0), Lt(1)] = 0.43
    min_contrast: Annotated[float, Ge(0), Lt(1)] = 0.2
    min_volume: Annotated[float, Ge(0), Le(1e6)] = 0.05

    name: ClassVar[str] = "classical"

    def __post_init__(self) -> None:
        check_bounds(self, ModelError, "classical segmenter: ")

    def describe(self) -> dict[str, Any]:
        """Return the settings; there are no weights."""
        return {"segmenter": self.name, "weights": None, **asdict(self)}

    def _segment_channel(
        self, image: NDArray[Any], spacing_um: Spacing, progress: Progress
    ) -> Segmentation:
        """Find the nuclei.

        Returns
        -------
        Segmentation
            `confidence` is how far intensity falls within 0.2 diameters across the nucleus's
            surface, as a share of its own contrast, times 1 - exp(-s / 10) with s the blob
            response of its seed in standard deviations of the noise. `probability` is 0.5 at
            the outline, 1 at twice its level and 0 away from every seed.

        Raises
        ------
        ImageError
            The voxel size is not three positive numbers.
        """
        spacing_um = _checked_spacing(spacing_um)
        total = len(_STAGES) - 1
        stages = iter(enumerate(_STAGES))

        def begin() -> None:
            done, what = next(stages)
            progress(done, total, what)

        begin()
        diameter, notes = self._diameter(image, spacing_um)
        if diameter is None:
            progress(total, total, _STAGES[-1])
            return _nothing(image.shape, notes)
        begin()
        contrast = self._contrast(image, diameter, spacing_um)
        begin()
        seeds = self._seeds(contrast, diameter, spacing_um)
        begin()
        basins = self._basins(contrast, seeds, diameter, spacing_um)
        begin()
        if not basins.any():
            progress(total, total, _STAGES[-1])
            return _nothing(image.shape, (*notes, "no nucleus stands out of the noise"))
        basins, core, level = self._levels(contrast, basins, diameter, spacing_um)
        inside = np.where(contrast.above > level[basins], basins, 0).astype(np.int32)
        smallest = self.min_volume * _ball_voxels(diameter, spacing_um, image.shape)
        objects = one_piece_each(inside, basins, smallest)
        begin()
        confidence = _confidence(objects, contrast, core, diameter, spacing_um)
        probability = np.clip(contrast.above / (2 * level[basins]), 0, 1)
        probability[basins == 0] = 0
        begin()
        return Segmentation(
            labels=compact(objects).astype(np.uint32),
            confidence=dict(enumerate(confidence, start=1)),
            probability=probability.astype(np.float32),
            notes=notes,
        )

    def _diameter(
        self, image: NDArray[Any], spacing_um: Spacing
    ) -> tuple[float | None, tuple[str, ...]]:
        if self.diameter_um is not None:
            check_diameter(self.diameter_um, image.shape, spacing_um)
            return self.diameter_um, ()
        found = estimate_diameter_um(normalise(image, 0.5), spacing_um)
        if found is None:
            return None, ("no blob of any size stands out; if there are nuclei, give diameter_um",)
        return found, (f"diameter estimated from the image: {found:.3g} µm",)

    def _contrast(self, image: NDArray[Any], diameter: float, spacing_um: Spacing) -> _Contrast:
        volume = normalise(image, self.power)
        scale = _blob_scale(diameter, image.shape)
        smooth = gaussian(volume, self.smooth * diameter, spacing_um)
        blob = blob_response(volume, self.seed_scale * scale, spacing_um)
        wide = (blob_response(volume, scale, spacing_um) > 0) | (blob > 0)
        outside = (~wide).astype(np.float32)
        reach = self.background_scale * diameter
        weight = gaussian(outside, reach, spacing_um)
        background = gaussian(volume * outside, reach, spacing_um)
        # Where no background is near, a wider mean of everything takes its place.
        background += 1e-3 * gaussian(volume, 2 * reach, spacing_um)
        background /= weight + 1e-3
        noise = local_noise(volume, 0.5 * diameter, spacing_um)
        noise *= blob_noise(self.seed_scale * scale, spacing_um, image.shape)
        return _Contrast(smooth - background, smooth, blob, blob / (noise + 1e-6), wide)

    def _seeds(self, contrast: _Contrast, diameter: float, spacing_um: Spacing) -> Labels:
        window = [
            max(3, round(2 * self.seed_distance * diameter / step) | 1) if n > 1 else 1
            for step, n in zip(spacing_um, contrast.blob.shape, strict=True)
        ]
        peaks = ndi.maximum_filter(contrast.blob, window) == contrast.blob
        peaks &= (contrast.blob > 0) & (contrast.above > 0)
        peaks &= contrast.significance > self.min_significance
        seeds, _ = ndi.label(peaks, np.ones((3, 3, 3)))
        return np.asarray(seeds, np.int32)

    def _basins(
        self, contrast: _Contrast, seeds: Labels, diameter: float, spacing_um: Spacing
    ) -> Labels:
        from skimage.segmentation import watershed

        mask = contrast.wide & (contrast.above > 0)
        basins = np.asarray(watershed(-contrast.blob, seeds, mask=mask), np.int32)
        count = int(basins.max())
        if count < 2 or self.merge_depth == 0:
            return basins
        half = 0.5 * label_maximum(basins, contrast.above, count)
        bright = np.where(contrast.above > half[basins], basins, 0)
        volumes = np.bincount(bright.ravel(), minlength=count + 1).astype(np.float64)
        return merge_shallow(
            basins,
            contrast.blob,
            volumes,
            depth=self.merge_depth,
            max_volume=self.merge_volume * _ball_voxels(diameter, spacing_um, seeds.shape),
        )

    def _levels(
        self, contrast: _Contrast, basins: Labels, diameter: float, spacing_um: Spacing
    ) -> tuple[Labels, Values, Values]:
        """Return basins without faint ones, each one's core contrast and its outline's level."""
        core_of = gaussian(contrast.above, 0.12 * diameter, spacing_um)
        core = label_maximum(basins, core_of, int(basins.max()))
        bright = core >= self.min_contrast * typical_contrast(core)
        bright[0] = False
        basins = np.where(bright[basins], basins, 0).astype(np.int32)
        slope = _slope(contrast.smooth, spacing_um)
        steepest = steepest_level(basins, contrast.above, slope, core, (0.25, 0.8))
        # A basin without contrast keeps nothing: its level must not be 0.
        return basins, core, np.maximum(core * (self.level + steepest) / 2, 1e-6)


def _checked_spacing(spacing_um: Spacing) -> Spacing:
    """Return the voxel size as three floats, or refuse it."""
    if not is_spacing(spacing_um):
        raise ImageError(
            f"expected a voxel size of three positive numbers (z, y, x) in µm, got {spacing_um}; "
            "give the one that the microscope recorded"
        )
    z, y, x = map(float, spacing_um)
    return z, y, x


def _blob_scale(diameter: float, shape: tuple[int, ...]) -> float:
    """Return the scale at which a ball (in one slice: a disk) of the diameter answers most."""
    return diameter / (2 * math.sqrt(3 if shape[0] > 1 else 2))


def _ball_voxels(diameter: float, spacing_um: Spacing, shape: tuple[int, ...]) -> float:
    """Return how many voxels a ball (in one slice: a disk) of the diameter has."""
    if shape[0] == 1:
        return math.pi / 4 * diameter**2 / (spacing_um[1] * spacing_um[2])
    return math.pi / 6 * diameter**3 / math.prod(spacing_um)


def _slope(volume: Floats, spacing_um: Spacing) -> Floats:
    """Return the gradient magnitude per µm."""
    squares = np.zeros_like(volume)
    for axis, step in enumerate(spacing_um):
        if volume.shape[axis] > 1:
            squares += np.gradient(volume, step, axis=axis) ** 2
    return np.sqrt(squares)


def _confidence(
    objects: Labels, contrast: _Contrast, core: Values, diameter: float, spacing_um: Spacing
) -> list[float]:
    """Return the confidence of each object, in the order of their ids."""
    z, y, x = (max(1, round(0.2 * diameter / step)) for step in spacing_um)
    fall = boundary_contrast(objects, contrast.above, core, (z, y, x))
    significance = label_maximum(objects, contrast.significance, len(core) - 1)
    rated = fall * (1 - np.exp(-significance / 10))
    present = np.flatnonzero(np.bincount(objects.ravel(), minlength=len(core)))
    return [float(rated[i]) for i in present if i > 0]


def _nothing(shape: tuple[int, ...], notes: tuple[str, ...]) -> Segmentation:
    """Return an empty result."""
    return Segmentation(
        labels=np.zeros(shape, np.uint32), probability=np.zeros(shape, np.float32), notes=notes
    )
