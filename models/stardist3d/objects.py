"""From a network's output to objects: candidates, overlaps, drawing."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from labels.progress import Progress, no_progress
from models.errors import ModelError
from models.stardist3d.plan import Triple
from models.stardist3d.runtime import import_stardist, quiet, quiet_native

TILE_VOXELS = 2**21
"""Voxels of one tile; the network's widest layers then take about 1.5 GB."""

FEWEST_TILE_VOXELS = 2**14


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

    def within(self, low: NDArray[np.intp], high: NDArray[np.intp]) -> Candidates:
        """Return those whose centres lie in a box."""
        kept = ((self.points >= low) & (self.points < high)).all(axis=1)
        return Candidates(self.prob[kept], self.dist[kept], self.points[kept])

    @staticmethod
    def joined(pieces: Sequence[Candidates]) -> Candidates:
        """Return the candidates of all pieces; there is at least one."""
        return Candidates(
            np.concatenate([piece.prob for piece in pieces]),
            np.concatenate([piece.dist for piece in pieces]),
            np.concatenate([piece.points for piece in pieces]),
        )


@dataclass
class TileBudget:
    """How large a tile may be; shrinks, for good, where memory does not suffice.

    Parameters
    ----------
    voxels : int
        Of one tile with its margins.
    notes : list of str
        What the user must be told.
    """

    voxels: int = field(default_factory=lambda: TILE_VOXELS)
    notes: list[str] = field(default_factory=list)

    def shrink(self, size: int) -> bool:
        """Halve what was too much, at most `size`; False where that would be absurdly small."""
        self.voxels = min(self.voxels, size) // 2
        self.notes[:] = [f"out of memory: tiles of at most {self.voxels} voxels were used"]
        return self.voxels >= FEWEST_TILE_VOXELS


def find_candidates(
    network: Any,
    image: NDArray[np.float32],
    progress: Progress = no_progress,
    prob_threshold: float | None = None,
    budget: TileBudget | None = None,
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
    budget : TileBudget, optional
        Shrunk where memory does not suffice.

    Raises
    ------
    ModelError
        When StarDist or TensorFlow fails, or memory for the smallest tile is lacking.
    """
    exhausted = import_stardist().tf.errors.ResourceExhaustedError
    budget = budget or TileBudget()
    # StarDist tells of tiles only where there are several.
    progress(0, 1, "predicting")
    while True:
        try:
            return _predict_tiles(network, image, progress, prob_threshold, budget.voxels)
        except (exhausted, MemoryError) as exc:
            if not budget.shrink(image.size):
                raise _failure(image.shape, exc) from exc
        except (ValueError, RuntimeError, AssertionError) as exc:
            raise _failure(image.shape, exc) from exc


def _predict_tiles(
    network: Any,
    image: NDArray[np.float32],
    progress: Progress,
    prob_threshold: float | None,
    tile_voxels: int,
) -> Candidates:
    radius = receptive_radius(network.config)
    tiles, first = tile_counts(image.shape, radius, tile_voxels), _first_axis(network)
    # StarDist would probe the network with a volume that can be larger than the image.
    network._tile_overlap = [(r, r) for r in radius[first:]]
    with quiet():
        prob, dist, points = network.predict_sparse(
            image[0] if first else image,
            axes="ZYX"[first:],
            prob_thresh=prob_threshold,
            n_tiles=tiles[first:],
            show_tile_progress=_TileProgress(progress),
            # StarDist drops centres within 2 grid cells of the border: a third of a thin stack.
            b=0,
        )
    return Candidates(prob, dist, np.pad(points, ((0, 0), (first, 0))))


def _first_axis(network: Any) -> int:
    """Return the first of the axes (z, y, x) that a network sees."""
    return 3 - int(network.config.n_dim)


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
        StarDist's ``points``, ``dist``, ``prob`` and ``rays``; of a 2D network ``points``,
        ``coord`` and ``prob``.

    Raises
    ------
    ModelError
        When StarDist fails.
    """
    # Equal probabilities are resolved by place, so that tiles make no difference.
    order, first = np.lexsort(candidates.points.T), _first_axis(network)
    try:
        # Qhull, in StarDist's C++, writes long warnings of flat hulls to standard error.
        with quiet(), quiet_native():
            _, found = network._instances_from_prediction(
                shape[first:],
                candidates.prob[order],
                candidates.dist[order],
                points=candidates.points[order][:, first:],
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
    drawn = _drawn(found, shape)
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


def _drawn(found: dict[str, Any], shape: tuple[int, ...]) -> NDArray[Any]:
    """Return the labels (Z, Y, X) of polyhedra, or of polygons in a single slice."""
    geometry = import_stardist().geometry
    if "rays" not in found:
        order = np.argsort(found["prob"], kind="stable")
        polygons = geometry.polygons_to_label_coord(found["coord"][order], shape[1:], order)
        return np.asarray(polygons)[None]
    with quiet_native():
        return np.asarray(
            geometry.polyhedron_to_label(
                found["dist"], found["points"], found["rays"], shape, prob=found["prob"],
                verbose=False,
            )
        )  # fmt: skip


def tile_counts(shape: tuple[int, ...], radius: Triple, tile_voxels: int) -> Triple:
    """Return how often to cut each axis, so that a tile with its margin has `tile_voxels`."""
    counts = [1, 1, 1]
    while True:
        sides = [
            min(size, math.ceil(size / count) + 2 * margin) if count > 1 else size
            for size, count, margin in zip(shape, counts, radius, strict=True)
        ]
        if math.prod(sides) <= tile_voxels:
            break
        gains = [side - 2 * margin for side, margin in zip(sides, radius, strict=True)]
        axis = int(np.argmax(gains))
        if gains[axis] <= 2 * radius[axis]:
            break
        counts[axis] += 1
    return (counts[0], counts[1], counts[2])


def receptive_radius(config: Any) -> Triple:
    """Voxels on each side that can reach an output voxel, from the layers (an upper bound)."""
    radius = [0] * (3 - len(config.grid))
    for axis in range(len(config.grid)):
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
