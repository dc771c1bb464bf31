"""Labels that no correction looks like: they are told of before anything is written.

Corrections leave most objects where they are, or take them away. Of labels that were saved of
another image, as a mask, turned, shifted or grown by accident, objects are told apart by their
sizes, boxes and overlaps alone, so that asking costs little however large the field is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import permutations, product

import numpy as np
from numpy.typing import NDArray

from annotations.edits.records import Edits
from annotations.views import LabelsView
from hitl.labelling.exchange.errors import ExchangeError
from labels.numbers import number_of
from labels.overlaps import Contingency, Floats, Ints, Objects, first_of_each, from_pairs

FEW = 4
"""With fewer objects than these, all of them may well be wrong."""

MOST_DELETED = 3 / 4
"""A person deletes most proposals of a poor model, but hardly more than these."""

MANY_JOINED = 5
"""As many objects in one are no fragments of one nucleus."""

SAME_IOU = 0.5
"""From this IoU on, an object is still the same."""

FEWEST_SAME = 1 / 4
"""Where less than this part of the objects before is the same, and of those after too, the labels
are of something else."""

MOST_GROWN = 0.8
"""So many objects that are grown, or shrunk, on all sides are so by a filter."""

MOST_MOVED = 1 / 3
"""So many faces of boxes that moved alike, on both sides, were moved together."""


_PRIMES = np.array([0x9E3779B97F4A7C15, 0xC2B2AE3D27D4EB4F, 0x165667B19E3779F9,
                    0xD6E8FEB86659FD93, 0xA0761D6478BD642F], np.uint64)  # fmt: skip


@dataclass(frozen=True)
class _Comparison:
    """Labels before and after, object by object.

    Parameters
    ----------
    edits : Edits
    before, after : int
        Objects in the field, and in the file.
    zyx : (int, int, int)
        Of one time point.
    """

    edits: Edits
    before: int
    after: int
    zyx: tuple[int, int, int]

    @cached_property
    def table(self) -> Contingency:
        """How objects overlap, those after under the ids that they would have."""
        return from_pairs(self.edits.shape, self.edits.pairs)

    @property
    def deleted(self) -> int:
        return sum(not change.after for change in self.edits.changes)

    @property
    def added(self) -> int:
        return sum(not change.before for change in self.edits.changes)

    @property
    def unchanged(self) -> int:
        return self.before - sum(len(change.before) for change in self.edits.changes)

    @cached_property
    def partners(self) -> Ints:
        """Pairs of each object before with the one after of the largest IoU."""
        found = self.table
        return first_of_each(found.i, -found.iou, found.j)

    def same(self) -> tuple[int, int]:
        """Objects before and after that are recognised in each other."""
        found, pairs = self.table, np.flatnonzero(self.table.iou >= SAME_IOU)
        ids = set(found.truth.ids[found.i[pairs]].tolist())
        stable = set(found.pred.ids[found.j[pairs]].tolist())
        for change in self.edits.changes:
            # What was cut or joined is recognised as a whole.
            if min(len(change.before), len(change.after)) == 1:
                kept = self._size(found.truth, change.before) - change.lost
                if kept >= SAME_IOU * (kept + change.lost + change.gained):
                    ids.update(change.before)
                    stable.update(change.stable)
        left_out = self.before - len(found.truth)
        return len(ids) + left_out, len(stable) + max(0, self.after - len(found.pred))

    @staticmethod
    def _size(objects: Objects, ids: tuple[int, ...]) -> int:
        return int(objects.sizes[np.searchsorted(objects.ids, ids)].sum())


def check_plausible(
    labels: NDArray[np.uint32], objects: int, edits: Edits, now: LabelsView, name: str
) -> None:
    """Refuse labels that would undo most of a field, or are no labels of it at all.

    Parameters
    ----------
    labels : ndarray of uint32, shape (T * Z, Y, X)
        What the file holds.
    objects : int
        How many objects these are.
    edits : Edits
        What would be done.
    now : LabelsView
        The labels that it would be done to.
    name : str
        The file's, for messages.

    Raises
    ------
    ExchangeError
    """
    before = sum(count for status, count in now.counts.items() if status != "rejected")
    compared = _Comparison(edits, before, objects, now.info.zyx)
    what = "these are the intensities of the image and no labels" if _is_image(labels, now) else ""
    if not what and before >= FEW:
        what = next(filter(None, (rule(compared) for rule in _RULES)), "")
    if what:
        raise ExchangeError(
            f"{name}: expected corrections of {now.info.address}, got labels that no correction "
            f"looks like: {what}; nothing was written; look at it, or say --yes if you mean it"
        )


def _is_image(labels: NDArray[np.uint32], now: LabelsView) -> bool:
    """Whether the middle slice is that of a channel."""
    view = next(now.time_points())
    middle = view.info.zyx[0] // 2
    mine = labels[middle]
    if mine.min() == mine.max():
        return False
    return any(np.array_equal(channel, mine) for channel in view.image[:, middle])


def _nothing(found: _Comparison) -> str:
    if found.after:
        return ""
    return f"nothing is labelled in it, so all {found.before} objects would be deleted"


def _joined(found: _Comparison) -> str:
    """Tell a mask of foreground, or classes in place of objects."""
    table = found.table
    mostly = 2 * table.count > table.truth.sizes[table.i]
    into = np.bincount(table.j[mostly], minlength=table.n_pred)
    fill_before = _fill(table.truth)[table.i[mostly]]
    order = first_of_each(table.j[mostly], fill_before)
    lowest = np.full(table.n_pred, np.inf)
    lowest[table.j[mostly][order]] = fill_before[order]
    scattered = (into > 1) & (2 * _fill(table.pred) < lowest)
    many = into[(into >= MANY_JOINED) | scattered]
    joined, left = int(many.sum()), max(1, int(many.size))
    if found.after == 1 and not joined:
        joined = int(into.max(initial=0))
    if 2 * joined <= found.before:
        return ""
    if found.after == 1:
        return (
            f"it is one object where there are {found.before}, as a mask of foreground is; give "
            "each object a number of its own"
        )
    return (
        f"it joins {joined} of {found.before} objects to {left}, as classes of voxels do; give "
        "each object a number of its own"
    )


def _fill(objects: Objects) -> Floats:
    """Share of its box that each object fills."""
    sides = objects.boxes[:, :, 1] - objects.boxes[:, :, 0]
    return np.asarray(objects.sizes / sides.prod(axis=1), np.float64)


def _turned(found: _Comparison) -> str:
    """Tell labels that are those of the field mirrored, or with axes exchanged."""
    if not found.edits.whole or 2 * found.unchanged >= min(found.before, found.after):
        return ""
    before, after = (_Placed.of(o, found.zyx) for o in (found.edits.before, found.edits.after))
    least = max(found.unchanged + 1, (found.after + 1) // 2)
    for axes, mirrored in _turns(found.zyx):
        same = before.turned(axes, mirrored, found.zyx).shared_with(after)
        if same >= least:
            return (
                f"{same} of its {found.after} objects are those of the field with "
                f"{_turn_words(axes, mirrored)}; save it as it was opened"
            )
    return ""


def _turns(zyx: tuple[int, int, int]) -> Iterator[tuple[tuple[int, ...], tuple[bool, ...]]]:
    """Yield the ways to turn an image that leave its shape, the simplest first."""
    fitting = [axes for axes in permutations(range(3)) if tuple(zyx[a] for a in axes) == zyx]
    for axes, mirrored in product(fitting, sorted(product((False, True), repeat=3), key=sum)):
        if axes != (0, 1, 2) or any(mirrored):
            yield axes, mirrored


def _turn_words(axes: tuple[int, ...], mirrored: tuple[bool, ...]) -> str:
    words = []
    if axes != (0, 1, 2):
        words.append(f"axes {', '.join('zyx'[a] for a in axes)} in place of z, y, x")
    if any(mirrored):
        words.append(
            f"{' and '.join(n for n, m in zip('zyx', mirrored, strict=True) if m)} mirrored"
        )
    return " and ".join(words)


@dataclass(frozen=True)
class _Placed:
    """Time point, size, and sums of z, y, x of each object of one time point: whole numbers."""

    time: Ints
    size: Ints
    sums: Ints

    @classmethod
    def of(cls, objects: Objects, zyx: tuple[int, int, int]) -> _Placed:
        time = objects.boxes[:, 0, 0] // zyx[0]
        alone = time == (objects.boxes[:, 0, 1] - 1) // zyx[0]
        size = objects.sizes[alone]
        sums = np.rint(objects.centroids[alone] * size[:, None]).astype(np.int64)
        sums[:, 0] -= time[alone] * zyx[0] * size
        return cls(time[alone], size, sums)

    def turned(
        self, axes: tuple[int, ...], mirrored: tuple[bool, ...], zyx: tuple[int, int, int]
    ) -> _Placed:
        sums = self.sums[:, axes]
        far = (np.array(zyx) - 1) * self.size[:, None]
        return _Placed(self.time, self.size, np.where(mirrored, far - sums, sums))

    def shared_with(self, other: _Placed) -> int:
        """How many are in both."""
        return int(np.intersect1d(self._keys(), other._keys()).size)

    def _keys(self) -> NDArray[np.uint64]:
        """One number for what is known of each object."""
        rows = np.column_stack([self.time, self.size, self.sums]).astype(np.uint64)
        return np.asarray((rows * _PRIMES).sum(axis=1, dtype=np.uint64))


def _shifted(found: _Comparison) -> str:
    """Tell objects that all moved alike: both faces of each box by the same number of voxels."""
    table, pairs = found.table, found.partners
    if 2 * len(pairs) < found.before:
        return ""
    old, new = table.truth.boxes[table.i[pairs]], table.pred.boxes[table.j[pairs]]
    step = [_common_step(old[:, axis], new[:, axis], size) for axis, size in enumerate(table.shape)]
    if not any(step) or None in step:
        return ""
    words = ", ".join(f"{n:+d}" if n else "0" for n in step)
    return (
        f"its objects are those of the field moved by {words} voxels in z, y, x; save it as it was "
        "opened"
    )


def _common_step(old: Ints, new: Ints, size: int) -> int | None:
    """Voxels that nearly all faces moved by, along one axis; those at the border do not count."""
    steps = []
    for side, border in ((0, 0), (1, size)):
        inside = (old[:, side] != border) & (new[:, side] != border)
        moved = new[inside, side] - old[inside, side]
        values, counts = np.unique(moved, return_counts=True)
        if not values.size:
            continue
        if counts.max() <= MOST_MOVED * moved.size:
            return None
        steps.append(int(values[counts.argmax()]))
    return steps[0] if steps and len(set(steps)) == 1 else None if steps else 0


def _grown(found: _Comparison) -> str:
    """Tell objects that all gained, or lost, a good part of their surface."""
    table, pairs = found.table, found.partners
    alone = [c.before[0] for c in found.edits.changes if len(c.before) == len(c.after) == 1]
    pairs = pairs[np.isin(table.truth.ids[table.i[pairs]], alone)]
    one = table.truth.sizes[table.i[pairs]]
    other = table.pred.sizes[table.j[pairs]]
    # Of a disc and of a ball of these sizes.
    surface = 3.54 * one**0.5 if found.zyx[0] == 1 else 4.84 * one ** (2 / 3)
    for word, more in (("grown", other - one), ("shrunk", one - other)):
        alike = int(np.count_nonzero(2 * more > surface))
        if alike >= MOST_GROWN * found.before:
            return (
                f"{alike} of {found.before} objects are {word} on all sides, by "
                f"{np.median(more / one):.0%} of their voxels, as a filter does"
            )
    return ""


def _foreign(found: _Comparison) -> str:
    """Tell labels in which hardly any object of the field is recognised."""
    before, after = found.same()
    if before >= FEWEST_SAME * found.before or after >= FEWEST_SAME * found.after:
        return ""
    others = found.after - after
    return (
        f"only {before} of {found.before} objects of the field are in it, and "
        f"{number_of(others, 'other is', 'others are')}, as in labels of another image"
    )


def _gone(found: _Comparison) -> str:
    if found.deleted <= MOST_DELETED * found.before:
        return ""
    return f"it would delete {found.deleted} of {found.before} objects and add {found.added}"


_RULES: tuple[Callable[[_Comparison], str], ...] = (
    _nothing,
    _joined,
    _turned,
    _shifted,
    _grown,
    _foreign,
    _gone,
)
