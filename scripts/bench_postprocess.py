"""Time the cleaning of masks and their edge class against the loop over objects × slices.

Run it from the repository's root: ``python -m scripts.bench_postprocess``.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile

import numpy as np
from numpy.typing import NDArray

from hitl.postprocess.masks import clean_masks, edge_class
from scripts.timing import Row, print_rows, row, timed, times
from scripts.volumes import Labels, Size, ellipsoid
from tests.hitl.postprocess.reference_postprocess import clean_masks_reference, edge_class_reference

SHAPE = (21, 512, 512)
NUCLEI = 400
LIMIT_SECONDS = 0.3
LIMIT_RATIO = 50


def synthetic_nuclei(count: int = NUCLEI, shape: Size = SHAPE, seed: int = 0) -> Labels:
    """Draw ellipsoids with frayed outlines, pinholes and loose bits; some touch.

    Sizes are those of spheroid nuclei at 5 × 1.243 × 1.243 µm voxels: about 800 voxels each, so
    that 400 of them fill 6 % of 21×512×512.

    Parameters
    ----------
    count : int
    shape : (int, int, int)
        (Z, Y, X).
    seed : int

    Returns
    -------
    ndarray of uint32, shape (Z, Y, X)
        Ids 1 to `count`.
    """
    rng = np.random.default_rng(seed)
    labels = np.zeros(shape, dtype=np.uint32)
    for label in range(1, count + 1):
        radii = rng.uniform((2.2, 6.5, 6.5), (3.6, 9.5, 9.5))
        centre = rng.uniform(radii, np.subtract(shape, radii))
        box, distance = ellipsoid(shape, centre, radii, margin=3)
        noise = rng.random(distance.shape)
        own = distance + rng.normal(0, 0.08, distance.shape) < 1
        own &= noise > 0.01
        own |= (distance < 1.3) & (noise > 0.99)
        labels[box][own & (labels[box] == 0)] = label
    return labels


def bench(repeats: int = 5) -> list[Row]:
    """Return one row: both steps together, and the reference loop once in the same run.

    Raises
    ------
    RuntimeError
        When the two do not give the same arrays.
    """
    labels = synthetic_nuclei()
    edge_class(clean_masks(labels))  # compiles, or loads what was compiled before
    seconds, ours = timed(lambda: _fast(labels), repeats)
    peer_seconds, theirs = timed(lambda: _loop(labels), 1)
    if not all(np.array_equal(a, b) for a, b in zip(ours, theirs, strict=True)):
        raise RuntimeError("the array code and the reference loop gave different results")
    return [
        row(
            f"post-process {NUCLEI} nuclei in {times(SHAPE)}",
            seconds,
            peer="loop over objects × slices",
            peer_seconds=peer_seconds,
            limit=f"< {LIMIT_SECONDS} s and ≥ {LIMIT_RATIO} ×",
        )
    ]


def first_call_seconds() -> tuple[float, float]:
    """Return what the first call costs in a new process: before and after it was compiled."""
    code = (
        "import time, numpy as np; from hitl.postprocess.masks import clean_masks, edge_class;"
        "labels = np.ones((2, 16, 16), np.uint32); start = time.perf_counter();"
        "edge_class(clean_masks(labels)); print(time.perf_counter() - start)"
    )
    with tempfile.TemporaryDirectory() as cache:
        env = {**os.environ, "NUMBA_CACHE_DIR": cache}
        runs = [
            subprocess.run(
                [sys.executable, "-c", code], env=env, check=True, capture_output=True, text=True
            )
            for _ in range(2)
        ]
    return float(runs[0].stdout), float(runs[1].stdout)


def _fast(labels: Labels) -> tuple[Labels, NDArray[np.uint8]]:
    cleaned = clean_masks(labels)
    return cleaned, edge_class(cleaned)


def _loop(labels: Labels) -> tuple[Labels, NDArray[np.uint8]]:
    cleaned = clean_masks_reference(labels)
    return cleaned, edge_class_reference(cleaned)


if __name__ == "__main__":
    print_rows(bench)
    cold, warm = first_call_seconds()
    # Beside the rows, which may be JSON.
    print(
        f"first call of a process: {warm:.2f} s; the first on a machine compiles: {cold:.2f} s",
        file=sys.stderr,
    )
