"""StarDist's network as it learns."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from labels.hashing import file_sha256
from labels.progress import Progress
from models.errors import CheckpointError
from models.learner import Arrays, Judged, Step
from models.schedules import following
from models.stardist3d.losses import Stepper
from models.stardist3d.runfolder import BEST_WEIGHTS
from models.stardist3d.weights import save_weights

if TYPE_CHECKING:
    from models.stardist3d.batches import Batch


class StarDistLearner:
    """A StarDist network that learns; see `models.learner.Learner`.

    Parameters
    ----------
    network : StarDist3D
    batch : callable
        From a step's number to its batch.
    checks : sequence of Batch
        What it is judged on.
    ema_decay : float
        Decay of the moving average of the weights, which is what is judged and kept.
    has_base : bool
    """

    losses: tuple[str, ...] = ("loss", "prob_loss", "dist_loss")
    values = losses

    def __init__(
        self,
        network: Any,
        batch: Callable[[int], Batch],
        checks: Sequence[Batch],
        ema_decay: float,
        has_base: bool,
    ) -> None:
        self.has_base, self.notes = has_base, list[str]()
        self._batch, self._checks, self._ema_decay = batch, checks, ema_decay
        self._stepper = Stepper(network)

    def step(self, step: Step) -> dict[str, float]:
        """Learn from one batch; see `models.learner.Learner`."""
        decay = following(self._ema_decay, step.number)
        losses = self._stepper.train(self._batch(step.number), step.rate, decay)
        return dict(zip(self.losses, losses, strict=True))

    def judge(self, progress: Progress) -> Judged:
        """Return the average's losses; see `models.learner.Learner`."""
        losses = []
        with self._averaged():
            for number, check in enumerate(self._checks):
                progress(number, len(self._checks), "validating")
                losses.append(self._stepper.test(check))
        means = [float(value) for value in np.mean(losses, axis=0)]
        return Judged(dict(zip(self.values, means, strict=True)), -means[0])

    def save(self, folder: Path) -> dict[str, Any]:
        """Write the average; see `models.learner.Learner`."""
        with self._averaged():
            save_weights(self._stepper.model, folder / BEST_WEIGHTS)
        return {"weights_sha256": file_sha256(folder / BEST_WEIGHTS)}

    def state(self) -> Arrays:
        """Return weights, their average and the optimiser's moments."""
        return {
            f"{part}.{index:04d}": variable.numpy()
            for part, variables in self._parts().items()
            for index, variable in enumerate(variables)
        }

    def restore(self, state: Arrays, path: Path) -> None:
        """Take back what `state` gave.

        Raises
        ------
        CheckpointError
            It is of another network.
        """
        for part, variables in self._parts().items():
            for index, variable in enumerate(variables):
                stored = state.get(f"{part}.{index:04d}")
                if stored is None or stored.shape != tuple(variable.shape):
                    raise CheckpointError(
                        f"{path}: expected {part} {index} of shape {tuple(variable.shape)}, got "
                        f"{None if stored is None else stored.shape}; train into a new folder"
                    )
                variable.assign(stored)

    def _parts(self) -> dict[str, list[Any]]:
        return {
            "model": list(self._stepper.model.weights),
            "average": list(self._stepper.average),
            "adam": list(self._stepper.optimiser.variables),
        }

    @contextmanager
    def _averaged(self) -> Iterator[None]:
        """Let the network have the average's weights."""
        self._stepper.swap()
        try:
            yield
        finally:
            self._stepper.swap()
