"""Voxel size, time step and channel names as the dialects of TIFF state them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from annotations.formats.units import micrometres, seconds

_INCH, _CENTIMETRE = 2, 3


def calibration(
    description: Mapping[str, Any], tags: Mapping[str, Any]
) -> tuple[dict[str, float], str]:
    """Voxel size as ImageJ, and tifffile after it, write it.

    Parameters
    ----------
    description : mapping
        ``spacing``, ``unit``, ``yunit``, ``zunit`` of the image description.
    tags : mapping
        ``XResolution`` and ``YResolution`` (pixels per unit, as a ratio), ``ResolutionUnit``.

    Returns
    -------
    dict of str to float
        µm by axis letter, as far as stated.
    str
        What is missing, for a message.
    """
    unit = _unit(description.get("unit")) or {_INCH: "inch", _CENTIMETRE: "cm"}.get(
        int(tags.get("ResolutionUnit", 0))
    )
    z_unit = _unit(description.get("zunit")) or unit
    y_unit = _unit(description.get("yunit")) or unit
    sizes: dict[str, float] = {}
    spacing = description.get("spacing")
    if isinstance(spacing, int | float):
        # ImageJ writes a negative spacing for stacks taken downwards, and reads its magnitude.
        put_size(sizes, "Z", abs(spacing), z_unit)
    put_size(sizes, "Y", _pixel(tags.get("YResolution")), y_unit)
    put_size(sizes, "X", _pixel(tags.get("XResolution")), unit)
    if unit is None or micrometres(1, unit) is None:
        return sizes, f"its unit is {unit or 'not stated'}"
    if spacing is None:
        return sizes, "its metadata has no spacing of slices; ImageJ leaves out one of exactly 1"
    return sizes, ""


def frame_interval(description: Mapping[str, Any]) -> float | None:
    """Seconds between frames as ImageJ writes them; None when not stated.

    Parameters
    ----------
    description : mapping
        ``finterval`` and ``tunit`` of the image description.
    """
    interval = description.get("finterval")
    if not isinstance(interval, int | float):
        return None
    return seconds(interval, _unit(description.get("tunit")) or "sec")


def _unit(value: object) -> str | None:
    """ImageJ escapes the micro sign."""
    if not isinstance(value, str) or not value.strip():
        return None
    return value.replace("\\u00B5", "\u00b5").replace("\\u00b5", "\u00b5").strip()


def _pixel(resolution: object) -> float:
    """Size of a pixel from pixels per unit (numerator, denominator)."""
    if not isinstance(resolution, tuple) or len(resolution) != 2 or 0 in resolution:
        return math.nan
    return float(resolution[1]) / float(resolution[0])


def put_size(sizes: dict[str, float], axis: str, value: float, unit: str | None) -> None:
    """Enter the size of a voxel along an axis, where its unit is one of length."""
    um = micrometres(value, unit)
    if um is not None and not math.isnan(um):
        sizes[axis] = um
