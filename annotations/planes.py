"""Arrays of the store as algorithms see them: labels without the axis of time, images of one time.

Labels of several time points are planes, (T·Z, Y, X), time after time: what compares ids by voxel
needs no axis of time, and chunks, whose depth divides Z, stay chunks. What looks at neighbours
takes one time point, (Z, Y, X).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray

from annotations._storage import Location, reading
from annotations.volume import time_parts


def _mean(image: NDArray[Any], **axes: Any) -> NDArray[Any]:
    """Return means of the image's dtype; those of integers are rounded to the nearest."""
    made = np.mean(image, dtype=np.float64, **axes)
    return np.asarray(np.rint(made) if image.dtype.kind in "iu" else made).astype(image.dtype)


PROJECTIONS: dict[str, Callable[..., NDArray[Any]]] = {"max": np.max, "mean": _mean}
"""How the slices of an image become one, of the image's dtype."""


def _bounds(key: Any, shape: tuple[int, ...]) -> tuple[list[slice], tuple[int, ...]]:
    """Return a slice per axis, and the axes that an integer takes away."""
    parts = list(key) if isinstance(key, tuple) else [key]
    if Ellipsis in parts:
        at = parts.index(Ellipsis)
        parts[at : at + 1] = [slice(None)] * (len(shape) - len(parts) + 1)
    parts += [slice(None)] * (len(shape) - len(parts))
    found, dropped = [], []
    for axis, (part, size) in enumerate(zip(parts, shape, strict=True)):
        if isinstance(part, slice):
            start, stop, step = part.indices(size)
            if step < 1:
                raise IndexError(f"expected slices that go up, got {part}")
            found.append(slice(start, max(start, stop), step))
            continue
        where = int(part) + (size if part < 0 else 0)
        if not 0 <= where < size:
            raise IndexError(f"expected a position from 0 to {size - 1}, got {part}")
        found.append(slice(where, where + 1))
        dropped.append(axis)
    return found, tuple(dropped)


class Planes:
    """Labels, or verified voxels, of one time point or of several; read and written when indexed.

    Parameters
    ----------
    array : zarr array, shape (T, Z, Y, X)
        Several time points are chunked so that the depth of a chunk divides Z.
    location : Location
        Of the store, for messages.
    time : int, optional
        Only this time point; all of them when not given.
    """

    ndim = 3

    def __init__(self, array: zarr.Array[Any], location: Location, time: int | None = None) -> None:
        self._array, self._location = array, location
        self.times = range(array.shape[0]) if time is None else range(time, time + 1)
        self.depth = array.shape[1]
        _, _, height, width = array.shape
        self.shape = (len(self.times) * self.depth, height, width)
        _, z, y, x = array.chunks
        self.chunks: tuple[int, int, int] = (z, y, x)
        self.dtype = array.dtype

    @property
    def path(self) -> str:
        """Where the array is in the store."""
        return self._array.path

    def time_of(self, plane: int) -> tuple[int, int]:
        """Return time point and z of a plane."""
        time, z = divmod(plane, self.depth)
        return self.times[time], z

    def chunk_of(self, index: tuple[int, ...]) -> tuple[int, int, int] | None:
        """Return which chunk of the planes a chunk (t, z, y, x) of the array is, None for none."""
        time, z, y, x = index
        if time not in self.times:
            return None
        per_time = -(-self.depth // self.chunks[0])
        return (time - self.times.start) * per_time + z, y, x

    def _parts(self, planes: slice) -> list[tuple[int, slice, slice]]:
        """Cut planes at the borders of time points: time, its z, and where that is in `planes`."""
        found = []
        for time, low, high in time_parts(planes.start, planes.stop, self.depth):
            here = time * self.depth + low - planes.start
            found.append((self.times[time], slice(low, high), slice(here, here + high - low)))
        return found

    def __getitem__(self, key: Any) -> NDArray[Any]:
        (planes, y, x), dropped = _bounds(key, self.shape)
        with reading(self._location, f"{self.path} at planes {planes.start} to {planes.stop}"):
            parts = self._parts(planes) or [(0, slice(0, 0), slice(0, 0))]
            read = [np.asarray(self._array[time, z, y, x]) for time, z, _ in parts]
        out = read[0] if len(read) == 1 else np.concatenate(read)
        return out[:: planes.step].squeeze(dropped)

    def __setitem__(self, key: Any, values: Any) -> None:
        (planes, y, x), _ = _bounds(key, self.shape)
        if any(part.step not in (None, 1) for part in (planes, y, x)):
            raise IndexError(f"expected slices of step 1 to write to, got {key}")
        size = (planes.stop - planes.start, y.stop - y.start, x.stop - x.start)
        block = np.broadcast_to(values, size)
        for time, z, here in self._parts(planes):
            self._array[time, z, y, x] = block[here]

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        return np.asarray(self[...], dtype)


class ImageOfTime:
    """Channels of an image at one time point, shape (C, Z, Y, X); read when indexed.

    Parameters
    ----------
    array : zarr array, shape (T, C, Z, Y, X)
    location : Location
        Of the store, for messages.
    time : int
    projection : str, optional
        One of `PROJECTIONS`: Z is 1 then.
    channels : sequence of int, optional
        Only these, in their order; all of them when not given.
    """

    ndim = 4

    def __init__(
        self,
        array: zarr.Array[Any],
        location: Location,
        time: int,
        projection: str | None = None,
        channels: Sequence[int] | None = None,
    ) -> None:
        self._array, self._location, self._time = array, location, time
        self._projection = projection
        _, every, depth, height, width = array.shape
        self._channels = range(every) if channels is None else tuple(channels)
        self.shape = (len(self._channels), 1 if projection else depth, height, width)
        self.dtype = array.dtype
        self.chunks = (1, 1 if projection else array.chunks[2], *array.chunks[3:])

    def __getitem__(self, key: Any) -> NDArray[Any]:
        (c, z, y, x), dropped = _bounds(key, self.shape)
        out = np.empty(
            [
                len(range(*part.indices(n)))
                for part, n in zip((c, z, y, x), self.shape, strict=True)
            ],
            self.dtype,
        )
        with reading(self._location, f"{self._array.path} at time {self._time}"):
            # A chunk holds one channel, so that reading them one by one costs nothing.
            for channel, number in zip(out, self._channels[c], strict=True):
                if self._projection is None:
                    channel[...] = self._array[self._time, number, z, y, x]
                else:
                    every = np.asarray(self._array[self._time, number, :, y, x])
                    channel[...] = PROJECTIONS[self._projection](every, axis=0, keepdims=True)[z]
        return out.squeeze(dropped)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        return np.asarray(self[...], dtype)
