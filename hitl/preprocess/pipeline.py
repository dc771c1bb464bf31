"""The config's list of preprocessing steps, run in order."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from annotations.fields import LabelsInfo
from hitl.preprocess.steps import STEPS, Image, PreprocessError
from hitl.project.classes import projection_of
from hitl.project.processing import PreprocessStep, Projection


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


def steps_for(
    steps: Sequence[PreprocessStep], info: LabelsInfo, whose: str
) -> tuple[PreprocessStep, ...]:
    """Return the steps without their projection, which the store does as it reads these labels.

    Parameters
    ----------
    steps : sequence of step models
    info : LabelsInfo
    whose : str
        What has the steps, for messages.

    Raises
    ------
    PreprocessError
        The labels are of another projection: the image could not be compared with them.
    """
    wanted, has = projection_of(steps), info.label_class.projection
    if wanted not in (None, has) and info.field.zyx[0] > 1:
        raise PreprocessError(
            f"{info.address}: {whose} makes one slice of all ({wanted}), but these labels were "
            f"added {f'by {has}' if has else 'with all slices'}; add the image again under another "
            "name with `hitl add --field`, or change the step project"
        )
    return tuple(step for step in steps if not isinstance(step, Projection))
