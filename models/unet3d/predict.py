"""A finished run as a segmenter."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from labels.numbers import number_of
from labels.progress import Progress, no_progress
from labels.spacing import Spacing, in_words
from models.base import CheckedSegmenter, Segmentation, channels_error
from models.devices import Compute, choose_compute, reused_memory
from models.field_size import UNKNOWN_SIZE, choose_size
from models.objects import mean_inside
from models.scarce_memory import check_resampled, predict_within_memory, work_of_resampling
from models.tiling import Size, Tiling, fitted_tile, thrifty_tile
from models.unet3d.architecture import CLASS_NAMES, Architecture
from models.unet3d.checkpoint import RunFile, load_network, read_run
from models.unet3d.instances import (
    InstanceSettings,
    foreground_probability,
    label_objects,
)
from models.unet3d.volumes import normalise_channels, resize, resized_shape, same_spacing

if TYPE_CHECKING:
    from models.unet3d.fused import FusedUNet

TILE_PATCHES = 1.4
"""Tile size over the size of a training patch, where the network normalises by the tile."""

TILE_BYTES = 2**30
"""Features of the first level and outputs of one tile."""

ACTIVE_FEATURES, ACTIVE_OUTPUTS = 4, 3
"""Arrays of the first level's features, and of outputs, that are held at once."""

SHARED = 16
"""Most voxels that neighbouring tiles share on an axis, where a result does not depend on the tile.
The network's view fades faster than its reach."""


class NetworkPredictor:
    """Runs a network on normalised volumes of any size.

    Parameters
    ----------
    network : UNet3D
        Its weights are copied where its normalisation folds into its convolutions.
    architecture : Architecture
    compute : Compute
    patch : (int, int, int)
        Patch size (z, y, x) of the training.
    compiled : bool
        Let `torch.compile` work on it, where normalisation folds.
    """

    def __init__(
        self,
        network: Any,
        architecture: Architecture,
        compute: Compute,
        patch: Size,
        *,
        compiled: bool = False,
    ) -> None:
        import torch

        from models.unet3d.fused import FusedUNet, foldable

        self._fused: FusedUNet | None = None
        if foldable(network):
            self._fused = FusedUNet(network, compute, compiled=compiled)
        self.network = network.to(compute.device, memory_format=torch.channels_last_3d)
        self._architecture, self._compute, self._patch = architecture, compute, patch
        self._most_voxels = self._largest_tile

    @property
    def engine(self) -> str:
        """How the network is run, in words."""
        if self._fused is None:
            return "the network as trained: its normalisation depends on the tile and is not folded"
        return self._fused.description

    def tiling(self, shape: tuple[int, ...]) -> Tiling:
        """Return the tiles for a volume.

        As few voxels are computed twice as the memory for a tile allows. Where the network
        normalises by what is in a tile, tiles are only somewhat larger than the training's patches:
        larger ones would look different to it; measured, voxel F1 was 0.83 against 0.76 with one
        large tile.
        """
        if self._fused is None:
            return self._patch_tiling(shape)
        m = self._architecture.multiple
        shared: Size = (min(max(4 * m[0], 8), SHARED), SHARED, SHARED)
        border: Size = (0, min(m[1], 8), min(m[2], 8))
        wide = [n + 2 * b for n, b in zip(shape, border, strict=True)]
        tile = thrifty_tile(wide, m, self._most_voxels, shared)
        z, y, x = (min(v / t, 0.75) for v, t in zip(shared, tile, strict=True))
        if math.prod(tile) > self._most_voxels:
            # The memory was once too small for tiles that share so much.
            least = [b + 1 for b in border]
            tile = fitted_tile(tile, m, self._most_voxels, least)
        return Tiling(tile=tile, overlap=(z, y, x), border=border)

    def _patch_tiling(self, shape: tuple[int, ...]) -> Tiling:
        m = self._architecture.multiple
        flat = shape[0] == 1
        border: Size = (0 if flat else min(m[0], 4), min(m[1], 8), min(m[2], 8))
        wide = (n + 2 * b for n, b in zip(shape, border, strict=True))
        size = [min(n, TILE_PATCHES * p) for n, p in zip(wide, self._patch, strict=True)]
        largest = max(self._most_voxels, math.prod(self._patch))
        return Tiling(tile=fitted_tile([math.ceil(n) for n in size], m, largest), border=border)

    @property
    def _largest_tile(self) -> int:
        feature_bytes = 2 if self._compute.bf16 else 4
        features = ACTIVE_FEATURES * self._architecture.features[0] * feature_bytes
        return TILE_BYTES // (features + ACTIVE_OUTPUTS * self._architecture.outputs * 4)

    def maps(
        self,
        image: NDArray[np.float32],
        tiling: Tiling | None = None,
        *,
        notes: list[str] | None = None,
        progress: Progress = no_progress,
    ) -> NDArray[np.float32]:
        """Return probabilities of the classes, of "in an object", and the relative distance.

        Parameters
        ----------
        image : ndarray of float32, shape (C, Z, Y, X)
            Normalised.
        tiling : Tiling, optional
        notes : list of str, optional
            Told when tiles had to shrink to fit in memory; later calls begin with the small ones.
        progress : callable

        Returns
        -------
        ndarray of float32, shape (5, Z, Y, X)

        Raises
        ------
        TileMemoryError
            Not even the smallest tile fits in memory.
        """
        from models.unet3d.calibrate import worth_calibrating

        if self._fused is None and worth_calibrating(self.network, image.shape[1:], self._patch):
            return self._for_volume(image, notes).maps(
                image, tiling, notes=notes, progress=progress
            )
        out = np.empty((self._architecture.outputs, *image.shape[1:]), np.float32)
        wanted = tiling or self.tiling(image.shape[1:])
        with reused_memory():
            _, used = predict_within_memory(
                self._tiles,
                image,
                self._architecture.outputs,
                wanted,
                self._architecture.multiple,
                out=out,
                notes=notes,
                progress=progress,
            )
        if used != wanted:
            self._most_voxels = min(self._most_voxels, math.prod(used.tile))
        return out

    def _for_volume(self, image: NDArray[np.float32], notes: list[str] | None) -> NetworkPredictor:
        from models.unet3d.calibrate import PATCHES, calibrated

        network = calibrated(self.network, image, self._patch, self._compute)
        if notes is not None:
            notes.append(f"normalised by the statistics of {PATCHES} patches of the stack")
        return NetworkPredictor(network, self._architecture, self._compute, self._patch)

    def _tiles(self, tiles: NDArray[np.float32]) -> NDArray[np.float32]:
        import torch

        on_gpu = self._compute.device == "cuda"
        x = torch.from_numpy(np.ascontiguousarray(tiles))
        if on_gpu:
            x = x.pin_memory().to(self._compute.device, non_blocking=True)
        classes = len(CLASS_NAMES)
        with torch.inference_mode():
            values = self._logits(x)
            values[:, :classes] = torch.softmax(values[:, :classes], dim=1)
            values[:, classes:].sigmoid_()
            if on_gpu:
                host = torch.empty(values.shape, pin_memory=True)
                values = host.copy_(values, non_blocking=True)
                torch.cuda.current_stream().synchronize()
            probabilities: NDArray[np.float32] = values.numpy()
        return probabilities

    def _logits(self, x: Any) -> Any:
        import torch

        if self._fused is not None:
            return self._fused(x)
        with self._compute.autocast():
            return self.network(x.contiguous(memory_format=torch.channels_last_3d)).float()


@dataclass(frozen=True)
class UNet3DSegmenter(CheckedSegmenter):
    """A trained U-Net.

    Parameters
    ----------
    run : RunFile
    predictor : NetworkPredictor
    instances : InstanceSettings
    compute : Compute
    diameter_um : float, optional
        Of the objects; as in training, or as the image shows, when not given.
    """

    run: RunFile
    predictor: NetworkPredictor
    instances: InstanceSettings
    compute: Compute
    diameter_um: float | None = None

    name: ClassVar[str] = "unet3d"

    def _check_channels(self, count: int) -> None:
        expected = self.run.architecture.channels
        if count != expected:
            raise channels_error(
                self.image_name, self.run.folder.name, number_of(expected, "channel"), count
            )

    def describe(self) -> dict[str, Any]:
        """Return settings and the weights' sha256."""
        return {
            "name": self.name,
            "run": self.run.folder.name,
            "weights_sha256": self.run.sha256,
            "architecture": asdict(self.run.architecture),
            "spacing_um": list(self._spacing),
            "learned_diameter_um": self.run.settings.diameter_um,
            "diameter_um": self.diameter_um,
            "instances": asdict(self.instances),
            "bf16": self.compute.bf16,
            "engine": self.predictor.engine,
        }

    @property
    def _spacing(self) -> Spacing:
        return self.run.settings.spacing_um

    @property
    def _knows_all_sizes(self) -> bool:
        return self.run.settings.nominal_diameter is None

    def maps(
        self,
        image: NDArray[Any],
        spacing_um: Spacing,
        *,
        notes: list[str] | None = None,
        progress: Progress = no_progress,
    ) -> NDArray[np.float32]:
        """Return the network's maps at the image's own voxel size, shape (5, Z, Y, X).

        `notes` is told when tiles had to shrink to fit in memory.
        """
        scaled = normalise_channels(image, self.run.settings.percentiles)
        if same_spacing(spacing_um, self._spacing):
            check_resampled(image.shape[1:], image.shape[1:])
            return self.predictor.maps(scaled, notes=notes, progress=progress)
        shape = resized_shape(image.shape[1:], spacing_um, self._spacing)
        resampled = np.stack([resize(channel, shape, linear=True) for channel in scaled])
        small = self.predictor.maps(resampled, notes=notes, progress=progress)
        z, y, x = image.shape[1:]
        return np.stack([resize(m, (z, y, x), linear=True) for m in small])

    def _segment(
        self, image: NDArray[Any], spacing_um: Spacing, progress: Progress
    ) -> Segmentation:
        """Find the objects; the image is resampled so that they have the size that the run knows.

        Raises
        ------
        ImageError
            The voxel size alone asks for many times more voxels.
        TileMemoryError
            Not even the smallest tile fits in memory.
        """
        settings = self.run.settings
        chosen = choose_size(
            settings.diameter_um, settings.sizes, image, spacing_um, self.diameter_um
        )
        seen_um, notes = chosen.spacing_um, [f"{self.compute.note}, {self.predictor.engine}"]
        notes += chosen.notes
        if not same_spacing(seen_um, self._spacing):
            shape = resized_shape(image.shape[1:], seen_um, self._spacing)
            told = chosen.by_objects or not self._knows_all_sizes
            notes += work_of_resampling(image.shape[1:], shape, told)
            if self._knows_all_sizes and seen_um == spacing_um:
                notes.append(
                    f"resampled from {in_words(spacing_um)} to the training's "
                    f"{in_words(self._spacing)} µm per voxel"
                    f"{'' if told else UNKNOWN_SIZE}"
                )
        maps = self.maps(image, seen_um, notes=notes, progress=progress)
        labels = label_objects(maps, seen_um, self.instances)
        probability = foreground_probability(maps)
        confidence = mean_inside(labels[None], probability[None])
        return Segmentation(labels, confidence, probability, tuple(notes))


def load_run(run_folder: Path) -> UNet3DSegmenter:
    """Return the segmenter that a finished run's folder holds.

    It computes in the number format that ``precision`` in ``model.json`` names; without one, in
    bfloat16 where the hardware multiplies it.

    Parameters
    ----------
    run_folder : Path
        Folder with ``model.json`` and ``weights.safetensors``.

    Raises
    ------
    CheckpointError
        The run is missing, damaged or of another architecture.
    """
    run = read_run(run_folder)
    compute = choose_compute(run.settings.precision)
    network = load_network(run)
    return UNet3DSegmenter(
        run,
        NetworkPredictor(network, run.architecture, compute, run.settings.patch_size),
        run.settings.instances,
        compute,
    )
