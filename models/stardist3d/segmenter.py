"""Prediction with a trained StarDist 3D."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from numpy.typing import NDArray

from labels.arrays import OneChannel
from labels.progress import Progress, no_progress
from labels.spacing import Spacing
from models.base import (
    BlockSegmentation,
    BlockSource,
    LabelSink,
    OneChannelSegmenter,
    Segmentation,
    check_shape,
)
from models.devices import Precision
from models.errors import ImageError
from models.field_size import UNKNOWN_SIZE, choose_size
from models.scarce_memory import work_of_resampling
from models.stardist3d.blocks import NetworkView, segment_into
from models.stardist3d.objects import (
    TILE_VOXELS,
    TileBudget,
    draw_objects,
    find_candidates,
    suppress,
)
from models.stardist3d.plan import Factors
from models.stardist3d.runfolder import (
    RunSettings,
    load_network,
    read_settings,
    weights_sha256,
)
from models.stardist3d.runtime import compute_in
from models.stardist3d.samples import resampled, rescaling, zoomed_shape


@dataclass(frozen=True, kw_only=True)
class StarDist3DSegmenter(OneChannelSegmenter):
    """A trained StarDist 3D network with its thresholds.

    Parameters
    ----------
    network : StarDist3D
    settings : RunSettings
    folder : Path
        The run folder.
    weights_sha256 : str
    diameter_um : float, optional
        Of the objects; as in training, or as the image shows, when not given.
    """

    network: Any
    settings: RunSettings
    folder: Path
    weights_sha256: str
    diameter_um: float | None = None

    name: ClassVar[str] = "stardist3d"

    def describe(self) -> dict[str, Any]:
        """Return architecture, thresholds, normalisation and the weights' sha256."""
        config = self.network.config
        return {
            "model": self.name,
            "run": self.folder.name,
            "weights_sha256": self.weights_sha256,
            "base": self.settings.base,
            "backbone": config.backbone,
            "computed_in": str(self.network.keras_model.layers[1].compute_dtype),
            "n_rays": int(config.n_rays),
            "grid": list(config.grid),
            "anisotropy": None if config.anisotropy is None else list(config.anisotropy),
            "prob_threshold": float(self.network.thresholds.prob),
            "nms_threshold": float(self.network.thresholds.nms),
            "percentiles": [self.settings.normalisation.low, self.settings.normalisation.high],
            "learned_diameter_um": self.settings.diameter_um,
            "diameter_um": self.diameter_um,
            "spacing_um": None
            if self.settings.spacing_um is None
            else list(self.settings.spacing_um),
        }

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

    def _scale(
        self, source: BlockSource, spacing_um: Spacing
    ) -> tuple[Factors | None, tuple[str, ...]]:
        """Return the zoom to the network's voxels, and what the user must be told."""
        settings = self.settings
        if settings.spacing_um is None:
            return None, ()
        chosen = choose_size(
            settings.diameter_um, settings.known_sizes, source, spacing_um, self.diameter_um
        )
        scale = rescaling(chosen.spacing_um, settings.spacing_um)
        if scale is None:
            return None, chosen.notes
        z, y, x = (int(n) for n in source.shape[1:])
        shape = zoomed_shape((z, y, x), scale)
        notes = (*chosen.notes, *work_of_resampling((z, y, x), shape, chosen.by_objects))
        trained_at = settings.stack_spacing_um
        if trained_at is None or chosen.spacing_um != spacing_um:
            return scale, notes
        if rescaling(spacing_um, trained_at) is None:
            return scale, notes
        stated, known = (" × ".join(f"{s:.4g}" for s in at) for at in (spacing_um, trained_at))
        told = f"voxels of {stated} µm are resampled: the training stacks' have {known} µm"
        return scale, (*notes, told + ("" if chosen.by_objects else UNKNOWN_SIZE))


def load_run(
    run_folder: Path, *, diameter_um: float | None = None, precision: Precision = "auto"
) -> StarDist3DSegmenter:
    """Return the segmenter of a finished run, or of a stock StarDist 3D model folder.

    Parameters
    ----------
    run_folder : Path
    diameter_um : float, optional
        Diameter of the nuclei to be found, where it is not the training's: images are then
        resampled so that the nuclei have as many voxels.
    precision : {"auto", "bf16", "fp32"}
        Number format of the convolutions.

    Raises
    ------
    CheckpointError
        When the folder or a file in it is missing or damaged.
    """
    folder = Path(run_folder)
    settings = read_settings(folder)
    network = load_network(folder)
    compute_in(network, precision)
    return StarDist3DSegmenter(
        network=network,
        settings=settings if diameter_um is None else settings.for_diameter(diameter_um),
        folder=folder,
        weights_sha256=weights_sha256(folder),
        diameter_um=diameter_um,
    )
