"""The time that a training may take: how long its epochs are, and what is left out and told."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from time import monotonic
from typing import TypeVar

from labels.numbers import number_of
from labels.progress import Progress

T = TypeVar("T")

FEWEST_EPOCHS = 8
"""An epoch takes no larger share of the time, so that there are some to choose from."""

MOST_KEPT = 1 / 3
"""Share of the time that may be kept for what comes after the last epoch."""

GRACE_S = 10.0
"""A training that takes so much longer than it may says what took the time."""


JUDGE = "judge every epoch"
CHOOSE = "choose thresholds, so that the usual ones are kept"
COMPARE = "compare its objects with the base's"
"""What is left out when there is no time for it."""


class OutOfTimeError(Exception):
    """Work that was watched does not fit into the time that is left."""


class Budget:
    """The time of one training, from when this is made; without a limit nothing depends on it.

    Parameters
    ----------
    minutes : float, optional

    Attributes
    ----------
    limit : float
        Seconds that the training may take, infinite where nothing is said.
    """

    def __init__(self, minutes: float | None) -> None:
        self._begun = monotonic()
        self.limit = math.inf if minutes is None else 60.0 * minutes
        self._kept = self._earlier = self._prepared = 0.0
        self._step = self._closing = 0.0
        self._closing_since: float | None = None
        self._steps, self._stepping, self._ended = 0, 0.0, False
        self._missed: dict[str, None] = {}

    @property
    def elapsed(self) -> float:
        """Seconds until now, with those of the interrupted sessions that this one continues."""
        return self._earlier + monotonic() - self._begun

    @property
    def left(self) -> float:
        """Seconds until the limit, less those kept for later."""
        return self.limit - self._kept - self.elapsed

    @property
    def done(self) -> float:
        """Share of the time for steps that is over, from 0 to 1; 0 without a limit."""
        whole = self._last_step - self._prepared
        share = (self.elapsed - self._prepared) / whole if 0 < whole < math.inf else 0.0
        return min(max(share, 0.0), 1.0)

    def keep(self, seconds: float) -> None:
        """Keep time for what comes after the last epoch, unless that would take most of it."""
        self._kept = seconds if seconds <= MOST_KEPT * self.limit < math.inf else 0.0

    def begin(self, earlier: float) -> None:
        """Say that all is prepared; `earlier` seconds went into interrupted sessions."""
        self._prepared, self._earlier = self.elapsed, earlier

    def epoch(self, planned: Iterable[T]) -> Iterator[T]:
        """Give the steps of an epoch, as many as there is time for, and the first in any case."""
        began = before = self.elapsed
        end = self._epoch_end
        for each in planned:
            yield each
            now = self.elapsed
            # What the first step compiles, all later ones use.
            self._step, before = min(self._step or math.inf, now - before), now
            self._steps += 1
            if now + self._step > end:
                break
        self._stepping += before - began
        self.close_epoch()

    def close_epoch(self) -> None:
        """Say that an epoch is judged and saved from here until `has_room` is asked."""
        self._closing_since = self.elapsed

    def has_room(self) -> bool:
        """Tell whether there is time for another epoch, if only of one step."""
        if self._closing_since is not None:
            self._closing, self._closing_since = self.elapsed - self._closing_since, None
        self._ended = self.elapsed + self._step > self._last_step
        return not self._ended

    def attempt(
        self, what: str, work: Callable[[Progress], T], progress: Progress, share: float = 1.0
    ) -> T | None:
        """Return what work gives, or None when there is no time for it, which `notes` tells.

        Parameters
        ----------
        what : str
            What the work is to do.
        work : callable
            It gets a `Progress` that ends it as soon as it is seen not to be done in time.
        progress : callable
            Told as well.
        share : float
            Of the time that is left, what the work may take.
        """
        deadline = self.elapsed + share * self.left
        first: tuple[int, float] | None = None

        def watched(done: int, total: int, doing: str) -> None:
            nonlocal first
            progress(done, total, doing)
            foreseen = now = self.elapsed
            if done == 0:
                first = None
            elif first is None:
                # The first part is slow: what it compiles serves all.
                first = done, now
            elif done > first[0]:
                foreseen += (total - done) * (now - first[1]) / (done - first[0])
            if done < total and foreseen > deadline:
                raise OutOfTimeError

        try:
            if self.elapsed >= deadline:
                raise OutOfTimeError
            return work(watched)
        except OutOfTimeError:
            self._missed[what] = None
            return None

    def notes(self, epoch: int) -> list[str]:
        """Say what the limit did to a training of so many epochs, if anything, in one note."""
        late = self.elapsed > self.limit + GRACE_S
        if not (self._ended or self._missed or late):
            return []
        named = f"max_minutes={self.limit / 60:g}"
        text = f"stopped by {named} in epoch {epoch}" if self._ended else f"{named} is too short"
        if self._missed or late:
            steps = number_of(self._steps, "step")
            rest = self.elapsed - self._earlier - self._prepared - self._stepping
            text += (
                f": of {self.limit:.0f} s given, preparing took {self._prepared:.0f} s, {steps} "
                f"{self._stepping:.0f} s and all else {rest:.0f} s"
            )
        if self._missed:
            text += f"; no time was left to {' and to '.join(self._missed)}"
        return [text]

    @property
    def _last_step(self) -> float:
        """When the last step has to be done."""
        return self.limit - self._kept - self._closing

    @property
    def _epoch_end(self) -> float:
        """When the last step has to be done of an epoch that begins now."""
        # To judge an epoch takes at most half as long as its steps did.
        end = self.elapsed + max(self.limit / FEWEST_EPOCHS, 2 * self._closing)
        return end if end + 3 * self._closing < self._last_step else self._last_step
