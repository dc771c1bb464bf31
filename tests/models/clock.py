"""A clock that goes on only where a test says so."""

from __future__ import annotations

import functools
from typing import Any

import pytest

from models import budget


class Clock:
    """The clock of every `Budget` while a test runs."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now, self._patch = 0.0, monkeypatch
        monkeypatch.setattr(budget, "monotonic", lambda: self.now)

    def takes(self, owner: Any, name: str, seconds: float) -> list[float]:
        """Let a function take so many seconds; return the times at which it will have begun."""
        plain, begun = getattr(owner, name), []

        @functools.wraps(plain)
        def slow(*given: Any, **named: Any) -> Any:
            begun.append(self.now)
            self.now += seconds
            return plain(*given, **named)

        self._patch.setattr(owner, name, slow)
        return begun
