"""Writing files that nobody ever sees half of."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any


def write_atomically(path: Path, data: bytes) -> None:
    """Write a file so that a reader, or a killed process, never sees half of it."""
    partial = path.with_name(path.name + ".partial")
    with partial.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)


def write_json(path: Path, data: dict[str, Any]) -> None:
    """Write JSON so that nobody ever sees half of it."""
    write_atomically(path, (json.dumps(data, indent=1) + "\n").encode())
