"""Time all IoU thresholds of two big label images against StarDist's and Cellpose's own code.

Run it from the repository's root: ``python -m scripts.bench_metrics``.
"""

from __future__ import annotations

import os
from typing import Any

from numpy.typing import NDArray

from hitl.evaluation.metrics.all_metrics import score
from hitl.evaluation.metrics.boundary import boundary_scores
from hitl.evaluation.metrics.detection import match_centroids
from hitl.evaluation.metrics.matching import match
from hitl.evaluation.metrics.overlap_score import overlap_scores
from hitl.evaluation.metrics.resampling import bootstrap
from labels.overlaps import count_overlaps
from scripts.timing import Row, print_rows, row, timed, timed_with_mb, times
from scripts.volumes import GRID, SHAPE, Size, in_zarr, synthetic_labels

os.environ.setdefault("TF_USE_LEGACY_KERAS", "1")

THRESHOLDS = [round(0.1 + 0.05 * k, 2) for k in range(18)]
SPACING_UM = (0.3, 0.13, 0.13)
STARDIST_RATIO = 25
CELLPOSE_RATIO = 60
MEMORY_SHARE = 1.5
ZARR_MB = 500


def all_thresholds(truth: Any, pred: Any) -> list[int]:
    """Return the matches at every threshold; what the peers are timed on too."""
    table = count_overlaps(truth, pred)
    return [match(table, threshold).tp for threshold in THRESHOLDS]


def bench(repeats: int = 5, *, shape: Size = SHAPE, grid: Size = GRID) -> list[Row]:
    """Return one row per peer, and rows for memory and zarr; the peers run once.

    Raises
    ------
    RuntimeError
        When the peers count other matches.
    """
    truth, pred = (synthetic_labels(shape, grid, seed) for seed in (0, 1))
    name = f"IoU 0.1 … 0.95, {times(shape)}"
    all_thresholds(truth[:1], pred[:1])  # compiles, or loads what was compiled before
    seconds, ours = timed(lambda: all_thresholds(truth, pred), repeats)
    _, memory, _ = timed_with_mb(lambda: all_thresholds(truth, pred))
    most = f"≤ {MEMORY_SHARE:g} × one array's {truth.nbytes / 1e6:.0f} MB"
    rows = [row(name, seconds, limit=most, memory_mb=memory)]
    for peer, run, least in (
        ("stardist.matching", _stardist, STARDIST_RATIO),
        ("cellpose average_precision", _cellpose, CELLPOSE_RATIO),
    ):
        run(truth[:1], pred[:1])  # imports and compiles
        peer_seconds, theirs = timed(lambda run=run: run(truth, pred), 1)
        if theirs != ours:
            raise RuntimeError(f"{peer} counts other matches: {theirs}, ours: {ours}")
        rows.append(row(name, seconds, peer=peer, peer_seconds=peer_seconds, limit=f"≥ {least} ×"))
    table = count_overlaps(truth, pred)
    rows.append(row("evaluation score", timed(lambda: overlap_scores(table, pred), repeats)[0]))
    rows.append(row("centroids in 15 px", timed(lambda: match_centroids(table), repeats)[0]))
    rows.append(_from_zarr(truth, pred, ours))
    return rows + _everything(truth, pred)


def _everything(truth: NDArray[Any], pred: NDArray[Any]) -> list[Row]:
    """Rows for what takes longer, timed once."""
    tolerance_um = 2 * SPACING_UM[2]
    boundary_scores(truth[:4], pred[:4], SPACING_UM, tolerance_um)  # compiles, or loads
    seconds, memory, _ = timed_with_mb(
        lambda: boundary_scores(truth, pred, SPACING_UM, tolerance_um)
    )
    rows = [row(f"boundary F at {tolerance_um:g} µm", seconds, memory_mb=memory)]
    seconds, scores = timed(lambda: score(truth, pred), 1)
    rows.append(row("score(): all but boundaries", seconds))
    seconds, _ = timed(lambda: bootstrap({"": {"": [scores.items]}}), 1)
    rows.append(row("intervals, 2000 resamples", seconds))
    return rows


def _from_zarr(truth: NDArray[Any], pred: NDArray[Any], expected: list[int]) -> Row:
    with in_zarr(truth, pred) as stored:
        seconds, memory, found = timed_with_mb(lambda: all_thresholds(*stored))
    if found != expected:
        raise RuntimeError("labels from zarr gave other matches than those in memory")
    return row("IoU 0.1 … 0.95 from zarr", seconds, limit=f"< {ZARR_MB} MB", memory_mb=memory)


def _stardist(truth: NDArray[Any], pred: NDArray[Any]) -> list[int]:
    from stardist.matching import matching

    return [found.tp for found in matching(truth, pred, thresh=THRESHOLDS)]


def _cellpose(truth: NDArray[Any], pred: NDArray[Any]) -> list[int]:
    from cellpose.metrics import average_precision

    return [int(tp) for tp in average_precision(truth, pred, threshold=THRESHOLDS)[1]]


if __name__ == "__main__":
    print_rows(bench)
