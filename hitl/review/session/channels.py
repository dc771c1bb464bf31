"""The channels that a person sees while they correct, and the one image that splits go by."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from annotations.fields import LabelsView
from annotations.ngff import channel_colours

GREY = "FFFFFF"


@dataclass(frozen=True)
class SeenChannel:
    """One channel of the time point that is corrected.

    Parameters
    ----------
    name : str
        As the field has it.
    colour : str
        Such as ``"56B4E9"``; white where it is the only one, since labels are told best from grey.
    voxels : ndarray, shape (Z, Y, X)
    """

    name: str
    colour: str
    voxels: NDArray[Any]


def seen_channels(view: LabelsView) -> tuple[SeenChannel, ...]:
    """Return the channels that show the class of a view of one time point."""
    names, seen = view.info.field.channels, view.info.seen
    colours = channel_colours(names) if len(seen) > 1 else [GREY] * len(names)
    return tuple(
        SeenChannel(names[number], colours[number], voxels)
        for number, voxels in zip(seen, view.read_image(), strict=True)
    )


def brightness(channels: Sequence[SeenChannel]) -> NDArray[Any]:
    """Return the image that says where objects are dark and bright, shape (Z, Y, X).

    The only channel, or the mean of several, each in units of its own contrast.
    """
    if len(channels) == 1:
        return channels[0].voxels
    scaled = [each.voxels / max(float(each.voxels.std()), 1e-12) for each in channels]
    return np.asarray(np.mean(scaled, axis=0), np.float32)
