"""The config's list of preprocessing steps, run in order."""

from __future__ import annotations

from collections.abc import Iterable

from hitl.preprocess.steps import STEPS, Image
from hitl.project.processing import PreprocessStep


def preprocess(steps: Iterable[PreprocessStep], image: Image) -> Image:
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
