"""Label images that are made when they are read, so that they need not fit in memory."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from annotations._chunks import Region, Voxels
from annotations.edits._reading import Ids, read_region, region_reader
from annotations.edits.records import Edits


class ByBox(ABC):
    """What sources that read a box share: a slab is one."""

    @property
    @abstractmethod
    def shape(self) -> tuple[int, ...]:
        """(Z, Y, X)."""

    @abstractmethod
    def read_region(self, region: Region) -> Ids:
        """Return labels of the region's shape; its ends must be given."""

    def read(self, z_start: int, z_stop: int) -> Ids:
        """Return labels of shape (z_stop - z_start, Y, X)."""
        _, y, x = self.shape
        return self.read_region((slice(z_start, z_stop), slice(0, y), slice(0, x)))


@dataclass(frozen=True, eq=False)
class StableLabels(ByBox):
    """The labels after, with stable ids; what a round may write.

    Parameters
    ----------
    after : ndarray, zarr array or source of slabs, shape (Z, Y, X)
        As the tool gave them.
    edits : Edits
        What `compare_labels` found in them.
    """

    after: Voxels
    edits: Edits

    @property
    def shape(self) -> tuple[int, ...]:
        """(Z, Y, X)."""
        return tuple(self.after.shape)

    def read_region(self, region: Region) -> Ids:
        """Return labels of the region's shape; its ends must be given.

        Raises
        ------
        LabelError
            The labels have changed since they were compared.
        """
        return self.edits.apply_stable_ids(self._read(region))

    @cached_property
    def _read(self) -> Callable[[Region], Ids]:
        return region_reader(self.after)


@dataclass(frozen=True, eq=False)
class WithRounds(ByBox):
    """Labels with what some later rounds changed in them, and nothing of the rounds between.

    Parameters
    ----------
    labels : ndarray, zarr array or source of slabs, shape (Z, Y, X)
    rounds : tuple of (labels before, labels after)
        Of each round, the earliest first.
    """

    labels: Voxels
    rounds: tuple[tuple[Voxels, Voxels], ...]

    @property
    def shape(self) -> tuple[int, ...]:
        """(Z, Y, X)."""
        return tuple(self.labels.shape)

    def read_region(self, region: Region) -> Ids:
        """Return labels of the region's shape; its ends must be given."""
        out = read_region(self.labels, region).copy()
        for before, after in self.rounds:
            new = read_region(after, region)
            np.copyto(out, new, where=new != read_region(before, region))
        return out
