"""The seam between one file format and everything else."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from annotations.errors import AnnotationError, FormatError, LabelError, SpacingError
from annotations.formats import checks
from annotations.volume import ImageInfo
from labels.spacing import Spacing


@dataclass(frozen=True)
class Header:
    """What a file says of itself, unchecked.

    Parameters
    ----------
    shape : tuple of int
        As stored.
    dtype : numpy dtype
        As stored.
    axes : str, optional
        One letter per dimension; None when the file does not say.
    spacing_um : mapping of str to float
        Voxel size in µm by axis letter, as far as the file states it.
    channels : tuple of str
        Channel names, as far as the file states them.
    spacing_hint : str
        What explains a missing voxel size.
    """

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    axes: str | None
    spacing_um: Mapping[str, float] = field(default_factory=dict)
    channels: tuple[str, ...] = ()
    spacing_hint: str = ""


class RawStack(ABC):
    """An open file of one format: the one contract that a new format fills."""

    format: ClassVar[str]

    def __init__(self, path: Path, header: Header) -> None:
        self.path = path
        self.header = header

    @abstractmethod
    def cut(self, index: tuple[slice, ...]) -> NDArray[Any]:
        """Return the voxels of `index`, one slice per stored dimension, all dimensions kept."""

    @abstractmethod
    def close(self) -> None:
        """Release the file; calling it again does nothing."""


@contextmanager
def translated(path: Path, advice: str) -> Iterator[None]:
    """Turn whatever a third-party parser raises on a bad file into a FormatError."""
    try:
        yield
    except AnnotationError:
        raise
    except FileNotFoundError as exc:
        raise FormatError(f"{path}: a part of it is missing ({exc}); {advice}") from exc
    except PermissionError as exc:
        raise FormatError(f"{path}: may not be read; change its permissions") from exc
    except Exception as exc:
        reason = " ".join(str(exc).split())[:200] or type(exc).__name__
        raise FormatError(f"{path}: cannot be read ({reason}); {advice}") from exc


class _Source:
    """A raw stack whose dimensions are known, read as (C, dz, Y, X)."""

    def __init__(self, raw: RawStack, axes: str | None) -> None:
        self._raw = raw
        self._axes = checks.resolve_axes(raw.path, raw.header.shape, raw.header.axes, axes)
        sizes = dict(zip(self._axes, raw.header.shape, strict=True))
        self._czyx = (sizes.get("C", 1), sizes["Z"], sizes["Y"], sizes["X"])
        self._closed = False

    def _read_czyx(self, z_start: int, z_stop: int) -> NDArray[Any]:
        if self._closed:
            raise FormatError(f"{self._raw.path}: read after it was closed; open it again")
        if not 0 <= z_start < z_stop <= self._czyx[1]:
            raise ValueError(
                f"expected 0 <= z_start < z_stop <= {self._czyx[1]}, got {z_start} and {z_stop}"
            )
        index = tuple(slice(z_start, z_stop) if a == "Z" else slice(None) for a in self._axes)
        stored = self._raw.cut(index)
        kept = [axis for axis in self._axes if axis != checks.DROPPED]
        stored = stored.reshape(
            [n for n, a in zip(stored.shape, self._axes, strict=True) if a in kept]
        )
        order = [kept.index(axis) for axis in "CZYX" if axis in kept]
        czyx = stored.transpose(order).reshape(self._czyx[0], z_stop - z_start, *self._czyx[2:])
        return np.ascontiguousarray(czyx, dtype=czyx.dtype.newbyteorder("="))

    def close(self) -> None:
        """Release the file."""
        self._closed = True
        self._raw.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


class StackImage(_Source):
    """An open image (an `ImageSource`).

    Parameters
    ----------
    raw : RawStack
    axes : str, optional
        The user's statement of the axes.
    spacing_um : (float, float, float), optional
        The user's voxel size (z, y, x).

    Raises
    ------
    FormatError
        Axes, voxel size or dtype that cannot be used.
    """

    def __init__(
        self, raw: RawStack, axes: str | None = None, spacing_um: Sequence[float] | None = None
    ) -> None:
        super().__init__(raw, axes)
        head = raw.header
        checks.check_image_dtype(raw.path, head.dtype)
        self._info = ImageInfo(
            path=raw.path,
            shape=self._czyx,
            dtype=head.dtype.newbyteorder("="),
            spacing_um=checks.choose_spacing(
                raw.path, head.spacing_um, spacing_um, head.spacing_hint
            ),
            channels=_channel_names(head.channels, self._czyx[0]),
            format=raw.format,
        )

    @property
    def info(self) -> ImageInfo:
        """Shape, dtype, spacing and channels."""
        return self._info

    def read(self, z_start: int, z_stop: int) -> NDArray[Any]:
        """Return voxels of shape (C, z_stop - z_start, Y, X) in the file's dtype.

        Raises
        ------
        FormatError
            Voxels that cannot be decoded.
        """
        return self._read_czyx(z_start, z_stop)


class LabelSource(_Source):
    """Open instance labels, read by slabs of z.

    Parameters
    ----------
    raw : RawStack
    axes : str, optional
        The user's statement of the axes.

    Raises
    ------
    LabelError
        Not integers, or more than one channel.
    AxesError
        Axes unknown, or not those of one 3D stack.
    """

    def __init__(self, raw: RawStack, axes: str | None = None) -> None:
        super().__init__(raw, axes)
        checks.check_label_dtype(raw.path, raw.header.dtype)
        if self._czyx[0] > 1:
            raise LabelError(
                f"{raw.path}: expected labels of one channel, got {self._czyx[0]}; save one file "
                "of labels per channel"
            )

    @property
    def path(self) -> Path:
        """The file."""
        return self._raw.path

    @property
    def shape(self) -> tuple[int, int, int]:
        """(Z, Y, X)."""
        return self._czyx[1:]

    @property
    def dtype(self) -> np.dtype[Any]:
        """As in the file; `read` returns uint32."""
        return self._raw.header.dtype.newbyteorder("=")

    @property
    def spacing_um(self) -> Spacing | None:
        """Voxel size (z, y, x) in µm; None when the file states none that is plausible."""
        head = self._raw.header
        try:
            return checks.choose_spacing(self.path, head.spacing_um, None, head.spacing_hint)
        except SpacingError:  # labels take their voxel size from the image
            return None

    def read(self, z_start: int, z_stop: int) -> NDArray[np.uint32]:
        """Return ids of shape (z_stop - z_start, Y, X).

        Raises
        ------
        LabelError
            Ids that are negative or above 2**32 - 1.
        FormatError
            Voxels that cannot be decoded.
        """
        return checks.to_ids(self._read_czyx(z_start, z_stop)[0], z_start, self.path)


def _channel_names(stated: tuple[str, ...], count: int) -> tuple[str, ...]:
    """One different name per channel."""
    names = [name or f"ch{i}" for i, name in enumerate(stated)]
    if len(names) != count:
        names = [f"ch{i}" for i in range(count)]
    if len(set(names)) < count:
        names = [f"{name} {i}" for i, name in enumerate(names)]
    return tuple(names)
