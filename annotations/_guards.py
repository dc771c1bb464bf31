"""What a round refuses: labels without objects, and models that overrule people."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from annotations._chunks import Change, Region, Voxels
from annotations.errors import LabelError, StoreError
from annotations.objects import ObjectTable, Status
from annotations.planes import Planes
from annotations.rounds import RoundInfo
from labels.numbers import number_of

_LARGEST_LOOKUP = 1 << 26


class VerifiedError(StoreError):
    """A model would change what a person has verified."""


def protector(verified: Planes, name: str, info: RoundInfo) -> Callable[[Change], None]:
    """Return what refuses a model's change of a verified voxel with VerifiedError."""

    def protect(change: Change) -> None:
        if info.model is None or not change.differs.any():
            return
        broken = change.differs & (np.asarray(verified[change.place]) != 0)
        if broken.any():
            start = [part.start for part in change.place]
            first = tuple(int(s + i) for s, i in zip(start, np.argwhere(broken)[0], strict=True))
            raise VerifiedError(
                f"field {name!r}: expected a model to leave verified voxels alone, got changes "
                f"of {int(broken.sum())} of them (first at z, y, x = {first}); fill only what "
                "is not verified"
            )

    return protect


def check_shape(block: NDArray[Any], place: Region, name: str) -> None:
    """Refuse values that are not of a region's shape with LabelError."""
    expected = tuple(part.stop - part.start for part in place)
    if block.shape != expected:
        raise LabelError(
            f"field {name!r}: expected values of the region's shape {expected}, got {block.shape}"
        )


def check_whole(name: str, what: str, given: Voxels, array: Planes) -> None:
    """Refuse voxels that are not of a field's shape with LabelError."""
    if tuple(given.shape) != array.shape:
        raise LabelError(
            f"field {name!r}: expected {what} of shape {array.shape} (planes, Y, X), got "
            f"{tuple(given.shape)}; give those that belong to this field"
        )


def as_flags(values: NDArray[Any], name: str) -> NDArray[np.uint8]:
    """Return bool, or 0 and 1, as uint8; LabelError for anything else."""
    flags = values.dtype.kind == "b" or (
        values.dtype.kind in "iu" and not np.any((values < 0) | (values > 1))
    )
    if not flags:
        raise LabelError(
            f"field {name!r}: expected verified voxels as bool or 0 and 1, got {values.dtype} "
            f"from {values.min()} to {values.max()}"
        )
    return values.astype(np.uint8)


def unknown_ids(missing: NDArray[Any], name: str) -> LabelError:
    """Return the error for labels without an object."""
    some = ", ".join(str(int(i)) for i in missing[:5]) + (", …" if missing.size > 5 else "")
    return LabelError(
        f"field {name!r}: expected an object row that is not rejected for every label, got none "
        f"for {number_of(missing.size, 'id')} ({some}); give the objects of these labels"
    )


def known_ids(ids: NDArray[np.uint32], name: str) -> Callable[[NDArray[Any]], None]:
    """Return what refuses labels that are not among `ids`."""
    largest = int(ids[-1]) if ids.size else 0
    table = np.zeros(largest + 1 if largest < _LARGEST_LOOKUP else 1, np.bool_)
    table[0] = True
    if largest < _LARGEST_LOOKUP:
        table[ids] = True

    def check(block: NDArray[Any]) -> None:
        if largest < _LARGEST_LOOKUP and block.max() <= largest and table[block].all():
            return
        missing = np.setdiff1d(np.unique(block), ids)
        missing = missing[missing > 0]
        if missing.size:
            raise unknown_ids(missing, name)

    return check


def check_verdicts(old: ObjectTable, new: ObjectTable, name: str) -> None:
    """Refuse that a model overrules a person with VerifiedError."""
    judged = old.select(old.status != Status.PROPOSED).to_arrays()
    kept = new.select(np.isin(new.id, judged["id"])).to_arrays()
    if not all(np.array_equal(judged[key], kept[key]) for key in ("id", "status", "origin")):
        raise VerifiedError(
            f"field {name!r}: expected a model to keep the rows of objects that a person accepted, "
            f"corrected or rejected ({judged['id'].size}), got other ones; start from the field's "
            "objects and change only proposed rows"
        )
