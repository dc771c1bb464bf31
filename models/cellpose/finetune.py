"""Cellpose's network as it learns.

``cellpose.train.train_seg`` is not used: its loss has no mask, so that voxels nobody verified
would count as background; it cannot be cancelled, resumed or watched; and it keeps the last
weights, whatever became of them. Its targets, augmentation, loss (`models.cellpose.batches`) and
optimiser are.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from labels.progress import Progress
from models.cellpose import runfolder as files
from models.cellpose.batches import Tiles, TileSampler, counted, masked_loss
from models.cellpose.fast import FastTransformer
from models.devices import Compute
from models.learner import Judged
from models.torch_learner import Optimisation, TorchLearner


class Tunable:
    """Cellpose's network, all of it or its neck and readout only, ready to be tuned.

    Parameters
    ----------
    state : mapping of str to Tensor
        Checked weights.
    compute : Compute
    neck_only : bool
        The blocks stay as they are, and run by `FastTransformer`.
    """

    def __init__(self, state: dict[str, Tensor], compute: Compute, neck_only: bool) -> None:
        self.compute = compute
        self._frozen: FastTransformer | None = None
        self.network = _network(state, torch.float32, compute.device)
        self.network.requires_grad_(not neck_only)
        self.network.W2.requires_grad_(False)
        for name in ("diam_labels", "diam_mean"):
            getattr(self.network, name).requires_grad_(False)
        if neck_only:
            for part in (self.network.encoder.neck, self.network.out):
                part.requires_grad_(True)
            kind = torch.bfloat16 if compute.bf16 else torch.float32
            half = _network(state, kind, compute.device) if compute.bf16 else self.network
            self._frozen = FastTransformer(half)
        self.trainable = {k: p for k, p in self.network.named_parameters() if p.requires_grad}

    def logits(self, image: Tensor, training: bool) -> Tensor:
        """Return float32 flows and logits; the network drops blocks at random in training."""
        image = image.to(self.compute.device)
        self.network.train(training)
        if self._frozen is None:
            with self.compute.autocast():
                whole: Tensor = self.network(image)[0]
            return whole.float()
        with torch.no_grad():
            x = self._frozen.features(image.to(self._frozen.dtype)).float()
        net = self.network
        y = net.out(net.encoder.neck(x))
        return functional.conv_transpose2d(y, net.W2, stride=net.ps)


class CellposeLearner(TorchLearner[Tiles]):
    """Cellpose's network that learns from tiles.

    Parameters
    ----------
    tunable : Tunable
    train : TileSampler
    val : Tiles
        Fixed tiles that choose the best epoch.
    optimisation : Optimisation
    """

    item, items = "tile", "tiles"
    smaller = "set trainable=neck"

    def __init__(
        self, tunable: Tunable, train: TileSampler, val: Tiles, optimisation: Optimisation
    ) -> None:
        count = optimisation.batch_size
        # Not ahead: Cellpose draws from NumPy's global generator.
        super().__init__(
            tunable.network, lambda step: train.training(step, count), optimisation, has_base=True
        )
        self._tunable, self._val = tunable, val

    def loss(self, part: Tiles, whole: Tiles) -> dict[str, Tensor]:
        """Return the loss of some tiles; see `TorchLearner.loss`."""
        return {"loss": (self._sums(part, True) / counted(whole).to(self._device)).sum()}

    def judge(self, progress: Progress) -> Judged:
        """Return the loss of the fixed tiles; see `models.learner.Learner`."""
        total, start = torch.zeros(2), 0
        with torch.no_grad():
            while start < len(self._val):
                progress(start, len(self._val), "validating")
                total += self.within_memory(partial(self._judged, start))
                start += self.together
        loss = float((total / counted(self._val)).sum())
        return Judged({"loss": loss}, -loss)

    def save(self, folder: Path) -> dict[str, Any]:
        """Write the whole network; see `models.learner.Learner`."""
        path = folder / files.WEIGHTS_FILE
        return {"weights_sha256": files.write_tensors(path, self.network.state_dict())}

    def _judged(self, start: int) -> Tensor:
        return self._sums(self._val.part(start, self.together), False).cpu()

    @property
    def _device(self) -> str:
        return self._tunable.compute.device

    def _sums(self, tiles: Tiles, training: bool) -> Tensor:
        there = Tiles(
            *(getattr(tiles, k).to(self._device) for k in ("image", "target", "known", "sure"))
        )
        return masked_loss(self._tunable.logits(there.image, training), there)


def _network(state: dict[str, Tensor], kind: torch.dtype, device: str) -> Any:
    from cellpose.vit import CPSAM

    with torch.device("meta"):
        network = CPSAM(dtype=kind)
    own = {name: state[name].to(device, kind, copy=True) for name in network.state_dict()}
    network.load_state_dict(own, assign=True)
    return network.eval()
