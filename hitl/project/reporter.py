"""How a step tells what it does, whether to a terminal, a test or nobody."""

from __future__ import annotations

from typing import Protocol


class Reporter(Protocol):
    """Where notes and progress go; steps know nothing of terminals."""

    def note(self, message: str) -> None:
        """Tell the user something that they must know."""
        ...

    def step(self, command: str) -> None:
        """Tell which command is about to be run."""
        ...

    def progress(self, done: int, total: int, what: str) -> None:
        """Tell how far the work is."""
        ...


class Silent:
    """Keeps notes, prints nothing.

    Attributes
    ----------
    notes : list of str
    """

    def __init__(self) -> None:
        self.notes: list[str] = []

    def note(self, message: str) -> None:
        """Keep a note."""
        self.notes.append(message)

    def step(self, command: str) -> None:
        """Ignore steps."""

    def progress(self, done: int, total: int, what: str) -> None:
        """Ignore progress."""
