"""Data as JSON has it, for what is printed and for what is kept in files."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any


def plain(data: Any) -> Any:
    """Return data as JSON has it: dataclasses as objects, paths and times as text.

    What has a method ``to_dict`` says itself what is told of it.
    """
    if hasattr(data, "to_dict"):
        return plain(data.to_dict())
    if dataclasses.is_dataclass(data) and not isinstance(data, type):
        return {f.name: plain(getattr(data, f.name)) for f in dataclasses.fields(data)}
    if isinstance(data, Mapping):
        return {str(key): plain(value) for key, value in data.items()}
    if isinstance(data, list | tuple | set | frozenset):
        return [plain(value) for value in data]
    if isinstance(data, datetime):
        return data.isoformat()
    return str(data) if isinstance(data, Path) else data
