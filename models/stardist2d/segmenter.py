"""Prediction with a trained StarDist 2D, slice by slice."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from labels.progress import Progress, part_of
from labels.spacing import Spacing
from models.base import Segmentation
from models.stardist3d.objects import TileBudget, draw_objects, find_candidates, suppress
from models.stardist3d.plan import Factors
from models.stardist3d.samples import resampled
from models.stardist3d.segmenting import StarDistSegmenter

STITCH_OVERLAP = 0.25
"""Intersection over union at which two slices show one object."""


class StarDist2DSegmenter(StarDistSegmenter):
    """A trained StarDist 2D network with its thresholds."""

    name: ClassVar[str] = "stardist2d"
    flat: ClassVar[bool] = True

    def _segment_channel(
        self, image: NDArray[Any], spacing_um: Spacing, progress: Progress
    ) -> Segmentation:
        """Find the objects of each slice; in a stack, they go on from slice to slice.

        Raises
        ------
        ModelError
            When StarDist or TensorFlow fails.
        """
        scale, notes = self._scale(image[None], spacing_um)
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


load_run = StarDist2DSegmenter.of_run
"""From a run's folder to its segmenter, as `models.registry` names it."""
