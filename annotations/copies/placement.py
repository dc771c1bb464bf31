"""Where a volume lies in another one: turned, mirrored, made larger or smaller, and moved."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import product

import numpy as np
from numpy.typing import NDArray

from labels.spacing import Spacing

Points = NDArray[np.float64]

_LOOSE, _STRETCH = 2.0, 0.12
"""Voxels that pairs may be off, and more for each voxel between them: no size is known yet."""

_MOST_STRETCH = (1.4, 1.25, 1.25)
"""Factor by which sizes along z, y, x may differ from those expected."""

_STIFF = 20.0
"""Weight of the size that is expected, in squared voxels."""

_OTHER_DEPTHS = (0.5, 0.7, 1.4, 2.0)
"""Steps along z over those that are told, for a stack whose step was changed and not told."""

_LEAST = 6
"""Landmarks that must fit; by chance up to seven do, so the voxels decide."""

_EXACT, _LEAST_EXACT, _EXACT_ONES = 0.6, 3, 2
"""Voxels that pairs may be off where nothing was resampled, and pairs that must fit then."""

_ROUNDED = 0.35
"""Voxels that a placement may be moved for voxels to lie on voxels."""

_PAIRS, _FITS = 160, 6


@dataclass(frozen=True)
class Placement:
    """Voxel ``p`` of a volume is voxel ``scale * p[axes] + shift`` of the other.

    Parameters
    ----------
    axes : (int, int, int)
        Which of its axes lie along z, y and x of the other.
    scale : (float, float, float)
        Voxels of the other in one of its own; negative where it is mirrored.
    shift : (float, float, float)
    agreeing : int
        Landmarks that fit.
    """

    axes: tuple[int, int, int]
    scale: tuple[float, float, float]
    shift: tuple[float, float, float]
    agreeing: int = 0

    def there(self, points: Points) -> Points:
        """Return where points (N, 3) lie in the other volume."""
        return np.asarray(points[:, self.axes] * self.scale + self.shift)

    @property
    def exact(self) -> bool:
        """Whether voxels lie on voxels."""
        return all(abs(s) == 1 for s in self.scale) and all(t == round(t) for t in self.shift)

    def rounded(self, shape: tuple[int, ...]) -> Placement:
        """Return it with voxels on voxels, itself where that moves a volume of a shape."""
        ends = np.array([[0, 0, 0], shape], np.float64)
        signs = np.sign(self.scale)
        shift = np.rint((self.there(ends) - ends[:, self.axes] * signs).mean(axis=0))
        moved = replace(self, scale=_floats(signs), shift=_floats(shift))
        return moved if np.abs(moved.there(ends) - self.there(ends)).max() < _ROUNDED else self

    @property
    def inverse(self) -> Placement:
        """The other volume's place in this one."""
        axes = np.argsort(self.axes)
        scale = (1 / np.asarray(self.scale))[axes]
        shift = -(np.asarray(self.shift) / self.scale)[axes]
        return Placement(_ints(axes), _floats(scale), _floats(shift), self.agreeing)

    def box(self, shape: tuple[int, ...], other: tuple[int, ...]) -> tuple[slice, ...]:
        """Return the part of a volume of one shape that lies in the other's, maybe empty."""
        found = [slice(0, 0)] * 3
        for axis, scale, shift, size in zip(self.axes, self.scale, self.shift, other, strict=True):
            ends = sorted(((-0.5 - shift) / scale, (size - 0.5 - shift) / scale))
            low, high = np.ceil(ends[0] - 0.25), np.floor(ends[1] + 0.25) + 1
            found[axis] = slice(int(max(low, 0)), int(min(max(high, 0), shape[axis])))
        return tuple(found)

    def share(self, shape: tuple[int, ...], other: tuple[int, ...]) -> float:
        """Return which share of a volume of one shape lies in the other's."""
        sides = [max(p.stop - p.start, 0) for p in self.box(shape, other)]
        return float(np.prod(sides) / np.prod(shape))


def placements(
    mine: Points, theirs: Points, weight: Points, steps_um: tuple[Spacing, Spacing], deep: bool
) -> list[Placement]:
    """Return where a volume may lie in another one, likeliest first.

    Parameters
    ----------
    mine, theirs : ndarray, shape (N, 3)
        Voxels that look alike, many of them by chance.
    weight : ndarray, shape (N,)
        Of each pair.
    steps_um : ((float, float, float), (float, float, float))
        Voxel size (z, y, x) of both, as far as they are to be believed.
    deep : bool
        Whether there is any z to mirror.

    Returns
    -------
    list of Placement
    """
    best = np.argsort(-weight, kind="stable")[:_PAIRS]
    mine, theirs = mine[best], theirs[best]
    exact = _exact(mine, theirs)
    if len(mine) < _LEAST:
        return exact
    flat = _likeliest(_in_plane(mine, theirs, steps_um))
    found = _likeliest(_in_depth(mine, theirs, steps_um, flat)) if deep else flat
    fits = [_fit(mine, theirs, each, deep) for each in found]
    return exact + sorted((each for each in fits if each), key=lambda each: -each.agreeing)


@dataclass(frozen=True)
class _Hypothesis:
    """A turn, mirroring and size, and which pairs agree with which under it."""

    axes: tuple[int, int, int]
    scale: tuple[float, float, float]
    agree: NDArray[np.bool_]

    @cached_property
    def inside(self) -> NDArray[np.bool_]:
        """The pairs that agree with the one that most agree with."""
        row: NDArray[np.bool_] = self.agree[np.argmax(np.count_nonzero(self.agree, axis=1))]
        return row


def _exact(mine: Points, theirs: Points) -> list[Placement]:
    """Return where pairs agree to the voxel: what is only cut, turned and mirrored."""
    found = []
    for axes in ((0, 1, 2), (0, 2, 1)):
        fits = [
            {s: _agree(mine, theirs, axes, k, s, _EXACT, 0) for s in (1.0, -1.0)} for k in range(3)
        ]
        for signs in product((1.0, -1.0), repeat=3):
            agree = np.logical_and.reduce([fit[s] for fit, s in zip(fits, signs, strict=True)])
            scale = _floats(np.array(signs))
            inside = _Hypothesis(axes, scale, agree).inside
            count = min(len(np.unique(each[inside], axis=0)) for each in (mine, theirs))
            if count >= _LEAST_EXACT:
                off = np.median(theirs[inside] - mine[inside][:, axes] * signs, axis=0)
                found.append(Placement(axes, scale, _floats(np.rint(off)), count))
    return sorted(found, key=lambda each: -each.agreeing)[:_EXACT_ONES]


def _likeliest(hypotheses: Iterable[_Hypothesis]) -> list[_Hypothesis]:
    counted = [(int(np.count_nonzero(each.inside)), each) for each in hypotheses]
    counted.sort(key=lambda each: -each[0])
    return [each for count, each in counted[:_FITS] if count >= _LEAST]


def _in_plane(
    mine: Points, theirs: Points, steps_um: tuple[Spacing, Spacing]
) -> Iterator[_Hypothesis]:
    """Yield each turn and mirroring in the plane, with the size as told and pixel for pixel."""
    for axes in ((0, 1, 2), (0, 2, 1)):
        told = [float(steps_um[0][axes[k]] / steps_um[1][k]) for k in (1, 2)]
        for y, x in sorted({(1.0, 1.0), (told[0], told[1])}):
            along_y = [(s * y, _agree(mine, theirs, axes, 1, s * y)) for s in (1, -1)]
            along_x = [(s * x, _agree(mine, theirs, axes, 2, s * x)) for s in (1, -1)]
            for (sy, fits_y), (sx, fits_x) in product(along_y, along_x):
                yield _Hypothesis(axes, (1.0, sy, sx), fits_y & fits_x)


def _in_depth(
    mine: Points,
    theirs: Points,
    steps_um: tuple[Spacing, Spacing],
    flat: Sequence[_Hypothesis],
) -> Iterator[_Hypothesis]:
    """Yield each mirroring in depth, with several steps: that one is often told wrongly."""
    depths = {1.0, steps_um[0][0] / steps_um[1][0], *_OTHER_DEPTHS} if flat else set()
    for z in sorted({sign * depth for depth in depths for sign in (1, -1)}):
        fits_z = _agree(mine, theirs, (0, 1, 2), 0, z)
        for each in flat:
            yield _Hypothesis(each.axes, (z, *each.scale[1:]), each.agree & fits_z)


def _agree(
    mine: Points,
    theirs: Points,
    axes: tuple[int, int, int],
    there: int,
    scale: float,
    loose: float = _LOOSE,
    stretch: float = _STRETCH,
) -> NDArray[np.bool_]:
    """Return which pairs agree about the shift along one axis of the other volume."""
    own, other = scale * mine[:, axes[there]], theirs[:, there]
    apart = own[:, None] - own[None]
    off = np.abs(other[:, None] - other[None] - apart)
    return np.asarray(off <= loose + stretch * np.abs(apart))


def _fit(mine: Points, theirs: Points, hypothesis: _Hypothesis, deep: bool) -> Placement | None:
    """Fit scale and shift to pairs, leaving out more and more of those that do not fit."""
    axes, expected = hypothesis.axes, np.asarray(hypothesis.scale)
    own, kept = mine[:, axes], hypothesis.inside
    scale, shift = expected, np.zeros(3)
    for room in (3.0, 2.0, 1.5):
        if kept.sum() < _LEAST:
            return None
        a, b = own[kept], theirs[kept]
        middle_a, middle_b = a.mean(axis=0), b.mean(axis=0)
        spread = np.square(a - middle_a).sum(axis=0) + _STIFF
        along = ((a - middle_a) * (b - middle_b)).sum(axis=0) + _STIFF * expected
        scale = along / spread
        if not deep:
            scale[0] = expected[0]
        if (scale * expected <= 0).any():
            return None
        shift = middle_b - scale * middle_a
        near = np.abs(own * scale + shift - theirs) <= room * np.maximum(1, np.abs(scale))
        kept = near[:, 0 if deep else 1 :].all(1)
    if (np.abs(np.log(scale / expected)) > np.log(_MOST_STRETCH)).any():
        return None
    count = min(len(np.unique(each[kept], axis=0)) for each in (mine, theirs))
    return Placement(axes, _floats(scale), _floats(shift), count) if count >= _LEAST else None


def _floats(values: NDArray[np.floating]) -> tuple[float, float, float]:
    z, y, x = (float(value) for value in values)
    return z, y, x


def _ints(values: NDArray[np.integer]) -> tuple[int, int, int]:
    z, y, x = (int(value) for value in values)
    return z, y, x
