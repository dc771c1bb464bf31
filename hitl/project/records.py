"""JSON that a project keeps for itself, with a checksum: a flipped bit must not read as a value."""

from __future__ import annotations

import json
from collections.abc import Mapping
from hashlib import blake2b
from pathlib import Path
from typing import Annotated, Any

from annotated_types import Ge, Le
from pydantic import BaseModel, ConfigDict

from labels.files import write_atomically
from labels.json_files import read_json, shaped

CHECKSUM = "checksum"
"""The key that holds the digest of all the others."""

Whole = Annotated[int, Ge(0), Le(2**63 - 1)]
"""A count, an id, a round."""

Number = Annotated[float, Ge(-1e15), Le(1e15)]
"""What is measured; beyond it nothing can be drawn or added up."""


class Shape(BaseModel):
    """Base of what is demanded of a record: these keys, of these kinds; others may be there."""

    model_config = ConfigDict(strict=True, extra="allow", allow_inf_nan=False)


def write_record(path: Path, data: Mapping[str, Any]) -> None:
    """Write a mapping whole or not at all; NaN is refused since JSON has none."""
    text = json.dumps({**data, CHECKSUM: _digest(data)}, indent=2, allow_nan=False)
    write_atomically(path, f"{text}\n".encode())


def read_record(path: Path, shape: type[BaseModel] = Shape) -> dict[str, Any]:
    """Return a mapping that `write_record` wrote, or that somebody wrote without a checksum.

    Parameters
    ----------
    path : Path
    shape : subclass of BaseModel
        What must be in it.

    Raises
    ------
    ValueError
        It is no mapping, no JSON, not what was written, or of another shape.
    OSError
    """
    found = read_json(path)
    if not isinstance(found, dict):
        raise ValueError(f"expected a mapping, got {type(found).__name__}")
    known = found.pop(CHECKSUM, None)
    if known is not None and known != _digest(found):
        raise ValueError("its checksum is wrong")
    shaped(shape, found)
    return found


def _digest(data: Mapping[str, Any]) -> str:
    # What JSON makes of it, since that is what is read back: tuples are lists, keys are text.
    text = json.dumps(json.loads(json.dumps(data, allow_nan=False)), sort_keys=True)
    return blake2b(text.encode(), digest_size=16).hexdigest()
