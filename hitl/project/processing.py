"""How images are preprocessed and masks cleaned, as a project's config says it."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from annotated_types import Ge, Gt, Le
from pydantic import AfterValidator, Field, field_validator, model_validator

from hitl.project.schema import Frozen

Percentile = Annotated[float, Ge(0), Le(100)]

Radius = Annotated[int, Ge(1), Le(1000)]
"""Of a disk, in pixels."""


class _Percentiles(Frozen):
    step: str
    low: Percentile
    high: Percentile

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.low >= self.high:
            raise ValueError(f"expected low under high, got {self.low:g} and {self.high:g}")
        return self


class ToUint8(_Percentiles):
    """Scale each stack to 0–255, as `hitl.preprocess.steps.to_uint8`.

    Parameters
    ----------
    low : float
        Percentile of the intensities that becomes 0.
    high : float
        Percentile of the intensities that becomes 255.
    """

    step: Literal["to_uint8"] = "to_uint8"
    low: Percentile = 0.0
    high: Percentile = 100.0


class SuppressBackground(Frozen):
    """Set dim voxels to 0, as `hitl.preprocess.steps.suppress_background`; after to_uint8.

    Parameters
    ----------
    below : int
        The first intensity (of 255) that is kept.
    """

    step: Literal["suppress_background"] = "suppress_background"
    below: Annotated[int, Ge(1), Le(255)] = 7


class Gamma(Frozen):
    """Darken or brighten, as `hitl.preprocess.steps.gamma`.

    Parameters
    ----------
    gamma : float
        Power to which intensities are raised: over 1 darkens, under 1 brightens.
    """

    step: Literal["gamma"] = "gamma"
    gamma: Annotated[float, Ge(0.01), Le(100)]


class Clahe(Frozen):
    """Equalise contrast locally in each slice, as `hitl.preprocess.steps.clahe`.

    Parameters
    ----------
    grid : int
        Tiles along y and along x.
    clip_limit : float
        Limit on amplification, relative to a flat histogram.
    """

    step: Literal["clahe"] = "clahe"
    grid: Annotated[int, Ge(1), Le(1024)] = 8
    clip_limit: Annotated[float, Gt(0), Le(1e6)] = 2.0


class Median(Frozen):
    """Smooth each slice by a median, as `hitl.preprocess.steps.median`.

    Parameters
    ----------
    size : int
        Odd width of the window in pixels; over 5 for 8 bits only.
    """

    step: Literal["median"] = "median"
    size: Annotated[int, Ge(3), Le(255)] = 3

    @field_validator("size")
    @classmethod
    def _odd(cls, value: int) -> int:
        if value % 2 == 0:
            raise ValueError("expected an odd size (3, 5, 7, …)")
        return value


class SubtractTophat(Frozen):
    """Subtract small bright artefacts, as `hitl.preprocess.steps.subtract_tophat`.

    Parameters
    ----------
    radius : int
        Of the disk, in pixels, that does not fit into what is subtracted.
    """

    step: Literal["subtract_tophat"] = "subtract_tophat"
    radius: Radius = 2


class PercentileStretch(_Percentiles):
    """Span the intensity range, as `hitl.preprocess.steps.percentile_stretch`.

    Parameters
    ----------
    low : float
        Percentile of the intensities that becomes the least value.
    high : float
        Percentile of the intensities that becomes the greatest value.
    """

    step: Literal["percentile_stretch"] = "percentile_stretch"
    low: Percentile = 5.0
    high: Percentile = 98.0


class HistogramStretch(Frozen):
    """Span the intensity range, as `hitl.preprocess.steps.histogram_stretch`.

    Parameters
    ----------
    min_count : int
        Levels with at most this many voxels of the stack are not looked at.
    """

    step: Literal["histogram_stretch"] = "histogram_stretch"
    min_count: Annotated[int, Ge(0), Le(2**62)] = 0


class Projection(Frozen):
    """Make one slice of all, as `hitl.preprocess.steps.project`; where there is one, the first.

    Parameters
    ----------
    method : {"max", "mean"}
        What each pixel becomes of those above each other.
    """

    step: Literal["project"] = "project"
    method: Literal["max", "mean"] = "max"


PreprocessStep = Annotated[
    Projection
    | ToUint8
    | SuppressBackground
    | Gamma
    | Clahe
    | Median
    | SubtractTophat
    | PercentileStretch
    | HistogramStretch,
    Field(discriminator="step"),
]
"""One entry of the config's `preprocess` list."""

EVERY_STEP: tuple[PreprocessStep, ...] = (
    Projection(),
    ToUint8(),
    SuppressBackground(),
    Gamma(gamma=0.8),
    Clahe(),
    Median(),
    SubtractTophat(),
    PercentileStretch(),
    HistogramStretch(),
)
"""One of each kind, as an example."""


def _project_first(steps: tuple[PreprocessStep, ...]) -> tuple[PreprocessStep, ...]:
    """Refuse a projection after another step: labels are of the projected image as it was added."""
    for number, step in enumerate(steps[1:], 2):
        if isinstance(step, Projection):
            raise ValueError(f"expected project as the first step, got it as step {number}")
    return steps


PreprocessSteps = Annotated[tuple[PreprocessStep, ...], AfterValidator(_project_first)]
"""The config's `preprocess` list: run in order, and only the first may be a projection."""


class PostprocessConfig(Frozen):
    """How masks are cleaned and how wide their edges are.

    Parameters
    ----------
    min_area_px : int
        In each slice, an object of fewer pixels is dropped, and so are pieces of one.
    smooth_kernel_px : int
        Odd width of the window that smooths outlines; 1: none.
    close_radius_px : int
        Radius of the disk that joins fragments; 0: none.
    fill_holes : bool
        Fill holes within a slice.
    open_radius_px : int
        Radius of the disk that removes thin artefacts; 0: none.
    pieces : {"keep", "largest", "split"}
        What becomes of an object that is in several pieces in 3D.
    fill_voids : bool
        Fill holes that an object encloses in 3D.
    min_volume_um3 : float
        Objects of less volume are removed.
    edge_width_px : int
        Width of the edge class around each object.
    """

    min_area_px: Annotated[int, Ge(0), Le(2**31 - 1)] = 20
    smooth_kernel_px: Annotated[int, Ge(1), Le(2001)] = 3
    close_radius_px: Annotated[int, Ge(0), Le(1000)] = 1
    fill_holes: bool = True
    open_radius_px: Annotated[int, Ge(0), Le(1000)] = 1
    pieces: Literal["keep", "largest", "split"] = "keep"
    fill_voids: bool = False
    min_volume_um3: Annotated[float, Ge(0), Le(1e15)] = 0.0
    edge_width_px: Annotated[int, Ge(1), Le(1000)] = 1

    @field_validator("smooth_kernel_px")
    @classmethod
    def _odd(cls, value: int) -> int:
        if value % 2 == 0:
            raise ValueError("expected an odd width (1, 3, 5, …)")
        return value
