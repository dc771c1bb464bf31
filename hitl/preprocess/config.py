"""Preprocessing as a list of config entries, one frozen model for each step."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Annotated, Literal

from annotated_types import Ge, Gt, Le
from pydantic import Field, field_validator, model_validator

from hitl.preprocess.steps import (
    Image,
    clahe,
    gamma,
    histogram_stretch,
    median,
    percentile_stretch,
    subtract_tophat,
    suppress_background,
    to_uint8,
)
from hitl.project.schema import Frozen


class ToUint8(Frozen):
    """Config entry of `to_uint8`."""

    step: Literal["to_uint8"] = "to_uint8"
    low: Annotated[float, Ge(0), Le(100)] = 0.0
    high: Annotated[float, Ge(0), Le(100)] = 100.0

    @model_validator(mode="after")
    def _ordered(self) -> ToUint8:
        if self.low >= self.high:
            raise ValueError("expected low under high")
        return self


class SuppressBackground(Frozen):
    """Config entry of `suppress_background`."""

    step: Literal["suppress_background"] = "suppress_background"
    below: Annotated[int, Ge(1), Le(255)] = 7


class Gamma(Frozen):
    """Config entry of `gamma`."""

    step: Literal["gamma"] = "gamma"
    gamma: Annotated[float, Gt(0)]


class Clahe(Frozen):
    """Config entry of `clahe`."""

    step: Literal["clahe"] = "clahe"
    grid: Annotated[int, Ge(1)] = 8
    clip_limit: Annotated[float, Gt(0)] = 2.0


class Median(Frozen):
    """Config entry of `median`."""

    step: Literal["median"] = "median"
    size: Annotated[int, Ge(3)] = 3

    @field_validator("size")
    @classmethod
    def _odd(cls, value: int) -> int:
        if value % 2 == 0:
            raise ValueError("expected an odd size (3, 5, 7, …)")
        return value


class SubtractTophat(Frozen):
    """Config entry of `subtract_tophat`."""

    step: Literal["subtract_tophat"] = "subtract_tophat"
    radius: Annotated[int, Ge(1)] = 2


class PercentileStretch(Frozen):
    """Config entry of `percentile_stretch`."""

    step: Literal["percentile_stretch"] = "percentile_stretch"
    low: Annotated[float, Ge(0), Le(100)] = 5.0
    high: Annotated[float, Ge(0), Le(100)] = 98.0

    @model_validator(mode="after")
    def _ordered(self) -> PercentileStretch:
        if self.low >= self.high:
            raise ValueError("expected low under high")
        return self


class HistogramStretch(Frozen):
    """Config entry of `histogram_stretch`."""

    step: Literal["histogram_stretch"] = "histogram_stretch"
    min_count: Annotated[int, Ge(0)] = 0


PreprocessStep = Annotated[
    ToUint8
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

STEPS: dict[str, Callable[..., Image]] = {
    "to_uint8": to_uint8,
    "suppress_background": suppress_background,
    "gamma": gamma,
    "clahe": clahe,
    "median": median,
    "subtract_tophat": subtract_tophat,
    "percentile_stretch": percentile_stretch,
    "histogram_stretch": histogram_stretch,
}


def apply(steps: Iterable[PreprocessStep], image: Image) -> Image:
    """Run the steps in order.

    Parameters
    ----------
    steps : iterable of step models
    image : ndarray of integer or float, shape (Z, Y, X)

    Returns
    -------
    ndarray, shape (Z, Y, X)
        Of the last step's dtype; `image` itself when there is no step.

    Raises
    ------
    PreprocessError
        When a step cannot take what the one before it gives.
    """
    for step in steps:
        image = STEPS[step.step](image, **step.model_dump(exclude={"step"}))
    return image
