"""What a training is about to learn from, told before it begins."""

from __future__ import annotations

from collections.abc import Sequence

import fastremap
import numpy as np

from hitl.training.samples import TrainingSet
from labels.numbers import number_of
from models.base import TrainingSample


def told_first(data: TrainingSet) -> str:
    """Return in one line the fields, objects and voxels of a training."""
    fields = {str(source["field"]) for source in data.sources if source["split"] != "val"}
    inside, counted, objects = _sizes(data.train)
    _, judged, judged_on = _sizes(data.val)
    channels = data.train[0].image.shape[0]
    several = f" in {number_of(channels, 'channel')}" if channels > 1 else ""
    return (
        f"learns {number_of(objects, 'object')} of {number_of(len(fields), 'field')}{several}: "
        f"{counted:,} voxels count, {inside / max(counted, 1):.0%} of them in objects; is judged "
        f"on {number_of(judged_on, 'object')} in {judged:,} voxels"
    )


def _sizes(samples: Sequence[TrainingSample]) -> tuple[int, int, int]:
    """Return voxels in objects and all that count, and the objects."""
    inside = counted = objects = 0
    for sample in samples:
        found = sample.labels[sample.mask]
        inside += int(np.count_nonzero(found))
        counted += found.size
        objects += int(np.count_nonzero(fastremap.unique(found)))
    return inside, counted, objects
