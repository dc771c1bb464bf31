"""A finished run as a segmenter, slice by slice."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from labels.numbers import number_of
from labels.progress import Progress, no_progress
from labels.spacing import Spacing, in_words
from models.base import CheckedSegmenter, Segmentation, channels_error
from models.devices import Compute, choose_compute, reused_memory
from models.errors import ModelError
from models.objects import mean_inside
from models.scarce_memory import check_resampled, predict_within_memory
from models.smp2d.architecture import Architecture
from models.smp2d.checkpoint import MODEL, RunFile, load_network, read_run
from models.tiling import Size, Tiling, fitted_tile
from models.unet3d.instances import InstanceSettings, label_objects
from models.unet3d.volumes import normalise_channels, resize, resized_shape, same_spacing

TILE_PIXELS = 1024**2
"""A larger slice is cut into tiles."""

BORDER = 16
"""Pixels by which a slice is continued by reflection."""

LEAST_PROBABILITY = 0.5
"""Of a pixel of an area whose class does not exclude others."""


class SlicePredictor:
    """Runs a network on the slices of normalised images.

    Parameters
    ----------
    network : Module
    architecture : Architecture
    compute : Compute
    """

    def __init__(self, network: Any, architecture: Architecture, compute: Compute) -> None:
        import torch

        self.network = network.to(compute.device, memory_format=torch.channels_last)
        self._architecture, self._compute = architecture, compute

    def maps(
        self,
        image: NDArray[np.float32],
        *,
        notes: list[str] | None = None,
        progress: Progress = no_progress,
    ) -> NDArray[np.float32]:
        """Return the probability of each output, then the relative distances of its objects.

        Parameters
        ----------
        image : ndarray of float32, shape (C, Z, Y, X)
            Normalised.
        notes : list of str, optional
            Told when tiles had to shrink to fit in memory.
        progress : callable

        Returns
        -------
        ndarray of float32, shape (K + D, Z, Y, X)

        Raises
        ------
        TileMemoryError
            Not even the smallest tile fits in memory.
        """
        out = np.empty((self._architecture.maps, *image.shape[1:]), np.float32)
        with reused_memory():
            predict_within_memory(
                self._tiles,
                image,
                self._architecture.maps,
                self.tiling(image.shape[1:]),
                self._multiple,
                out=out,
                notes=notes,
                progress=progress,
            )
        return out

    @property
    def _multiple(self) -> Size:
        sides = self._architecture.sides
        side = max(sides.multiple, sides.least)
        return 1, side, side

    def tiling(self, shape: tuple[int, ...]) -> Tiling:
        """Return the tiles of a stack's slices: whole slices while they are not too large."""
        border: Size = (0, BORDER, BORDER)
        wide = [n + 2 * b for n, b in zip((1, *shape[1:]), border, strict=True)]
        return Tiling(tile=fitted_tile(wide, self._multiple, TILE_PIXELS), border=border)

    def _tiles(self, tiles: NDArray[np.float32]) -> NDArray[np.float32]:
        import torch

        a = self._architecture
        x = torch.from_numpy(np.ascontiguousarray(tiles[:, :, 0])).to(self._compute.device)
        with torch.inference_mode():
            with self._compute.autocast():
                logits = self.network(x.contiguous(memory_format=torch.channels_last)).float()
            classes = logits[:, : a.class_logits]
            if a.activation == "softmax":
                classes = torch.softmax(classes, dim=1)[:, 1:]
            else:
                classes = torch.sigmoid(classes)
            maps = torch.cat((classes, torch.sigmoid(logits[:, a.class_logits :])), dim=1)
            found: NDArray[np.float32] = maps.cpu().numpy()[:, :, None]
        return found


def object_maps(
    maps: NDArray[np.float32], architecture: Architecture, output: int
) -> NDArray[np.float32]:
    """Return the maps of an output of objects as `models.unet3d.instances` takes them.

    Parameters
    ----------
    maps : ndarray of float32, shape (K + D, Z, Y, X)
    architecture : Architecture
    output : int

    Returns
    -------
    ndarray of float32, shape (5, Z, Y, X)
    """
    inside = maps[output]
    distance = maps[len(architecture.outputs) + architecture.objects.index(output)]
    return np.stack((1 - inside, np.zeros_like(inside), inside, inside, distance))


def area_of(
    maps: NDArray[np.float32], architecture: Architecture, output: int
) -> NDArray[np.bool_]:
    """Return where an output's area is: where it is the most probable, or probable enough."""
    own = maps[output]
    if architecture.activation == "sigmoid":
        above: NDArray[np.bool_] = own > LEAST_PROBABILITY
        return above
    probabilities = maps[: len(architecture.outputs)]
    background = 1 - probabilities.sum(axis=0)
    inside: NDArray[np.bool_] = (probabilities.argmax(axis=0) == output) & (own > background)
    return inside


def objects_of(
    maps: NDArray[np.float32],
    architecture: Architecture,
    output: int,
    spacing_um: Spacing,
    settings: InstanceSettings,
) -> NDArray[np.uint32]:
    """Return an output's objects, slice by slice, numbered anew in each; shape (Z, Y, X)."""
    own = object_maps(maps, architecture, output)
    found = [label_objects(own[:, z : z + 1], spacing_um, settings) for z in range(own.shape[1])]
    return np.concatenate(found)


@dataclass(frozen=True)
class SMP2DSegmenter(CheckedSegmenter):
    """A trained network, for one of its outputs.

    Parameters
    ----------
    run : RunFile
    predictor : SlicePredictor
    compute : Compute
    output : int, optional
        Which one; needed where there are several, see `of_class`.
    """

    run: RunFile
    predictor: SlicePredictor
    compute: Compute
    output: int | None = None

    name: ClassVar[str] = MODEL

    def of_class(self, class_name: str) -> SMP2DSegmenter:
        """Return the segmenter of a class that was taught; the same where there is one output.

        Raises
        ------
        ModelError
            It is none of several.
        """
        names = [output.name for output in self._architecture.outputs]
        if len(names) == 1:
            return self
        if class_name not in names:
            raise ModelError(
                f"run {self.run.folder.name}: expected one of the classes that it tells apart, "
                f"{', '.join(names)}, got {class_name or 'none'}; name one with --class"
            )
        return replace(self, output=names.index(class_name))

    def _check_channels(self, count: int) -> None:
        expected = self._architecture.channels
        if count != expected:
            raise channels_error(
                self.image_name, self.run.folder.name, number_of(expected, "channel"), count
            )

    def describe(self) -> dict[str, Any]:
        """Return settings and the weights' sha256."""
        settings = self.run.settings
        return {
            "name": self.name,
            "run": self.run.folder.name,
            "weights_sha256": settings.weights_sha256,
            "architecture": asdict(settings.architecture),
            "spacing_um": list(settings.spacing_um),
            "instances": [asdict(each) for each in settings.instances],
            "stitch_overlap": settings.stitch_overlap,
            "bf16": self.compute.bf16,
        }

    @property
    def _architecture(self) -> Architecture:
        return self.run.settings.architecture

    def maps(
        self,
        image: NDArray[Any],
        spacing_um: Spacing,
        *,
        notes: list[str],
        progress: Progress = no_progress,
    ) -> NDArray[np.float32]:
        """Return the network's maps at the image's own voxel size, shape (K + D, Z, Y, X)."""
        scaled = normalise_channels(image, self.run.settings.percentiles)
        wanted = (spacing_um[0], *self.run.settings.spacing_um[1:])
        if same_spacing(spacing_um, wanted):
            check_resampled(image.shape[1:], image.shape[1:])
            return self.predictor.maps(scaled, notes=notes, progress=progress)
        shape = resized_shape(image.shape[1:], spacing_um, wanted)
        own, learned = in_words(spacing_um[1:]), in_words(wanted[1:])
        notes.append(f"resampled from {own} to the training's {learned} µm per pixel")
        resampled = np.stack([resize(channel, shape, linear=True) for channel in scaled])
        small = self.predictor.maps(resampled, notes=notes, progress=progress)
        z, y, x = image.shape[1:]
        return np.stack([resize(each, (z, y, x), linear=True) for each in small])

    def _segment(
        self, image: NDArray[Any], spacing_um: Spacing, progress: Progress
    ) -> Segmentation:
        """Find the objects, or the area; in a stack, objects go on from slice to slice.

        Raises
        ------
        TileMemoryError
            Not even the smallest tile fits in memory.
        """
        output = self.output if self.output is not None else self.of_class("").output or 0
        notes = [self.compute.note]
        maps = self.maps(image, spacing_um, notes=notes, progress=progress)
        probability = maps[output]
        if self._architecture.outputs[output].kind == "area":
            area = area_of(maps, self._architecture, output)
            labels = area.astype(np.uint32)
        else:
            settings = self.run.settings.instances[self._architecture.objects.index(output)]
            labels = objects_of(maps, self._architecture, output, spacing_um, settings)
            if len(labels) > 1:
                labels = _stitched(labels, self.run.settings.stitch_overlap)
        return Segmentation(labels, mean_inside(labels, probability), probability, tuple(notes))


def _stitched(labels: NDArray[np.uint32], overlap: float) -> NDArray[np.uint32]:
    from models.cellpose.engine import stitch

    return stitch(labels, overlap, -1)


def load_run(run_folder: Path) -> SMP2DSegmenter:
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
    compute = choose_compute(run.settings.precision)
    predictor = SlicePredictor(load_network(run), run.settings.architecture, compute)
    return SMP2DSegmenter(run, predictor, compute)
