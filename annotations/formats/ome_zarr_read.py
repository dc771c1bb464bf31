"""OME-Zarr 0.4 (zarr v2) and 0.5 (zarr v3) folders, read at full resolution."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray

from annotations.errors import FormatError
from annotations.formats.format import Header, RawVoxels, translated
from annotations.formats.units import micrometres, seconds

_VERSIONS = ("0.4", "0.5")
_ADVICE = "export it again as OME-Zarr 0.4 or 0.5"
_AXIS_TYPES = {"time": "T", "channel": "C"}
_UNKNOWN_AXIS = "?"


class OmeZarrVoxels(RawVoxels):
    """An open OME-Zarr image or label group.

    Parameters
    ----------
    path : Path
        The group that holds ``multiscales``.

    Raises
    ------
    FormatError
        Not such a group, another version, corrupt metadata, or a path that leaves the folder.
    """

    def __init__(self, path: Path) -> None:
        with translated(path, _ADVICE):
            attributes = _attributes(path)
            multiscale = _multiscale(path, attributes)
            dataset = multiscale["datasets"][0]
            _check_inside(path, str(dataset["path"]))
            self._array = _open_array(path, str(dataset["path"]))
            axes = _axes(multiscale["axes"], self._array.ndim)
            steps = _steps(multiscale, dataset, axes)
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
            return np.asarray(self._array[index])

    def close(self) -> None:
        """Do nothing: chunk files are open only while they are read."""


def _attributes(path: Path) -> Mapping[str, Any]:
    """OME metadata of a group, whichever zarr version holds it."""
    v3, v2 = path / "zarr.json", path / ".zattrs"
    if v3.exists():
        document = json.loads(v3.read_text())
        if document.get("node_type") == "array":
            raise FormatError(_bare_array(path))
        return dict(document.get("attributes", {}).get("ome", {}))
    if (path / ".zarray").exists():
        raise FormatError(_bare_array(path))
    return dict(json.loads(v2.read_text())) if v2.exists() else {}


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
    multiscale: Mapping[str, Any] = found[0]
    version = str(attributes.get("version") or multiscale.get("version") or "0.4")
    if version not in _VERSIONS:
        raise FormatError(
            f"{path}: expected OME-Zarr {' or '.join(_VERSIONS)}, got version {version}; {_ADVICE}"
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


def _open_array(path: Path, inner: str) -> Any:
    folder = path / inner
    for name in ("zarr.json", ".zarray"):
        if (folder / name).exists() and _names_pickle(json.loads((folder / name).read_text())):
            raise FormatError(
                f"{path}: its voxels are stored as Python pickles, which may run code; {_ADVICE}"
            )
    return zarr.open_array(store=folder, mode="r")


def _names_pickle(node: object) -> bool:
    """Whether a codec anywhere in the metadata (shards nest them) is a pickle."""
    if isinstance(node, Mapping):
        named = str(node.get("id", "")) + str(node.get("name", ""))
        return "pickle" in named.lower() or any(_names_pickle(value) for value in node.values())
    if isinstance(node, list):
        return any(_names_pickle(value) for value in node)
    return False


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
    multiscale: Mapping[str, Any], dataset: Mapping[str, Any], axes: str | None
) -> dict[str, float]:
    """µm, or s along T, by axis letter: the array's scale times that of the whole pyramid."""
    if axes is None:
        return {}
    scale = [math.nan] * len(axes)
    own = _scale(dataset.get("coordinateTransformations"), len(axes))
    if own is not None:
        shared = _scale(multiscale.get("coordinateTransformations"), len(axes))
        scale = [a * b for a, b in zip(own, shared or [1.0] * len(axes), strict=True)]
    steps: dict[str, float] = {}
    for letter, axis, value in zip(axes, multiscale["axes"], scale, strict=True):
        converted = (seconds if letter == "T" else micrometres)(value, axis.get("unit"))
        if converted is not None and not math.isnan(converted):
            steps[letter] = converted
    return steps


def _scale(transforms: object, ndim: int) -> list[float] | None:
    """Product of the scales stated in the metadata themselves; None without one."""
    found: list[float] | None = None
    for transform in transforms if isinstance(transforms, list) else []:
        values = transform.get("scale") if transform.get("type") == "scale" else None
        if isinstance(values, list) and len(values) == ndim:
            found = [a * float(b) for a, b in zip(found or [1.0] * ndim, values, strict=True)]
    return found


def _channels(attributes: Mapping[str, Any]) -> tuple[str, ...]:
    stated = attributes.get("omero", {}).get("channels", [])
    return tuple(str(channel.get("label", "")) for channel in stated)
