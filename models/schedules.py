"""How a learning rate falls, and an average of weights follows them."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence


def cosine(done: float, *, lowest: float, warm_up: float = 0.0) -> float:
    """Return the share of the highest rate: a short rise, then along a cosine (SGDR, 2017).

    Parameters
    ----------
    done : float
        Fraction of the training, from 0; beyond 1 it stays at `lowest`.
    lowest : float
        Share at the end, and at least at the beginning of the rise.
    warm_up : float
        Fraction of the training in which the rate rises.
    """
    if done < warm_up:
        return max(done / warm_up, lowest)
    swing = 0.5 * (1 + math.cos(math.pi * min(done, 1.0)))
    return lowest + (1 - lowest) * swing


def falling(
    highest: float, *, lowest: float, warm_up: float = 0.0
) -> Callable[[float, object], float]:
    """Return the rate along a `cosine`, as `models.learner.Schedule` asks for it."""
    return lambda done, _: highest * cosine(done, lowest=lowest, warm_up=warm_up)


def halvings(losses: Sequence[float], patience: int) -> int:
    """Return how often a rate was halved: each time that no epoch was better for so long.

    Parameters
    ----------
    losses : sequence of float
        Of each epoch.
    patience : int
        Epochs.
    """
    best, since, count = math.inf, 0, 0
    for epoch, loss in enumerate(losses, start=1):
        if loss < best:
            best, since = loss, epoch
        elif epoch - since >= patience:
            count, since = count + 1, epoch
    return count


def following(decay: float, step: int) -> float:
    """Return the decay of a moving average after so many steps: a young one follows closely.

    Short trainings are not held back by it.
    """
    return min(decay, (1 + step) / (10 + step))
