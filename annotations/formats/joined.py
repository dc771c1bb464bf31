"""Several files as one image: one file per channel, or one per time point."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import NDArray

from annotations.errors import AxesError, FormatError, SpacingError
from annotations.formats.reading import open_image
from annotations.formats.sources import FileImage, check_range, unique_names
from annotations.volume import ImageInfo, ImageSource

Along = Literal["channels", "times"]
"""What the files of one image are."""

_MOST_OPEN = 32
_RELATIVE = 1e-3
"""Voxel sizes that differ by less, relative to the larger, are the same: files round them."""
_ENDINGS = (".ome.tiff", ".ome.tif", ".ome.zarr")


def open_joined(
    paths: Sequence[Path | str],
    along: Along,
    *,
    axes: str | None = None,
    spacing_um: Sequence[float] | None = None,
) -> ImageSource:
    """Open several files as one image, in the order in which they are given.

    Parameters
    ----------
    paths : sequence of Path or str
        Files of any format, of one channel each, or of one time point each.
    along : {"channels", "times"}
        What each file is. A channel that its file does not name is called after the file.
    axes : str, optional
        Of each file, as for `annotations.formats.open_image`.
    spacing_um : (float, float, float), optional
        Voxel size (z, y, x) in µm, of all of them.

    Returns
    -------
    ImageSource
        Close it, or use it in a ``with`` block. The time step between files is not known.

    Raises
    ------
    FormatError
        A file that cannot be read, is named twice, or differs from the first in dtype, shape,
        voxel size, or the names of its channels.
    AxesError
        A file of several channels, or of several time points, where it should be one of them.
    """
    files = [Path(path) for path in paths]
    if not files:
        raise FormatError("expected the files of an image, got none; name at least one")
    twice = next((path for path, count in Counter(files).items() if count > 1), None)
    if twice is not None:
        raise FormatError(f"{twice}: is named twice; name each file of the image once")
    opened = _Opened(files, axes, spacing_um)
    try:
        return _Channels(opened) if along == "channels" else _Times(opened)
    except BaseException:
        opened.close()
        raise


class _Opened:
    """The files, of which a few are open at a time."""

    def __init__(
        self, paths: list[Path], axes: str | None, spacing_um: Sequence[float] | None
    ) -> None:
        self.paths = paths
        self._axes, self._spacing_um = axes, spacing_um
        self._images: dict[int, FileImage] = {}
        self._infos: dict[int, ImageInfo] = {}
        self._closed = False

    def __getitem__(self, i: int) -> FileImage:
        if self._closed:
            raise FormatError(f"{self.paths[i]}: read after it was closed; open it again")
        if i not in self._images:
            if len(self._images) == _MOST_OPEN:
                self._images.pop(next(iter(self._images))).close()
            image = open_image(self.paths[i], axes=self._axes, spacing_um=self._spacing_um)
            self._images[i] = image
            if self._infos.setdefault(i, image.info) != image.info:
                raise FormatError(f"{self.paths[i]}: has changed while it was read; start again")
        return self._images[i]

    def close(self) -> None:
        self._closed = True
        while self._images:
            self._images.popitem()[1].close()


class _Joined:
    """Files that agree in all but what they are joined along."""

    def __init__(self, opened: _Opened, info: ImageInfo) -> None:
        self._opened, self._info = opened, info

    @property
    def info(self) -> ImageInfo:
        """Shape, dtype, spacing, time step and channels of the whole."""
        return self._info

    def close(self) -> None:
        """Release the files."""
        self._opened.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class _Channels(_Joined):
    """One file per channel."""

    def __init__(self, opened: _Opened) -> None:
        first = opened[0].info
        names, step = [], first.time_step_s
        for i, path in enumerate(opened.paths):
            image = opened[i]
            if image.info.shape[1] != 1:
                raise AxesError(
                    f"{path}: expected one channel in each file, got {image.info.shape[1]} "
                    f"({', '.join(image.info.channels)}); save them apart, or give this file alone"
                )
            _check_agrees(first, image.info)
            step = _agreed_step(first, image.info, step)
            names.append((image.stated_channels or ("",))[0] or _stem(path))
        times, _, depth, height, width = first.shape
        shape = (times, len(names), depth, height, width)
        channels, paths = unique_names(names), tuple(opened.paths)
        info = replace(first, shape=shape, channels=channels, time_step_s=step, paths=paths)
        super().__init__(opened, info)

    def read(self, time: int, z_start: int, z_stop: int) -> NDArray[Any]:
        """Return voxels of shape (C, z_stop - z_start, Y, X)."""
        every = range(len(self._opened.paths))
        return np.concatenate([self._opened[i].read(time, z_start, z_stop) for i in every])


class _Times(_Joined):
    """One file per time point."""

    def __init__(self, opened: _Opened) -> None:
        first = opened[0].info
        for i, path in enumerate(opened.paths):
            info = opened[i].info
            if info.shape[0] != 1:
                raise AxesError(
                    f"{path}: expected one time point in each file, got {info.shape[0]}; save them "
                    "apart, or give this file alone"
                )
            _check_agrees(first, info)
            if info.channels != first.channels:
                raise FormatError(
                    f"{path}: expected the channels {', '.join(first.channels)} of "
                    f"{first.path.name}, got {', '.join(info.channels)}; give files of one image"
                )
        paths = tuple(opened.paths)
        super().__init__(opened, replace(first, shape=(len(paths), *first.shape[1:]), paths=paths))

    def read(self, time: int, z_start: int, z_stop: int) -> NDArray[Any]:
        """Return voxels of shape (C, z_stop - z_start, Y, X)."""
        check_range("time", time, time + 1, len(self._opened.paths))
        return self._opened[time].read(0, z_start, z_stop)


def _check_agrees(first: ImageInfo, other: ImageInfo) -> None:
    """Refuse a file of another image."""
    what = ("time points", "channels", "z slices", "rows (y)", "columns (x)")
    for name, expected, found in zip(what, first.shape, other.shape, strict=True):
        if expected != found:
            raise AxesError(
                f"{other.path}: expected {expected} {name} as in {first.path.name}, got {found}; "
                "give files of one image"
            )
    if first.dtype != other.dtype:
        raise FormatError(
            f"{other.path}: expected {first.dtype} as in {first.path.name}, got {other.dtype}; "
            "save all files of an image in one type"
        )
    if not np.allclose(first.spacing_um, other.spacing_um, rtol=_RELATIVE, atol=0):
        raise SpacingError(
            f"{other.path}: expected the voxel size {first.spacing_um} µm (z, y, x) of "
            f"{first.path.name}, got {other.spacing_um}; state it for all files with --spacing-um"
        )


def _agreed_step(first: ImageInfo, other: ImageInfo, step: float | None) -> float | None:
    """Return the time step that the files state, as far as they do."""
    stated = other.time_step_s
    if step is None or stated is None:
        return stated if step is None else step
    if not np.isclose(step, stated, rtol=_RELATIVE, atol=0):
        raise FormatError(
            f"{other.path}: expected {step} s between time points, as the files before it state, "
            f"got {stated}; give files of one image, of which {first.path.name} is the first"
        )
    return step


def _stem(path: Path) -> str:
    """Name of a file without its ending."""
    ending = next((e for e in _ENDINGS if path.name.lower().endswith(e)), path.suffix)
    return path.name[: len(path.name) - len(ending)] or path.name
