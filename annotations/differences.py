"""What differs between two rounds, object by object.

All is found from the chunks that Icechunk says were written in between: nothing else is read.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from annotations._chunks import Region, Voxels, chunk_place
from annotations._reader import StoreReader
from annotations.changes import ObjectChange, counts_of, moved, object_changes
from annotations.edits._overlaps import blocks_of, count_pairs
from annotations.fields import LabelsInfo
from annotations.objects import ObjectTable
from annotations.planes import Planes
from annotations.rounds import EditCounts
from annotations.views import LabelsView


@dataclass(frozen=True, kw_only=True)
class LabelsDiff:
    """What differs in the labels of one class in one field.

    Parameters
    ----------
    field : str
        Their address.
    changes : tuple of ObjectChange
        Ordered by their lowest id.
    voxels : int
        Label voxels that differ.
    verified_voxels : int
        Verified voxels more (or fewer, if negative).
    """

    field: str
    changes: tuple[ObjectChange, ...]
    voxels: int
    verified_voxels: int

    def counts(self) -> EditCounts:
        """Count changes by kind; one that regroups is a split and a merge."""
        return counts_of(self.changes)


@dataclass(frozen=True, kw_only=True)
class RoundDiff:
    """What differs between two rounds.

    Parameters
    ----------
    a, b : int
        From and to; either may be the later one.
    fields : tuple of LabelsDiff
        Of the labels in both that differ.
    added, removed : tuple of str
        Labels in `b` only, and in `a` only; those of a field that was made anew are in both.
    """

    a: int
    b: int
    fields: tuple[LabelsDiff, ...]
    added: tuple[str, ...]
    removed: tuple[str, ...]


def diff_rounds(store: StoreReader, a: int, b: int) -> RoundDiff:
    """Compare two rounds, labels by labels.

    Raises
    ------
    UnknownRoundError
    """
    ends = store.round_snapshot(a), store.round_snapshot(b)
    older, newer = ends if a <= b else ends[::-1]
    written = store.changes_between(older, newer)
    one, other = ({i.key: i for i in store.all_labels(round=n)} for n in (a, b))
    both = [key for key in one if key in other and same_image(one[key], other[key])]
    touched = [key for key in both if written.touches(one[key])]
    found = [diff_labels(store, key, *ends, older=older, newer=newer) for key in touched]
    return RoundDiff(
        a=a,
        b=b,
        fields=tuple(d for d in found if d.changes or d.voxels or d.verified_voxels),
        added=tuple(info.address for key, info in other.items() if key not in both),
        removed=tuple(info.address for key, info in one.items() if key not in both),
    )


def same_image(one: LabelsInfo, other: LabelsInfo) -> bool:
    """Whether labels in two commits are of one image: the same field, not one of its name."""
    return one.field.number == other.field.number and one.zyx == other.zyx


def diff_labels(
    store: StoreReader, key: str, a: str, b: str, *, older: str, newer: str
) -> LabelsDiff:
    """Compare labels of two snapshots that both have them, in one shape.

    Parameters
    ----------
    store : StoreReader
    key : str
        ``FIELD:CLASS``.
    a, b : str
        Snapshots, from and to.
    older, newer : str
        The same two, the ancestor first.
    """
    one, other = store.labels_at(key, a), store.labels_at(key, b)
    assert one is not None and other is not None, "both snapshots have the labels"
    regions = changed_regions(store, one.labels, older, newer)
    verified = other.verified_voxels - one.verified_voxels
    return _difference(one, other.labels, other.objects, regions, verified)


def diff_with(view: LabelsView, labels: Voxels, objects: ObjectTable) -> LabelsDiff:
    """Compare labels with those that may take their place; what is verified stays.

    Parameters
    ----------
    view : LabelsView
        Of all time points.
    labels : array or source of slabs, integers, shape (T * Z, Y, X)
    objects : ObjectTable
        Their rows.
    """
    return _difference(view, labels, objects, blocks_of(view.labels, labels), 0)


def _difference(
    before: LabelsView,
    after: Voxels,
    objects: ObjectTable,
    regions: Iterable[Region],
    verified_voxels: int,
) -> LabelsDiff:
    z, y, x = before.labels.shape
    found = moved((z, y, x), count_pairs(before.labels, after, regions))
    return LabelsDiff(
        field=before.info.address,
        changes=object_changes(found, before.objects, objects),
        voxels=int(found.truth.sizes.sum() + found.pred.sizes.sum() - found.count.sum()),
        verified_voxels=verified_voxels,
    )


def changed_regions(store: StoreReader, planes: Planes, older: str, newer: str) -> list[Region]:
    """Return the chunks in which an array of labels may differ between two commits."""
    chunks = store.changes_between(older, newer).chunks(planes.path)
    where = [planes.chunk_of(chunk) for chunk in chunks]
    return [chunk_place(planes, index) for index in sorted(w for w in where if w is not None)]
