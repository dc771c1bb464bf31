"""How long work tells how far it is, and how it is cancelled."""

from __future__ import annotations

from collections.abc import Callable

Progress = Callable[[int, int, str], None]
"""Called with (steps done, steps in all, what is being done). Raising in it cancels the work."""


def no_progress(done: int, total: int, what: str) -> None:
    """Ignore progress."""
