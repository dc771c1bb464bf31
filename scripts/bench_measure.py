"""Time the measuring of 5,000 nuclei against scikit-image's table of the same features.

Run it from the repository's root: ``python -m scripts.bench_measure``.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hitl.measure.nuclei import measure_nuclei
from hitl.measure.sources import ArraySource
from scripts.bench_metrics import synthetic_labels
from scripts.timing import extra_mb, row, timed

SHAPE = (160, 512, 512)
GRID = (10, 20, 25)
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
    from skimage.measure import marching_cubes, mesh_surface_area

    padded = np.pad(mask, 1).astype(np.float32)
    vertices, faces, _, _ = marching_cubes(padded, 0.5, spacing=SPACING_UM)
    return float(mesh_surface_area(vertices, faces))


def percentiles(mask: NDArray[np.bool_], image: NDArray[Any]) -> NDArray[np.float64]:
    """Return the percentiles of an object's intensities."""
    return np.percentile(image[mask], (5, 25, 75, 95))


def total(mask: NDArray[np.bool_], image: NDArray[Any]) -> float:
    """Sum of an object's intensities."""
    return float(image[mask].sum())


def entropy(mask: NDArray[np.bool_], image: NDArray[Any]) -> float:
    """Shannon entropy of an object's intensities."""
    from skimage.measure import shannon_entropy

    return float(shannon_entropy(image[mask]))


def skewness(mask: NDArray[np.bool_], image: NDArray[Any]) -> float:
    """Skewness of an object's intensities."""
    from scipy.stats import skew

    return float(skew(image[mask]))


def kurtosis(mask: NDArray[np.bool_], image: NDArray[Any]) -> float:
    """Excess kurtosis of an object's intensities."""
    from scipy.stats import kurtosis as of

    return float(of(image[mask]))


EXTRA = (surface_mesh, percentiles, total, entropy, skewness, kurtosis)


def peer(labels: NDArray[Any], image: NDArray[Any]) -> dict[str, NDArray[Any]]:
    """Return scikit-image's table."""
    from skimage.measure import regionprops_table

    table: dict[str, NDArray[Any]] = regionprops_table(
        labels, image, PROPERTIES, spacing=SPACING_UM, extra_properties=EXTRA
    )
    return table


def bench(
    repeats: int = 3,
    *,
    shape: tuple[int, int, int] = SHAPE,
    grid: tuple[int, int, int] = GRID,
) -> list[dict[str, Any]]:
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
    memory = extra_mb(lambda: measure_nuclei(source))
    peer_seconds, theirs = timed(lambda: peer(labels, image), 1)
    for name, column in SAME.items():
        if not np.allclose(theirs[name], ours[column], rtol=1e-5, atol=1e-9):
            raise RuntimeError(f"scikit-image has another {name} than our {column}")
    size = "×".join(map(str, shape))
    found = row(
        f"measure {len(ours['id'])} objects, {size}",
        seconds,
        peer="regionprops_table",
        peer_seconds=peer_seconds,
        limit=f"≥ {RATIO} ×",
        memory_mb=memory,
    )
    return [found, _from_zarr(labels, image, ours)]


def _from_zarr(
    labels: NDArray[Any], image: NDArray[Any], expected: dict[str, NDArray[Any]]
) -> dict[str, Any]:
    import zarr

    with tempfile.TemporaryDirectory() as folder:
        stored = []
        for name, array in (("labels", labels), ("image", image)):
            chunks = tuple(min(c, n) for c, n in zip((16, 128, 128), array.shape, strict=True))
            kept = zarr.create_array(
                Path(folder) / name, shape=array.shape, dtype=array.dtype, chunks=chunks
            )
            kept[:] = array
            stored.append(kept)
        source = ArraySource(*stored, spacing_um=SPACING_UM)
        found: dict[str, NDArray[Any]] = {}
        begin = time.perf_counter()
        memory = extra_mb(lambda: found.update(measure_nuclei(source).columns))
        seconds = time.perf_counter() - begin
    if any(not np.array_equal(found[k], expected[k], equal_nan=True) for k in expected):
        raise RuntimeError("labels from zarr gave other numbers than those in memory")
    return row("the same from zarr", seconds, memory_mb=memory)


def main() -> None:
    """Print the rows."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--shape", type=int, nargs=3, default=SHAPE, metavar=("Z", "Y", "X"))
    parser.add_argument("--grid", type=int, nargs=3, default=GRID, help="objects along z, y, x")
    parser.add_argument("--repeats", type=int, default=3)
    given = parser.parse_args()
    for found in bench(given.repeats, shape=tuple(given.shape), grid=tuple(given.grid)):
        print(
            ", ".join(f"{key}: {value}" for key, value in found.items() if value not in ("", None))
        )


if __name__ == "__main__":
    main()
