"""Standard streams as a command finds them: closed, full, or unable to show every character."""

from __future__ import annotations

import codecs
import io
import os
import sys
from typing import Any

_ASCII = {
    "µ": "u", "μ": "u", "×": "x", "…": "...", "–": "-", "—": "-", "·": ".", "±": "+/-",
    "≥": ">=", "≤": "<=", "→": "->", "²": "2", "³": "3", "°": " deg", "’": "'", "“": '"', "”": '"',
}  # fmt: skip
"""What stands for a character where the stream has none."""


def prepare() -> None:
    """Make the streams fit to be written to, whatever they are."""
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        if getattr(sys, name) is None:
            # A file that is opened later would get the number, and be written to by libraries.
            _point_at_nothing(number)
            setattr(sys, name, os.fdopen(number, "r" if number == 0 else "w", encoding="utf-8"))
    codecs.register_error("hitl-plain", _in_plain_letters)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="hitl-plain")


def give_up(stream: Any) -> None:
    """Write nothing more to a stream that failed, also not what it has kept back."""
    try:
        number = stream.fileno()
    except (io.UnsupportedOperation, ValueError):
        return
    _point_at_nothing(number)


def printable(text: str) -> str:
    """Return text without control characters, which a terminal would obey."""
    return "".join(c if c.isprintable() or c in "\n\t" else "�" for c in text)


def _point_at_nothing(number: int) -> None:
    nothing = os.open(os.devnull, os.O_RDWR)
    if nothing != number:
        os.dup2(nothing, number)
        os.close(nothing)


def _in_plain_letters(error: UnicodeError) -> tuple[str | bytes, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    text = error.object[error.start : error.end]
    return "".join(_ASCII.get(letter, "?") for letter in text), error.end
