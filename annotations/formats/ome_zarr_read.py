"""OME-Zarr 0.4 (zarr v2) and 0.5 (zarr v3) folders, read at full resolution."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from annotations.errors import FormatError
from annotations.formats import zarr_folder
from annotations.formats.format import Header, RawVoxels, translated
from annotations.formats.units import micrometres, seconds

_VERSIONS = ("0.4", "0.5")
_ADVICE = "export it again as OME-Zarr 0.4 or 0.5"
_AXIS_TYPES = {"time": "T", "channel": "C"}
_UNKNOWN_AXIS = "?"
T = TypeVar("T")


class OmeZarrVoxels(RawVoxels):
    """An open OME-Zarr image or label group.

    Parameters
    ----------
    path : Path
        The group that holds ``multiscales``.

    Raises
    ------
    FormatError
        Not such a group, another version, corrupt metadata, or a path or link that leaves the
        folder.
    """

    def __init__(self, path: Path) -> None:
        attributes = _attributes(path)
        multiscale = _multiscale(path, attributes)
        dataset = _first(path, multiscale, "datasets")
        inner = _checked(path, dataset.get("path"), str, "a path in each of its 'datasets'")
        _check_inside(path, inner)
        with translated(path, _ADVICE):
            self._array = zarr_folder.open_array(path, inner)
        stated = _mappings(path, multiscale, "axes")
        axes = _axes(stated, self._array.ndim)
        steps = _steps(path, multiscale, dataset, stated, axes)
        header = Header(
            shape=tuple(self._array.shape),
            dtype=np.dtype(self._array.dtype),
            axes=axes,
            spacing_um={axis: size for axis, size in steps.items() if axis in "ZYX"},
            time_step_s=steps.get("T"),
            channels=_channels(attributes),
            spacing_hint="its axes have no unit of length, or no scale",
        )
        super().__init__(path, header)

    def cut(self, index: tuple[slice, ...]) -> NDArray[Any]:
        """Decode the chunks of `index`."""
        with translated(self.path, _ADVICE):
            return np.asarray(zarr_folder.read(self._array, index))

    def close(self) -> None:
        """Do nothing: chunk files are open only while they are read."""


def _attributes(path: Path) -> Mapping[str, Any]:
    """OME metadata of a group, whichever zarr version holds it."""
    document = zarr_folder.metadata(path, "zarr.json")
    if document is not None:
        if document.get("node_type") == "array":
            raise FormatError(_bare_array(path))
        attributes = document.get("attributes")
        found = attributes.get("ome") if isinstance(attributes, dict) else None
        return found if isinstance(found, dict) else {}
    if (path / ".zarray").exists():
        raise FormatError(_bare_array(path))
    return zarr_folder.metadata(path, ".zattrs") or {}


def _checked(path: Path, value: object, kind: type[T], what: str) -> T:
    """Return a value of the metadata, or refuse one of another kind."""
    if not isinstance(value, kind):
        got = "none" if value is None else "another value"
        raise FormatError(f"{path}: expected {what} in its metadata, got {got}; {_ADVICE}")
    return value


def _mappings(path: Path, holder: Mapping[str, Any], key: str) -> list[Mapping[str, Any]]:
    """Return a list of mappings of the metadata, which is not empty."""
    found = _checked(path, holder.get(key), list, f"a list {key!r}")
    if not found or not all(isinstance(one, dict) for one in found):
        raise FormatError(
            f"{path}: expected mappings in {key!r} of its metadata, got "
            f"{'none' if not found else 'other values'}; {_ADVICE}"
        )
    return found


def _first(path: Path, holder: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    return _mappings(path, holder, key)[0]


def _bare_array(path: Path) -> str:
    return (
        f"{path}: is a single zarr array, without axes and voxel size; give the folder above it, "
        "the one whose metadata holds 'multiscales'"
    )


def _multiscale(path: Path, attributes: Mapping[str, Any]) -> Mapping[str, Any]:
    found = attributes.get("multiscales")
    if not found:
        groups = sorted(
            str(folder.relative_to(path))
            for folder in (*path.glob("*"), *path.glob("labels/*"))
            if folder.is_dir() and _is_image(folder)
        )
        inside = f"; give one of the images inside: {', '.join(groups)}" if groups else ""
        raise FormatError(
            f"{path}: expected an OME-Zarr image (a group with 'multiscales'), got a group without"
            f"{inside or '; ' + _ADVICE}"
        )
    multiscale = _first(path, attributes, "multiscales")
    version = str(attributes.get("version") or multiscale.get("version") or "0.4")
    if version not in _VERSIONS:
        raise FormatError(
            f"{path}: expected OME-Zarr {' or '.join(_VERSIONS)}, got version {version[:20]}; "
            f"{_ADVICE}"
        )
    return multiscale


def _is_image(folder: Path) -> bool:
    try:
        return "multiscales" in _attributes(folder)
    except FormatError:
        return False


def _check_inside(path: Path, inner: str) -> None:
    """Refuse a dataset path that leaves the folder: the metadata may come from anybody."""
    parts = PurePosixPath(inner).parts
    if not parts or ".." in parts or inner.startswith("/") or "\\" in inner or ":" in inner:
        raise FormatError(
            f"{path}: its metadata names the array {inner!r}, outside its own folder; do not trust "
            f"this file, or {_ADVICE}"
        )


def _axes(axes: Sequence[Mapping[str, Any]], ndim: int) -> str | None:
    """One letter per dimension; None when the metadata do not fit the array."""
    if len(axes) != ndim:
        return None
    letters = []
    for axis in axes:
        name, kind = str(axis.get("name", "")).upper(), axis.get("type")
        letters.append(_AXIS_TYPES.get(str(kind), name if name in set("TCZYX") else _UNKNOWN_AXIS))
    return "".join(letters)


def _steps(
    path: Path,
    multiscale: Mapping[str, Any],
    dataset: Mapping[str, Any],
    stated: Sequence[Mapping[str, Any]],
    axes: str | None,
) -> dict[str, float]:
    """µm, or s along T, by axis letter: the array's scale times that of the whole pyramid."""
    if axes is None:
        return {}
    scale = [math.nan] * len(axes)
    own = _scale(path, dataset, len(axes))
    if own is not None:
        shared = _scale(path, multiscale, len(axes))
        scale = [a * b for a, b in zip(own, shared or [1.0] * len(axes), strict=True)]
    steps: dict[str, float] = {}
    for letter, axis, value in zip(axes, stated, scale, strict=True):
        unit = axis.get("unit")
        convert = seconds if letter == "T" else micrometres
        converted = convert(value, unit if isinstance(unit, str) else None)
        if converted is not None and not math.isnan(converted):
            steps[letter] = converted
    return steps


def _scale(path: Path, holder: Mapping[str, Any], ndim: int) -> list[float] | None:
    """Product of the scales stated in the metadata themselves; None without one."""
    if not holder.get("coordinateTransformations"):
        return None
    found: list[float] | None = None
    for transform in _mappings(path, holder, "coordinateTransformations"):
        values = transform.get("scale") if transform.get("type") == "scale" else None
        if isinstance(values, list) and len(values) == ndim:
            if not all(isinstance(value, int | float) for value in values):
                raise FormatError(f"{path}: expected numbers as its 'scale', got others; {_ADVICE}")
            found = [a * float(b) for a, b in zip(found or [1.0] * ndim, values, strict=True)]
    return found


def _channels(attributes: Mapping[str, Any]) -> tuple[str, ...]:
    omero = attributes.get("omero")
    stated = omero.get("channels") if isinstance(omero, dict) else None
    channels = stated if isinstance(stated, list) else []
    return tuple(str(c.get("label", "")) for c in channels if isinstance(c, dict))
