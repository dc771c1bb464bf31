"""Cellpose-SAM as a segmenter of stacks: slices stitched along z, or three views."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from importlib.metadata import version
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
from annotated_types import Ge, Gt, Le
from numpy.typing import NDArray

from labels.progress import Progress
from labels.spacing import Spacing
from models.base import CheckedSegmenter, Segmentation
from models.cellpose import engine, weights
from models.devices import Compute, Precision, choose_compute
from models.errors import ImageError, ModelError
from models.objects import mean_inside
from models.options import BatchSize, DiameterUm, Percentiles, check_percentiles
from models.scarce_memory import check_resampled

MIN_DIAMETER_PX = 2.0
"""Below it Cellpose would enlarge the image more than fifteenfold."""

NATIVE_DIAMETER_PX = 30.0
"""Diameter that Cellpose rescales objects to when one is given."""


@dataclass(frozen=True, kw_only=True)
class CellposeSegmenter(CheckedSegmenter):
    """Pretrained Cellpose-SAM (Pachitariu et al. 2025, https://doi.org/10.1101/2025.04.28.651001).

    Loading, tiling, flows and masks are those of the package ``cellpose``; the result equals
    ``CellposeModel.eval`` on the whole stack with the same settings, except that objects on
    either side of an empty second slice never share an id, and (with ``forward="fast"``) for
    rounding.

    Parameters
    ----------
    model : str
        ``"cpsam_v2"``, ``"cpsam"``, a file's name in the folder of weights
        (``CELLPOSE_LOCAL_MODELS_PATH``, by default ``~/.cellpose/models``), or a path.
    mode : {"stitch", "do_3D"}
        2D slices whose masks are stitched along z, or flows averaged over the YX, ZY and ZX views.
    diameter_um : float, optional
        Diameter of a nucleus in µm; the image is rescaled so that it measures 30 pixels. Not
        rescaled when not given (Cellpose-SAM takes diameters from about 7 to 120 pixels).
    stitch_threshold : float
        Intersection over union from which masks of neighbouring slices are one object.
    flow_threshold : float
        Largest mean squared flow error of a slice's mask; 0 turns the check off. Unused by do_3D.
    cellprob_threshold : float
        Logit from which a voxel is foreground; in do_3D it applies to the sum over three views.
    min_size : int
        Objects of fewer voxels, counted after stitching, are dropped; 0 keeps all.
    max_size_fraction : float
        Objects larger than this part of the slice (do_3D: of the stack) are dropped.
    flow3d_smooth : float
        Standard deviation in voxels of a Gaussian over the flows; used by do_3D only.
    percentiles : (float, float)
        Percentiles of the stack's intensities that normalisation maps to 0 and 1.
    batch_size : int
        Tiles of 256 × 256 pixels that the network takes at once.
    tile_overlap : float
        Part of a tile that its neighbour shares.
    augment : bool
        Average flipped, half-overlapping tiles: about four times slower.
    device : {"auto", "cpu", "cuda"}
        ``"auto"`` takes a GPU when there is one.
    precision : {"auto", "bf16", "fp32"}
        ``"auto"`` takes bfloat16 where the hardware multiplies it.
    forward : {"fast", "stock"}
        The network's own forward, or one that computes the same from the same weights about three
        times as fast on a CPU; they differ by rounding.
    """

    name: ClassVar[str] = "cellpose"
    image_name: ClassVar[str] = "image for Cellpose"
    most_channels: ClassVar[int] = engine.MOST_CHANNELS

    model: str = weights.PRETRAINED[0]
    mode: Literal["stitch", "do_3D"] = "stitch"
    diameter_um: DiameterUm | None = None
    stitch_threshold: Annotated[float, Gt(0), Le(1)] = 0.25
    flow_threshold: Annotated[float, Ge(0), Le(1000)] = 0.4
    cellprob_threshold: Annotated[float, Ge(-1000), Le(1000)] = 0.0
    min_size: Annotated[int, Ge(0), Le(2**31 - 1)] = 15
    max_size_fraction: Annotated[float, Gt(0), Le(1)] = 0.4
    flow3d_smooth: Annotated[float, Ge(0), Le(1000)] = 0.0
    percentiles: Percentiles = (1.0, 99.0)
    batch_size: BatchSize = 8
    tile_overlap: Annotated[float, Ge(0.05), Le(0.5)] = 0.1
    augment: bool = False
    device: Literal["auto", "cpu", "cuda"] = "auto"
    precision: Precision = "auto"
    forward: engine.Forward = "fast"

    def __post_init__(self) -> None:
        check_percentiles(self.percentiles)

    def describe(self) -> dict[str, Any]:
        """Return settings, versions, and the weights' SHA-256 and licence.

        The SHA-256 is None as long as the weights have not been downloaded.
        """
        path = weights.weights_path(self.model)
        return {
            "segmenter": self.name,
            "settings": asdict(self) | {"percentiles": list(self.percentiles)},
            "software": {"cellpose": version("cellpose"), "torch": version("torch")},
            "compute": self.compute().note,
            "weights": self.model,
            "weights_sha256": weights.sha256(path) if path else None,
            "weights_licence": weights.licence(self.model),
        }

    def _segment(
        self, image: NDArray[Any], spacing_um: Spacing, progress: Progress
    ) -> Segmentation:
        """Find the objects.

        Parameters
        ----------
        image : ndarray of integer or float, shape (C, Z, Y, X)
            Left as it is.
        spacing_um : (float, float, float)
            Voxel size (z, y, x) in µm; gives the diameter in pixels and the anisotropy.
        progress : callable
            Called before each batch of tiles; raising in it cancels.

        Returns
        -------
        Segmentation
            The probability is the sigmoid of Cellpose's cell logit (do_3D: of the views' mean),
            an object's confidence is its mean over the object.

        Raises
        ------
        ImageError
            Too small, or at odds with `diameter_um`.
        WeightsUnavailableError
            The weights are neither here nor to be had from the network.
        CheckpointError
            The weights are damaged or of another architecture.
        """
        from scipy.special import expit

        diameter_px = self._diameter_px(image[0], spacing_um)
        path = weights.ensure_weights(self.model, progress)
        with engine.BUSY, engine.quiet():
            progress(0, 1, "loading Cellpose")
            model = engine.load(path, self.compute(), self.forward)
            stretched = engine.normalise_channels(image, self.percentiles)
            run = self._stitched if self.mode == "stitch" else self._three_views
            with _memory_errors(self.batch_size):
                labels, logits = run(model, stretched, spacing_um, diameter_px, progress)
        probability = expit(logits, out=logits)
        confidence = mean_inside(labels, probability)
        return Segmentation(labels, confidence, probability, _pixel_note(spacing_um))

    def compute(self) -> Compute:
        """Return where and in what number format the network runs.

        Raises
        ------
        ModelError
            A GPU is asked for, and torch finds none.
        """
        import torch

        if self.device == "cuda" and not torch.cuda.is_available():
            raise ModelError(
                "device: expected a GPU that torch can use, found none; set it to auto or cpu"
            )
        return choose_compute(self.precision, self.device)

    def _diameter_px(self, image: NDArray[Any], spacing_um: Spacing) -> float | None:
        """Return the diameter in xy pixels, after checking that Cellpose can run on this shape."""
        least = min(image.shape) if self.mode == "do_3D" else min(image.shape[1:])
        if least < 2:
            raise ImageError(
                f"image for Cellpose: expected at least 2 voxels along each axis that mode "
                f"{self.mode} follows flows in, got shape {image.shape}; give a larger stack"
            )
        if self.diameter_um is None:
            return None
        pixels = self.diameter_um / _xy_um(spacing_um)
        most = float(max(image.shape[1:]))
        if not MIN_DIAMETER_PX <= pixels <= most:
            raise ImageError(
                f"diameter_um={self.diameter_um} is {pixels:.3g} pixels "
                f"of {_xy_um(spacing_um):.3g} µm: expected {MIN_DIAMETER_PX:.0f} to {most:.0f} "
                "pixels on this image; check the diameter and the voxel size"
            )
        return pixels

    def _options(self, diameter_px: float | None) -> dict[str, Any]:
        return {
            # A plain False would be written into Cellpose's own defaults, for the whole process.
            "normalize": {"normalize": False},
            "diameter": diameter_px,
            "flow_threshold": self.flow_threshold,
            "cellprob_threshold": self.cellprob_threshold,
            "max_size_fraction": self.max_size_fraction,
            "batch_size": self.batch_size,
            "tile_overlap": self.tile_overlap,
            "augment": self.augment,
        }

    def _stitched(
        self,
        model: Any,
        image: NDArray[np.float32],
        spacing_um: Spacing,
        diameter_px: float | None,
        progress: Progress,
    ) -> tuple[NDArray[np.uint32], NDArray[np.float32]]:
        depth = len(image)
        height, width = _scaled(image.shape[1:3], (1.0, 1.0), diameter_px)
        tiles = engine.tiles_per_plane(height, width, self.tile_overlap, self.augment)
        total = engine.network_runs(depth, tiles, self.batch_size)
        min_size = self.min_size or -1
        options = self._options(diameter_px) | {"min_size": min_size if depth == 1 else -1}
        masks = np.empty(image.shape[:3], np.uint32)
        logits = np.empty(image.shape[:3], np.float32)
        with engine.watched(model, total + 1, progress):
            for part, found, _, cell in engine.slices(
                model, image, max(1, self.batch_size // tiles), options
            ):
                masks[part], logits[part] = found, cell
        progress(total, total + 1, "stitching slices")
        if depth > 1:
            masks = engine.stitch(masks, self.stitch_threshold, min_size)
        progress(total + 1, total + 1, "stitching slices")
        return masks, logits

    def _three_views(
        self,
        model: Any,
        image: NDArray[np.float32],
        spacing_um: Spacing,
        diameter_px: float | None,
        progress: Progress,
    ) -> tuple[NDArray[np.uint32], NDArray[np.float32]]:
        anisotropy = spacing_um[0] / _xy_um(spacing_um)
        z, y, x = _scaled(image.shape[:3], (anisotropy, 1.0, 1.0), diameter_px)
        check_resampled(image.shape[:3], (z, y, x))
        total = 0
        for planes, height, width in ((z, y, x), (y, z, x), (x, z, y)):
            tiles = engine.tiles_per_plane(height, width, self.tile_overlap, self.augment)
            total += engine.network_runs(planes, tiles, self.batch_size)
        options = self._options(diameter_px) | {
            "min_size": self.min_size or -1,
            "anisotropy": anisotropy,
            "flow3D_smooth": self.flow3d_smooth,
        }
        with engine.watched(model, total + 1, progress):
            masks, _, logits = engine.volume(model, image, options)
        progress(total + 1, total + 1, "masks")
        return masks, logits


def _xy_um(spacing_um: Spacing) -> float:
    """Return one pixel size for x and y, which Cellpose treats alike."""
    return float(np.sqrt(spacing_um[1] * spacing_um[2]))


def _pixel_note(spacing_um: Spacing) -> tuple[str, ...]:
    _, y_um, x_um = spacing_um
    if max(y_um, x_um) <= 1.01 * min(y_um, x_um):
        return ()
    return (
        f"Cellpose takes y and x pixels as equal, they are {y_um:.4g} and {x_um:.4g} µm: "
        f"{_xy_um(spacing_um):.4g} µm was used for both",
    )


def _scaled(
    shape: tuple[int, ...], scales: tuple[float, ...], diameter_px: float | None
) -> tuple[int, ...]:
    """Return the shape that Cellpose's network sees."""
    rescale = 1.0 if diameter_px is None else NATIVE_DIAMETER_PX / diameter_px
    scaled = tuple(int(n * scale * rescale) for n, scale in zip(shape, scales, strict=True))
    if min(scaled) < 1:
        raise ImageError(
            f"image of shape {shape} shrinks to {scaled} when nuclei of {diameter_px:.3g} pixels "
            f"become {NATIVE_DIAMETER_PX:.0f}: expected at least 1 voxel along each axis; check "
            "diameter_um and the voxel size, or use mode stitch"
        )
    return scaled


@contextmanager
def _memory_errors(batch_size: int) -> Iterator[None]:
    """Turn torch's out-of-memory error into one that says what to set."""
    import torch

    try:
        yield
    except torch.OutOfMemoryError as error:
        raise ModelError(
            f"the GPU's memory does not hold Cellpose with batch_size={batch_size}; set a smaller "
            "batch_size, or do without the GPU: put CUDA_VISIBLE_DEVICES= before the command"
        ) from error
