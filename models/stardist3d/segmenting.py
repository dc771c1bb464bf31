"""What segmenters of trained StarDist networks share, in 2D and 3D."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Self

from labels.spacing import Spacing, in_words
from models.base import BlockSource, OneChannelSegmenter
from models.devices import Precision
from models.field_size import UNKNOWN_SIZE, choose_size
from models.scarce_memory import work_of_resampling
from models.stardist3d.plan import Factors
from models.stardist3d.runfolder import (
    DEEP,
    FLAT,
    RunSettings,
    load_network,
    read_settings,
    weights_sha256,
)
from models.stardist3d.runtime import compute_in
from models.stardist3d.samples import kept_in_z, rescaling, zoomed_shape


@dataclass(frozen=True, kw_only=True)
class StarDistSegmenter(OneChannelSegmenter):
    """A trained StarDist network with its thresholds.

    Parameters
    ----------
    network : StarDist2D or StarDist3D
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

    flat: ClassVar[bool] = False
    """Whether slices are seen, not stacks."""

    @classmethod
    def of_run(
        cls, run_folder: Path, *, diameter_um: float | None = None, precision: Precision = "auto"
    ) -> Self:
        """Return the segmenter of a finished run, or of a stock StarDist model folder.

        Parameters
        ----------
        run_folder : Path
        diameter_um : float, optional
            Diameter of the objects to be found, where it is not the training's: images are then
            resampled so that the objects have as many voxels.
        precision : {"auto", "bf16", "fp32"}
            Number format of the convolutions.

        Raises
        ------
        CheckpointError
            When the folder or a file in it is missing or damaged.
        """
        folder = Path(run_folder)
        settings = read_settings(folder, cls.name)
        network = load_network(folder, FLAT if cls.flat else DEEP)
        compute_in(network, precision)
        return cls(
            network=network,
            settings=settings,
            folder=folder,
            weights_sha256=weights_sha256(folder),
            diameter_um=diameter_um,
        )

    def describe(self) -> dict[str, Any]:
        """Return architecture, thresholds, normalisation and the weights' sha256."""
        config, settings = self.network.config, self.settings
        return {
            "model": self.name,
            "run": self.folder.name,
            "weights_sha256": self.weights_sha256,
            "base": settings.base,
            "computed_in": str(self.network.keras_model.layers[1].compute_dtype),
            "n_rays": int(config.n_rays),
            "grid": list(config.grid),
            "prob_threshold": float(self.network.thresholds.prob),
            "nms_threshold": float(self.network.thresholds.nms),
            "percentiles": [settings.normalisation.low, settings.normalisation.high],
            "learned_diameter_um": settings.diameter_um,
            "diameter_um": self.diameter_um,
            "spacing_um": None if settings.spacing_um is None else list(settings.spacing_um),
        }

    def _scale(
        self, source: BlockSource, spacing_um: Spacing
    ) -> tuple[Factors | None, tuple[str, ...]]:
        """Return the zoom to the network's voxels, and what the user must be told.

        Raises
        ------
        ImageError
            The voxel size alone asks for many times more voxels.
        """
        settings = self.settings
        if settings.spacing_um is None:
            return None, ()
        chosen = choose_size(
            settings.diameter_um, settings.known_sizes, source, spacing_um, self.diameter_um
        )
        seen_um = chosen.spacing_um
        scale = rescaling(seen_um, kept_in_z(settings.spacing_um, seen_um, self.flat))
        if scale is None:
            return None, chosen.notes
        z, y, x = (int(n) for n in source.shape[1:])
        shape = zoomed_shape((z, y, x), scale)
        notes = (*chosen.notes, *work_of_resampling((z, y, x), shape, chosen.by_objects))
        stated = settings.stack_spacing_um
        if stated is None or seen_um != spacing_um:
            return scale, notes
        if rescaling(spacing_um, kept_in_z(stated, spacing_um, self.flat)) is None:
            return scale, notes
        first = 1 if self.flat else 0
        own, known = (in_words(at[first:]) for at in (spacing_um, stated))
        what, where = ("pixels", "images") if self.flat else ("voxels", "stacks")
        told = f"{what} of {own} µm are resampled: the training {where}' have {known} µm"
        return scale, (*notes, told + ("" if chosen.by_objects else UNKNOWN_SIZE))
