"""Voxel size, time step and channel names as the dialects of TIFF state them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any
from xml.etree import ElementTree

from annotations.errors import FormatError
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
        _put(sizes, "Z", abs(spacing), z_unit)
    _put(sizes, "Y", _pixel(tags.get("YResolution")), y_unit)
    _put(sizes, "X", _pixel(tags.get("XResolution")), unit)
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


def _put(sizes: dict[str, float], axis: str, value: float, unit: str | None) -> None:
    um = micrometres(value, unit)
    if um is not None and not math.isnan(um):
        sizes[axis] = um


class OmeXml:
    """The few things needed of an OME-XML description.

    Parameters
    ----------
    path : Path
        Named in messages.
    text : str

    Raises
    ------
    FormatError
        Not well formed, with entity definitions, or naming files outside the image's folder.
    """

    def __init__(self, path: Path, text: str) -> None:
        if "<!DOCTYPE" in text or "<!ENTITY" in text:
            raise FormatError(
                f"{path}: its OME-XML defines entities, which is unsafe to read; open the image in "
                "Fiji and save it again"
            )
        try:
            root = ElementTree.fromstring(text)  # noqa: S314 - entities are refused above
        except ElementTree.ParseError as exc:
            raise FormatError(
                f"{path}: its OME-XML is corrupt ({exc}); open the image in Fiji and save it again"
            ) from exc
        self._check_file_names(path, root)
        self._pixels = next((e for e in root.iter() if e.tag.endswith("}Pixels")), None)

    @staticmethod
    def _check_file_names(path: Path, root: ElementTree.Element) -> None:
        for element in root.iter():
            for key in ("FileName", "MetadataFile"):
                name = element.attrib.get(key)
                if name is not None and (
                    PurePosixPath(name).name != name or PureWindowsPath(name).name != name
                ):
                    raise FormatError(
                        f"{path}: its OME-XML names the file {name!r}, outside its own folder; put "
                        "all parts in one folder and save it again"
                    )

    @property
    def spacing_um(self) -> dict[str, float]:
        """µm by axis letter, as far as stated (``PhysicalSizeX`` with its unit, by default µm)."""
        sizes: dict[str, float] = {}
        stated = {} if self._pixels is None else self._pixels.attrib
        for axis in "ZYX":
            try:
                value = float(stated.get(f"PhysicalSize{axis}", "nan"))
            except ValueError:
                value = math.nan
            _put(sizes, axis, value, stated.get(f"PhysicalSize{axis}Unit", "\u00b5m"))
        return sizes

    @property
    def time_step_s(self) -> float | None:
        """Seconds between time points (``TimeIncrement`` with its unit, by default s)."""
        stated = {} if self._pixels is None else self._pixels.attrib
        try:
            value = float(stated.get("TimeIncrement", "nan"))
        except ValueError:
            return None
        return seconds(value, stated.get("TimeIncrementUnit", "s"))

    @property
    def channels(self) -> tuple[str, ...]:
        """Channel names, empty where not stated."""
        found = [] if self._pixels is None else list(self._pixels)
        return tuple(e.attrib.get("Name", "") for e in found if e.tag.endswith("}Channel"))
