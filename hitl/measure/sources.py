"""Where labels and intensities are read from, by slabs of z."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from annotations.formats import FileImage, LabelSource, refuse_series
from annotations.views import LabelsView
from hitl.project.errors import MeasureError
from labels.blocks import shape_zyx
from labels.spacing import Spacing, is_spacing

SLAB_VOXELS = 1 << 23
"""Voxels of a slab; a bound on memory, whatever the field's depth."""
SLAB_STEP = 16
"""Depth of the store's chunks, none of which should be read twice."""


class VoxelSource(Protocol):
    """Labels and channels of one field.

    Parameters
    ----------
    shape : (int, int, int)
        (Z, Y, X).
    spacing_um : (float, float, float)
        Voxel size (z, y, x) in µm.
    channels : tuple of str
        Names of the channels; empty when there is no image.
    """

    shape: tuple[int, int, int]
    spacing_um: Spacing
    channels: tuple[str, ...]

    def labels(self, z_start: int, z_stop: int) -> NDArray[Any]:
        """Return ids of shape (z_stop - z_start, Y, X), integers of 0 or more."""
        ...

    def channel(self, index: int, z_start: int, z_stop: int) -> NDArray[Any]:
        """Return intensities of one channel, shape (z_stop - z_start, Y, X)."""
        ...


def slabs(shape: tuple[int, int, int]) -> Iterator[tuple[int, int]]:
    """Yield (z_start, z_stop) of slabs that are whole chunks deep where they can be."""
    depth, height, width = shape
    step = max(1, SLAB_VOXELS // (height * width))
    step = step // SLAB_STEP * SLAB_STEP or step
    for z in range(0, depth, step):
        yield z, min(z + step, depth)


class ArraySource:
    """Labels and channels that are arrays, in memory or in zarr.

    Parameters
    ----------
    labels : array of int, shape (Z, Y, X)
    image : array, shape (C, Z, Y, X) or (Z, Y, X), optional
    spacing_um : (float, float, float)
        Voxel size (z, y, x) in µm.
    channels : sequence of str, optional
        Names; ``ch0``, ``ch1``, … when not given.

    Raises
    ------
    MeasureError
        Labels that are not integers or not 3D, shapes that differ, no voxel size.
    """

    def __init__(
        self,
        labels: Any,
        image: Any = None,
        *,
        spacing_um: Sequence[float] | None,
        channels: Sequence[str] | None = None,
    ) -> None:
        _check_labels(labels)
        self.label_array, self._image = labels, image
        self.shape = shape_zyx(labels)
        self.spacing_um = _checked_spacing(spacing_um)
        self._single = image is not None and len(image.shape) == 3
        count = 0
        if image is not None:
            zyx = tuple(image.shape)[-3:]
            if zyx != tuple(labels.shape) or len(image.shape) not in (3, 4):
                raise _different(tuple(labels.shape), tuple(image.shape))
            count = 1 if self._single else image.shape[0]
        names = tuple(channels) if channels is not None else tuple(f"ch{i}" for i in range(count))
        if len(names) != count:
            raise MeasureError(
                f"expected {count} channel names, got {len(names)}; give one name per channel"
            )
        self.channels = names

    def labels(self, z_start: int, z_stop: int) -> NDArray[Any]:
        """Return ids of shape (z_stop - z_start, Y, X)."""
        return np.asarray(self.label_array[z_start:z_stop])

    def channel(self, index: int, z_start: int, z_stop: int) -> NDArray[Any]:
        """Return intensities of one channel, shape (z_stop - z_start, Y, X)."""
        if self._single:
            return np.asarray(self._image[z_start:z_stop])
        return np.asarray(self._image[index, z_start:z_stop])


class FileSource:
    """Labels and channels of two open files.

    Parameters
    ----------
    label_file : LabelSource
    image_file : FileImage

    Raises
    ------
    AxesError
        Several time points.
    MeasureError
        Shapes that differ.
    """

    def __init__(self, label_file: LabelSource, image_file: FileImage) -> None:
        info = image_file.info
        times, _, *zyx = info.shape
        refuse_series(info.path, times, flat=zyx[0] == 1)
        refuse_series(label_file.path, label_file.times, flat=label_file.zyx[0] == 1)
        if label_file.shape != tuple(zyx):
            raise _different(label_file.shape, info.shape[1:])
        self._label_file, self._image_file = label_file, image_file
        self.shape, self.spacing_um = label_file.shape, info.spacing_um
        self.channels = info.channels

    def labels(self, z_start: int, z_stop: int) -> NDArray[Any]:
        """Return ids of shape (z_stop - z_start, Y, X)."""
        return self._label_file.read(z_start, z_stop)

    def channel(self, index: int, z_start: int, z_stop: int) -> NDArray[Any]:
        """Return intensities of one channel, shape (z_stop - z_start, Y, X)."""
        return np.asarray(self._image_file.read(0, z_start, z_stop)[index])


def store_source(view: LabelsView, labels: NDArray[Any] | None = None) -> ArraySource:
    """Return a field of the store, with its own labels or with others of its shape."""
    return ArraySource(
        view.labels if labels is None else labels,
        view.image,
        spacing_um=view.info.spacing_um,
        channels=view.info.field.channels,
    )


def _check_labels(labels: Any) -> None:
    if not np.issubdtype(np.dtype(labels.dtype), np.integer):
        raise MeasureError(
            f"labels: expected integers, got {labels.dtype}; give one whole number per object, "
            "0 for background"
        )
    if len(labels.shape) != 3 or 0 in labels.shape:
        raise MeasureError(
            f"labels: expected voxels of shape (Z, Y, X), got {tuple(labels.shape)}; "
            "give one channel of one field"
        )


def _checked_spacing(spacing_um: Sequence[float] | None) -> Spacing:
    if spacing_um is None or not is_spacing(spacing_um):
        raise MeasureError(
            f"voxel size: expected three lengths (z, y, x) in µm above 0, got {spacing_um}; "
            "say --spacing-um Z Y X"
        )
    z, y, x = map(float, spacing_um)
    return z, y, x


def _different(labels: tuple[int, ...], image: tuple[int, ...]) -> MeasureError:
    return MeasureError(
        f"expected labels and image of one shape, got labels (Z, Y, X) {labels} and image "
        f"{image}; give the labels of that image"
    )
