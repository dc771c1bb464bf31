"""Time all IoU thresholds of two big label images against StarDist's and Cellpose's own code.

Run it from the repository's root: ``python -m scripts.bench_metrics``.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hitl.evaluation.metrics.all_metrics import score
from hitl.evaluation.metrics.boundary import boundary_scores
from hitl.evaluation.metrics.detection import match_centroids
from hitl.evaluation.metrics.matching import match
from hitl.evaluation.metrics.overlap_score import overlap_scores
from hitl.evaluation.metrics.resampling import bootstrap
from labels.overlaps import count_overlaps
from scripts.timing import extra_mb, row, timed

os.environ.setdefault("TF_USE_LEGACY_KERAS", "1")

SHAPE = (160, 1024, 1024)
GRID = (10, 20, 25)
THRESHOLDS = [round(0.1 + 0.05 * k, 2) for k in range(18)]
SPACING_UM = (0.3, 0.13, 0.13)
STARDIST_RATIO = 25
CELLPOSE_RATIO = 60
MEMORY_SHARE = 1.5
ZARR_MB = 500


def synthetic_labels(
    shape: tuple[int, int, int] = SHAPE, grid: tuple[int, int, int] = GRID, seed: int = 0
) -> NDArray[np.uint32]:
    """Draw one ellipsoid per cell of a grid, its centre moved at random; neighbours may overlap.

    Parameters
    ----------
    shape, grid : (int, int, int)
        Voxels and number of objects along z, y, x.
    seed : int

    Returns
    -------
    ndarray of uint32, shape (Z, Y, X)
    """
    rng = np.random.default_rng(seed)
    pitch = np.array(shape) / grid
    radii = np.maximum((pitch * [0.4, 0.43, 0.53]).astype(int), 1)
    z, y, x = (np.arange(-r, r + 1).reshape(-1, *(1,) * (2 - k)) for k, r in enumerate(radii))
    ball = (z / radii[0]) ** 2 + (y / radii[1]) ** 2 + (x / radii[2]) ** 2 <= 1
    labels = np.zeros(shape, np.uint32)
    for label, cell in enumerate(np.ndindex(*grid), start=1):
        centre = (np.array(cell) + 0.5) * pitch + rng.normal(0, 0.06, 3) * pitch
        low = np.clip(centre.astype(int) - radii, 0, np.array(shape) - 2 * radii - 1)
        box = tuple(slice(a, a + 2 * r + 1) for a, r in zip(low, radii, strict=True))
        labels[box][ball] = label
    return labels


def all_thresholds(truth: Any, pred: Any) -> list[int]:
    """Return the matches at every threshold; what the peers are timed on too."""
    table = count_overlaps(truth, pred)
    return [match(table, threshold).tp for threshold in THRESHOLDS]


def bench(
    repeats: int = 5,
    *,
    shape: tuple[int, int, int] = SHAPE,
    grid: tuple[int, int, int] = GRID,
) -> list[dict[str, Any]]:
    """Return one row per peer, and rows for memory and zarr; the peers run once.

    Raises
    ------
    RuntimeError
        When the peers count other matches.
    """
    truth, pred = (synthetic_labels(shape, grid, seed) for seed in (0, 1))
    size = "×".join(map(str, shape))
    all_thresholds(truth[:1], pred[:1])  # compiles, or loads what was compiled before
    seconds, ours = timed(lambda: all_thresholds(truth, pred), repeats)
    memory = extra_mb(lambda: all_thresholds(truth, pred))
    rows = [
        row(
            f"IoU 0.1 … 0.95, {size}",
            seconds,
            limit=f"≤ {MEMORY_SHARE:g} × one array's {truth.nbytes / 1e6:.0f} MB",
            memory_mb=memory,
        )
    ]
    for peer, run, least in (
        ("stardist.matching", _stardist, STARDIST_RATIO),
        ("cellpose average_precision", _cellpose, CELLPOSE_RATIO),
    ):
        run(truth[:1], pred[:1])  # imports and compiles
        peer_seconds, theirs = timed(lambda run=run: run(truth, pred), 1)
        if theirs != ours:
            raise RuntimeError(f"{peer} counts other matches: {theirs}, ours: {ours}")
        rows.append(
            row(
                f"IoU 0.1 … 0.95, {size}",
                seconds,
                peer=peer,
                peer_seconds=peer_seconds,
                limit=f"≥ {least} ×",
            )
        )
    table = count_overlaps(truth, pred)
    rows.append(row("evaluation score", timed(lambda: overlap_scores(table, pred), repeats)[0]))
    rows.append(row("centroids in 15 px", timed(lambda: match_centroids(table), repeats)[0]))
    rows.append(_from_zarr(truth, pred, ours))
    return rows + _everything(truth, pred)


def _everything(truth: NDArray[Any], pred: NDArray[Any]) -> list[dict[str, Any]]:
    """Rows for what takes longer, timed once."""
    tolerance_um = 2 * SPACING_UM[2]
    boundary_scores(truth[:4], pred[:4], SPACING_UM, tolerance_um)  # compiles, or loads
    memory = extra_mb(lambda: boundary_scores(truth, pred, SPACING_UM, tolerance_um))
    seconds, _ = timed(lambda: boundary_scores(truth, pred, SPACING_UM, tolerance_um), 1)
    rows = [row(f"boundary F at {tolerance_um:g} µm", seconds, memory_mb=memory)]
    seconds, scores = timed(lambda: score(truth, pred), 1)
    rows.append(row("score(): all but boundaries", seconds))
    seconds, _ = timed(lambda: bootstrap({"": [scores.items]}), 1)
    rows.append(row("intervals, 2000 resamples", seconds))
    return rows


def _from_zarr(truth: NDArray[Any], pred: NDArray[Any], expected: list[int]) -> dict[str, Any]:
    import zarr

    with tempfile.TemporaryDirectory() as folder:
        stored = []
        for name, image in (("truth", truth), ("pred", pred)):
            array = zarr.create_array(
                Path(folder) / name,
                shape=image.shape,
                dtype=image.dtype,
                chunks=(16, 128, 128),
            )
            array[:] = image
            stored.append(array)
        found: list[int] = []
        begin = time.perf_counter()
        memory = extra_mb(lambda: found.extend(all_thresholds(*stored)))
        seconds = time.perf_counter() - begin
    if found != expected:
        raise RuntimeError("labels from zarr gave other matches than those in memory")
    return row("IoU 0.1 … 0.95 from zarr", seconds, limit=f"< {ZARR_MB} MB", memory_mb=memory)


def _stardist(truth: NDArray[Any], pred: NDArray[Any]) -> list[int]:
    from stardist.matching import matching

    return [found.tp for found in matching(truth, pred, thresh=THRESHOLDS)]


def _cellpose(truth: NDArray[Any], pred: NDArray[Any]) -> list[int]:
    from cellpose.metrics import average_precision

    return [int(tp) for tp in average_precision(truth, pred, threshold=THRESHOLDS)[1]]


def _cell(value: float | None, pattern: str) -> str:
    return "–" if value is None else pattern.format(value)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--shape", type=int, nargs=3, default=SHAPE, metavar=("Z", "Y", "X"))
    parser.add_argument("--grid", type=int, nargs=3, default=GRID, help="objects along z, y, x")
    parser.add_argument("--repeats", type=int, default=5)
    given = parser.parse_args()
    print(f"{'what':<36}{'seconds':>8}{'MB':>7}  {'peer':<28}{'seconds':>8}{'ratio':>7}  limit")
    for found in bench(given.repeats, shape=tuple(given.shape), grid=tuple(given.grid)):
        print(
            f"{found['name']:<36}{found['seconds']:>8.3f}{_cell(found['memory_mb'], '{:.0f}'):>7}  "
            f"{found['peer']:<28}{_cell(found['peer_seconds'], '{:.2f}'):>8}"
            f"{_cell(found['ratio'], '{:.0f}×'):>7}  {found['limit']}"
        )


if __name__ == "__main__":
    main()
