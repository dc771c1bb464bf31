"""What a shell completes: silent whatever is wrong, and nothing that a shell would obey."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import typer

PLAIN = re.compile(r"[\w.@+][\w.@+=:,%-]*")
"""Names that stand for themselves in every shell; the others a person types and quotes."""


def completer(
    names: Callable[[Mapping[str, Any]], Iterable[str]],
) -> Callable[[typer.Context, list[str], str], list[str]]:
    """Return what typer asks for the words that may stand in a place.

    Parameters
    ----------
    names : callable
        Returns them for what was typed before.
    """

    def complete(ctx: typer.Context, args: list[str], incomplete: str) -> list[str]:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                found = list(names(ctx.params))
        except Exception:
            # Whatever is wrong, the verb itself says it; here it would be written into the command.
            return []
        return [name for name in found if PLAIN.fullmatch(name)]

    return complete
