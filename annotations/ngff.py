"""OME-NGFF 0.5 metadata, so that a plain copy of a field's group opens in other viewers.

Source: https://ngff.openmicroscopy.org/0.5/
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

VERSION = "0.5"

_TYPES = {"t": "time", "c": "channel", "z": "space", "y": "space", "x": "space"}
_UNITS = {"t": "second", "z": "micrometer", "y": "micrometer", "x": "micrometer"}

# Told apart by people with any colour vision (Okabe and Ito); one channel alone is grey.
_COLORS = ("56B4E9", "E69F00", "009E73", "CC79A7", "F0E442", "D55E00", "0072B2")
_RGB: dict[tuple[str, ...], tuple[str, ...]] = {("R", "G", "B"): ("FF0000", "00FF00", "0000FF")}


def multiscales(
    name: str, axes: str, levels: Mapping[str, Mapping[str, float]], *, timed: bool = True
) -> list[dict[str, Any]]:
    """Return the `multiscales` list of an image.

    Parameters
    ----------
    name : str
    axes : str
        Of the arrays, such as ``"tczyx"``.
    levels : mapping of str to (mapping of str to float)
        Path of each resolution's array, relative to the group that carries the metadata, the finest
        first, and its step along each axis: µm, or seconds along t.
    timed : bool
        Whether the step along t is in seconds; an index otherwise.
    """
    described = []
    for axis in axes:
        unit = {"unit": _UNITS[axis]} if axis in _UNITS and (axis != "t" or timed) else {}
        described.append({"name": axis, "type": _TYPES[axis], **unit})
    datasets = [
        {
            "path": path,
            "coordinateTransformations": [
                {"type": "scale", "scale": [float(steps.get(axis, 1.0)) for axis in axes]}
            ],
        }
        for path, steps in levels.items()
    ]
    return [{"name": name, "axes": described, "datasets": datasets}]


def steps_of(spacing_um: Sequence[float], time_step_s: float | None = None) -> dict[str, float]:
    """Return the step along each axis that has one."""
    steps = dict(zip("zyx", map(float, spacing_um), strict=True))
    return steps if time_step_s is None else {**steps, "t": time_step_s}


def channel_colours(channels: Sequence[str]) -> tuple[str, ...]:
    """Return the colour in which viewers show each channel, such as ``"56B4E9"``."""
    colours = ("FFFFFF",) if len(channels) == 1 else _RGB.get(tuple(channels), _COLORS)
    return tuple(colours[i % len(colours)] for i in range(len(channels)))


def image_attributes(
    multiscale: list[dict[str, Any]],
    channels: Sequence[str],
    ranges: Sequence[tuple[float, float]],
) -> dict[str, Any]:
    """Return the `ome` attribute of a group that holds an image.

    Parameters
    ----------
    multiscale : list
        As `multiscales` returns it.
    channels : sequence of str
    ranges : sequence of (float, float)
        Lowest and highest intensity of each channel: the contrast at which viewers open it.
    """
    shown = zip(channels, channel_colours(channels), ranges, strict=True)
    return {
        "version": VERSION,
        "multiscales": multiscale,
        "omero": {
            "channels": [
                {
                    "label": channel,
                    "color": colour,
                    "active": True,
                    "window": {"min": low, "max": high, "start": low, "end": high},
                }
                for channel, colour, (low, high) in shown
            ]
        },
    }


def label_attributes(multiscale: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the `ome` attribute of a label image inside an image's `labels` group."""
    return {
        "version": VERSION,
        "multiscales": multiscale,
        "image-label": {"source": {"image": "../../"}},
    }


def labels_attributes(names: Sequence[str]) -> dict[str, Any]:
    """Return the `ome` attribute of an image's `labels` group."""
    return {"version": VERSION, "labels": list(names)}
