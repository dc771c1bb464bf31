"""The config's list of preprocessing steps, run in order."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from hitl.preprocess.steps import STEPS, Image
from hitl.project.processing import PreprocessStep


def preprocess(steps: Iterable[PreprocessStep], image: Image) -> Image:
    """Run the steps in order on each channel.

    Parameters
    ----------
    steps : iterable of step models
    image : ndarray of integer or float, shape (C, Z, Y, X)

    Returns
    -------
    ndarray, shape (C, Z, Y, X)
        Of the last step's dtype; `image` itself when there is no step.

    Raises
    ------
    PreprocessError
        When a step cannot take what the one before it gives.
    """
    for step in steps:
        options = step.model_dump(exclude={"step"})
        image = np.stack([STEPS[step.step](channel, **options) for channel in image])
    return image
