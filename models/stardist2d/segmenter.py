"""Prediction with a trained StarDist 2D, slice by slice."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from labels.progress import Progress, part_of
from labels.spacing import Spacing
from models.base import OneChannelSegmenter, Segmentation
from models.devices import Precision
from models.field_size import UNKNOWN_SIZE, choose_size
from models.scarce_memory import work_of_resampling
from models.stardist3d.objects import TileBudget, draw_objects, find_candidates, suppress
from models.stardist3d.plan import Factors
from models.stardist3d.runfolder import (
    FLAT,
    RunSettings,
    load_network,
    read_settings,
    weights_sha256,
)
from models.stardist3d.runtime import compute_in
from models.stardist3d.samples import resampled, rescaling, zoomed_shape

STITCH_OVERLAP = 0.25
"""Intersection over union at which two slices show one object."""


@dataclass(frozen=True, kw_only=True)
class StarDist2DSegmenter(OneChannelSegmenter):
    """A trained StarDist 2D network with its thresholds.

    Parameters
    ----------
    network : StarDist2D
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

    name: ClassVar[str] = "stardist2d"

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

    def _segment_channel(
        self, image: NDArray[Any], spacing_um: Spacing, progress: Progress
    ) -> Segmentation:
        """Find the objects of each slice; in a stack, they go on from slice to slice.

        Raises
        ------
        ModelError
            When StarDist or TensorFlow fails.
        """
        scale, notes = self._scale(image, spacing_um)
        normalised, budget = self.settings.normalisation.apply(image), TileBudget()
        planes, confidences = [], []
        for z in range(len(image)):
            seen = normalised[z : z + 1]
            labels, confidence = self._slice(
                seen if scale is None else resampled(seen, scale),
                (1, *image.shape[1:]),
                scale,
                part_of(progress, z, len(image)),
                budget,
            )
            planes.append(labels)
            confidences.append(confidence)
        notes = (*notes, *budget.notes)
        if len(planes) == 1:
            return Segmentation(planes[0], confidences[0], notes=notes)
        return Segmentation(*_stitched(planes, confidences), notes=notes)

    def _slice(
        self,
        seen: NDArray[np.float32],
        shape: tuple[int, ...],
        scale: Factors | None,
        progress: Progress,
        budget: TileBudget,
    ) -> tuple[NDArray[np.uint32], dict[int, float]]:
        candidates = find_candidates(self.network, seen, progress, budget=budget)
        return draw_objects(suppress(self.network, candidates, shape, scale), shape)

    def _scale(
        self, image: NDArray[Any], spacing_um: Spacing
    ) -> tuple[Factors | None, tuple[str, ...]]:
        """Return the zoom to the network's pixels, and what the user must be told."""
        settings = self.settings
        if settings.spacing_um is None:
            return None, ()
        chosen = choose_size(
            settings.diameter_um, settings.known_sizes, image[None], spacing_um, self.diameter_um
        )
        seen_um = chosen.spacing_um
        scale = rescaling(seen_um, (seen_um[0], *settings.spacing_um[1:]))
        if scale is None:
            return None, chosen.notes
        shape = zoomed_shape(image.shape, scale)
        notes = (*chosen.notes, *work_of_resampling(image.shape, shape, chosen.by_objects))
        stated = settings.stack_spacing_um
        if stated is None or seen_um != spacing_um:
            return scale, notes
        if rescaling(spacing_um, (spacing_um[0], *stated[1:])) is None:
            return scale, notes
        own, known = (" × ".join(f"{s:.4g}" for s in at[1:]) for at in (spacing_um, stated))
        told = f"pixels of {own} µm are resampled: the training images' have {known} µm"
        return scale, (*notes, told + ("" if chosen.by_objects else UNKNOWN_SIZE))


def _stitched(
    planes: list[NDArray[np.uint32]], confidences: list[dict[int, float]]
) -> tuple[NDArray[np.uint32], dict[int, float]]:
    """Join the objects of neighbouring slices; each gets the mean of its slices' confidence."""
    from models.cellpose.engine import stitch

    single = np.concatenate(planes)
    joined = stitch(single.copy(), STITCH_OVERLAP, -1)
    found: dict[int, list[float]] = {}
    for plane, own, confidence in zip(single, joined, confidences, strict=True):
        ids, first = np.unique(plane, return_index=True)
        for number, at in zip(ids.tolist(), first, strict=True):
            if number:
                found.setdefault(int(own.ravel()[at]), []).append(confidence[number])
    found.pop(0, None)
    return joined, {number: float(np.mean(values)) for number, values in found.items()}


def load_run(
    run_folder: Path, *, diameter_um: float | None = None, precision: Precision = "auto"
) -> StarDist2DSegmenter:
    """Return the segmenter of a finished run, or of a stock StarDist 2D model folder.

    Parameters
    ----------
    run_folder : Path
    diameter_um : float, optional
        Diameter of the objects to be found, where it is not the training's: images are then
        resampled so that the objects have as many pixels.
    precision : {"auto", "bf16", "fp32"}
        Number format of the convolutions.

    Raises
    ------
    CheckpointError
        When the folder or a file in it is missing or damaged.
    """
    folder = Path(run_folder)
    settings = read_settings(folder, StarDist2DSegmenter.name)
    network = load_network(folder, FLAT)
    compute_in(network, precision)
    return StarDist2DSegmenter(
        network=network,
        settings=settings if diameter_um is None else settings.for_diameter(diameter_um),
        folder=folder,
        weights_sha256=weights_sha256(folder),
        diameter_um=diameter_um,
    )
