"""How long work tells how far it is, and how it is cancelled."""

from __future__ import annotations

from collections.abc import Callable

Progress = Callable[[int, int, str], None]
"""Called with (steps done, steps in all, what is being done). Raising in it cancels the work."""


def no_progress(done: int, total: int, what: str) -> None:
    """Ignore progress."""


_FINE = 1000
"""Steps that a part of a work has for the whole."""


def part_of(progress: Progress, number: int, count: int) -> Progress:
    """Return the progress of the `number`-th (from 0) of `count` parts that take equally long."""

    def told(done: int, total: int, what: str) -> None:
        progress(_FINE * number + _FINE * done // max(total, 1), _FINE * count, what)

    return told
