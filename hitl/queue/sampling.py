"""A random share in the queue, and what it says of all that nobody has looked at."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from hitl.project.errors import NothingToDoError
from hitl.queue.entries import Entry, QueueOptions

Z_95 = 1.959963984540054


@dataclass(frozen=True)
class Outcome:
    """What a person found at an entry.

    Parameters
    ----------
    entry : Entry
    error : float
        In [0, 1]: 0 right, 1 wrong; or 1 - IoU between before and after.
    """

    entry: Entry
    error: float


@dataclass(frozen=True)
class ErrorEstimate:
    """The mean error of what was not listed.

    Parameters
    ----------
    estimate, low, high : float
        Mean and its 95 % interval.
    sample : int
        Random entries with an outcome.
    rest : int
        Entries that the estimate is about: all that expected error alone did not list.
    """

    estimate: float
    low: float
    high: float
    sample: int
    rest: int


def select(ranked: Sequence[Entry], limit: int | None, options: QueueOptions) -> list[Entry]:
    """Take the entries of largest expected error and, among them, a share drawn from the rest.

    The random entries are a simple random sample of everything that expected error does not
    list; they stand at regular places in the list. Without a limit there is no rest, hence no
    random entry.

    Parameters
    ----------
    ranked : sequence of Entry
        Largest expected error first.
    limit : int, optional
        Entries to list; all when not given.
    options : QueueOptions

    Returns
    -------
    list of Entry
    """
    if limit is None or limit >= len(ranked):
        return list(ranked)
    drawn = min(limit, math.ceil(options.random_share * limit - 1e-9))
    listed, rest = list(ranked[: limit - drawn]), ranked[limit - drawn :]
    rng = np.random.default_rng(options.seed)
    chosen = [rest[i].at_random() for i in rng.choice(len(rest), size=drawn, replace=False)]
    for number, entry in enumerate(chosen):
        listed.insert(round((number + 1) * limit / max(drawn, 1)) - 1, entry)
    return listed


def estimate_error(outcomes: Sequence[Outcome], rest: int) -> ErrorEstimate:
    """Estimate the mean error of everything that expected error alone did not list.

    Only outcomes of random entries count, so the estimate has no bias. The interval is Wilson's
    score interval (Wilson, JASA 1927); for graded errors it is wider than needed, since no value
    in [0, 1] of that mean varies more than a yes or no.

    Parameters
    ----------
    outcomes : sequence of Outcome
        Of entries of any kind.
    rest : int
        How many entries were not listed, the random ones included.

    Returns
    -------
    ErrorEstimate

    Raises
    ------
    NothingToDoError
        No outcome of a random entry, or an error outside [0, 1].
    """
    errors = [o.error for o in outcomes if o.entry.chosen == "random"]
    if not errors:
        raise NothingToDoError(
            "expected at least one corrected entry that was drawn at random, got none; "
            "look at the entries marked 'drawn at random' too"
        )
    if not all(0 <= error <= 1 for error in errors):
        raise NothingToDoError(
            f"expected errors from 0 (right) to 1 (wrong), got {min(errors)} to {max(errors)}; "
            "give 1 - IoU, or whether the object was wrong"
        )
    n, p = len(errors), float(np.mean(errors))
    centre = (p + Z_95**2 / (2 * n)) / (1 + Z_95**2 / n)
    half = Z_95 / (1 + Z_95**2 / n) * math.sqrt(p * (1 - p) / n + Z_95**2 / (4 * n**2))
    # Rounding must not put the mean outside its interval.
    return ErrorEstimate(
        p, max(0.0, min(p, centre - half)), min(1.0, max(p, centre + half)), n, rest
    )
