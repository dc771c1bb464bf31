"""The config's list of preprocessing steps, run in order."""

from __future__ import annotations

from collections.abc import Callable, Iterable

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
from hitl.project.processing import PreprocessStep

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
