"""What the networks of PyTorch share that learn: Adam's step, the average, memory, and state."""

from __future__ import annotations

import copy
import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Generic, Protocol, Self, TypeVar

import torch
from torch import Tensor, nn

from labels.numbers import number_of
from models.devices import is_out_of_memory
from models.errors import CheckpointError, TrainingMemoryError
from models.learner import Arrays, Step
from models.schedules import following

T = TypeVar("T")


class Batch(Protocol):
    """What a step learns from."""

    def __len__(self) -> int: ...

    def part(self, start: int, count: int) -> Self:
        """Return the items `start` to `start + count`."""
        ...


B = TypeVar("B", bound=Batch)


@dataclass(frozen=True)
class Optimisation:
    """How a network of PyTorch learns.

    Parameters
    ----------
    batch_size : int
    seed : int
        Of what is drawn in a step, as by dropout.
    weight_decay, clip_norm : float
        Of AdamW, and the largest norm of the gradient.
    ema_decay : float
        Of the moving average of the weights, which is judged and kept; 0 keeps the weights.
    """

    batch_size: int
    seed: int
    weight_decay: float
    clip_norm: float = math.inf
    ema_decay: float = 0.0


class TorchLearner(ABC, Generic[B]):
    """A network of PyTorch that learns; see `models.learner.Learner`.

    Parameters
    ----------
    network : Module
        On its device; what has no gradient is neither learned nor part of the state.
    batch : callable
        From a step's number to its batch, as `models.ahead.Ahead` makes it beforehand.
    optimisation : Optimisation
    has_base : bool
        See `models.learner.Learner`.

    Attributes
    ----------
    kept : Module
        What is judged and kept: the average, or the network itself.
    together : int
        Items of a batch that are computed at a time: fewer once memory was full.
    """

    losses: tuple[str, ...] = ("loss",)
    values: tuple[str, ...] = ("loss",)
    item: ClassVar[str] = "patch"
    items: ClassVar[str] = "patches"
    smaller: ClassVar[str]
    """What to do when memory does not hold a single item."""

    def __init__(
        self, network: Any, batch: Callable[[int], B], optimisation: Optimisation, has_base: bool
    ) -> None:
        self.network, self.has_base, self.notes = network, has_base, list[str]()
        self.kept = copy.deepcopy(network) if optimisation.ema_decay else network
        self.together = optimisation.batch_size
        self.learned = {k: p for k, p in network.named_parameters() if p.requires_grad}
        self._fixed = {k for k, p in network.named_parameters() if not p.requires_grad}
        self._batch, self._how = batch, optimisation
        self._adam = torch.optim.AdamW(
            self.learned.values(), weight_decay=optimisation.weight_decay
        )

    @abstractmethod
    def loss(self, part: B, whole: B) -> Mapping[str, Tensor]:
        """Return the losses of a part of a batch; those of all parts add up to the whole's."""

    @property
    def networks(self) -> list[Any]:
        """The network, and its average where there is one."""
        return [self.network] if self.kept is self.network else [self.network, self.kept]

    def step(self, step: Step) -> dict[str, float]:
        """Learn from one batch; see `models.learner.Learner`."""
        for group in self._adam.param_groups:
            group["lr"] = step.rate
        batch = self._batch(step.number)
        losses = self.within_memory(lambda: self._gradient(batch, step.number))
        norm = nn.utils.clip_grad_norm_(self.learned.values(), self._how.clip_norm, foreach=True)
        if not math.isfinite(float(norm)):
            return {"loss": float(norm)}
        self._adam.step()
        self._follow(step.number)
        return losses

    def within_memory(self, work: Callable[[], T]) -> T:
        """Do work on `together` items at a time, on half as many when memory does not hold them."""
        while True:
            try:
                return work()
            except (RuntimeError, MemoryError) as error:
                if not is_out_of_memory(error):
                    raise
                if self.together == 1:
                    raise TrainingMemoryError(
                        f"expected memory to learn from one {self.item} at a time, got none; "
                        f"{self.smaller}, or use a machine with more memory"
                    ) from error
                self.together = -(-self.together // 2)
                fewer = number_of(self.together, self.item, self.items)
                self.notes.append(
                    f"memory was full: {fewer} at a time, {self._how.batch_size} per step as before"
                )

    def _gradient(self, batch: B, number: int) -> dict[str, float]:
        self.network.train()
        self._adam.zero_grad(set_to_none=True)
        totals = dict.fromkeys(self.losses, 0.0)
        with torch.random.fork_rng():
            torch.manual_seed((self._how.seed << 20) + number)
            for start in range(0, len(batch), self.together):
                losses = self.loss(batch.part(start, self.together), batch)
                losses["loss"].backward()
                for name, value in losses.items():
                    totals[name] += float(value.detach())
        return totals

    def _follow(self, number: int) -> None:
        if self.kept is self.network:
            return
        decay = following(self._how.ema_decay, number)
        with torch.no_grad():
            mean, now = self.kept.state_dict(), self.network.state_dict()
            moving = [key for key, value in now.items() if value.is_floating_point()]
            torch._foreach_lerp_([mean[k] for k in moving], [now[k] for k in moving], 1 - decay)

    def _tensors(self) -> dict[str, Tensor]:
        """Return what is learned or follows, of the network and its average."""
        return {
            f"network{number or ''}.{key}": tensor
            for number, network in enumerate(self.networks)
            for key, tensor in network.state_dict().items()
            if key not in self._fixed
        }

    def state(self) -> Arrays:
        """Return weights, their average and Adam's moments; see `models.learner.Learner`."""
        moments = {
            f"adam_{kind}.{key}": value
            for key, parameter in self.learned.items()
            for kind, value in self._adam.state[parameter].items()
        }
        every = self._tensors() | moments
        return {key: tensor.detach().cpu().numpy() for key, tensor in every.items()}

    def restore(self, state: Arrays, path: Path) -> None:
        """Take back what `state` gave; see `models.learner.Learner`."""
        tensors, adam = self._tensors(), self._adam.state_dict()
        numbers = {key: number for number, key in enumerate(self.learned)}
        fit = all(self._fits(tensors, name, array) for name, array in state.items())
        if not (fit and tensors.keys() <= state.keys()):
            raise CheckpointError(
                f"{path}: expected the state of the same network, got that of another; train into "
                "a new folder"
            )
        with torch.no_grad():
            for name, array in state.items():
                part, _, key = name.partition(".")
                if part.startswith("adam_"):
                    moments = adam["state"].setdefault(numbers[key], {})
                    moments[part.removeprefix("adam_")] = torch.tensor(array)
                else:
                    tensors[name].copy_(torch.tensor(array))
        self._adam.load_state_dict(adam)

    def _fits(self, tensors: dict[str, Tensor], name: str, array: Any) -> bool:
        part, _, key = name.partition(".")
        if part.startswith("adam_"):
            return key in self.learned and array.shape in (self.learned[key].shape, ())
        own = tensors.get(name)
        return own is not None and own.shape == array.shape
