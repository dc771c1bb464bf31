"""Look for the copies of one field among all others: landmarks first, then the voxels."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Collection, Iterator, Mapping
from dataclasses import replace
from functools import cached_property
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray

from annotations.copies.catalogue import Catalogue, Described, Found
from annotations.copies.comparison import Comparison, compare
from annotations.copies.describer import Describer
from annotations.copies.matching import Matches, alike, near, nearest
from annotations.copies.placement import Placement, Points, placements
from annotations.fields import FieldInfo
from annotations.layout import CHUNKS
from annotations.views import FieldView

_MISSES = 3
"""Fields in a row that turn out to be none, after which no more are looked at."""

_VOLUMES, _LOOKED_THROUGH, _PLACEMENTS = 3, 16, 5
"""Likeliest volumes of a field, and placements of each, that are compared."""

_THIN = 8
"""Slices of which landmarks do not tell how they lie on others."""

_HALF_ALIKE, _LAID = 0.5, 0.98
"""Fine detail worth another look, and coarse detail that no other placement would improve."""

_LEAST_MATCHES = 3
_KEPT_VOXELS = 1 << 20


def describe(view: FieldView) -> list[Described]:
    """Return the landmarks of a field that is stored already, read slab by slab."""
    times, channels, depth, _, _ = view.info.shape
    found = []
    for time in range(times):
        describer = describer_of(view.info)
        for z in range(0, depth, CHUNKS[0]):
            block = [view.image[time, channel, z : z + CHUNKS[0]] for channel in range(channels)]
            describer.take(np.stack(block), z)
        found += [Described(time, c, marks) for c, marks in enumerate(describer.landmarks())]
    return found


def describer_of(info: FieldInfo) -> Describer:
    """Return what takes the slabs of one time point of a field."""
    return Describer(info.shape[1], info.zyx, info.spacing_um, info.dtype)


def find(
    catalogue: Catalogue, fields: Mapping[int, FieldView], number: int, told: Collection[int]
) -> list[Found]:
    """Return what a field has of others that were described before it, one entry for each.

    Parameters
    ----------
    catalogue : Catalogue
        Holds the landmarks of the field, too.
    fields : mapping of int to FieldView
        By number; read when asked for.
    number : int
        Of the field.
    told : collection of int
        Fields of which it is known already that they are the same.
    """
    volumes = catalogue.volumes
    own = np.flatnonzero(volumes[:, 0] == number)
    wanted = (volumes[:, 0] >= 0) & ~np.isin(volumes[:, 0], list(told))
    wanted[own.min(initial=len(volumes)) :] = False
    if not wanted.any():
        return []
    relatives = _relatives(catalogue.found())
    found: dict[int, Found] = {}
    for row in own:
        mine = _Volume(catalogue, fields, int(row))
        queue = deque(_candidates(catalogue, mine, wanted, found))
        misses, seen = 0, set(found)
        while queue and misses < _MISSES:
            other, rows = queue.popleft()
            if other in seen:
                continue
            seen.add(other)
            hit = _look(catalogue, fields, mine, rows)
            misses = 0 if hit else misses + 1
            if hit:
                found[other] = hit
                # What is a copy of a copy is likely one too, and may be crowded out by it.
                queue.extendleft(
                    (n, np.flatnonzero(wanted & (volumes[:, 0] == n))[:_LOOKED_THROUGH])
                    for n in relatives.get(other, ())
                )
    return list(found.values())


def _relatives(found: list[Found]) -> dict[int, set[int]]:
    known: dict[int, set[int]] = {}
    for each in found:
        known.setdefault(each.mine[0], set()).add(each.theirs[0])
        known.setdefault(each.theirs[0], set()).add(each.mine[0])
    return known


class _Volume:
    """One channel of a field at one time point, its voxels read when indexed."""

    def __init__(self, catalogue: Catalogue, fields: Mapping[int, FieldView], row: int) -> None:
        number, self._time, self._channel = catalogue.volumes[row, :3].tolist()
        self.key = (number, self._time, self._channel)
        self.info = fields[number].info
        self.landmarks = catalogue.landmarks(row)
        self.shape = self.info.zyx
        self.dtype = self.info.dtype
        self._array: zarr.Array[Any] = fields[number].image

    def __getitem__(self, region: tuple[slice, ...]) -> NDArray[Any]:
        if np.prod(self.shape) <= _KEPT_VOXELS:
            return self._whole[region]
        return np.asarray(self._array[self._time, self._channel, *region])

    @cached_property
    def _whole(self) -> NDArray[Any]:
        return np.asarray(self._array[self._time, self._channel])

    @cached_property
    def places(self) -> Points:
        """Voxels (z, y, x) of the landmarks."""
        return self.landmarks["place"] / 65535 * self.shape - 0.5


def _candidates(
    catalogue: Catalogue, mine: _Volume, wanted: NDArray[np.bool_], found: Collection[int]
) -> Iterator[tuple[int, NDArray[np.intp]]]:
    """Yield fields and the rows of their likeliest volumes, the likeliest field first."""
    pairs, owners, seen = [], [], 0
    for landmarks, rows in catalogue.blocks(wanted):
        pairs.append(near(mine.landmarks, landmarks) + np.array([[0], [seen], [0]]))
        owners.append(rows)
        seen += len(landmarks)
    if not seen:
        return
    matches: Matches = nearest(np.concatenate(pairs, axis=1))
    volume_of = np.concatenate(owners)[matches.theirs]
    weight = np.bincount(volume_of, matches.weight, minlength=len(wanted))
    fields = catalogue.volumes[:, 0]
    totals: Counter[int] = Counter()
    counts: Counter[int] = Counter()
    for row in np.unique(volume_of):
        totals[int(fields[row])] += weight[row]
    for row in volume_of:
        counts[int(fields[row])] += 1
    for number, _ in totals.most_common():
        if counts[number] >= _LEAST_MATCHES and number not in found:
            rows = np.flatnonzero((fields == number) & (weight > 0))
            yield number, rows[np.argsort(-weight[rows], kind="stable")][:_LOOKED_THROUGH]


def _look(
    catalogue: Catalogue,
    fields: Mapping[int, FieldView],
    mine: _Volume,
    rows: NDArray[np.intp],
) -> Found | None:
    """Compare a volume with those of one field."""
    looked = []
    for row in rows:
        theirs = _Volume(catalogue, fields, int(row))
        matches = alike(mine.landmarks, theirs.landmarks)
        looked.append((float(matches.weight.sum()), theirs, matches))
    looked.sort(key=lambda each: -each[0])
    for _, theirs, matches in looked[:_VOLUMES]:
        placement = _same(mine, theirs, matches)
        if placement is not None:
            return Found(mine.key, theirs.key, placement)
    return None


def _same(mine: _Volume, theirs: _Volume, matches: Matches) -> Placement | None:
    """Return where a volume lies in another one if it is a copy of it."""
    likely = placements(
        mine.places[matches.mine],
        theirs.places[matches.theirs],
        matches.weight,
        (mine.info.spacing_um, theirs.info.spacing_um),
        deep=min(mine.shape[0], theirs.shape[0]) > _THIN,
    )
    for placement in likely[:_PLACEMENTS]:
        result = _compared(mine, theirs, placement)
        if result is not None and result.same:
            return replace(result.placement, agreeing=placement.agreeing)
        # Where the copy was there first, it is the original that is to be laid on it.
        if result is not None and result.alike > _HALF_ALIKE:
            back = _compared(theirs, mine, result.placement.inverse)
            if back is not None and back.same and (back.clear or back.placement.exact):
                return replace(back.placement.inverse, agreeing=placement.agreeing)
        if result is not None and result.coarse > _LAID and not placement.exact:
            return None
    return None


def _compared(mine: _Volume, theirs: _Volume, placement: Placement) -> Comparison | None:
    flatness = mine.info.spacing_um[0] / min(mine.info.spacing_um[1:])
    return compare(mine, theirs, placement, mine.places, flatness)
