"""What became of the objects of a field between two label images."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from annotations._chunks import Region, as_labels
from annotations.edits._overlaps import rows_of
from annotations.edits._reading import Ids
from annotations.errors import LabelError
from labels.overlaps import Objects, Pairs


@dataclass(frozen=True, kw_only=True)
class Edit:
    """Objects before, and those after that belong together with them.

    Parameters
    ----------
    before : tuple of int
        Ids before, ascending; none for an added object.
    after : tuple of int
        Ids after as the tool gave them, ascending; none for a deleted object.
    stable : tuple of int
        The stable id of each of `after`.
    gained, lost : int
        Voxels that the objects after have and those before had not, and the reverse. Voxels
        that one of them handed to another are neither.
    box : (slice, slice, slice)
        Around the objects before and after; z, y, x.
    """

    before: tuple[int, ...]
    after: tuple[int, ...]
    stable: tuple[int, ...]
    gained: int
    lost: int
    box: Region


@dataclass(frozen=True, eq=False)
class Edits:
    """All that differs between two label images of one field.

    Parameters
    ----------
    shape : (int, int, int)
        (Z, Y, X).
    changes : tuple of Edit
        Ordered by their first voxel, whatever the ids.
    before, after : Objects
        The objects that were looked at.
    stable_ids : ndarray of uint32
        The stable id of each of `after.ids`.
    pairs : Pairs
        Ids before and stable ids after, and what is known of the voxels that they share.
    whole : bool
        Whether the whole field was looked at. If not, an id that is not in `after` stands for
        the object that had it before.
    """

    shape: tuple[int, int, int]
    changes: tuple[Edit, ...]
    before: Objects
    after: Objects
    stable_ids: Ids
    pairs: Pairs
    whole: bool = True

    @cached_property
    def stable(self) -> Mapping[int, int]:
        """The stable id of each id after."""
        return dict(zip(self.after.ids.tolist(), self.stable_ids.tolist(), strict=True))

    @cached_property
    def unchanged(self) -> Mapping[int, int]:
        """Id before, by id after, of the objects whose voxels are the same."""
        touched = {i for change in self.changes for i in change.after}
        return {i: s for i, s in self.stable.items() if i not in touched}

    @cached_property
    def ids_are_stable(self) -> bool:
        """Whether the labels after have stable ids already."""
        return np.array_equal(self.after.ids, self.stable_ids)

    def stable_id(self, ids: Iterable[int]) -> list[int]:
        """Return the stable id of each id after.

        Raises
        ------
        LabelError
            An id that no voxel has.
        """
        wanted = list(ids)
        if self.whole:
            return [int(s) for s in self.stable_ids[rows_of(self.after, wanted)]]
        return [self.stable.get(i, i) for i in wanted]

    def with_stable_ids(self) -> Edits:
        """Return the same edits as of the labels with stable ids."""
        order = np.argsort(self.stable_ids)
        stable = self.stable_ids[order]
        changes = []
        for change in self.changes:
            ids = tuple(sorted(change.stable))
            changes.append(replace(change, after=ids, stable=ids))
        return replace(
            self,
            changes=tuple(changes),
            after=replace(self.after[order], ids=stable.astype(np.int64)),
            stable_ids=stable,
        )

    def apply_stable_ids(self, after: NDArray[Any]) -> Ids:
        """Return a part of the labels after with stable ids.

        Parameters
        ----------
        after : ndarray of integer, shape (dz, dy, dx)
            Any part, as the tool gave it; it is not changed, and returned as it is when its
            ids are stable already.

        Raises
        ------
        LabelError
            An id that the compared labels did not have.
        """
        block = np.ascontiguousarray(as_labels(after, "labels"))
        if self.ids_are_stable and not self.whole:
            return block
        return relabelled(block, self.after.ids, self.stable_ids, keep_unknown=not self.whole)


def relabelled(block: Ids, ids: NDArray[np.integer], values: Ids, *, keep_unknown: bool) -> Ids:
    """Return labels (Z, Y, X) with other ids; background stays.

    Parameters
    ----------
    block : ndarray of uint32, C-contiguous, shape (Z, Y, X)
    ids : ndarray of integer, shape (N,)
        Ascending.
    values : ndarray of uint32, shape (N,)
    keep_unknown : bool
        Leave an id that is not in `ids` as it is.

    Raises
    ------
    LabelError
        An id that is not in `ids`, unless they are kept.
    """
    from annotations.edits import _kernels

    out = np.empty_like(block)
    unknown = int(_kernels.relabel()(block, ids.astype(np.uint32), values, keep_unknown, out))
    if unknown:
        raise LabelError(
            f"labels: expected ids of the labels that were compared, got {unknown}; "
            "compare again, the labels have changed since"
        )
    return out
