"""Parts of a mask: the grey levels that stand for a class, and the objects that hang together."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Protocol, runtime_checkable

import fastremap
import numpy as np
from numpy.typing import NDArray

from annotations.errors import LabelError
from annotations.formats.format import MAX_LABEL
from annotations.formats.sources import check_range
from annotations.volume import SlabSource, time_parts

_SLAB_BYTES = 64 * 2**20


@runtime_checkable
class PlaneSource(SlabSource, Protocol):
    """Labels of several time points, read by slabs of their planes."""

    @property
    def times(self) -> int:
        """Time points."""
        ...


def values_in(source: SlabSource) -> tuple[int, ...]:
    """Return all values of a mask, 0 among them, ascending; it is read slab by slab.

    Parameters
    ----------
    source : SlabSource
        Integers, shape (T * Z, Y, X).
    """
    planes, height, width = source.shape
    step = max(1, _SLAB_BYTES // (4 * height * width))
    found: set[int] = set()
    for z in range(0, planes, step):
        found.update(fastremap.unique(source.read(z, min(z + step, planes))).tolist())
    return tuple(sorted(found))


def select_values(source: SlabSource, values: Iterable[int]) -> PlaneSource:
    """Return a mask of a class: 1 where another mask has one of its values, else 0.

    Parameters
    ----------
    source : SlabSource
        Integers, shape (T * Z, Y, X).
    values : iterable of int
        Such as 255 for the nuclei of a mask that has 128 for the cytoplasm.

    Raises
    ------
    LabelError
        No values, or one that no mask can have.
    """
    wanted = sorted(set(values))
    if not wanted or wanted[0] < 0 or wanted[-1] > MAX_LABEL:
        raise LabelError(
            f"expected values of a mask from 0 to {MAX_LABEL}, got {wanted or 'none'}; say which "
            "grey levels are the class"
        )
    return _Selected(source, wanted)


def components(source: SlabSource) -> PlaneSource:
    """Return the objects of a mask: what hangs together in one time point has one id.

    Voxels of one value that touch at a side, an edge or a corner hang together (26 neighbours, in
    2D 8); 0 is background. Ids go on from time point to time point, so no two objects share one.
    One time point is held in memory.

    Parameters
    ----------
    source : SlabSource
        Integers, shape (T * Z, Y, X), with `times` where there are several time points.

    Raises
    ------
    LabelError
        When it is read: more objects than there are ids.
    """
    return _Components(source)


class _Part:
    """What is made of another source of planes, plane for plane."""

    dtype = np.dtype(np.uint32)

    def __init__(self, source: SlabSource) -> None:
        self._source = source

    @property
    def shape(self) -> tuple[int, ...]:
        """(T * Z, Y, X)."""
        return self._source.shape

    @property
    def times(self) -> int:
        """Time points."""
        return self._source.times if isinstance(self._source, PlaneSource) else 1

    @property
    def zyx(self) -> tuple[int, int, int]:
        """(Z, Y, X) of one time point."""
        planes, height, width = self.shape
        return planes // self.times, height, width


class _Selected(_Part):
    """1 where a mask has one of some values."""

    def __init__(self, source: SlabSource, values: list[int]) -> None:
        super().__init__(source)
        self._values = np.array(values, np.int64)

    def read(self, z_start: int, z_stop: int) -> NDArray[np.uint32]:
        """Return planes of 0 and 1, shape (z_stop - z_start, Y, X)."""
        return np.isin(self._source.read(z_start, z_stop), self._values).astype(np.uint32)


class _Components(_Part):
    """Objects of a mask, found time point by time point."""

    def __init__(self, source: SlabSource) -> None:
        super().__init__(source)
        self._counts: list[int] = []
        self._found: tuple[int, NDArray[np.uint32]] | None = None

    def read(self, z_start: int, z_stop: int) -> NDArray[np.uint32]:
        """Return planes of ids, shape (z_stop - z_start, Y, X)."""
        check_range("z", z_start, z_stop, self.shape[0])
        parts = time_parts(z_start, z_stop, self.zyx[0])
        return np.concatenate([self._time_point(time)[low:high] for time, low, high in parts])

    def _time_point(self, time: int) -> NDArray[np.uint32]:
        while len(self._counts) < time:
            self._label(len(self._counts))
        if self._found is None or self._found[0] != time:
            labels = self._label(time)
            before = sum(self._counts[:time])
            if before + self._counts[time] > MAX_LABEL:
                raise LabelError(f"expected at most {MAX_LABEL} objects, got more; clean the mask")
            labels[labels > 0] += np.uint32(before)
            self._found = time, labels
        return self._found[1]

    def _label(self, time: int) -> NDArray[np.uint32]:
        """Return the objects of a time point, numbered from 1, and keep how many there are."""
        import cc3d

        depth = self.zyx[0]
        mask = np.asarray(self._source.read(time * depth, (time + 1) * depth))
        found: tuple[Any, int] = cc3d.connected_components(
            mask, connectivity=26, return_N=True, out_dtype=np.uint32
        )
        if len(self._counts) == time:
            self._counts.append(found[1])
        labels: NDArray[np.uint32] = found[0]
        return labels
