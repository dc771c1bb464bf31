"""Time the measuring of 5,000 nuclei against scikit-image's table of the same features.

Run it from the repository's root: ``python -m scripts.bench_measure``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import scipy.stats
from numpy.typing import NDArray
from skimage.measure import (
    marching_cubes,
    mesh_surface_area,
    regionprops_table,
    shannon_entropy,
)

from hitl.measure.nuclei import measure_nuclei
from hitl.measure.sources import ArraySource
from scripts.timing import Row, print_rows, row, timed, timed_with_mb, times
from scripts.volumes import GRID, Size, in_zarr, synthetic_labels

SHAPE = (160, 512, 512)
SPACING_UM = (2.0, 1.0, 1.0)
RATIO = 1
PROPERTIES = (
    "label",
    "num_pixels",
    "area",
    "bbox",
    "centroid",
    "axis_major_length",
    "axis_minor_length",
    "equivalent_diameter_area",
    "intensity_mean",
    "intensity_median",
    "intensity_std",
    "intensity_min",
    "intensity_max",
)
SAME = {
    "label": "id",
    "num_pixels": "voxels",
    "area": "volume_um3",
    "axis_major_length": "axis_major_um",
    "axis_minor_length": "axis_minor_um",
    "equivalent_diameter_area": "equivalent_diameter_um",
    "surface_mesh": "surface_mesh_um2",
    "intensity_mean": "ch0_mean",
    "intensity_median": "ch0_median",
    "intensity_std": "ch0_std",
    "percentiles-0": "ch0_p5",
    "percentiles-3": "ch0_p95",
    "entropy": "ch0_entropy_bits",
    "skewness": "ch0_skewness",
    "kurtosis": "ch0_kurtosis",
}


def surface_mesh(mask: NDArray[np.bool_]) -> float:
    """Area in µm² of the mesh around an object."""
    padded = np.pad(mask, 1).astype(np.float32)
    vertices, faces, _, _ = marching_cubes(padded, 0.5, spacing=SPACING_UM)
    return float(mesh_surface_area(vertices, faces))


def of_values(name: str, function: Callable[[NDArray[Any]], Any]) -> Callable[..., Any]:
    """Return a figure of an object's intensities, as scikit-image takes it."""

    def figure(mask: NDArray[np.bool_], image: NDArray[Any]) -> Any:
        return function(image[mask])

    figure.__name__ = name
    return figure


EXTRA = (
    surface_mesh,
    of_values("percentiles", lambda values: np.percentile(values, (5, 25, 75, 95))),
    of_values("total", lambda values: float(values.sum())),
    of_values("entropy", shannon_entropy),
    of_values("skewness", scipy.stats.skew),
    of_values("kurtosis", scipy.stats.kurtosis),
)


def peer(labels: NDArray[Any], image: NDArray[Any]) -> dict[str, NDArray[Any]]:
    """Return scikit-image's table."""
    table: dict[str, NDArray[Any]] = regionprops_table(
        labels, image, PROPERTIES, spacing=SPACING_UM, extra_properties=EXTRA
    )
    return table


def bench(repeats: int = 3, *, shape: Size = SHAPE, grid: Size = GRID) -> list[Row]:
    """Return a row against scikit-image, which runs once, and rows from zarr; ours does more.

    Raises
    ------
    RuntimeError
        When scikit-image has other numbers.
    """
    labels = synthetic_labels(shape, grid)
    image = np.random.default_rng(0).poisson(100, shape).astype(np.uint16)
    source = ArraySource(labels, image, spacing_um=SPACING_UM)
    small = ArraySource(labels[:4, :32], image[:4, :32], spacing_um=SPACING_UM)
    measure_nuclei(small)  # compiles, or loads what was compiled before
    seconds, ours = timed(lambda: measure_nuclei(source).columns, repeats)
    _, memory, _ = timed_with_mb(lambda: measure_nuclei(source))
    peer_seconds, theirs = timed(lambda: peer(labels, image), 1)
    for name, column in SAME.items():
        if not np.allclose(theirs[name], ours[column], rtol=1e-5, atol=1e-9):
            raise RuntimeError(f"scikit-image has another {name} than our {column}")
    found = row(
        f"measure {len(ours['id'])} objects, {times(shape)}",
        seconds,
        peer="regionprops_table",
        peer_seconds=peer_seconds,
        limit=f"≥ {RATIO} ×",
        memory_mb=memory,
    )
    with in_zarr(labels, image) as stored:
        source = ArraySource(*stored, spacing_um=SPACING_UM)
        seconds, memory, again = timed_with_mb(lambda: measure_nuclei(source).columns)
    if any(not np.array_equal(again[k], ours[k], equal_nan=True) for k in ours):
        raise RuntimeError("labels from zarr gave other numbers than those in memory")
    return [found, row("the same from zarr", seconds, memory_mb=memory)]


if __name__ == "__main__":
    print_rows(bench)
