"""Options held against the bounds and choices in their annotations."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable
from dataclasses import fields
from typing import Any, get_args, get_type_hints

from models.errors import ModelError

_BOUNDS: dict[str, tuple[str, Callable[[Any, Any], bool]]] = {
    "gt": ("above", operator.gt),
    "ge": ("at least", operator.ge),
    "lt": ("below", operator.lt),
    "le": ("at most", operator.le),
}


def check_bounds(options: Any, error: type[ModelError], whose: str = "") -> None:
    """Hold each field of a dataclass against the bounds in its annotation.

    Parameters
    ----------
    options : dataclass
        A field that is None is not looked at.
    error : subclass of ModelError
        Raised for a value that is out of bounds, not finite, or none of the choices.
    whose : str
        Begins the message.
    """
    hints = get_type_hints(type(options), include_extras=True)
    for option in fields(options):
        value, hint = getattr(options, option.name), hints[option.name]
        parts = value if isinstance(value, tuple) else (value,)
        inner = get_args(hint) if isinstance(value, tuple) else ()
        for number, part in enumerate(parts):
            if part is not None:
                wrong = _wrong(part, inner[number] if number < len(inner) else hint)
                if wrong:
                    raise error(f"{whose}{option.name}: {wrong}")


def _wrong(value: Any, hint: Any) -> str | None:
    choices = [choice for choice in get_args(hint) if isinstance(choice, str | int)]
    if choices and value not in choices:
        return f"expected one of {choices}, got {value!r}"
    if isinstance(value, int | float) and not math.isfinite(value):
        return f"expected a finite number, got {value}; leave it out"
    # The bounds of an option that may be None stand in its first part.
    for bound in (b for part in (hint, *get_args(hint)) for b in getattr(part, "__metadata__", ())):
        for word, (sign, holds) in _BOUNDS.items():
            limit = getattr(bound, word, None)
            if limit is not None and not holds(value, limit):
                return f"expected {sign} {limit}, got {value}"
    return None
