"""Prediction with a trained StarDist 3D."""

from __future__ import annotations

from typing import Any, ClassVar

from numpy.typing import NDArray

from labels.arrays import OneChannel
from labels.progress import Progress, no_progress
from labels.spacing import Spacing
from models.base import BlockSegmentation, BlockSource, LabelSink, Segmentation, check_shape
from models.errors import ImageError
from models.stardist3d.blocks import NetworkView, segment_into
from models.stardist3d.objects import (
    TILE_VOXELS,
    TileBudget,
    draw_objects,
    find_candidates,
    suppress,
)
from models.stardist3d.samples import resampled
from models.stardist3d.segmenting import StarDistSegmenter


class StarDist3DSegmenter(StarDistSegmenter):
    """A trained StarDist 3D network with its thresholds."""

    name: ClassVar[str] = "stardist3d"

    def describe(self) -> dict[str, Any]:
        """Return architecture, thresholds, normalisation and the weights' sha256."""
        config = self.network.config
        anisotropy = None if config.anisotropy is None else list(config.anisotropy)
        return {**super().describe(), "backbone": config.backbone, "anisotropy": anisotropy}

    def _segment_channel(
        self, image: NDArray[Any], spacing_um: Spacing, progress: Progress
    ) -> Segmentation:
        """Find the objects, tile by tile.

        Where the objects have another size in voxels than the network's, the image is resampled
        for it, and the polyhedra are drawn at the image's own voxel size.

        Raises
        ------
        ImageError
            The voxel size alone asks for many times more voxels.
        ModelError
            When StarDist or TensorFlow fails.
        """
        scale, notes = self._scale(image[None], spacing_um)
        normalised = self.settings.normalisation.apply(image)
        if scale is not None:
            normalised = resampled(normalised, scale)
        budget = TileBudget()
        candidates = find_candidates(self.network, normalised, progress, budget=budget)
        found = suppress(self.network, candidates, image.shape, scale)
        labels, confidence = draw_objects(found, image.shape)
        return Segmentation(labels, confidence, notes=(*notes, *budget.notes))

    def segment_blocks(
        self,
        source: BlockSource,
        sink: LabelSink,
        spacing_um: Spacing,
        *,
        tile_voxels: int = TILE_VOXELS,
        progress: Progress = no_progress,
    ) -> BlockSegmentation:
        """Segment a stack that is larger than memory into an array on disk.

        The objects are those of `segment` and no object is cut. Memory holds one tile, one block
        of labels, and every polyhedron above the probability threshold, some tens
        for each nucleus before overlaps are resolved, 4 bytes for each of their rays.

        Parameters
        ----------
        source : array of integer or float, shape (1, Z, Y, X)
            NumPy array, memory map or zarr array.
        sink : array of uint32, shape (Z, Y, X)
            Every voxel is written.
        spacing_um : (float, float, float)
            Voxel size (z, y, x) in µm.
        tile_voxels : int
            Size of a tile with its margins, where the margins allow it.
        progress : callable, optional

        Raises
        ------
        ImageError
            When the image is not 3D, holds NaN or infinite voxels, or is constant, or the sink
            has another shape.
        ModelError
            When StarDist or TensorFlow fails.
        """
        check_shape(source.shape)
        self._check_channels(source.shape[0])
        if tuple(source.shape[1:]) != tuple(sink.shape):
            raise ImageError(
                f"expected labels of the image's shape {tuple(source.shape[1:])}, got "
                f"{tuple(sink.shape)}; make the array anew"
            )
        scale, notes = self._scale(source, spacing_um)
        view = NetworkView(OneChannel(source), self.settings.normalisation, scale, progress)
        found = segment_into(self.network, view, sink, tile_voxels, progress)
        return BlockSegmentation(found.confidence, (*notes, *found.notes))


load_run = StarDist3DSegmenter.of_run
"""From a run's folder to its segmenter, as `models.registry` names it."""
