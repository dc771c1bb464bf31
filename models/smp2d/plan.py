"""What a training starts from, and the pixel size and thresholds that follow."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from labels.numbers import number_of
from labels.spacing import Spacing
from models.base import TrainingSample, check_image
from models.errors import ModelError, TrainingDataError, TrainingMemoryError
from models.objects import whole_sizes
from models.scarce_memory import check_fits
from models.smp2d.architecture import Architecture
from models.smp2d.checkpoint import RunFile
from models.smp2d.patches import PreparedScene
from models.unet3d.instances import InstanceSettings, Method


def usual_instances(
    scenes: Sequence[PreparedScene],
    architecture: Architecture,
    base: RunFile | None,
    spacing_um: Spacing,
    method: Method,
    min_size_share: float,
) -> tuple[InstanceSettings, ...]:
    """Return the thresholds before any are chosen: those of the base, else the default ones."""
    found = []
    for place, number in enumerate(architecture.objects):
        planes = (p for scene in scenes for p in scene.labels[number] if p.any())
        sizes = np.concatenate([whole_sizes(plane[None]) for plane in planes])
        least = min_size_share * float(np.percentile(sizes, 10) * np.prod(spacing_um))
        usual = InstanceSettings() if base is None else base.settings.instances[place]
        found.append(replace(usual, method=method, min_volume_um3=least))
    return tuple(found)


def check_samples(train: Sequence[TrainingSample], val: Sequence[TrainingSample]) -> None:
    """Refuse no samples, and images that no model can take."""
    if not train:
        raise TrainingDataError(
            "expected at least one training image, got none; add a field of split train"
        )
    for sample in (*train, *val):
        check_image(sample.image, f"image {sample.name!r}")


def of_the_base(base: RunFile, mine: Architecture, notes: list[str]) -> Architecture:
    """Return the base's architecture; refuse one that sees or finds something else."""
    found = base.settings.architecture
    if (found.outputs, found.channels) != (mine.outputs, mine.channels):
        raise ModelError(
            f"base_run {base.folder.name}: expected a run of {_told(mine)}, got one of "
            f"{_told(found)}; start from another run, or from none"
        )
    if (found.arch, found.encoder) != (mine.arch, mine.encoder):
        notes.append(
            f"arch {found.arch} and encoder {found.encoder} are those of {base.folder.name}, which "
            "training starts from"
        )
    return found


def _told(architecture: Architecture) -> str:
    names = ", ".join(f"{each.name or 'any class'} ({each.kind})" for each in architecture.outputs)
    return f"{names} in {number_of(architecture.channels, 'channel')}"


def common_spacing(samples: Sequence[TrainingSample], base: RunFile | None) -> Spacing:
    """Return the voxel size (z, y, x) in µm of a training: the base's, else the median."""
    if base is not None:
        return base.settings.spacing_um
    z, y, x = (float(each) for each in np.median([s.spacing_um for s in samples], axis=0))
    return z, y, x


def check_training_fits(
    network: Any, architecture: Architecture, patch: tuple[int, int], batch_size: int
) -> None:
    """Refuse a network, or a batch, that the machine cannot hold."""
    # Weights, their average, their gradient and Adam's two moments.
    need = 20 * sum(each.numel() for each in network.parameters())
    what = f"a network {architecture.arch} of {architecture.encoder}"
    check_fits(need, what, "take a smaller encoder", TrainingMemoryError)
    need += 4 * batch_size * patch[0] * patch[1] * (architecture.channels + architecture.logits)
    check_fits(
        need,
        f"a batch of {number_of(batch_size, 'patch', 'patches')} of {'×'.join(map(str, patch))} "
        "pixels",
        "take smaller patches (patch_size) or fewer at once (batch_size)",
        TrainingMemoryError,
    )
