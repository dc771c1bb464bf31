"""Minutes of hand work: time between actions counts, idle time does not."""

from __future__ import annotations

import time
from collections.abc import Callable

IDLE_AFTER_S = 60.0
"""A longer pause than this between two actions was no work."""


class WorkTimer:
    """Adds up the time between actions that follow each other soon enough.

    Parameters
    ----------
    idle_after_s : float
        A longer pause counts nothing.
    seconds : float
        Work done before, in a draft.
    now : callable
        Returns seconds that never go back.
    """

    def __init__(
        self,
        *,
        idle_after_s: float = IDLE_AFTER_S,
        seconds: float = 0.0,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._idle_after_s = idle_after_s
        self._seconds = seconds
        self._now = now
        self._last: float | None = None

    def touch(self) -> None:
        """Say that the person did something now."""
        now = self._now()
        if self._last is not None and now - self._last <= self._idle_after_s:
            self._seconds += now - self._last
        self._last = now

    @property
    def seconds(self) -> float:
        """Seconds of work up to the last action."""
        return self._seconds

    @property
    def minutes(self) -> float:
        """Minutes of work up to the last action."""
        return self._seconds / 60
