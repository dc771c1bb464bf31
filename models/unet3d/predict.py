"""A finished run as a segmenter."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.base import Progress, Segmentation, Spacing, check_image, no_progress
from models.devices import Compute, choose_compute
from models.tiling import Size, Tiling, fitted_tile, predict_tiled
from models.unet3d.architecture import CLASS_NAMES, Architecture
from models.unet3d.checkpoint import RunFile, load_network, read_run
from models.unet3d.instances import (
    InstanceSettings,
    foreground_probability,
    label_objects,
    object_confidence,
)
from models.unet3d.volumes import intensity_range, normalise, resize, resized_shape, same_spacing

TILE_PATCHES = 1.4
"""Tile size over the size of a training patch."""

TILE_VALUES = 2**26
"""Voxels × first features of one tile: about 1.5 GB in bfloat16."""


class NetworkPredictor:
    """Runs a network on normalised volumes of any size.

    Parameters
    ----------
    network : UNet3D
    architecture : Architecture
    compute : Compute
    patch : (int, int, int)
        Patch size (z, y, x) of the training.
    """

    def __init__(
        self, network: Any, architecture: Architecture, compute: Compute, patch: Size
    ) -> None:
        import torch

        self._network = network.to(compute.device, memory_format=torch.channels_last_3d)
        self._architecture, self._compute, self._patch = architecture, compute, patch

    def tiling(self, shape: tuple[int, ...]) -> Tiling:
        """Return the tiles for a volume: somewhat larger than the training's patches.

        The network normalises by what is in a tile, so tiles much larger than the patches would
        look different to it; measured, voxel F1 was 0.83 against 0.76 with one large tile.
        """
        m = self._architecture.multiple
        flat = shape[0] == 1
        border: Size = (0 if flat else min(m[0], 4), min(m[1], 8), min(m[2], 8))
        wide = (n + 2 * b for n, b in zip(shape, border, strict=True))
        size = [min(n, TILE_PATCHES * p) for n, p in zip(wide, self._patch, strict=True)]
        tile = fitted_tile([math.ceil(n) for n in size], m, self._largest_tile)
        return Tiling(tile=tile, border=border)

    @property
    def _largest_tile(self) -> int:
        return max(TILE_VALUES // self._architecture.features[0], math.prod(self._patch))

    def maps(
        self,
        image: NDArray[np.float32],
        tiling: Tiling | None = None,
        *,
        progress: Progress = no_progress,
    ) -> NDArray[np.float32]:
        """Return probabilities of the classes, of "in an object", and the relative distance.

        Parameters
        ----------
        image : ndarray of float32, shape (Z, Y, X)
            Normalised.
        tiling : Tiling, optional
        progress : callable

        Returns
        -------
        ndarray of float32, shape (5, Z, Y, X)
        """
        out = np.empty((self._architecture.outputs, *image.shape), np.float32)
        predict_tiled(
            self._tiles,
            image,
            self._architecture.outputs,
            tiling or self.tiling(image.shape),
            out=out,
            progress=progress,
        )
        return out

    def _tiles(self, tiles: NDArray[np.float32]) -> NDArray[np.float32]:
        import torch

        x = torch.from_numpy(np.ascontiguousarray(tiles))[:, None].to(self._compute.device)
        classes = len(CLASS_NAMES)
        with torch.inference_mode():
            with self._compute.autocast():
                values = self._network(x.contiguous(memory_format=torch.channels_last_3d))
            values = values.float()
            values[:, :classes] = torch.softmax(values[:, :classes], dim=1)
            values[:, classes:] = torch.sigmoid(values[:, classes:])
            probabilities: NDArray[np.float32] = values.cpu().numpy()
        return probabilities


@dataclass(frozen=True)
class UNet3DSegmenter:
    """A trained U-Net.

    Parameters
    ----------
    run : RunFile
    predictor : NetworkPredictor
    instances : InstanceSettings
    compute : Compute
    """

    run: RunFile
    predictor: NetworkPredictor
    instances: InstanceSettings
    compute: Compute

    @property
    def name(self) -> str:
        """Name in the registry."""
        return "unet3d"

    def describe(self) -> dict[str, Any]:
        """Return settings and the weights' sha256."""
        return {
            "name": self.name,
            "run": self.run.folder.name,
            "weights_sha256": self.run.sha256,
            "architecture": self.run.architecture.to_json(),
            "spacing_um": list(self._spacing),
            "instances": self.instances.to_json(),
            "bf16": self.compute.bf16,
        }

    @property
    def _spacing(self) -> Spacing:
        z, y, x = (float(v) for v in self.run.data["spacing_um"])
        return z, y, x

    def maps(
        self,
        image: NDArray[Any],
        spacing_um: Spacing,
        *,
        progress: Progress = no_progress,
    ) -> NDArray[np.float32]:
        """Return the network's maps at the image's own voxel size, shape (5, Z, Y, X)."""
        low, high = self.run.data["percentiles"]
        scaled = normalise(image, *intensity_range(image, (low, high)))
        if same_spacing(spacing_um, self._spacing):
            return self.predictor.maps(scaled, progress=progress)
        shape = resized_shape(image.shape, spacing_um, self._spacing)
        small = self.predictor.maps(resize(scaled, shape, linear=True), progress=progress)
        z, y, x = image.shape
        return np.stack([resize(m, (z, y, x), linear=True) for m in small])

    def segment(
        self,
        image: NDArray[Any],
        spacing_um: Spacing,
        *,
        progress: Progress = no_progress,
    ) -> Segmentation:
        """Segment one channel of one stack.

        Parameters
        ----------
        image : ndarray of integer or float, shape (Z, Y, X)
        spacing_um : (float, float, float)
            Voxel size (z, y, x) in µm; the image is resampled to the run's where they differ.
        progress : callable, optional

        Returns
        -------
        Segmentation

        Raises
        ------
        ImageError
            When the image is not 3D, holds NaN or infinite voxels, or is constant.
        """
        check_image(image)
        maps = self.maps(image, spacing_um, progress=progress)
        labels = label_objects(maps, spacing_um, self.instances)
        probability = foreground_probability(maps)
        notes = [self.compute.note]
        if not same_spacing(spacing_um, self._spacing):
            notes.append(
                f"resampled from {spacing_um} to the training's {self._spacing} µm per voxel"
            )
        return Segmentation(
            labels, object_confidence(labels, probability), probability, tuple(notes)
        )


def load_run(run_folder: Path) -> UNet3DSegmenter:
    """Return the segmenter that a finished run's folder holds.

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
    compute = choose_compute()
    network = load_network(run)
    return UNet3DSegmenter(
        run,
        NetworkPredictor(network, run.architecture, compute, run.patch),
        InstanceSettings(**run.data["instances"]),
        compute,
    )
