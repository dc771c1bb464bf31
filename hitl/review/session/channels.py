"""The channels that a person sees while they correct."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

from annotations.ngff import channel_colours
from annotations.views import LabelsView

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
