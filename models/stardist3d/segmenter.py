"""Prediction with a trained StarDist 3D."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.base import Progress, Segmentation, Spacing, check_image, no_progress
from models.errors import ModelError
from models.stardist3d.plan import Triple
from models.stardist3d.runfolder import (
    BEST_WEIGHTS,
    RunSettings,
    load_network,
    read_settings,
    sha256,
)
from models.stardist3d.runtime import import_stardist, quiet, quiet_native
from models.stardist3d.samples import resampled, rescaling

TILE_VOXELS = 2**21
"""Voxels of one tile; the network's widest layers then take about 1.5 GB."""


@dataclass(frozen=True, kw_only=True)
class StarDist3DSegmenter:
    """A trained StarDist 3D network with its thresholds.

    Parameters
    ----------
    network : StarDist3D
    settings : RunSettings
    folder : Path
        The run folder.
    weights_sha256 : str
    """

    network: Any
    settings: RunSettings
    folder: Path
    weights_sha256: str

    @property
    def name(self) -> str:
        """Name in the registry."""
        return "stardist3d"

    def describe(self) -> dict[str, Any]:
        """Return architecture, thresholds, normalisation and the weights' sha256."""
        config = self.network.config
        return {
            "model": self.name,
            "run": self.folder.name,
            "weights_sha256": self.weights_sha256,
            "base": self.settings.base,
            "backbone": config.backbone,
            "n_rays": int(config.n_rays),
            "grid": list(config.grid),
            "anisotropy": None if config.anisotropy is None else list(config.anisotropy),
            "prob_threshold": float(self.network.thresholds.prob),
            "nms_threshold": float(self.network.thresholds.nms),
            "percentiles": [self.settings.normalisation.low, self.settings.normalisation.high],
            "spacing_um": None
            if self.settings.spacing_um is None
            else list(self.settings.spacing_um),
        }

    def segment(
        self, image: NDArray[Any], spacing_um: Spacing, *, progress: Progress = no_progress
    ) -> Segmentation:
        """Segment one channel of one stack, tile by tile.

        Where the voxel size differs from the training's by more than a tenth, the image is
        resampled for the network, and the polyhedra are drawn at the image's own voxel size.

        Parameters
        ----------
        image : ndarray of integer or float, shape (Z, Y, X)
        spacing_um : (float, float, float)
            Voxel size (z, y, x) in µm.
        progress : callable, optional

        Raises
        ------
        ImageError
            When the image is not 3D, holds NaN or infinite voxels, or is constant.
        ModelError
            When StarDist or TensorFlow fails.
        """
        check_image(image)
        scale, notes = None, tuple[str, ...]()
        if self.settings.spacing_um is not None:
            scale = rescaling(spacing_um, self.settings.spacing_um)
        trained_at = self.settings.stack_spacing_um or self.settings.spacing_um
        if trained_at is not None and rescaling(spacing_um, trained_at) is not None:
            stated, known = (" × ".join(f"{s:.4g}" for s in at) for at in (spacing_um, trained_at))
            notes = (f"voxels of {stated} µm are resampled: the training stacks' have {known} µm",)
        normalised = self.settings.normalisation.apply(image)
        if scale is not None:
            normalised = resampled(normalised, scale)
        candidates = find_candidates(self.network, normalised, progress)
        found = suppress(self.network, candidates, image.shape, scale)
        labels, confidence = draw_objects(found, image.shape)
        return Segmentation(labels, confidence, notes=notes)


def load_run(run_folder: Path) -> StarDist3DSegmenter:
    """Return the segmenter of a finished run, or of a stock StarDist 3D model folder.

    Raises
    ------
    CheckpointError
        When the folder or a file in it is missing or damaged.
    """
    folder = Path(run_folder)
    settings = read_settings(folder)
    network = load_network(folder)
    return StarDist3DSegmenter(
        network=network,
        settings=settings,
        folder=folder,
        weights_sha256=sha256(folder / BEST_WEIGHTS),
    )


@dataclass(frozen=True)
class Candidates:
    """Polyhedra before non-maximum suppression.

    Parameters
    ----------
    prob : ndarray of float32, shape (N,)
    dist : ndarray of float32, shape (N, rays)
        In voxels of the network.
    points : ndarray of int, shape (N, 3)
        Centres (z, y, x) in voxels of the network.
    """

    prob: NDArray[np.float32]
    dist: NDArray[np.float32]
    points: NDArray[np.intp]

    def best(self, count: int) -> Candidates:
        """Return the `count` most probable."""
        if len(self.prob) <= count:
            return self
        kept = np.argpartition(-self.prob, count)[:count]
        return Candidates(self.prob[kept], self.dist[kept], self.points[kept])


def find_candidates(
    network: Any,
    image: NDArray[np.float32],
    progress: Progress = no_progress,
    prob_threshold: float | None = None,
) -> Candidates:
    """Predict, tile by tile, a polyhedron for every grid cell above the probability threshold.

    Parameters
    ----------
    network : StarDist3D
    image : ndarray of float32, shape (Z, Y, X)
        Normalised, at the network's voxel size.
    progress : callable, optional
    prob_threshold : float, optional
        Instead of the network's own.

    Raises
    ------
    ModelError
        When StarDist or TensorFlow fails.
    """
    radius = receptive_radius(network.config)
    # StarDist would probe the network with a volume that can be larger than the image.
    network._tile_overlap = [(r, r) for r in radius]
    try:
        with quiet():
            prob, dist, points = network.predict_sparse(
                image,
                axes="ZYX",
                prob_thresh=prob_threshold,
                n_tiles=tile_counts(image.shape, radius),
                show_tile_progress=_TileProgress(progress),
                # StarDist drops centres within 2 grid cells of the border: a third of a thin stack.
                b=0,
            )
    except (ValueError, RuntimeError, AssertionError, MemoryError) as exc:
        raise _failure(image.shape, exc) from exc
    return Candidates(prob, dist, points)


def suppress(
    network: Any,
    candidates: Candidates,
    shape: tuple[int, ...],
    scale: tuple[float, float, float] | None = None,
    nms_threshold: float | None = None,
) -> dict[str, Any]:
    """Keep the most probable of overlapping polyhedra.

    Parameters
    ----------
    network : StarDist3D
    candidates : Candidates
    shape : (int, int, int)
        Of the image as it was given.
    scale : (float, float, float), optional
        Zoom from that image to the network's; the polyhedra come back in the image's voxels.
    nms_threshold : float, optional
        Instead of the network's own.

    Returns
    -------
    dict
        StarDist's ``points``, ``dist``, ``prob`` and ``rays``.

    Raises
    ------
    ModelError
        When StarDist fails.
    """
    try:
        # Qhull, in StarDist's C++, writes long warnings of flat hulls to standard error.
        with quiet(), quiet_native():
            _, found = network._instances_from_prediction(
                shape,
                candidates.prob,
                candidates.dist,
                points=candidates.points,
                nms_thresh=nms_threshold,
                scale=None if scale is None else dict(zip("ZYX", scale, strict=True)),
                return_labels=False,
            )
    except (ValueError, RuntimeError, AssertionError, MemoryError) as exc:
        raise _failure(shape, exc) from exc
    return dict(found)


def _failure(shape: tuple[int, ...], exc: Exception) -> ModelError:
    return ModelError(
        f"StarDist failed on an image of shape {shape}: {exc}; "
        "check the image, or train again if other images fail too"
    )


def draw_objects(
    found: dict[str, Any], shape: tuple[int, ...]
) -> tuple[NDArray[np.uint32], dict[int, float]]:
    """Draw polyhedra, the more probable above; return labels 1…n and each one's probability."""
    if len(found["points"]) == 0:
        return np.zeros(shape, np.uint32), {}
    geometry = import_stardist().geometry
    with quiet_native():
        drawn = geometry.polyhedron_to_label(
            found["dist"], found["points"], found["rays"], shape, prob=found["prob"], verbose=False
        )
    ids, dense = np.unique(drawn, return_inverse=True)
    # Completely covered polyhedra have no voxel left and get no label.
    number = np.cumsum(ids > 0).astype(np.uint32)
    number[ids == 0] = 0
    confidence = {
        int(new): float(np.clip(found["prob"][old - 1], 0, 1))
        for old, new in zip(ids, number, strict=True)
        if old > 0
    }
    return number[dense].reshape(shape), confidence


def tile_counts(shape: tuple[int, ...], radius: Triple) -> Triple:
    """Return how often to cut each axis, so that a tile with its margin has `TILE_VOXELS`."""
    counts = [1, 1, 1]
    while True:
        sides = [
            min(size, math.ceil(size / count) + 2 * margin) if count > 1 else size
            for size, count, margin in zip(shape, counts, radius, strict=True)
        ]
        if math.prod(sides) <= TILE_VOXELS:
            break
        gains = [side - 2 * margin for side, margin in zip(sides, radius, strict=True)]
        axis = int(np.argmax(gains))
        if gains[axis] <= 2 * radius[axis]:
            break
        counts[axis] += 1
    return (counts[0], counts[1], counts[2])


def receptive_radius(config: Any) -> Triple:
    """Voxels on each side that can reach an output voxel, from the layers (an upper bound)."""
    radius = []
    for axis in range(3):
        grid = int(config.grid[axis])
        if config.backbone == "unet":
            kernel = config.unet_kernel_size[axis] // 2 * config.unet_n_conv_per_depth
            levels = [config.unet_pool[axis] ** level for level in range(config.unet_n_depth + 1)]
            cells = kernel * (2 * sum(levels[:-1]) + levels[-1]) + 1 + 2 * levels[-1]
            radius.append(cells * grid + kernel * (grid - 1) + grid)
        else:
            kernel = config.resnet_kernel_size[axis] // 2 * config.resnet_n_conv_per_block
            radius.append(4 + (kernel * config.resnet_n_blocks + 2) * grid)
    return (radius[0], radius[1], radius[2])


class _TileProgress:
    """Stands in for tqdm, which would draw a bar."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress

    def __call__(self, tiles: Iterator[Any], *, disable: bool, total: int) -> Iterator[Any]:
        for done, tile in enumerate(tiles):
            self._progress(done, total, "predicting")
            yield tile
        self._progress(total, total, "predicting")
