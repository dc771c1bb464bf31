"""Finds edits by comparing labels before and after, whichever tool made them.

Two objects belong together where they share more than half of the voxels of either. What hangs
together so is one edit, and which ids live on follows from it. What a round then did to each object
is told by these ids: see `annotations.changes`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from annotations._chunks import Voxels
from annotations._graph import components
from annotations.changes import MAJORITY
from annotations.edits._overlaps import blocks_of, check_pair, count_pairs
from annotations.edits._reading import Ids
from annotations.edits.records import Edit, Edits
from annotations.errors import LabelError
from annotations.objects import ObjectTable
from labels.numbers import number_of
from labels.overlaps import Contingency, Ints, Pairs, box_around, from_pairs, merge_pairs

_LARGEST_GAP = 1 << 20
"""Ids that a person may leave out; with larger gaps a few objects would use up all numbers."""

_LARGEST_ID = int(np.iinfo(np.uint32).max)


def compare_labels(
    before: Voxels,
    after: Voxels,
    *,
    objects: ObjectTable | None = None,
    ids_stayed: bool | None = False,
) -> Edits:
    """Find what became of each object; ids in `after` may be any.

    Two objects belong together when they share more than half of the voxels of one of them. Each
    object is in one group of those that belong together, directly or through others; a group of one
    before and one after with just the same voxels is no edit.

    So an object that moved by half of itself or more is one deleted and one added, and voxels
    that a group gained or lost beside its split or merge are counted in its `Edit`.

    Stable ids: of two that belong together, the pair with most voxels in common shares the id,
    then the next pair of which neither has one: a merged object goes on under the id of its
    largest contributor, of a split one the largest piece does. Others get ids above every id
    ever given, in the order of their first voxels. Of equals, the one whose first shared voxel
    comes first wins. Nothing depends on the ids after, unless `ids_stayed`.

    Parameters
    ----------
    before, after : ndarray, zarr array or source of slabs, integers, shape (Z, Y, X)
        0 is background. Read block by block; each may be in memory or not.
    objects : ObjectTable, optional
        What the store knows: ids in it, those of rejected objects too, are never given again.
    ids_stayed : bool, optional
        Whether ids after are those before: then a piece that has the id of its object keeps it,
        however small, and an object with an id that was never given keeps that. None looks: they
        are where every unchanged object has its own.

    Returns
    -------
    Edits

    Raises
    ------
    LabelError
        Shapes that differ, not labels, or no ids left for new objects.
    """
    pairs = count_pairs(before, after, blocks_of(before, after))
    return classify(check_pair(before, after), pairs, objects, ids_stayed=ids_stayed)


def classify(
    shape: tuple[int, int, int],
    pairs: Pairs,
    objects: ObjectTable | None,
    *,
    ids_stayed: bool | None,
    whole: bool = True,
) -> Edits:
    """Return the edits that the pairs of ids before and after tell of."""
    overlaps = from_pairs(shape, pairs)
    groups = _group(overlaps)
    stayed = _ids_stayed(overlaps) if ids_stayed is None else ids_stayed
    stable = _stable_ids(overlaps, groups, objects, stayed)
    return Edits(
        shape=shape,
        changes=_changes(overlaps, groups, stable),
        before=overlaps.truth,
        after=overlaps.pred,
        stable_ids=stable,
        pairs=_with_ids(pairs, overlaps.pred.ids, stable),
        whole=whole,
    )


def _with_ids(pairs: Pairs, ids: Ints, stable: Ids) -> Pairs:
    """Return pairs with the stable id of each id after."""
    keys, stats = pairs
    values = np.append(np.uint64(0), stable.astype(np.uint64))
    row = np.where(keys[:, 1] > 0, 1 + np.searchsorted(ids, keys[:, 1].astype(np.int64)), 0)
    return merge_pairs([(np.column_stack([keys[:, 0], values[row]]), stats)])


def _same(found: Contingency) -> NDArray[np.bool_]:
    """Return which pairs are of objects with just the same voxels."""
    before, after = found.truth.sizes[found.i], found.pred.sizes[found.j]
    return np.asarray((found.count == before) & (found.count == after))


def _ids_stayed(found: Contingency) -> bool:
    """Whether every unchanged object has its own id, and there are such objects."""
    same = _same(found)
    own = found.truth.ids[found.i[same]] == found.pred.ids[found.j[same]]
    return bool(own.size and own.all())


@dataclass(frozen=True, eq=False)
class _Groups:
    """Group of each object, which pairs made the groups, and which groups changed."""

    before: Ints
    after: Ints
    edge: Ints
    changed: Ints


def _group(found: Contingency) -> _Groups:
    n_before, n_after = found.n_truth, found.n_pred
    size_before, size_after = found.truth.sizes[found.i], found.pred.sizes[found.j]
    edge = np.flatnonzero(found.count > MAJORITY * np.minimum(size_before, size_after))
    label = components(n_before + n_after, found.i[edge], n_before + found.j[edge])
    changed = np.setdiff1d(label, label[found.i[_same(found)]])
    return _Groups(label[:n_before], label[n_before:], edge, changed)


def _stable_ids(
    found: Contingency, groups: _Groups, objects: ObjectTable | None, ids_stayed: bool
) -> Ids:
    before, after = found.truth, found.pred
    stable = np.zeros(after.ids.size, np.int64)
    taken = np.zeros(before.ids.size, np.bool_)
    own = (before.ids[found.i] == after.ids[found.j]) & ids_stayed
    edge = groups.edge
    edge = edge[np.lexsort((found.first[edge], -found.count[edge], ~own[edge]))]
    for i, j in zip(found.i[edge].tolist(), found.j[edge].tolist(), strict=True):
        if not taken[i] and not stable[j]:
            taken[i] = True
            stable[j] = before.ids[i]
    highest = int(before.ids.max(initial=0))
    if objects is not None:
        highest = max(highest, objects.highest_id)
    new = np.flatnonzero(stable == 0)
    new = new[np.argsort(after.first[new])]
    if ids_stayed:
        kept = (after.ids[new] > highest) & (after.ids[new] <= highest + _LARGEST_GAP)
        stable[new[kept]] = after.ids[new[kept]]
        highest = max(highest, int(stable.max(initial=0)))
        new = new[~kept]
    if highest + new.size > _LARGEST_ID:
        raise LabelError(
            f"labels: expected room for {number_of(new.size, 'new id')} below {_LARGEST_ID + 1}, "
            f"got {highest} "
            "as the highest id; number the labels of the field from 1 on and add it again"
        )
    stable[new] = highest + 1 + np.arange(new.size)
    return stable.astype(np.uint32)


def _changes(found: Contingency, groups: _Groups, stable: Ids) -> tuple[Edit, ...]:
    n = 1 + int(max(groups.before.max(initial=-1), groups.after.max(initial=-1)))
    inside = groups.before[found.i] == groups.after[found.j]
    kept = np.zeros(n, np.int64)
    np.add.at(kept, groups.before[found.i[inside]], found.count[inside])
    rows_before, rows_after = _rows(groups.before, groups), _rows(groups.after, groups)
    changes = []
    for group in groups.changed.tolist():
        b, a = rows_before[group], rows_after[group]
        first = min(
            found.truth.first[b].min(initial=np.iinfo(np.int64).max),
            found.pred.first[a].min(initial=np.iinfo(np.int64).max),
        )
        edit = Edit(
            before=tuple(found.truth.ids[b].tolist()),
            after=tuple(found.pred.ids[a].tolist()),
            stable=tuple(stable[a].tolist()),
            gained=int(found.pred.sizes[a].sum() - kept[group]),
            lost=int(found.truth.sizes[b].sum() - kept[group]),
            box=box_around(np.concatenate([found.truth.boxes[b], found.pred.boxes[a]])),
        )
        # An object before and another after may start at one voxel.
        changes.append(((int(first), not edit.before), edit))
    return tuple(edit for _, edit in sorted(changes, key=lambda item: item[0]))


def _rows(label: Ints, groups: _Groups) -> dict[int, Ints]:
    """Objects of each changed group, ascending."""
    order = np.argsort(label, kind="stable")
    ordered = label[order]
    start = np.searchsorted(ordered, groups.changed)
    stop = np.searchsorted(ordered, groups.changed, side="right")
    bounds = zip(groups.changed.tolist(), start.tolist(), stop.tolist(), strict=True)
    return {group: order[a:b] for group, a, b in bounds}
