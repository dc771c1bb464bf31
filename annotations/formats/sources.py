"""Open images and labels, read by slabs of z."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from annotations.errors import FormatError, LabelError, SpacingError
from annotations.formats import checks
from annotations.formats.format import RawVoxels
from annotations.volume import ImageInfo, time_parts
from labels.memory import too_large
from labels.spacing import Spacing

COLOURS = ("R", "G", "B")
"""Names of the channels of an image in colours."""

_LABEL_SLAB_BYTES = 64 * 2**20

_COPIES = 3
"""Of voxels in memory while they are read: as stored, in their order, and what is made of them."""


@contextmanager
def _closed_on_error(raw: RawVoxels) -> Iterator[None]:
    """Release a file that cannot be used."""
    try:
        yield
    except BaseException:
        raw.close()
        raise


class _Source:
    """Raw voxels whose dimensions are known, read as (C, dz, Y, X); colour samples are channels.

    Transparency that is the same everywhere is left out; other transparency is refused when it is
    read.
    """

    def __init__(self, raw: RawVoxels, axes: str | None) -> None:
        self._raw = raw
        self._axes = checks.resolve_axes(raw.path, raw.header.shape, raw.header.axes, axes)
        sizes = dict(zip(self._axes, raw.header.shape, strict=True))
        samples = sizes.get("S", 1)
        # Grey with transparency has two samples, colours have four.
        self._transparent = samples in (2, 4)
        self._transparency: Any = None
        self._in_colours = samples > 2
        channels = sizes.get("C", samples - self._transparent)
        self._shape = (sizes.get("T", 1), channels, sizes.get("Z", 1), sizes["Y"], sizes["X"])
        self._closed = False
        self._check_memory(1)

    def _check_memory(self, slices: int) -> None:
        """Refuse to read more slices at once than there is memory for, whatever a file claims."""
        voxels = math.prod((self._shape[1], slices, *self._shape[3:]))
        excess = too_large(_COPIES * voxels * max(self._raw.header.dtype.itemsize, 1))
        if excess is not None:
            channels, _, height, width = self._shape[1:]
            raise FormatError(
                f"{self._raw.path}: reading {slices} of its slices of {channels} x {height} x "
                f"{width} (C, Y, X) at once {excess}; crop it, or check that it is whole"
            )

    def _spacing_um(self, asked_um: Sequence[float] | None) -> Spacing:
        head = self._raw.header
        depth = self._shape[2] if "Z" in self._axes else None
        return checks.choose_spacing(
            self._raw.path, head.spacing_um, asked_um, head.spacing_hint, depth
        )

    def _read_czyx(self, time: int, z_start: int, z_stop: int) -> NDArray[Any]:
        if self._closed:
            raise FormatError(f"{self._raw.path}: read after it was closed; open it again")
        self._check_memory(z_stop - z_start)
        cuts = {"T": slice(time, time + 1), "Z": slice(z_start, z_stop)}
        stored = self._raw.cut(tuple(cuts.get(axis, slice(None)) for axis in self._axes))
        dropped = [i for i, axis in enumerate(self._axes) if axis in (checks.DROPPED, "T")]
        stored = stored.squeeze(tuple(dropped))
        kept = [axis for axis in self._axes if axis not in (checks.DROPPED, "T")]
        order = [kept.index(axis) for axis in "CSZYX" if axis in kept]
        czyx = stored.transpose(order).reshape(-1, z_stop - z_start, *self._shape[3:])
        if self._transparent:
            czyx = self._without_transparency(czyx)
        return np.ascontiguousarray(czyx, dtype=czyx.dtype.newbyteorder("="))

    def _without_transparency(self, czyx: NDArray[Any]) -> NDArray[Any]:
        last = czyx[-1]
        if self._transparency is None:
            self._transparency = last.flat[0]
        if (last != self._transparency).any():
            raise FormatError(
                f"{self._raw.path}: expected a picture without transparency, got an alpha channel "
                "that differs from place to place; save it again without (Fiji: Image > Type > RGB "
                "Color)"
            )
        return czyx[:-1]

    def close(self) -> None:
        """Release the file."""
        self._closed = True
        self._raw.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class FileImage(_Source):
    """An open image (an `ImageSource`).

    Parameters
    ----------
    raw : RawVoxels
    format : str
        Name of its format.
    axes : str, optional
        The user's statement of the axes.
    spacing_um : (float, float, float), optional
        The user's voxel size (z, y, x).

    Raises
    ------
    FormatError
        Axes, voxel size or dtype that cannot be used, or numbers of a palette.
    """

    def __init__(
        self,
        raw: RawVoxels,
        format: str,
        axes: str | None = None,
        spacing_um: Sequence[float] | None = None,
    ) -> None:
        with _closed_on_error(raw):
            super().__init__(raw, axes)
            head = raw.header
            if head.palette:
                raise FormatError(
                    f"{raw.path}: expected intensities, got numbers of colours in a palette; save "
                    "it again in RGB colours or in greys (Fiji: Image > Type)"
                )
            checks.check_image_dtype(raw.path, head.dtype)
            self._info = ImageInfo(
                path=raw.path,
                shape=self._shape,
                dtype=head.dtype.newbyteorder("="),
                spacing_um=self._spacing_um(spacing_um),
                time_step_s=_time_step(head.time_step_s, self._shape[0]),
                channels=self._channels(),
                format=format,
            )

    def _channels(self) -> tuple[str, ...]:
        count = self._shape[1]
        names = self.stated_channels or tuple(f"ch{i}" for i in range(count))
        return unique_names([name or f"ch{i}" for i, name in enumerate(names)])

    @property
    def stated_channels(self) -> tuple[str, ...]:
        """Names of the channels as the file has them; empty where it has none, or too many."""
        if self._in_colours:
            return COLOURS
        stated = self._raw.header.channels
        return stated if len(stated) == self._shape[1] else ()

    @property
    def info(self) -> ImageInfo:
        """Shape, dtype, spacing, time step and channels."""
        return self._info

    def read(self, time: int, z_start: int, z_stop: int) -> NDArray[Any]:
        """Return voxels of shape (C, z_stop - z_start, Y, X) in the file's dtype.

        Raises
        ------
        FormatError
            Voxels that cannot be decoded, or transparency.
        """
        check_range("time", time, time + 1, self._shape[0])
        check_range("z", z_start, z_stop, self._shape[2])
        return self._read_czyx(time, z_start, z_stop)


class LabelSource(_Source):
    """Open labels, read by slabs of planes: the slices of all time points, time after time.

    A picture in colours that is grey everywhere (R = G = B) reads as its grey levels.

    Parameters
    ----------
    raw : RawVoxels
    axes : str, optional
        The user's statement of the axes.

    Raises
    ------
    LabelError
        Not integers, of several channels, or from a file that keeps no label as it was.
    AxesError
        Axes unknown, or not those of one image.
    """

    def __init__(self, raw: RawVoxels, axes: str | None = None) -> None:
        with _closed_on_error(raw):
            _refuse_image_with_labels(raw.path)
            super().__init__(raw, axes)
            checks.check_label_dtype(raw.path, raw.header.dtype)
            if raw.header.lossy:
                raise LabelError(
                    f"{raw.path}: expected labels, got a picture that was compressed with loss, "
                    "which changes ids at every edge; save the labels as PNG or TIFF"
                )
            if self._shape[1] > 1 and not self._in_colours:
                raise LabelError(
                    f"{raw.path}: expected labels of one channel, got {self._shape[1]}; save one "
                    "file of labels per channel"
                )

    @property
    def path(self) -> Path:
        """The file."""
        return self._raw.path

    @property
    def times(self) -> int:
        """Time points."""
        return self._shape[0]

    @property
    def zyx(self) -> tuple[int, int, int]:
        """(Z, Y, X) of one time point."""
        return self._shape[2:]

    @property
    def shape(self) -> tuple[int, int, int]:
        """(T * Z, Y, X)."""
        depth, height, width = self.zyx
        return self.times * depth, height, width

    @property
    def dtype(self) -> np.dtype[Any]:
        """As in the file; `read` returns uint32."""
        return self._raw.header.dtype.newbyteorder("=")

    @property
    def spacing_um(self) -> Spacing | None:
        """Voxel size (z, y, x) in µm; None when the file states none that is plausible."""
        try:
            return self._spacing_um(None)
        except SpacingError:  # labels take their voxel size from the image
            return None

    def read(self, z_start: int, z_stop: int) -> NDArray[np.uint32]:
        """Return ids of the planes [z_start, z_stop), shape (z_stop - z_start, Y, X).

        Raises
        ------
        LabelError
            Ids that are negative or above 2**32 - 1, or colours that are not grey.
        FormatError
            Voxels that cannot be decoded.
        """
        check_range("z", z_start, z_stop, self.shape[0])
        depth = self.zyx[0]
        several = depth if self.times > 1 else None
        parts = []
        for time, low, high in time_parts(z_start, z_stop, depth):
            grey = self._grey(self._read_czyx(time, low, high))
            parts.append(checks.to_ids(grey, time * depth + low, self.path, several))
        return parts[0] if len(parts) == 1 else np.concatenate(parts)

    def _grey(self, czyx: NDArray[Any]) -> NDArray[Any]:
        if (czyx[1:] != czyx[:1]).any():
            raise LabelError(
                f"{self.path}: expected ids or grey levels, got colours; save the labels in one "
                "channel (Fiji: Image > Type > 8-bit or 16-bit)"
            )
        grey: NDArray[Any] = czyx[0]
        return grey

    def read_all(self) -> NDArray[np.uint32]:
        """Return all ids, shape (T * Z, Y, X); raises as `read`."""
        planes, height, width = self.shape
        labels = np.empty(self.shape, np.uint32)
        step = max(1, _LABEL_SLAB_BYTES // (height * width * self.dtype.itemsize))
        for z in range(0, planes, step):
            labels[z : z + step] = self.read(z, min(z + step, planes))
        return labels


def check_range(axis: str, start: int, stop: int, size: int) -> None:
    """Refuse what a caller may not read.

    Raises
    ------
    ValueError
    """
    if not 0 <= start < stop <= size:
        raise ValueError(
            f"expected 0 <= {axis}_start < {axis}_stop <= {size}, got {start} and {stop}"
        )


def unique_names(names: Sequence[str]) -> tuple[str, ...]:
    """Return different names: numbered where two are the same."""
    if len(set(names)) < len(names):
        names = [f"{name} {i}" for i, name in enumerate(names)]
    return tuple(names)


def _refuse_image_with_labels(path: Path) -> None:
    """Integer intensities pass for ids; an OME-Zarr image that holds labels tells them apart."""
    folder = path / "labels"
    names = sorted(f"labels/{child.name}" for child in folder.glob("*") if child.is_dir())
    if names:
        raise LabelError(
            f"{path}: is an image, not labels; give the labels inside it: {', '.join(names)}"
        )


def _time_step(stated: float | None, times: int) -> float | None:
    """Seconds between several time points, where what the file states can be true."""
    if times == 1 or stated is None or not math.isfinite(stated) or stated <= 0:
        return None
    return stated
