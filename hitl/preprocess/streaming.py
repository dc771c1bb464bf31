"""The same preprocessing of a stack that is larger than memory, slab by slab.

Steps look at single voxels or single slices, but three of them stretch between two intensities of
the whole stack. These are measured in a pass of their own: exactly, with a histogram, where the
intensities are integers of up to 16 bits, else only where they are the smallest and the largest.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from hitl.preprocess.steps import (
    COUNTED,
    STEPS,
    STRETCHED,
    Image,
    finite_ends,
    occupied_ends,
    require,
    stretch_between,
    stretched_dtype,
)
from hitl.project.processing import (
    HistogramStretch,
    PercentileStretch,
    PreprocessStep,
    Projection,
    ToUint8,
)
from labels.arrays import ArrayLike
from labels.progress import Progress

SLICES = 16
"""Slices of a slab: one chunk of a store."""

SlabWork = Callable[[Image], Image]


class Target(Protocol):
    """What the preprocessed slabs are written to."""

    def __setitem__(self, key: Any, slab: Any) -> None: ...


def why_not_streamed(steps: Sequence[PreprocessStep], dtype: np.dtype[Any]) -> str | None:
    """Return which step needs the whole stack at once, in words, or None.

    Parameters
    ----------
    steps : sequence of step models
    dtype : numpy dtype
        Of the image before the first step.
    """
    for step in steps:
        if isinstance(step, Projection):
            return "the preprocessing step project looks at all slices"
        takes_percentiles = isinstance(step, ToUint8 | PercentileStretch) and (
            step.low,
            step.high,
        ) != (0, 100)
        if takes_percentiles and not _countable(dtype):
            return f"the preprocessing step {step.step} takes percentiles of {dtype} voxels"
        dtype = _dtype_after(step, dtype)
    return None


def dtype_after(steps: Sequence[PreprocessStep], dtype: np.dtype[Any]) -> np.dtype[Any]:
    """Return the dtype that `preprocess` gives an image of `dtype`."""
    for step in steps:
        dtype = _dtype_after(step, dtype)
    return dtype


def apply_streamed(
    steps: Sequence[PreprocessStep], source: ArrayLike, target: Target, progress: Progress
) -> None:
    """Run the steps in order, holding one slab of 16 slices.

    The stack is read once, and once more for each step that measures it.

    Parameters
    ----------
    steps : sequence of step models
        Of which `why_not_streamed` says None.
    source : array of integer or float, shape (Z, Y, X)
    target : array of `dtype_after`, shape (Z, Y, X)
        Every voxel is written as `preprocess` would give it.
    progress : callable
        Called with slices done, slices in all and what is being done; raising in it cancels.

    Raises
    ------
    PreprocessError
        As `preprocess`.
    """
    works: list[SlabWork] = []
    for step in steps:
        measured = _slabs(source, tuple(works), progress, f"measuring for {step.step}")
        works.append(_bound(step, measured))
    for at, slab in _slabs(source, works, progress, "preprocessing"):
        target[at] = slab


def _slabs(
    source: ArrayLike, works: Sequence[SlabWork], progress: Progress, what: str
) -> Iterator[tuple[slice, Image]]:
    depth = source.shape[0]
    for z in range(0, depth, SLICES):
        progress(z, depth, what)
        at = slice(z, min(z + SLICES, depth))
        slab: Image = np.asarray(source[at])
        for work in works:
            slab = work(slab)
        yield at, slab
    progress(depth, depth, what)


def _bound(step: PreprocessStep, slabs: Iterator[tuple[slice, Image]]) -> SlabWork:
    """Return the step as a function of one slab; `slabs` are read only by steps that measure."""
    name = step.step
    if isinstance(step, ToUint8):
        ends = _percentiles(_checked(slabs, name), step)
        return lambda slab: stretch_between(slab, name, ends, np.dtype(np.uint8))
    if isinstance(step, PercentileStretch):
        ends = _percentiles(_checked(slabs, name, *STRETCHED), step)
        return lambda slab: stretch_between(slab, name, ends, stretched_dtype(slab.dtype))
    if isinstance(step, HistogramStretch):
        ends = occupied_ends(_histogram(_checked(slabs, name, *COUNTED))[0], step.min_count)
        return lambda slab: stretch_between(slab, name, ends, slab.dtype)
    options = step.model_dump(exclude={"step"})
    return lambda slab: STEPS[name](slab, **options)


def _checked(
    slabs: Iterator[tuple[slice, Image]], step: str, *dtypes: type[np.generic]
) -> Iterator[Image]:
    for _, slab in slabs:
        require(slab, step, *dtypes)
        yield slab


def _percentiles(slabs: Iterator[Image], step: ToUint8 | PercentileStretch) -> tuple[float, float]:
    if (step.low, step.high) == (0, 100):
        ends = [(slab.min(), slab.max()) for slab in slabs]
        # NumPy's minimum passes NaN on, Python's does not.
        first, last = (
            float(pick(found))
            for pick, found in zip((np.min, np.max), zip(*ends, strict=True), strict=True)
        )
    else:
        counts, lowest = _histogram(slabs)
        first, last = (percentile(counts, q) + lowest for q in (step.low, step.high))
    return finite_ends(first, last, step.step)


def _histogram(slabs: Iterator[Image]) -> tuple[NDArray[np.int64], int]:
    """Return the count of each level and the first level."""
    counts, lowest = np.zeros(0, np.int64), 0
    for slab in slabs:
        if not counts.size:
            limits = np.iinfo(slab.dtype)
            lowest = int(limits.min)
            counts = np.zeros(int(limits.max) - lowest + 1, np.int64)
        for plane in slab:
            levels = plane.ravel().astype(np.int64) - lowest
            counts += np.bincount(levels, minlength=counts.size)
    return counts, lowest


def percentile(counts: NDArray[np.int64], q: float) -> float:
    """Return the level at a percentile, linear between ranks as `numpy.percentile` has it.

    Parameters
    ----------
    counts : ndarray of int, shape (levels,)
        Voxels of each level.
    q : float
        In [0, 100].
    """
    ranks = np.cumsum(counts)
    rank = q / 100 * (int(ranks[-1]) - 1)
    below = int(np.floor(rank))
    pair = np.array([below, min(below + 1, int(ranks[-1]) - 1)])
    a, b = (float(level) for level in np.searchsorted(ranks, pair, side="right"))
    share = rank - below
    # NumPy's own order of operations, so that the last digit agrees too.
    return a + (b - a) * share if share < 0.5 else b - (b - a) * (1 - share)


def _countable(dtype: np.dtype[Any]) -> bool:
    return dtype.kind in "iu" and dtype.itemsize <= 2


def _dtype_after(step: PreprocessStep, dtype: np.dtype[Any]) -> np.dtype[Any]:
    if isinstance(step, ToUint8):
        return np.dtype(np.uint8)
    return stretched_dtype(dtype) if isinstance(step, PercentileStretch) else dtype
