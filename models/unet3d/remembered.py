"""What the run that training starts from is sure of, where nobody verified anything.

A few verified nuclei come with few background voxels, and a network that sees hardly any background
forgets what it is. Learning without forgetting (Li & Hoiem, ECCV 2016) keeps the old network's
answers as targets; here only its sure background, since nuclei that it found may be wrong.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from models.devices import Compute
from models.unet3d.checkpoint import RunFile, load_network
from models.unet3d.instances import foreground_probability
from models.unet3d.patches import PreparedStack
from models.unet3d.predict import NetworkPredictor
from models.unet3d.targets import BACKGROUND

SURE = 0.1
"""Probability of a nucleus below which the run is sure of background."""

WEIGHT = 0.3
"""How much such a voxel counts beside a verified one."""


def remember_background(
    stacks: Sequence[PreparedStack], base: RunFile, compute: Compute, notes: list[str]
) -> list[PreparedStack]:
    """Return the stacks with targets also where `base` is sure of background.

    Patches are still drawn around verified voxels only, and a verified voxel keeps its target. What
    is held out stays out.

    Parameters
    ----------
    stacks : sequence of PreparedStack
        At the voxel size of `base`.
    base : RunFile
        The run that training starts from.
    compute : Compute
    notes : list of str
        Is told when anything was added.
    """
    unknown = sum(int(_unknown(s).sum()) for s in stacks)
    if unknown == 0:
        return list(stacks)
    predictor = _predictor(base, stacks[0].image.shape[0], compute)
    remembered = [_with_background(stack, predictor) for stack in stacks]
    before, after = (_counted(one) for one in (stacks, remembered))
    notes.append(
        f"{(after - before) / unknown:.0%} of the voxels that nobody verified are background to "
        f"{base.folder.name}, and count as such, each {WEIGHT:g} of a verified one"
    )
    return remembered


def _predictor(base: RunFile, channels: int, compute: Compute) -> NetworkPredictor:
    architecture = replace(base.architecture, channels=channels)
    network = load_network(base, channels)
    return NetworkPredictor(network, architecture, compute, base.settings.patch_size)


def _with_background(stack: PreparedStack, predictor: NetworkPredictor) -> PreparedStack:
    targets = stack.targets
    sure = foreground_probability(predictor.maps(stack.image)) < SURE
    added = _unknown(stack) & sure
    return replace(
        stack,
        targets=replace(
            targets,
            classes=np.where(added, BACKGROUND, targets.classes).astype(np.uint8),
            inside=np.where(added, 0, targets.inside).astype(np.uint8),
            distance=np.where(added, 0, targets.distance).astype(np.float32),
            voxels=np.where(added, WEIGHT, targets.voxels).astype(np.float32),
        ),
    )


def _unknown(stack: PreparedStack) -> NDArray[np.bool_]:
    """Return where nobody says what is there: not where it is known and held out."""
    unknown: NDArray[np.bool_] = stack.targets.voxels == 0
    return unknown if stack.held_out is None else unknown & ~stack.held_out


def _counted(stacks: Sequence[PreparedStack]) -> int:
    return sum(int((stack.targets.voxels > 0).sum()) for stack in stacks)
