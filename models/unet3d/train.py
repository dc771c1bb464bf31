"""The U-Net as it learns."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from labels.progress import Progress
from models.devices import Compute
from models.learner import Judged, Step
from models.tensors import WEIGHTS_FILE, read_tensors, write_tensors
from models.torch_learner import Optimisation, TorchLearner
from models.unet3d import checkpoint as files
from models.unet3d.architecture import Architecture
from models.unet3d.losses import class_loss, head_loss
from models.unet3d.network import UNet3D, freeze_norms
from models.unet3d.patches import Batch
from models.unet3d.settings import LossSettings
from models.unet3d.validation import Validation

Judging = Callable[[Any, Progress], Validation]
"""From a network to how good it is."""


class UNetLearner(TorchLearner[Batch]):
    """A U-Net that learns classes and the distance to the border.

    Parameters
    ----------
    architecture : Architecture
    batch : callable
        From a step's number to its batch.
    loss : LossSettings
    head_weight : float
        Weight of the head's loss beside the classes'.
    freeze_at : float
        Share of the training after which normalisation that can be frozen is; 1 is never.
    optimisation : Optimisation
    compute : Compute
    judging : callable
    base : RunFile, optional
        Run to start from.
    """

    values = tuple(Validation.__dataclass_fields__)
    smaller = "give a smaller patch_size or fewer features"

    def __init__(
        self,
        architecture: Architecture,
        batch: Callable[[int], Batch],
        loss: LossSettings,
        head_weight: float,
        freeze_at: float,
        optimisation: Optimisation,
        compute: Compute,
        judging: Judging,
        base: files.RunFile | None,
    ) -> None:
        with torch.random.fork_rng():
            torch.manual_seed(optimisation.seed)
            network = UNet3D(architecture)
        if base is not None:
            weights = read_tensors(base.folder / WEIGHTS_FILE, base.sha256)
            weights = files.for_channels(weights, architecture.channels, base.folder)
            files.fill(network, weights, base.folder)
        network.to(compute.device).to(memory_format=torch.channels_last_3d)
        super().__init__(network, batch, optimisation, base is not None)
        self._class_loss, self._head_weight, self._freeze_at = (
            class_loss(loss),
            head_weight,
            freeze_at,
        )
        self._compute, self._judging = compute, judging

    def start_at(self, frequencies: list[float], inside: float, distance: float) -> None:
        """See `UNet3D.start_at`."""
        for network in self.networks:
            network.start_at(frequencies, inside, distance)

    def step(self, step: Step) -> dict[str, float]:
        """Learn from one batch; see `models.learner.Learner`."""
        if self._freeze_at < 1 and step.done >= self._freeze_at:
            freeze_norms(*self.networks)
        return super().step(step)

    def loss(self, part: Batch, whole: Batch) -> Mapping[str, Tensor]:
        """Return the loss of the classes, and that of the head by its weight."""
        device, t = self._compute.device, part.targets

        def tensor(array: np.ndarray[Any, Any], kind: torch.dtype) -> Tensor:
            return torch.from_numpy(array).to(device, kind)

        x = tensor(part.image, torch.float32)
        with self._compute.autocast():
            logits = self.network(x.contiguous(memory_format=torch.channels_last_3d))
        voxels = tensor(t.voxels, torch.float32)
        loss = self._class_loss(logits[:, :3], tensor(t.classes, torch.int64), voxels)
        head = head_loss(
            logits[:, 3:],
            tensor(t.inside, torch.float32),
            tensor(t.distance, torch.float32),
            voxels,
            tensor(t.sure, torch.float32),
        )
        return {"loss": (loss + self._head_weight * head) * (len(part) / len(whole))}

    def judge(self, progress: Progress) -> Judged:
        """Judge the average; see `models.learner.Learner`."""
        found = self._judging(self.kept.eval(), progress)
        return Judged(asdict(found), found.score)

    def save(self, folder: Path) -> dict[str, Any]:
        """Write the average; see `models.learner.Learner`."""
        return {"weights_sha256": write_tensors(folder / WEIGHTS_FILE, self.kept.state_dict())}

    def best(self, folder: Path) -> UNet3D:
        """Return the network that `save` wrote."""
        network: UNet3D = copy.deepcopy(self.kept)
        files.fill(network, read_tensors(folder / WEIGHTS_FILE), folder)
        return network.eval()
