"""The network as it learns."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from labels.progress import Progress
from models.devices import Compute
from models.learner import Judged
from models.smp2d.architecture import Architecture, fill
from models.smp2d.losses import classes_loss, distance_loss
from models.smp2d.patches import Batch
from models.tensors import WEIGHTS_FILE, read_tensors, write_tensors
from models.torch_learner import Optimisation, TorchLearner
from models.unet3d.settings import LossSettings


class SMPLearner(TorchLearner[Batch]):
    """A network that learns its outputs and the distance to the objects' borders.

    Parameters
    ----------
    network : Module
    architecture : Architecture
    batch : callable
        From a step's number to its batch.
    loss : LossSettings
    distance_weight : float
        Weight of the distances' loss beside the classes'.
    optimisation : Optimisation
    compute : Compute
    judging : callable
        From a network to how good it is.
    values : tuple of str
        What judging tells.
    has_base : bool
    """

    losses: tuple[str, ...] = ("loss", "distance")
    smaller = "give a smaller patch_size or encoder"

    def __init__(
        self,
        network: Any,
        architecture: Architecture,
        batch: Callable[[int], Batch],
        loss: LossSettings,
        distance_weight: float,
        optimisation: Optimisation,
        compute: Compute,
        judging: Callable[[Any, Progress], Judged],
        values: tuple[str, ...],
        has_base: bool,
    ) -> None:
        network.to(compute.device).to(memory_format=torch.channels_last)
        super().__init__(network, batch, optimisation, has_base)
        self.values = values
        self._architecture, self._settings, self._compute = architecture, loss, compute
        self._distance_weight, self._judging = distance_weight, judging

    def loss(self, part: Batch, whole: Batch) -> Mapping[str, Tensor]:
        """Return the loss of the classes with that of the distances, and the latter."""
        a, t = self._architecture, part.targets

        def tensor(array: np.ndarray[Any, Any]) -> Tensor:
            return torch.from_numpy(array).to(self._compute.device, torch.float32)

        x = tensor(part.image)
        if len(part) == 1:
            # Batch norm needs two numbers of each channel, and some layers see one of a patch.
            x = torch.cat((x, x))
        with self._compute.autocast():
            logits = self.network(x.contiguous(memory_format=torch.channels_last))
        logits = logits[: len(part)].float()
        inside, known = tensor(t.inside), tensor(t.known)
        classes = logits[:, : a.class_logits]
        loss = classes_loss(classes, inside, known, a.activation, self._settings)
        distance = logits.new_zeros(())
        if a.objects:
            objects = list(a.objects)
            distance = distance_loss(
                logits[:, a.class_logits :],
                tensor(t.distance),
                inside[:, objects],
                tensor(t.sure) * known[:, objects],
            )
        share = len(part) / len(whole)
        return {
            "loss": (loss + self._distance_weight * distance) * share,
            "distance": distance * share,
        }

    def judge(self, progress: Progress) -> Judged:
        """Judge the average; see `models.learner.Learner`."""
        return self._judging(self.kept.eval(), progress)

    def save(self, folder: Path) -> dict[str, Any]:
        """Write the average; see `models.learner.Learner`."""
        return {"weights_sha256": write_tensors(folder / WEIGHTS_FILE, self.kept.state_dict())}

    def best(self, folder: Path) -> Any:
        """Return the network that `save` wrote."""
        fill(self.kept, read_tensors(folder / WEIGHTS_FILE), str(folder))
        return self.kept.eval()
