"""The OME-XML of a TIFF: the few things needed of it, and what it may not claim."""

from __future__ import annotations

import math
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any
from xml.etree import ElementTree
from xml.parsers import expat

from annotations.errors import FormatError
from annotations.formats.tiff_metadata import put_size
from annotations.formats.units import seconds

MOST_ELEMENTS = 2_000_000
"""A plane takes three at most: where it is, in which file, and how it was taken."""

DEEPEST = 64
PLANE_BYTES = 8
"""No plane of a file takes fewer."""

_ADVICE = "open the image in Fiji and save it again"
_MOST_DIGITS = 18


class OmeXml:
    """The few things needed of an OME-XML description.

    Parameters
    ----------
    path : Path
        The image.
    text : str
    pages : int
        Of its own file.

    Raises
    ------
    FormatError
        Not well formed, of more elements than any image has, with entity definitions, naming files
        outside the image's folder, or claiming planes that the files cannot hold.
    """

    def __init__(self, path: Path, text: str, pages: int) -> None:
        self._path, self._pages = path, pages
        _check_bounds(path, text)
        root = ElementTree.fromstring(text)  # noqa: S314 - bounded above, without entities
        self.parts = _named_files(path, root)
        self._first = next((e for e in root.iter() if e.tag.endswith("}Pixels")), None)
        self._check_planes(root)
        _check_modulo(path, root)

    def _check_planes(self, root: ElementTree.Element) -> None:
        """Refuse planes by the billion: tifffile makes a list of all that are claimed."""
        held = sum(part.stat().st_size for part in (self._path, *self.parts))
        claimed = sum(map(self._claimed, (e for e in root.iter() if _is(e, "Pixels"))))
        if claimed * PLANE_BYTES > held:
            raise FormatError(
                f"{self._path}: its OME-XML names {claimed:,} planes, more than a file of "
                f"{held:,} bytes can hold; copy it again, all parts in one folder, or export it "
                "again"
            )

    def _claimed(self, pixels: ElementTree.Element) -> int:
        """Return how many planes an image claims: by its sizes, and by its parts."""
        order = pixels.attrib.get("DimensionOrder", "")
        if sorted(order) != sorted("XYZCT"):
            raise FormatError(
                f"{self._path}: expected an order of X, Y, Z, C and T in its OME-XML, got "
                f"{order[:20]!r}; {_ADVICE}"
            )
        claimed = math.prod(self._whole(pixels, f"Size{axis}", 1) for axis in "CZT")
        for data in (e for e in pixels if _is(e, "TiffData")):
            for key in ("IFD", "FirstZ", "FirstC", "FirstT"):
                self._whole(data, key, 0)
            count = self._whole(data, "NumPlanes", 1 if "IFD" in data.attrib else self._pages)
            claimed += self._whole(data, "PlaneCount", count)
        return claimed

    def _whole(self, element: ElementTree.Element, key: str, default: int) -> int:
        text = element.attrib.get(key)
        if text is None:
            return default
        if not (text.isascii() and text.strip().isdecimal()) or len(text) > _MOST_DIGITS:
            raise FormatError(
                f"{self._path}: expected a whole number of 0 or more as {key} in its OME-XML, got "
                f"{text[:_MOST_DIGITS]!r}; {_ADVICE}"
            )
        return int(text)

    @property
    def spacing_um(self) -> dict[str, float]:
        """µm by axis letter, as far as stated (``PhysicalSizeX`` with its unit, by default µm)."""
        sizes: dict[str, float] = {}
        stated = {} if self._first is None else self._first.attrib
        for axis in "ZYX":
            try:
                value = float(stated.get(f"PhysicalSize{axis}", "nan"))
            except ValueError:
                value = math.nan
            put_size(sizes, axis, value, stated.get(f"PhysicalSize{axis}Unit", "\u00b5m"))
        return sizes

    @property
    def time_step_s(self) -> float | None:
        """Seconds between time points (``TimeIncrement`` with its unit, by default s)."""
        stated = {} if self._first is None else self._first.attrib
        try:
            value = float(stated.get("TimeIncrement", "nan"))
        except ValueError:
            return None
        return seconds(value, stated.get("TimeIncrementUnit", "s"))

    @property
    def channels(self) -> tuple[str, ...]:
        """Channel names, empty where not stated."""
        found = [] if self._first is None else list(self._first)
        return tuple(e.attrib.get("Name", "") for e in found if e.tag.endswith("}Channel"))


def _is(element: ElementTree.Element, name: str) -> bool:
    """Whether an element has a name, whatever its namespace; as tifffile looks for it."""
    return element.tag.endswith(name)


def _check_bounds(path: Path, text: str) -> None:
    """Go through the elements without keeping them; refuse entities, depth and number."""
    found = depth = 0

    def begin(*_: Any) -> None:
        nonlocal found, depth
        found, depth = found + 1, depth + 1
        if found > MOST_ELEMENTS or depth > DEEPEST:
            raise FormatError(
                f"{path}: its OME-XML has more than {MOST_ELEMENTS:,} elements, or more than "
                f"{DEEPEST} in each other, as no image's has; {_ADVICE}"
            )

    def end(*_: Any) -> None:
        nonlocal depth
        depth -= 1

    def refuse(*_: Any) -> None:
        raise FormatError(
            f"{path}: its OME-XML defines entities, which is unsafe to read; {_ADVICE}"
        )

    parser = expat.ParserCreate()
    parser.StartElementHandler, parser.EndElementHandler = begin, end
    parser.StartDoctypeDeclHandler = refuse
    try:
        parser.Parse(text, True)
    except (expat.ExpatError, UnicodeError) as exc:
        raise FormatError(f"{path}: its OME-XML is corrupt ({exc}); {_ADVICE}") from exc


def _named_files(path: Path, root: ElementTree.Element) -> tuple[Path, ...]:
    """Return the other files that hold planes of an image, as far as they are there."""
    names = set()
    for element in root.iter():
        for key in ("FileName", "MetadataFile"):
            name = element.attrib.get(key)
            if name is None:
                continue
            if PurePosixPath(name).name != name or PureWindowsPath(name).name != name:
                raise _outside(path, name)
            names.add(name)
    others = (path.parent / name for name in sorted(names - {path.name, ""}) if "\0" not in name)
    parts = tuple(other for other in others if other.exists())
    folders = {path.parent.resolve(), path.resolve().parent}
    for part in parts:
        if not part.is_file() or part.resolve().parent not in folders:
            raise _outside(path, part.name)
    return parts


def _outside(path: Path, name: str) -> FormatError:
    return FormatError(
        f"{path}: its OME-XML names the file {name!r}, outside its own folder or no file; put all "
        "parts in one folder and save it again"
    )


def _check_modulo(path: Path, root: ElementTree.Element) -> None:
    """Refuse an axis of the modulo extension with more steps than any image has."""
    for along in (e for e in root.iter() if e.tag[:-1].endswith("Along")):
        try:
            start, stop, step = (
                float(along.attrib.get(key, fallback))
                for key, fallback in (("Start", "0"), ("End", "0"), ("Step", "1"))
            )
            steps = (stop - start) / step
        except (ValueError, ZeroDivisionError):
            steps = math.inf
        if not abs(steps) <= MOST_ELEMENTS:
            raise FormatError(f"{path}: its OME-XML has an axis without end; {_ADVICE}")
