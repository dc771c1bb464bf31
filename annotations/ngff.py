"""OME-NGFF 0.5 metadata, so that a plain copy of a field's group opens in other viewers.

Source: https://ngff.openmicroscopy.org/0.5/
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

VERSION = "0.5"

_SPATIAL = ("z", "y", "x")

# Told apart by people with any colour vision (Okabe and Ito); one channel alone is grey.
_COLORS = ("56B4E9", "E69F00", "009E73", "CC79A7", "F0E442", "D55E00", "0072B2")


def multiscales(
    name: str, path: str, spacing_um: Sequence[float], *, with_channels: bool
) -> list[dict[str, Any]]:
    """Return the `multiscales` list of an image of one resolution.

    Parameters
    ----------
    name : str
    path : str
        Of the array, relative to the group that carries the metadata.
    spacing_um : (float, float, float)
        Voxel size (z, y, x) in µm.
    with_channels : bool
        Whether the array is (C, Z, Y, X) or (Z, Y, X).
    """
    axes: list[dict[str, str]] = [{"name": "c", "type": "channel"}] if with_channels else []
    axes += [{"name": axis, "type": "space", "unit": "micrometer"} for axis in _SPATIAL]
    scale = [1.0] * with_channels + [float(step) for step in spacing_um]
    return [
        {
            "name": name,
            "axes": axes,
            "datasets": [
                {
                    "path": path,
                    "coordinateTransformations": [{"type": "scale", "scale": scale}],
                }
            ],
        }
    ]


def image_attributes(
    name: str,
    path: str,
    spacing_um: Sequence[float],
    channels: Sequence[str],
    ranges: Sequence[tuple[float, float]],
) -> dict[str, Any]:
    """Return the `ome` attribute of a group that holds a (C, Z, Y, X) image.

    Parameters
    ----------
    name, path, spacing_um
        As in `multiscales`.
    channels : sequence of str
    ranges : sequence of (float, float)
        Lowest and highest intensity of each channel: the contrast at which viewers open it.
    """
    colors = ("FFFFFF",) if len(channels) == 1 else _COLORS
    return {
        "version": VERSION,
        "multiscales": multiscales(name, path, spacing_um, with_channels=True),
        "omero": {
            "channels": [
                {
                    "label": channel,
                    "color": colors[i % len(colors)],
                    "active": True,
                    "window": {"min": low, "max": high, "start": low, "end": high},
                }
                for i, (channel, (low, high)) in enumerate(zip(channels, ranges, strict=True))
            ]
        },
    }


def label_attributes(name: str, path: str, spacing_um: Sequence[float]) -> dict[str, Any]:
    """Return the `ome` attribute of a label image inside an image's `labels` group."""
    return {
        "version": VERSION,
        "multiscales": multiscales(name, path, spacing_um, with_channels=False),
        "image-label": {"source": {"image": "../../"}},
    }
