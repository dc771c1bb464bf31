"""Open images and labels, read by slabs of z, and the labels of a stack from a file."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from annotations.errors import AxesError, FormatError, LabelError, SpacingError
from annotations.formats import checks
from annotations.formats.format import Expected, Format, LabelsRead, RawStack
from annotations.volume import ImageInfo
from labels.spacing import Spacing

_LABEL_SLAB_BYTES = 64 * 2**20


@contextmanager
def _closed_on_error(raw: RawStack) -> Iterator[None]:
    """Release a file that cannot be used."""
    try:
        yield
    except BaseException:
        raw.close()
        raise


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

    def __exit__(self, *_: object) -> None:
        self.close()


class StackImage(_Source):
    """An open image (an `ImageSource`).

    Parameters
    ----------
    raw : RawStack
    format : str
        Name of its format.
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
        self,
        raw: RawStack,
        format: str,
        axes: str | None = None,
        spacing_um: Sequence[float] | None = None,
    ) -> None:
        with _closed_on_error(raw):
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
                format=format,
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
        with _closed_on_error(raw):
            _refuse_image_with_labels(raw.path)
            super().__init__(raw, axes)
            checks.check_label_dtype(raw.path, raw.header.dtype)
            if self._czyx[0] > 1:
                raise LabelError(
                    f"{raw.path}: expected labels of one channel, got {self._czyx[0]}; save one "
                    "file of labels per channel"
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

    def read_all(self) -> NDArray[np.uint32]:
        """Return all ids, shape (Z, Y, X); raises as `read`."""
        depth, height, width = self.shape
        labels = np.empty(self.shape, np.uint32)
        step = max(1, _LABEL_SLAB_BYTES // (height * width * self.dtype.itemsize))
        for z in range(0, depth, step):
            labels[z : z + step] = self.read(z, min(z + step, depth))
        return labels


def _refuse_image_with_labels(path: Path) -> None:
    """Integer intensities pass for ids; an OME-Zarr image that holds labels tells them apart."""
    folder = path / "labels"
    names = sorted(f"labels/{child.name}" for child in folder.glob("*") if child.is_dir())
    if names:
        raise LabelError(
            f"{path}: is an image, not labels; give the labels inside it: {', '.join(names)}"
        )


def _channel_names(stated: tuple[str, ...], count: int) -> tuple[str, ...]:
    """One different name per channel."""
    names = [name or f"ch{i}" for i, name in enumerate(stated)]
    if len(names) != count:
        names = [f"ch{i}" for i in range(count)]
    if len(set(names)) < count:
        names = [f"{name} {i}" for i, name in enumerate(names)]
    return tuple(names)


def read_stack_labels(fmt: Format, path: Path, expected: Expected) -> LabelsRead:
    """Read labels that belong to a stack from a file of a format.

    Raises
    ------
    LabelError
        No labels, or of another shape.
    AxesError
        Axes that nothing states.
    FormatError
        A file that cannot be read.
    """
    if fmt.read is not None:
        found = fmt.read(path, expected)
    else:
        assert fmt.open is not None, "a format that reads labels"
        found = read_voxels(fmt.open, path, expected)
    checks.check_labels_match(expected.shape, found.labels.shape, str(path))
    return found


def read_voxels(open_raw: Callable[[Path], RawStack], path: Path, expected: Expected) -> LabelsRead:
    """Read the labels of a stack from a file of voxels that may not say what its axes are.

    Raises
    ------
    LabelError
        Not labels.
    AxesError
        Axes that nothing states.
    FormatError
        A file that cannot be read.
    """
    try:
        notes: tuple[str, ...] = ()
        source = LabelSource(open_raw(path))
    except AxesError:
        axes, notes = _unstated_axes(path, expected)
        source = LabelSource(open_raw(path), axes)
    with source:
        return LabelsRead(source.read_all(), notes)


def _unstated_axes(path: Path, expected: Expected) -> tuple[str, tuple[str, ...]]:
    """Return the axes of a file that does not say, if only one answer is possible."""
    if expected.axes is not None:
        return expected.axes, ()
    shape = expected.shape
    if not expected.exported and len(set(shape)) < len(shape):
        raise AxesError(
            f"{path}: does not say what its axes are, and several orders fit the stack's shape "
            f"{shape}; state them with --axes, for example --axes ZYX"
        )
    why = "as exported" if expected.exported else "the only order that fits the stack"
    return "ZYX", (f"{path}: does not say what its axes are; taken as Z, Y, X ({why})",)
