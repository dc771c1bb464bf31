"""Planes of labels that are read when indexed, whatever holds them."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from annotations.volume import SlabSource
from labels.arrays import ArrayLike


class _Indexed:
    """A source of slabs that is indexed by slices of planes."""

    def __init__(self, source: SlabSource) -> None:
        self._source = source
        self.shape = source.shape
        self.dtype = np.dtype(getattr(source, "dtype", np.uint32))

    def __getitem__(self, planes: slice) -> NDArray[Any]:
        start, stop, _ = planes.indices(self.shape[0])
        return self._source.read(start, stop)


def as_array(labels: ArrayLike | SlabSource) -> ArrayLike:
    """Return labels as what is indexed by slices of planes, [start:stop]."""
    return _Indexed(labels) if isinstance(labels, SlabSource) else labels
