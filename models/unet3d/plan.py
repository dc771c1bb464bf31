"""What a training starts from, and the voxel size, network and patch that follow."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from labels.numbers import number_of
from labels.spacing import Spacing, in_words
from models.errors import TrainingDataError, TrainingMemoryError
from models.field_size import same_size
from models.objects import spacing_for
from models.runfolder import base_folder
from models.scale import OneSize
from models.scarce_memory import check_fits
from models.unet3d.architecture import Architecture, Norm, pooling_for, round_to
from models.unet3d.checkpoint import RunFile, numbers_of, read_run
from models.unet3d.instances import InstanceSettings
from models.unet3d.patches import PreparedStack, automatic_patch_size
from models.unet3d.volumes import same_spacing

Design = tuple[tuple[int, ...], Norm]
"""Channels per level, and normalisation."""


def read_base(base_run: str, mine: Design, notes: list[str]) -> RunFile:
    """Return the run that training starts from; tells when its design is not the one asked for.

    Raises
    ------
    CheckpointError
        The run is missing or damaged.
    """
    base = read_run(base_folder(base_run, "unet3d"))
    if (base.architecture.features, base.architecture.norm) != mine:
        notes.append(
            f"features {base.architecture.features} and norm {base.architecture.norm!r} are "
            f"those of {base.folder.name}, which training starts from"
        )
    return base


def own_instances(base: RunFile | None, spacing: Spacing) -> InstanceSettings:
    """Return the thresholds that a base has of its own, at the voxel size of a training.

    The smallest object is one of as many voxels: what a base sees has its own size in them.
    """
    if base is None:
        return InstanceSettings()
    own = base.settings.instances
    ratio = math.prod(spacing) / math.prod(base.settings.spacing_um)
    return replace(own, min_volume_um3=own.min_volume_um3 * ratio)


def plan_network(
    stacks: Sequence[PreparedStack],
    spacing: Spacing,
    base: RunFile | None,
    mine: Design,
    patch_size: tuple[int, int, int] | None,
    notes: list[str],
) -> tuple[Architecture, tuple[int, int, int]]:
    """Return the network's shape and the size of its training patches."""
    largest = np.max([s.labels.shape for s in stacks], axis=0)
    wanted = patch_size or automatic_patch_size(stacks)
    z, y, x = (int(min(w, n)) for w, n in zip(wanted, largest, strict=True))
    channels = stacks[0].image.shape[0]
    if base is not None:
        architecture = replace(base.architecture, channels=channels)
        if channels != base.architecture.channels:
            notes.append(
                f"{base.folder.name} knows images of one channel: its first convolution is shared "
                f"out among {channels}"
            )
    else:
        features, norm = mine
        pooling = pooling_for(spacing, (z, y, x), len(features))
        architecture = Architecture(features, pooling, norm, channels)
    patch = round_to((z, y, x), architecture.multiple, up=False)
    if patch_size is not None and patch != patch_size:
        notes.append(
            f"patch_size {patch_size} became {patch}: inside the largest training stack "
            f"and a multiple of the pooling {architecture.multiple}"
        )
    return architecture, patch


def common_scale(
    samples: OneSize, base: RunFile | None, notes: list[str]
) -> tuple[Spacing, float | None]:
    """Return the voxel size (z, y, x) in µm of a training, and the diameter of its objects.

    A base that knows objects of one size gets them in this size, any other base its own voxel
    size; without a base it is the samples' median.

    Parameters
    ----------
    samples : OneSize
    base : RunFile, optional
    notes : list of str
    """
    if not samples.train:
        raise TrainingDataError(
            "expected at least one training stack, got none; add a stack of split train"
        )
    diameter = samples.diameter_um
    if base is not None and base.settings.nominal_diameter is not None:
        if diameter is None:
            raise TrainingDataError(
                "expected at least one labelled object where the mask is set, got none; "
                "label or accept some nuclei and train again"
            )
        notes.append(f"nuclei of {diameter:.3g} µm are brought to the size that the base knows")
        return spacing_for(diameter), diameter
    if base is not None:
        z, y, x = base.settings.spacing_um
        of_base = base.settings.diameter_um
        if diameter is not None and of_base is not None:
            if same_size(diameter, of_base):
                diameter = of_base
            else:
                notes.append(
                    f"objects of {diameter:.3g} µm are brought to the size that the base knows, "
                    f"{of_base:.3g} µm"
                )
                z, y, x = (step * diameter / of_base for step in (z, y, x))
    else:
        z, y, x = (float(v) for v in np.median([s.spacing_um for s in samples.train], axis=0))
    others = [s.name for s in samples.train if not same_spacing(s.spacing_um, (z, y, x))]
    if others:
        notes.append(
            f"resampled to {in_words((z, y, x))} µm per voxel for training: {', '.join(others)}"
        )
    return (z, y, x), diameter


def check_training_fits(
    architecture: Architecture, patch: tuple[int, int, int], batch_size: int
) -> None:
    """Refuse a network, or a batch, that the machine cannot hold.

    Raises
    ------
    TrainingMemoryError
    """
    # Weights, their average, their gradient and Adam's two moments.
    need = 20 * numbers_of(architecture)
    check_fits(
        need,
        f"a network of features {architecture.features}",
        "take fewer or smaller features",
        TrainingMemoryError,
    )
    # The first level's features are kept for the gradient of a patch; image and targets of all.
    need += 4 * math.prod(patch) * (4 * architecture.features[0] + 4 * batch_size)
    check_fits(
        need,
        f"a batch of {number_of(batch_size, 'patch', 'patches')} of "
        f"{'×'.join(map(str, patch))} voxels",
        "take smaller patches (patch_size) or fewer at once (batch_size)",
        TrainingMemoryError,
    )
