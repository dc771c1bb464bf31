"""What a model gives the training: a `Learner`, how long it learns, and what is told of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from numpy.typing import NDArray

from labels.progress import Progress
from models.options import Done, Seconds

LEAST_PATIENCE = 10
"""Epochs, where patience is not given."""

Arrays = dict[str, NDArray[Any]]


@dataclass
class History:
    """What has happened so far.

    Parameters
    ----------
    epoch, steps, best_epoch : int
        Epochs and steps done, and the epoch whose weights are kept; 0 is the base.
    best_score : float, optional
        Of the best epoch; higher is better.
    best : dict of str to float
        What the best epoch was judged by.
    seconds : float
        Spent, all sessions together.
    rows : list of dict of str to float
        The curves.
    """

    epoch: Done = 0
    steps: Done = 0
    best_epoch: Done = 0
    best_score: float | None = None
    best: dict[str, float] = field(default_factory=dict)
    seconds: Seconds = 0.0
    rows: list[dict[str, int | float]] = field(default_factory=list)


@dataclass(frozen=True)
class Schedule:
    """How long and how fast.

    Parameters
    ----------
    epochs, steps_per_epoch : int
    rate : callable
        From the share of the training that is done, and what has happened, to the learning rate.
    patience : int, optional
        Epochs without a better one after which training stops; a third of all, and at least
        `LEAST_PATIENCE`, when not given.
    """

    epochs: int
    steps_per_epoch: int
    rate: Callable[[float, History], float]
    patience: int | None = None

    @property
    def waits(self) -> int:
        """Epochs without a better one after which training stops."""
        return self.patience or max(LEAST_PATIENCE, self.epochs // 3)


@dataclass(frozen=True)
class Step:
    """One step: how many were before it, the share of the training that is done, and the rate."""

    number: int
    done: float
    rate: float


@dataclass(frozen=True)
class Judged:
    """How good a network is: values by name, and the one that decides; higher is better."""

    values: Mapping[str, float]
    score: float


class Learner(Protocol):
    """A network that learns.

    Attributes
    ----------
    losses : tuple of str
        What a step tells; the first is ``"loss"``.
    values : tuple of str
        What judging tells.
    has_base : bool
        Whether it starts from weights that are worth keeping should no epoch be better.
    notes : list of str
        What the user must be told of its steps.
    """

    losses: tuple[str, ...]
    values: tuple[str, ...]
    has_base: bool
    notes: list[str]

    def step(self, step: Step) -> Mapping[str, float]:
        """Learn from one batch; return its losses, of which one is not finite if all is lost."""
        ...

    def judge(self, progress: Progress) -> Judged:
        """Judge the network on what it does not learn from."""
        ...

    def save(self, folder: Path) -> dict[str, Any]:
        """Write the weights that were judged; return what `model.json` says of them."""
        ...

    def state(self) -> Arrays:
        """Return all that the next step depends on, to be written at once."""
        ...

    def restore(self, state: Arrays, path: Path) -> None:
        """Take back what `state` gave; raise `CheckpointError` where it does not fit."""
        ...
