"""The verified voxels of labels, with their total that is kept beside them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray

from annotations._chunks import Change, Reader, Region, explicit, rewrite_patches
from annotations._guards import as_flags, check_shape
from annotations._storage import Location, translated
from annotations.layout import VERIFIED_VOXELS
from annotations.planes import Planes


def put_flags(
    group: zarr.Group,
    planes: Planes,
    patches: Iterable[tuple[Region, NDArray[Any]]],
    put: Callable[[NDArray[Any], NDArray[Any]], object],
    name: str,
    location: Location,
    known: Reader | None = None,
) -> int:
    """Put flags into parts of labels as `rewrite_patches` does, and bring their total up to date.

    Returns
    -------
    int
        Voxels that changed.

    Raises
    ------
    LabelError
        A region outside the field, another shape, or values other than 0 and 1.
    StoreError
        The storage failed.
    """

    def checked() -> Iterator[tuple[Region, NDArray[np.uint8]]]:
        for region, mask in patches:
            place = explicit(region, planes.shape, f"field {name!r}")
            flags = as_flags(mask, name)
            check_shape(flags, place, name)
            yield place, flags

    gained: list[int] = []

    def guard(change: Change) -> None:
        gained.append(int(np.count_nonzero(change.after)) - int(np.count_nonzero(change.before)))

    with translated("write to", location):
        changed = rewrite_patches(planes, checked(), put, guard, location, known)
        if sum(gained):
            # A total beside the array: counting a large field's voxels again takes seconds.
            group.attrs[VERIFIED_VOXELS] = int(str(group.attrs[VERIFIED_VOXELS])) + sum(gained)
    return changed


def either(flags: NDArray[np.uint8], more: NDArray[np.uint8]) -> None:
    """Set flags, in place, where others are set."""
    np.bitwise_or(flags, more, out=flags)
