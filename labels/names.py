"""Hints for names that are mistyped."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return the nearest known name, whatever its case, to go after a message; or nothing.

    >>> did_you_mean("gfpp", ["GFP", "Cy3"]), did_you_mean("x", ["GFP"])
    ("; did you mean 'GFP'?", '')
    """
    by_lower = {each.lower(): each for each in known}
    near = difflib.get_close_matches(name.lower(), by_lower, n=1)
    return f"; did you mean {by_lower[near[0]]!r}?" if near else ""
