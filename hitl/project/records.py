"""JSON that a project keeps for itself, with a checksum: a flipped bit must not read as a value."""

from __future__ import annotations

import json
from collections.abc import Mapping
from hashlib import blake2b
from pathlib import Path
from typing import Any

from labels.files import write_atomically

CHECKSUM = "checksum"
"""The key that holds the digest of all the others."""


def write_record(path: Path, data: Mapping[str, Any]) -> None:
    """Write a mapping whole or not at all; NaN is refused since JSON has none."""
    text = json.dumps({**data, CHECKSUM: _digest(data)}, indent=2, allow_nan=False)
    write_atomically(path, f"{text}\n".encode())


def read_record(path: Path) -> dict[str, Any]:
    """Return a mapping that `write_record` wrote, or that somebody wrote without a checksum.

    Raises
    ------
    ValueError
        It is no mapping, no JSON, or not what was written.
    OSError
    """
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except RecursionError as error:
        raise ValueError("lists in lists without end") from error
    if not isinstance(found, dict):
        raise ValueError(f"expected a mapping, got {type(found).__name__}")
    known = found.pop(CHECKSUM, None)
    if known is not None and known != _digest(found):
        raise ValueError("its checksum is wrong")
    return found


def _digest(data: Mapping[str, Any]) -> str:
    # What JSON makes of it, since that is what is read back: tuples are lists, keys are text.
    text = json.dumps(json.loads(json.dumps(data, allow_nan=False)), sort_keys=True)
    return blake2b(text.encode(), digest_size=16).hexdigest()
