"""TIFF files of every dialect that tests read."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import tifffile

from annotations.formats import open_image

SPACING = (2.0, 0.5, 0.25)
RNG = np.random.default_rng(0)
STACK = RNG.integers(0, 60_000, (4, 6, 5)).astype(np.uint16)
IMAGEJ = {"spacing": SPACING[0], "unit": "um"}
RESOLUTION = (1 / SPACING[2], 1 / SPACING[1])


def imagej(path: Path, array: np.ndarray = STACK, axes: str = "ZYX", **metadata: object) -> Path:
    meta = {"axes": axes, **IMAGEJ, **metadata}
    tifffile.imwrite(path, array, imagej=True, resolution=RESOLUTION, metadata=meta)
    return path


def ome(path: Path, array: np.ndarray = STACK, axes: str = "ZYX", **metadata: object) -> Path:
    sizes = {f"PhysicalSize{a}": s for a, s in zip("ZYX", SPACING, strict=True)}
    tifffile.imwrite(path, array, ome=True, metadata={"axes": axes, **sizes, **metadata})
    return path


def read_all(path: Path, **options: object) -> np.ndarray:
    with open_image(path, **options) as source:
        assert source.info.shape[0] == 1
        return source.read(0, 0, source.info.shape[2])
